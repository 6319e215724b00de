package core

import (
	"fmt"
	"math/rand"
	"sort"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/server/fs/tree"
	"hythe/store"
)

var tick int64

func clock() fs.Time { tick++; return fs.Time{Sec: 1000 + tick} }

func plain(t testing.TB) *tree.Server { return plainFor(t, 1e9) }

// plainFor makes one whose names and attributes are good for ttl.
func plainFor(t testing.TB, ttl uint64) *tree.Server {
	t.Helper()
	objs := object.NewLocal()
	t.Cleanup(objs.Close)
	h, err := store.Format(make([]byte, 32<<20), 1)
	if err != nil {
		t.Fatal(err)
	}
	log := once.New(h, 1, 100)
	tr, e := tree.New(h, 2, tree.Limits{Inodes: 5000}, objs, clock, 0o755, fs.Cred{})
	if e != 0 {
		t.Fatal(e)
	}
	return tree.NewServer(tr, log, ttl, 0x1234)
}

// frozen is a lower layer that fails the test when anybody changes it.
type frozen struct {
	*tree.Server
	t testing.TB
}

func (f frozen) bad(what string) abi.Errno {
	f.t.Helper()
	f.t.Fatal("lower layer changed:", what)
	return abi.EROFS
}

func (f frozen) SetAttr(fs.Req, fs.NodeID, *fs.SetAttrIn) (fs.Entry, abi.Errno) {
	return fs.Entry{}, f.bad("SetAttr")
}
func (f frozen) MkNod(fs.Req, fs.NodeID, string, uint32, uint64, fs.Cred) (fs.Entry, abi.Errno) {
	return fs.Entry{}, f.bad("MkNod")
}
func (f frozen) MkDir(fs.Req, fs.NodeID, string, uint32, fs.Cred) (fs.Entry, abi.Errno) {
	return fs.Entry{}, f.bad("MkDir")
}
func (f frozen) Link(fs.Req, fs.NodeID, fs.NodeID, string) (fs.Entry, abi.Errno) {
	return fs.Entry{}, f.bad("Link")
}
func (f frozen) Unlink(fs.Req, fs.NodeID, string) abi.Errno { return f.bad("Unlink") }
func (f frozen) ReadFiles(fs.Req, []fs.NodeID, int) ([]fs.FileData, abi.Errno) {
	return nil, f.bad("ReadFiles")
}
func (f frozen) OpenRead(fs.Req, fs.NodeID, int) (fs.Entry, bool, []byte, abi.Errno) {
	return fs.Entry{}, false, nil, f.bad("OpenRead")
}
func (f frozen) Discard(fs.Req, fs.NodeID, string, fs.NodeID, uint32) abi.Errno {
	return f.bad("Discard")
}
func (f frozen) RmDir(fs.Req, fs.NodeID, string) abi.Errno { return f.bad("RmDir") }
func (f frozen) Rename(fs.Req, fs.NodeID, string, fs.NodeID, string, uint32) abi.Errno {
	return f.bad("Rename")
}
func (f frozen) Open(fs.Req, fs.NodeID, bool, bool) (fs.Entry, abi.Errno) {
	return fs.Entry{}, f.bad("Open")
}
func (f frozen) Write(fs.Req, fs.NodeID, uint64, []byte) (int, uint64, uint64, abi.Errno) {
	return 0, 0, 0, f.bad("Write")
}

type rig struct {
	mem  []byte
	objs *object.Local
	low  fs.Server
	s    *tree.Server
}

func newRig(t testing.TB, low *tree.Server) *rig {
	t.Helper()
	r := &rig{mem: make([]byte, 16<<20), objs: object.NewLocal(), low: frozen{low, t}}
	t.Cleanup(r.objs.Close)
	if _, err := store.Format(r.mem, Version); err != nil {
		t.Fatal(err)
	}
	r.start(t, r.mem)
	return r
}

func (r *rig) start(t testing.TB, mem []byte) {
	t.Helper()
	h, err := store.Open(mem, Version)
	if err != nil {
		t.Fatal(err)
	}
	s, _, e := New(h, Config{Inodes: 5000, Flows: 500}, r.low, r.objs, clock, nil)
	if e != 0 {
		t.Fatal(e)
	}
	r.s = s
}

