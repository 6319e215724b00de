package tree

import (
	"fmt"
	"math/rand"
	"os"
	"path"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/store"
)

const testVersion = 1

func wall() fs.Time {
	t := time.Now()
	return fs.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

type rig struct {
	mem  []byte
	h    *store.Heap
	objs *object.Local
	s    *Server
}

func newRig(t testing.TB, lim Limits) *rig {
	t.Helper()
	if lim.Inodes == 0 {
		lim.Inodes = 5000
	}
	r := &rig{mem: make([]byte, 32<<20), objs: object.NewLocal()}
	t.Cleanup(r.objs.Close)
	h, err := store.Format(r.mem, testVersion)
	if err != nil {
		t.Fatal(err)
	}
	r.serve(t, h, lim)
	return r
}

func (r *rig) serve(t testing.TB, h *store.Heap, lim Limits) {
	t.Helper()
	r.h = h
	log := once.New(h, 1, 1000)
	tr, e := New(h, 2, lim, r.objs, wall, 0o755, fs.Cred{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())})
	if e != 0 {
		t.Fatal(e)
	}
	r.s = NewServer(tr, log, ^uint64(0), 0x01021994)
}

func hostErr(err error) abi.Errno { return object.Errno(err) }

// oracleDir is a directory on the host's tmpfs.
func oracleDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "hythe-oracle")
	if err != nil {
		t.Skipf("no tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("/dev/shm is no tmpfs")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// walk resolves a path without following links.
func walk(s fs.Server, p string) (fs.NodeID, abi.Errno) {
	n := fs.RootID
	for _, c := range strings.Split(p, "/") {
		if c == "" {
			continue
		}
		e, err := s.Lookup(fs.Req{}, n, c)
		if err != 0 {
			// The tests' symlinks all dangle; the host follows them.
			if err == abi.ENOTDIR && isLink(s, n) {
				err = abi.ENOENT
			}
			return 0, err
		}
		n = e.Node
	}
	return n, 0
}

func isLink(s fs.Server, n fs.NodeID) bool {
	e, _ := s.GetAttr(fs.Req{}, n)
	return e.Attr.Mode&fs.TypeMask == fs.TypeLink
}

func parent(s fs.Server, p string) (fs.NodeID, string, abi.Errno) {
	n, err := walk(s, path.Dir(p))
	if err == 0 {
		if e, _ := s.GetAttr(fs.Req{}, n); e.Attr.Mode&fs.TypeMask != fs.TypeDir {
			if err = abi.ENOTDIR; isLink(s, n) {
				err = abi.ENOENT
			}
		}
	}
	return n, path.Base(p), err
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

// compare fails when the two trees differ in anything that stat, readlink,
// read or readdir shows (times apart).
func compare(t *testing.T, s fs.Server, host, p string, node fs.NodeID, inos map[uint64]uint64) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(host+p, &st); err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	e, err := s.GetAttr(fs.Req{}, node)
	if err != 0 {
		t.Fatalf("%s: GetAttr: %v", p, err)
	}
	a := e.Attr
	got := fmt.Sprintf("mode %o nlink %d uid %d gid %d size %d blocks %d rdev %#x", a.Mode, a.Nlink, a.UID, a.GID, a.Size, a.Blocks, a.Rdev)
	want := fmt.Sprintf("mode %o nlink %d uid %d gid %d size %d blocks %d rdev %#x", st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Blocks, st.Rdev)
	if got != want {
		t.Fatalf("%s:\n got %s\nwant %s", p, got, want)
	}
	if was, ok := inos[st.Ino]; ok && was != a.Ino {
		t.Fatalf("%s: hard link identity lost", p)
	}
	inos[st.Ino] = a.Ino
	switch a.Mode & fs.TypeMask {
	case fs.TypeLink:
		got, err := s.ReadLink(fs.Req{}, node)
		want, _ := os.Readlink(host + p)
		if err != 0 || got != want {
			t.Fatalf("%s: link %q, want %q", p, got, want)
		}
	case fs.TypeReg:
		f, err := unix.Open(host+p, unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		compareData(t, s, f, p, node)
		unix.Close(f)
	case fs.TypeDir:
		des, err := os.ReadDir(host + p)
		if err != nil {
			t.Fatal(err)
		}
		l := list(t, s, node, 100)
		sort.Slice(l, func(i, j int) bool { return l[i].Name < l[j].Name })
		if len(l) != len(des) {
			t.Fatalf("%s: %d entries, want %d", p, len(l), len(des))
		}
		for i := range l {
			if l[i].Name != des[i].Name() {
				t.Fatalf("%s: entry %q, want %q", p, l[i].Name, des[i].Name())
			}
			c, err := s.Lookup(fs.Req{}, node, l[i].Name)
			if err != 0 || c.Attr.Ino != l[i].Ino || c.Attr.Mode>>12 != l[i].Type {
				t.Fatalf("%s/%s: lookup %v, ino %d listed as %d", p, l[i].Name, err, c.Attr.Ino, l[i].Ino)
			}
			compare(t, s, host, p+"/"+l[i].Name, c.Node, inos)
		}
	}
}

func compareData(t *testing.T, s fs.Server, fd int, p string, node fs.NodeID) {
	t.Helper()
	var st unix.Stat_t
	unix.Fstat(fd, &st)
	a, b := make([]byte, 8192), make([]byte, 8192)
	for off := int64(0); ; {
		n, err := s.Read(fs.Req{}, node, uint64(off), a)
		m, _ := unix.Pread(fd, b, off)
		if err != 0 || n != m || string(a[:n]) != string(b[:m]) {
			t.Fatalf("%s: data at %d differs: %d bytes (%v), want %d", p, off, n, err, m)
		}
		if n == 0 {
			break
		}
		off += int64(n)
		if st.Size > 1<<20 { // sparse: look at data only
			d, err := unix.Seek(fd, off, unix.SEEK_DATA)
			if err != nil {
				break
			}
			off = max(off, d)
		}
	}
	for off := int64(0); off < st.Size; off += 1 + st.Size/5 {
		for _, wh := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			want, werr := unix.Seek(fd, off, wh)
			got, err := s.Seek(fs.Req{}, node, uint64(off), uint32(wh))
			if err != hostErr(werr) || err == 0 && int64(got) != want {
				t.Fatalf("%s: seek %d from %d: %d (%v), want %d (%v)", p, wh, off, got, err, want, werr)
			}
		}
	}
}

type handle struct {
	fd   int
	node fs.NodeID
}

// TestOracle runs the same random operations here and on the host's tmpfs.
func TestOracle(t *testing.T) {
	steps := 6000
	if testing.Short() {
		steps = 1500
	}
	for seed := int64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runOracle(t, seed, steps) })
	}
}

