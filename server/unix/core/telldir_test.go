package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// TestTellDir: a directory's descriptor has a number as long as it is that directory's; other descriptors have none, and no
// number comes again.
func TestTellDir(t *testing.T) {
	tk := newTestKernel(t)
	word := func(c *Call, fd int32) uint64 {
		if w := tk.host.open[c.Task]; w != nil {
			return w[fd]
		}
		return 0
	}
	seen := map[uint64]bool{}
	told := func(c *Call, fd int32) bool {
		t.Helper()
		c.TellDir(fd)
		v := word(c, fd)
		if v == 0 {
			return false
		}
		if v&abi.LentDir == 0 || v&abi.LentOpen != 0 || seen[v] {
			t.Errorf("%d: told %#x", fd, v)
		}
		if c.TellDir(fd); word(c, fd) != v {
			t.Error("another number of the same descriptor")
		}
		seen[v] = true
		return true
	}
	tk.do(tk.init, func(c *Call) {
		c.Task = tk.task()
		for _, d := range []string{"/a", "/b"} {
			if e := c.Mkdir(AtCwd, d, 0o755); e != 0 {
				t.Fatal(e)
			}
		}
		dir := func(name string) int32 {
			t.Helper()
			fd, e := open(c, name, AccessRead, OpenDirectory, 0)
			if e != 0 {
				t.Fatal(e)
			}
			return fd
		}
		a := dir("/a")
		if !told(c, a) {
			t.Error("not told")
		}
		if e := c.CloseFD(a); e != 0 || word(c, a) != 0 {
			t.Error("told when it is closed", e)
		}
		if a2 := dir("/a"); a2 != a || word(c, a) != 0 || !told(c, a) {
			t.Error("opened again:", a2, word(c, a))
		}
		b := dir("/b")
		if !told(c, b) {
			t.Error("not told")
		}
		if e := c.Dup2(b, a, 0); e != 0 || word(c, a) != 0 {
			t.Error("told when it is another's", e)
		}
		if !told(c, a) || word(c, a) == word(c, b) {
			t.Error("two descriptors of one directory")
		}
		file, e := open(c, "/a/f", rw, OpenCreate, 0o644)
		if e != 0 || told(c, file) {
			t.Error("a file", e)
		}
		for _, fd := range []int32{-1, AtCwd, 60, abi.LentFiles, 1 << 20} {
			if fd < 0 || fd >= abi.LentFiles {
				c.TellDir(fd)
			} else if told(c, fd) {
				t.Error("no descriptor:", fd)
			}
		}
	})
}

// TestNearListed: who asks in the order in which a directory lists its names, too, is told of the next ones, also of another
// directory with the first; each name comes once, and says what it is.
func TestNearListed(t *testing.T) {
	tk := newTestKernel(t)
	n := namer{t, tk}
	const files, dirs = 50, 2 * nearAgain
	rnd := rand.New(rand.NewPCG(3, 9))
	for d := range dirs {
		n.do(func(c *Call) abi.Errno { return c.Mkdir(AtCwd, fmt.Sprint("/", d), 0o755) })
		for _, i := range rnd.Perm(files) {
			n.do(func(c *Call) abi.Errno { return c.Mknod(AtCwd, fmt.Sprintf("/%d/f%02d", d, i), 0o600+uint32(i%8), 0) })
		}
	}
	walk := func(d, from int) (asked int, first bool) {
		t.Helper()
		var order []string
		n.do(func(c *Call) abi.Errno {
			c.Task = tk.task()
			fd, e := open(c, fmt.Sprint("/", d), AccessRead, OpenDirectory, 0)
			if e != 0 {
				return e
			}
			for more := true; more && e == 0; {
				more = false
				e = c.ReadDirFD(fd, 200, func(d *fs.DirEntry) bool {
					more = true
					if d.Name[0] != '.' {
						order = append(order, d.Name)
					}
					return true
				})
			}
			_ = c.CloseFD(fd)
			return e
		})
		if len(order) != files || slices.IsSorted(order) {
			t.Fatalf("%d lists %q", d, order)
		}
		known := map[string]bool{}
		for i, name := range order[from:] {
			if known[name] {
				continue
			}
			asked++
			_, got := n.near(fmt.Sprint("/", d, "/", name), 0)
			if i == 0 {
				first = len(got) > 0
			}
			for j, s := range got {
				var no int
				var mode uint32
				if k, err := fmt.Sscanf(s, "f%02d %o", &no, &mode); k != 2 || err != nil || mode != (0o600+uint32(no%8))&^0o022 {
					t.Errorf("told %q", s)
				}
				next := fmt.Sprintf("f%02d", no)
				if known[next] || order[from+i+1+j] != next {
					t.Errorf("%s comes behind %s as the %d.: %q", next, name, j, order)
				}
				known[next] = true
			}
		}
		return asked, first
	}
	for range nameRest + 1 {
		n.ask("/none", WalkFollow) // no wish is refused any more
	}
	if asked, first := walk(0, 0); first || asked > nearAfter+files/abi.NearMost+1 {
		t.Errorf("the first directory: %d questions, %v", asked, first)
	}
	at := 0
	for d := 1; d < dirs; d++ {
		asked, first := walk(d, 0)
		if first {
			at++
		}
		if asked > nearAfter+files/abi.NearMost+1 {
			t.Errorf("directory %d: %d questions", d, asked)
		}
	}
	if at < dirs-1-dirs/nearAgain-1 || at == dirs-1 {
		t.Errorf("of %d of %d directories names came with the first", at, dirs)
	}
}