func walk(s fs.Server, p string) (fs.NodeID, abi.Errno) {
	n := fs.RootID
	for _, c := range strings.Split(p, "/") {
		if c == "" {
			continue
		}
		e, err := s.Lookup(fs.Req{}, n, c)
		if err != 0 {
			return 0, err
		}
		n = e.Node
	}
	return n, 0
}

func split(s fs.Server, p string) (fs.NodeID, string, abi.Errno) {
	i := strings.LastIndexByte(p, '/')
	n, err := walk(s, p[:max(i, 0)])
	return n, p[i+1:], err
}

func list(t testing.TB, s fs.Server, dir fs.NodeID, max int) []fs.DirEntry {
	t.Helper()
	var out []fs.DirEntry
	for c := uint64(0); ; {
		l, err := s.ReadDir(fs.Req{}, dir, c, max)
		if err != 0 {
			t.Fatalf("ReadDir: %v", err)
		}
		if len(l) == 0 {
			return out
		}
		out = append(out, l...)
		c = l[len(l)-1].Next
	}
}

func content(t testing.TB, s fs.Server, n fs.NodeID) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 50000)
	for {
		k, err := s.Read(fs.Req{}, n, uint64(len(all)), buf)
		if err != 0 {
			t.Fatal(err)
		}
		if k == 0 {
			return string(all)
		}
		all = append(all, buf[:k]...)
	}
}