func runOracle(t *testing.T, seed int64, steps int) {
	host := oracleDir(t)
	r := newRig(t, Limits{})
	if seed == 1 {
		r.h.SetCheck(true)
		steps /= 20
	}
	s := fs.Server(r.s)
	old := unix.Umask(0)
	defer unix.Umask(old)
	rnd := rand.New(rand.NewSource(seed))
	var open []handle
	defer func() {
		for _, h := range open {
			unix.Close(h.fd)
		}
	}()
	cred := fs.Cred{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	names := []string{"a", "b", "c", "d", strings.Repeat("n", 41), strings.Repeat("x", 255)}
	if seed == 3 {
		names = append(names, strings.Repeat("y", 256))
	}
	pick := func() string {
		p := ""
		for d := 1 + rnd.Intn(4); d > 0; d-- {
			p += "/" + names[rnd.Intn(len(names))]
		}
		return p
	}
	seq := uint64(0)
	req := func() fs.Req { seq++; return fs.Req{Binding: 1, Client: 1, Seq: seq} }
	offs := func() int64 {
		switch rnd.Intn(4) {
		case 0:
			return int64(rnd.Intn(100))
		case 1:
			return int64(rnd.Intn(5) * 4096)
		case 2:
			return int64(rnd.Intn(30000))
		}
		return int64(rnd.Intn(300 << 10))
	}
	for i := 0; i < steps; i++ {
		p, q := pick(), pick()
		var what string
		var want, got abi.Errno
		dir, name, derr := parent(s, p)
		switch op := rnd.Intn(24); op {
		case 0, 1, 2:
			what = "mkdir " + p
			want = hostErr(unix.Mkdir(host+p, 0o751))
			if got = derr; got == 0 {
				_, got = s.MkDir(req(), dir, name, 0o751, cred)
			}
		case 3:
			what = "symlink " + p
			target := strings.Repeat("t", 1+rnd.Intn(200))
			want = hostErr(unix.Symlink(target, host+p))
			if got = derr; got == 0 {
				_, got = s.Symlink(req(), dir, name, target, cred)
			}
		case 4:
			what = "mkfifo " + p
			want = hostErr(unix.Mknod(host+p, unix.S_IFIFO|0o640, 0))
			if got = derr; got == 0 {
				_, got = s.MkNod(req(), dir, name, unix.S_IFIFO|0o640, 5, cred)
			}
		case 5, 6, 7, 8:
			what = "create " + p
			flags := unix.O_CREAT | unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK
			excl := rnd.Intn(2) == 0
			if excl {
				flags |= unix.O_EXCL
			}
			fd, err := unix.Open(host+p, flags, 0o644)
			want = hostErr(err)
			var e fs.Entry
			if got = derr; got == 0 {
				e, _, got = s.Create(req(), dir, name, 0o644, excl, cred)
			}
			if got == 0 && err == nil {
				open = append(open, handle{fd, e.Node})
			} else if err == nil {
				unix.Close(fd)
			}
		case 9, 10:
			what = "link " + p + " " + q
			want = hostErr(unix.Link(host+p, host+q))
			var n, d fs.NodeID
			if n, got = walk(s, p); got == 0 {
				var nm string
				if d, nm, got = parent(s, q); got == 0 {
					_, got = s.Link(req(), n, d, nm)
				}
			}
		case 11, 12:
			what = "unlink " + p
			want = hostErr(unix.Unlink(host + p))
			if got = derr; got == 0 {
				got = s.Unlink(req(), dir, name)
			}
		case 13:
			what = "rmdir " + p
			want = hostErr(unix.Rmdir(host + p))
			if got = derr; got == 0 {
				got = s.RmDir(req(), dir, name)
			}
		case 14, 15, 16:
			flags := []uint32{0, 0, 1, 2, 3}[rnd.Intn(5)]
			what = fmt.Sprintf("rename %s %s %d", p, q, flags)
			want = hostErr(unix.Renameat2(unix.AT_FDCWD, host+p, unix.AT_FDCWD, host+q, uint(flags)))
			if got = derr; got == 0 {
				var d fs.NodeID
				var nm string
				if d, nm, got = parent(s, q); got == 0 {
					got = s.Rename(req(), dir, name, d, nm, flags)
				}
			}
			if flags == 3 {
				want, got = abi.EINVAL, abi.EINVAL // judged before the paths by the kernel
			}
		case 17:
			what = "chmod " + p
			n, err := walk(s, p)
			if err != 0 || isLink(s, n) {
				continue
			}
			mode := uint32(rnd.Intn(0o1000)) | 0o700
			_, got = s.SetAttr(req(), n, &fs.SetAttrIn{Valid: fs.SetMode, Mode: mode})
			want = hostErr(unix.Chmod(host+p, mode))
		default:
			if len(open) == 0 {
				continue
			}
			k := rnd.Intn(len(open))
			h := open[k]
			if e, _ := s.GetAttr(fs.Req{}, h.node); op != 22 && e.Attr.Mode&fs.TypeMask != fs.TypeReg {
				continue
			}
			switch op {
			case 18, 19:
				buf := make([]byte, 1+rnd.Intn(9000))
				rnd.Read(buf)
				off := offs()
				what = fmt.Sprintf("write %d at %d", len(buf), off)
				n, err := unix.Pwrite(h.fd, buf, off)
				m, _, _, e := s.Write(req(), h.node, uint64(off), buf)
				want, got = hostErr(err), e
				if err == nil && n != m {
					t.Fatalf("step %d: %s: %d, want %d", i, what, m, n)
				}
			case 20:
				size := offs()
				what = fmt.Sprint("truncate ", size)
				want = hostErr(unix.Ftruncate(h.fd, size))
				_, got = s.SetAttr(req(), h.node, &fs.SetAttrIn{Valid: fs.SetSize | fs.SetMtimeNow, Size: uint64(size)})
			case 21:
				mode := []uint32{0, 1, 3, 3, 2, 8}[rnd.Intn(6)]
				off, n := offs(), int64(rnd.Intn(40000))
				what = fmt.Sprintf("fallocate %d %d %d", mode, off, n)
				want = hostErr(unix.Fallocate(h.fd, mode, off, n))
				_, got = s.Fallocate(req(), h.node, mode, uint64(off), uint64(n))
			case 22:
				what = "close"
				unix.Close(h.fd)
				s.Release(req(), h.node)
				open = append(open[:k], open[k+1:]...)
			case 23:
				if rnd.Intn(4) == 0 {
					what = "map"
					_, got = s.Map(fs.Req{}, h.node, fs.MapToWrite)
				}
				compareData(t, s, h.fd, "open file", h.node)
			}
		}
		if got != want {
			t.Fatalf("step %d: %s: %v, want %v", i, what, got, want)
		}
		if i%100 == 0 {
			compare(t, s, host, "", fs.RootID, map[uint64]uint64{})
			r.s.Check()
		}
		if i%500 == 499 {
			// A new incarnation takes over.
			h, err := store.Open(r.mem, testVersion)
			if err != nil {
				t.Fatal(err)
			}
			r.serve(t, h, Limits{Inodes: 5000})
			s = r.s
		}
	}
	compare(t, s, host, "", fs.RootID, map[uint64]uint64{})
	r.s.Check()
}