// show renders a whole tree, names sorted; links by the order of first sight.
func show(t testing.TB, s fs.Server, n fs.NodeID, p string, seen map[uint64]int) []string {
	t.Helper()
	e, err := s.GetAttr(fs.Req{}, n)
	if err != 0 {
		t.Fatalf("%s: %v", p, err)
	}
	a := e.Attr
	if _, ok := seen[a.Ino]; !ok {
		seen[a.Ino] = len(seen)
	}
	line := fmt.Sprintf("%s %o links %d owner %d:%d file %d", p, a.Mode, a.Nlink, a.UID, a.GID, seen[a.Ino])
	x, _ := s.ListXattr(fs.Req{}, n)
	names := strings.Split(strings.Trim(string(x), "\x00"), "\x00")
	sort.Strings(names)
	for _, name := range names {
		if name != "" {
			v, _ := s.GetXattr(fs.Req{}, n, name)
			line += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	switch a.Mode & fs.TypeMask {
	case fs.TypeReg:
		data := content(t, s, n)
		if uint64(len(data)) != a.Size {
			t.Fatalf("%s: %d bytes read, size %d", p, len(data), a.Size)
		}
		line += fmt.Sprintf(" size %d data %x", a.Size, hash(data))
	case fs.TypeLink:
		l, _ := s.ReadLink(fs.Req{}, n)
		line += " -> " + l
	}
	out := []string{line}
	if a.Mode&fs.TypeMask == fs.TypeDir {
		l := list(t, s, n, 30)
		sort.Slice(l, func(i, j int) bool { return l[i].Name < l[j].Name })
		for i, de := range l {
			if i > 0 && l[i-1].Name == de.Name {
				t.Fatalf("%s/%s is listed twice", p, de.Name)
			}
			c, err := s.Lookup(fs.Req{}, n, de.Name)
			if err != 0 || c.Attr.Ino != de.Ino || c.Attr.Mode>>12 != de.Type {
				t.Fatalf("%s/%s: %v; ino %d type %d, listed as %d, %d", p, de.Name, err, c.Attr.Ino, c.Attr.Mode>>12, de.Ino, de.Type)
			}
			out = append(out, show(t, s, c.Node, p+"/"+de.Name, seen)...)
		}
	}
	return out
}

func hash(s string) (h uint64) {
	for i := 0; i < len(s); i++ {
		h = h*1099511628211 + uint64(s[i])
	}
	return h
}

// do runs one operation, written as a line, and answers its error.
func do(s fs.Server, q fs.Req, line string) abi.Errno {
	f := strings.Fields(line)
	arg := func(i int) string { return f[i] }
	dir, name, err := split(s, arg(1))
	if err != 0 {
		return err
	}
	node := func() fs.NodeID {
		var n fs.NodeID
		n, err = walk(s, arg(1))
		return n
	}
	var num int
	switch f[0] {
	case "mkdir":
		_, err = s.MkDir(q, dir, name, 0o755, fs.Cred{UID: 1, GID: 2})
	case "create":
		var e fs.Entry
		if e, _, err = s.Create(q, dir, name, 0o644, false, fs.Cred{UID: 3, GID: 4}); err == 0 {
			s.Release(fs.Req{}, e.Node)
		}
	case "symlink":
		_, err = s.Symlink(q, dir, name, "target", fs.Cred{})
	case "rm":
		err = s.Unlink(q, dir, name)
	case "rmdir":
		err = s.RmDir(q, dir, name)
	case "link":
		n := node()
		if err == 0 {
			var d fs.NodeID
			if d, name, err = split(s, arg(2)); err == 0 {
				_, err = s.Link(q, n, d, name)
			}
		}
	case "mv", "swap", "mvnew":
		var d fs.NodeID
		var nm string
		if d, nm, err = split(s, arg(2)); err == 0 {
			err = s.Rename(q, dir, name, d, nm, map[string]uint32{"mvnew": 1, "swap": 2}[f[0]])
		}
	case "write":
		n := node()
		if err == 0 {
			if _, err = s.Open(fs.Req{}, n, true, false); err == 0 {
				fmt.Sscan(arg(2), &num)
				_, _, _, err = s.Write(q, n, uint64(num), []byte(strings.Repeat(arg(3), 100)))
				s.Release(fs.Req{}, n)
			}
		}
	case "append":
		n := node()
		if err == 0 {
			_, _, _, err = s.Write(q, n, fs.AppendOff, []byte(arg(2)))
		}
	case "truncate":
		n := node()
		if err == 0 {
			fmt.Sscan(arg(2), &num)
			_, err = s.SetAttr(q, n, &fs.SetAttrIn{Valid: fs.SetSize, Size: uint64(num)})
		}
	case "chmod":
		n := node()
		if err == 0 {
			_, err = s.SetAttr(q, n, &fs.SetAttrIn{Valid: fs.SetMode | fs.SetUID, Mode: 0o700, UID: 77})
		}
	case "xattr":
		n := node()
		if err == 0 {
			err = s.SetXattr(q, n, "user."+arg(2), []byte("v"+arg(2)), 0)
		}
	case "rmxattr":
		n := node()
		if err == 0 {
			err = s.RemoveXattr(q, n, "user."+arg(2))
		}
	case "map":
		n := node()
		if err == 0 {
			_, err = s.Map(fs.Req{}, n, fs.MapToWrite)
		}
	default:
		panic(line)
	}
	return err
}

var fill = []string{
	"mkdir a", "mkdir a/b", "mkdir a/b/c", "mkdir d", "create a/f", "append a/f lowerdata", "create a/b/g", "write a/b/g 300000 z",
	"link a/f d/hard", "symlink a/l", "create r", "append r rootfile", "xattr r low", "mkdir e", "create e/x", "create e/y", "chmod e/x",
	"mkdir a/b/c/d", "create a/b/c/d/deep", "append a/b/c/d/deep down",
}

func filled(t testing.TB) *tree.Server {
	s := plain(t)
	for _, l := range fill {
		if err := do(s, fs.Req{}, l); err != 0 {
			t.Fatal(l, err)
		}
	}
	return s
}

// TestModel runs random operations on an overlay over a tree and on the same
// tree itself: everything but times and inode numbers must look the same.
func TestModel(t *testing.T) {
	steps := 3000
	if testing.Short() {
		steps = 600
	}
	for seed := int64(1); seed <= 4; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r, ref := newRig(t, filled(t)), filled(t)
			rnd := rand.New(rand.NewSource(seed))
			names := []string{"a", "b", "c", "d", "e", "f", "g", "hard", "x", "r"}
			pick := func() string {
				var p []string
				for n := 1 + rnd.Intn(4); n > 0; n-- {
					p = append(p, names[rnd.Intn(len(names))])
				}
				return strings.Join(p, "/")
			}
			var log []string
			for i := 0; i < steps; i++ {
				p, q := pick(), pick()
				line := []string{
					"mkdir " + p, "create " + p, "symlink " + p, "rm " + p, "rmdir " + p, "link " + p + " " + q,
					"mv " + p + " " + q, "mv " + p + " " + q, "mvnew " + p + " " + q, "swap " + p + " " + q,
					fmt.Sprintf("write %s %d w", p, rnd.Intn(5000)), "append " + p + " more",
					fmt.Sprintf("truncate %s %d", p, rnd.Intn(400000)), "chmod " + p, "xattr " + p + " x", "rmxattr " + p + " low", "map " + p,
				}[rnd.Intn(17)]
				want := do(ref, fs.Req{}, line)
				got := do(r.s, fs.Req{Binding: 1, Client: 1, Seq: uint64(i + 1)}, line)
				if got == 0 {
					log = append(log, line)
				}
				if got != want {
					t.Fatalf("step %d: %s: %v, want %v\nafter %s", i, line, got, want, strings.Join(log, "; "))
				}
				if i%20 == 0 {
					g := strings.Join(show(t, r.s, fs.RootID, "", map[uint64]int{}), "\n")
					w := strings.Join(show(t, ref, fs.RootID, "", map[uint64]int{}), "\n")
					if g != w {
						t.Fatalf("step %d, after %s:\n%s\n\nwant:\n%s", i, strings.Join(log, "; "), g, w)
					}
					r.s.Check()
				}
				switch rnd.Intn(60) {
				case 0:
					r.start(t, r.mem)
				case 1:
					// The client forgets something that it may or may not use again.
					if n, err := walk(r.s, pick()); err == 0 {
						r.s.Forget(fs.Req{}, n, 1<<40)
					}
				}
			}
		})
	}
}

// TestCases: the cases that overlays are known for.
func TestCases(t *testing.T) {
	for _, c := range []struct{ name, ops, want string }{
		{"whiteout", "rm r", "/a /d /e"},
		{"whiteout and new file", "rm r;create r", "/a /d /e /r"},
		{"opaque", "rm e/x;rm e/y;rmdir e;mkdir e", "/a /d /e /r | e:"},
		{"opaque with a lower name", "rm e/x;rm e/y;rmdir e;mkdir e;create e/x", "/a /d /e /r | e: x"},
		{"file in place of a directory", "rm e/x;rm e/y;rmdir e;create e", "/a /d /e /r"},
		{"not empty", "rmdir e=ENOTEMPTY", "| e: x y"},
		{"half empty", "rm e/x;rmdir e=ENOTEMPTY", "| e: y"},
		{"redirect", "mv a d/moved", "/d /e /r | d: hard moved | d/moved: b f l | d/moved/b/c/d: deep"},
		{"redirect and change", "mv a d/moved;rm d/moved/f;create d/moved/b/n", "| d/moved: b l | d/moved/b: c g n"},
		{"redirect over empty lower directory", "rm e/x;rm e/y;mv a e", "/d /e /r | e: b f l"},
		{"moved and made again", "mv e g;mkdir e;create e/z", "/a /d /e /g /r | e: z | g: x y"},
		{"moved away and back", "mv e g;mv g e", "/a /d /e /r | e: x y"},
		{"lower directories swapped", "swap a e", "| a: x y | e: b f l"},
		{"child above its parent", "swap a/b/c e", "| a/b/c: x y | e: d"},
		{"loop", "mv a a/b/c/a=EINVAL", "| a: b f l"},
		{"merged", "create a/n;create a/b/n", "| a: b f l n | a/b: c g n"},
		{"noreplace sees below", "create n;mvnew n r=EEXIST", "/a /d /e /n /r"},
		{"noreplace sees whiteouts as nothing", "create n;rm r;mvnew n r", "/a /d /e /r"},
		{"hard link kept", "append a/f +;rm a/f", "| d: hard | a: b l"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, filled(t))
			for i, op := range strings.Split(c.ops, ";") {
				op, want, _ := strings.Cut(op, "=")
				err := do(r.s, fs.Req{Binding: 1, Client: 9, Seq: uint64(i + 1)}, op)
				if want == "" {
					want = "OK"
				}
				if err.Error() != want {
					t.Fatalf("%s: %v, want %s", op, err, want)
				}
			}
			for range 2 { // and again in the next incarnation
				for _, w := range strings.Split(c.want, "|") {
					dir, names, ok := strings.Cut(strings.TrimSpace(w), ":")
					if !ok {
						dir, names = "", strings.ReplaceAll(dir, "/", "")
					}
					n, err := walk(r.s, dir)
					if err != 0 {
						t.Fatalf("%s: %v", dir, err)
					}
					var got []string
					for _, de := range list(t, r.s, n, 10) {
						got = append(got, de.Name)
					}
					sort.Strings(got)
					if names = strings.Join(strings.Fields(names), " "); strings.Join(got, " ") != names && (dir != "" || names != "") {
						t.Errorf("%s: %s, want %s", dir, got, names)
					}
				}
				r.s.Check()
				r.start(t, r.mem)
			}
		})
	}
}

// TestIdentity: numbers stay and links stay one file when a file is copied up.
func TestIdentity(t *testing.T) {
	low := filled(t)
	r := newRig(t, low)
	n, _ := walk(r.s, "a/f")
	before, _ := r.s.GetAttr(fs.Req{}, n)
	if m, _ := walk(r.s, "d/hard"); m != n {
		t.Fatal("two nodes for one file")
	}
	out, err := r.s.Map(fs.Req{}, n, fs.MapToShow)
	if err != 0 || out.Stable || !out.UntilWrite || out.Writable {
		t.Fatal(out, err)
	}
	if err := do(r.s, fs.Req{}, "append a/f +up"); err != 0 {
		t.Fatal(err)
	}
	after, err := r.s.GetAttr(fs.Req{}, n)
	if err != 0 || after.Attr.Ino != before.Attr.Ino || after.Attr.Nlink != 2 {
		t.Fatalf("%v: %+v, then %+v", err, before.Attr, after.Attr)
	}
	up, err := r.s.Map(fs.Req{}, n, fs.MapToShow)
	if err != 0 || up.Tag == out.Tag || !up.Stable || up.UntilWrite {
		t.Fatal("the copy shows the lower object", up, err)
	}
	if m, _ := walk(r.s, "d/hard"); m != n || content(t, r.s, m) != "lowerdata+up" {
		t.Fatal("the other name shows the old file")
	}
	ln, _ := walk(low, "a/f")
	if content(t, low, ln) != "lowerdata" {
		t.Fatal("the lower file changed")
	}
}

// TestListing changes a merged directory while it is listed: what stays is
// listed exactly once.
func TestListing(t *testing.T) {
	low := plain(t)
	for i := range 60 {
		if err := do(low, fs.Req{}, fmt.Sprintf("create f%02d", i)); err != 0 {
			t.Fatal(err)
		}
	}
	r := newRig(t, low)
	seen := map[string]int{}
	for c, k := uint64(0), 0; ; k++ {
		l, err := r.s.ReadDir(fs.Req{}, fs.RootID, c, 12)
		if err != 0 {
			t.Fatal(err)
		}
		if len(l) == 0 {
			break
		}
		for _, de := range l {
			seen[de.Name]++
		}
		c = l[len(l)-1].Next
		if k < 20 {
			do(r.s, fs.Req{}, fmt.Sprintf("append f%02d x", 2*k)) // copied up
			do(r.s, fs.Req{}, fmt.Sprintf("rm f%02d", 59-2*k))    // gone
			do(r.s, fs.Req{}, fmt.Sprintf("create new%02d", k))   // new
		}
	}
	for i := 0; i < 60; i += 2 {
		if n := seen[fmt.Sprintf("f%02d", i)]; n != 1 {
			t.Errorf("f%02d is listed %d times", i, n)
		}
	}
	for name, n := range seen {
		if n > 1 {
			t.Errorf("%s is listed %d times", name, n)
		}
	}
}

// TestReadDirPlus: what comes with the entries of a merged directory is what Lookup answers,
// whichever layer has them, and what it is opened with is what is in it.
func TestReadDirPlus(t *testing.T) {
	low := plain(t)
	for i := range 30 {
		for _, l := range []string{"create f%02d", "append f%02d text"} {
			if err := do(low, fs.Req{}, fmt.Sprintf(l, i)); err != 0 {
				t.Fatal(err)
			}
		}
	}
	r := newRig(t, low)
	for _, l := range []string{"append f03 x", "rm f04", "create new", "mv f05 f06", "mv f07 other", "mkdir f08dir"} {
		if err := do(r.s, fs.Req{}, l); err != 0 {
			t.Fatal(l, err)
		}
	}
	names, known := map[string]bool{}, 0
	for c := uint64(0); ; {
		l, err := r.s.ReadDirPlus(fs.Req{}, fs.RootID, c, 40, 7)
		if err != 0 {
			t.Fatal(err)
		}
		if len(l) == 0 {
			break
		}
		for i := range l {
			e := &l[i]
			if names[e.Name] {
				t.Errorf("%s twice", e.Name)
			}
			names[e.Name] = true
			if known += int(e.Known); e.Known != 0 && i >= 7 {
				t.Errorf("%s, number %d of an answer, is known", e.Name, i)
			}
			want, err := r.s.Lookup(fs.Req{}, fs.RootID, e.Name)
			if err != 0 || e.Known != 0 && e.Found != want {
				t.Errorf("%s: %+v, Lookup answers %+v, %v", e.Name, e.Found, want, err)
			}
		}
		c = l[len(l)-1].Next
	}
	if known < 10 {
		t.Errorf("%d are known", known)
	}
	if len(names) != 30 || names["f04"] || names["f05"] || !names["new"] || !names["other"] {
		t.Errorf("%d names: %v", len(names), names)
	}
	r.s.Check()
	for name, want := range map[string]string{"f10": "text", "f03": "", "new": ""} {
		n, _ := walk(r.s, name)
		if _, whole, b, err := r.s.OpenRead(fs.Req{}, n, 100); err != 0 || whole != (want != "") || string(b) != want {
			t.Errorf("OpenRead of %s: %v %q %v, want %q", name, whole, b, err, want)
		}
	}
}

// TestCrash kills the server at every store of each operation; the repetition
// under the same number has one effect and the right answer.
func TestCrash(t *testing.T) {
	for _, line := range []string{"rm r", "mv a d/moved", "append a/f +", "write a/b/g 5 q", "chmod e/x", "swap a/b e", "link a/f n", "mkdir e/n", "truncate r 3", "xattr r x", "create e/n"} {
		t.Run(line, func(t *testing.T) {
			ref := filled(t)
			do(ref, fs.Req{}, line)
			want := strings.Join(show(t, ref, fs.RootID, "", map[uint64]int{}), "\n")
			before := strings.Join(show(t, filled(t), fs.RootID, "", map[uint64]int{}), "\n")
			low := filled(t)
			q := fs.Req{Binding: 1, Client: 1, Seq: 1}
			for at, died := 1, true; died; at += 3 {
				died = crashAt(t, low, line, q, at, before, want)
			}
		})
	}
}

type death struct{}

func crashAt(t *testing.T, low *tree.Server, line string, q fs.Req, at int, before, want string) (died bool) {
	t.Helper()
	mem := make([]byte, 4<<20)
	h, err := store.Format(mem, Version)
	if err != nil {
		t.Fatal(err)
	}
	objs := object.NewLocal()
	defer objs.Close()
	s, _, e := New(h, Config{Inodes: 300, Flows: 50}, frozen{low, t}, objs, clock, nil)
	if e != 0 {
		t.Fatal(e)
	}
	count := 0
	func() {
		defer func() {
			if e := recover(); e != nil {
				if _, ok := e.(death); !ok {
					panic(e)
				}
				died = true
			}
		}()
		h.SetCrashHook(func(string) {
			if count++; count == at {
				panic(death{})
			}
		})
		if err := do(s, q, line); err != 0 {
			t.Fatal(err)
		}
	}()
	if h, err = store.Open(mem, Version); err != nil {
		t.Fatal(err)
	}
	if s, _, e = New(h, Config{Inodes: 300, Flows: 50}, frozen{low, t}, objs, clock, nil); e != 0 {
		t.Fatal(e)
	}
	s.Check()
	got := strings.Join(show(t, s, fs.RootID, "", map[uint64]int{}), "\n")
	if got != before && got != want {
		t.Fatalf("killed at %d: neither before nor after:\n%s", at, got)
	}
	// The client asks again what it asked last. (The operations before it in
	// the line, an opening, leave nothing that shows.)
	n := repeat(s, q, line)
	if got = strings.Join(show(t, s, fs.RootID, "", map[uint64]int{}), "\n"); got != want || n != 0 {
		t.Fatalf("killed at %d: after the repetition (%v):\n%s\nwant\n%s", at, n, got, want)
	}
	return died
}

// repeat asks again; the look-ups that lead to the operation's nodes may fail
// when it took place already, as a client's own would be cached.
func repeat(s fs.Server, q fs.Req, line string) abi.Errno {
	err := do(s, q, line)
	if err == abi.ENOENT {
		return 0
	}
	return err
}
