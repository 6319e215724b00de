package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/store"
)

type rig struct {
	dir  string
	mem  []byte
	cfg  Config
	objs *object.Local
	f    *FS
	seq  uint64

	noProc bool // the process has no /proc
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), mem: make([]byte, 2<<20), cfg: cfg, objs: object.NewLocal()}
	t.Cleanup(r.objs.Close)
	fd, err := unix.Open(r.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r.cfg.RootFD = fd
	r.cfg.MaxNodes, r.cfg.Flows = 500, 50
	if _, err := store.Format(r.mem, Version); err != nil {
		t.Fatal(err)
	}
	r.start(t, r.mem)
	t.Cleanup(func() { r.f.Close() })
	return r
}

// start runs a new incarnation over a state of record.
func (r *rig) start(t testing.TB, mem []byte) {
	t.Helper()
	if r.f != nil {
		r.f.Close()
	}
	h, err := store.Open(mem, Version)
	if err != nil {
		t.Fatal(err)
	}
	f, e := New(h, r.cfg, r.objs)
	if e != 0 {
		t.Fatal(e)
	}
	if r.noProc {
		f.proc = false
	}
	r.f = f
}

func (r *rig) req() fs.Req { r.seq++; return fs.Req{Binding: 1, Client: 1, Seq: r.seq} }

func (r *rig) walk(t testing.TB, p string) fs.NodeID {
	t.Helper()
	n := fs.RootID
	for _, c := range strings.Split(p, "/") {
		e, err := r.f.Lookup(fs.Req{}, n, c)
		if err != 0 {
			t.Fatalf("%s: %v", p, err)
		}
		n = e.Node
	}
	return n
}

func (r *rig) put(t testing.TB, p, data string) {
	t.Helper()
	p = filepath.Join(r.dir, p)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) read(t testing.TB, n fs.NodeID) string {
	t.Helper()
	buf := make([]byte, 1000)
	k, err := r.f.Read(fs.Req{}, n, 0, buf)
	if err != 0 {
		t.Fatal(err)
	}
	return string(buf[:k])
}

var cred = fs.Cred{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}

// TestReadWrite goes once through what a client does, in all the ways in which
// the host may be reached.
func TestReadWrite(t *testing.T) {
	for _, cfg := range []Config{{}, {ByComponent: true}, {OneDevice: true}, {ByComponent: true, OneDevice: true, MaxFDs: 1}} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			r := newRig(t, cfg)
			r.noProc = cfg.OneDevice
			r.start(t, r.mem)
			f := r.f
			d, err := f.MkDir(r.req(), fs.RootID, "d", 0o755, cred)
			if err != 0 {
				t.Fatal(err)
			}
			e, made, err := f.Create(r.req(), d.Node, "f", 0o640, true, cred)
			if err != 0 || !made || e.Attr.Mode != fs.TypeReg|0o640 || e.Attr.Nlink != 1 {
				t.Fatalf("%+v %v %v", e, made, err)
			}
			if n, at, size, err := f.Write(r.req(), e.Node, fs.AppendOff, []byte("hello")); n != 5 || at != 0 || size != 5 || err != 0 {
				t.Fatal(n, at, size, err)
			}
			if n, at, size, err := f.Write(r.req(), e.Node, fs.AppendOff, []byte(" you")); n != 4 || at != 5 || size != 9 || err != 0 {
				t.Fatal(n, at, size, err)
			}
			if s := r.read(t, e.Node); s != "hello you" {
				t.Fatalf("%q", s)
			}
			if _, err := f.Link(r.req(), e.Node, fs.RootID, "g"); err != 0 {
				t.Fatal(err)
			}
			if g := r.walk(t, "g"); g != e.Node {
				t.Fatal("hard links are two nodes")
			}
			if err := f.Rename(r.req(), d.Node, "f", fs.RootID, "h", fs.RenameNoReplace); err != 0 {
				t.Fatal(err)
			}
			if err := f.Rename(r.req(), fs.RootID, "h", d.Node, "f", 0); err != 0 {
				t.Fatal(err)
			}
			if err := f.Unlink(r.req(), fs.RootID, "g"); err != 0 {
				t.Fatal(err)
			}
			if err := f.RmDir(r.req(), fs.RootID, "d"); err != abi.ENOTEMPTY {
				t.Fatal(err)
			}
			if err := f.Unlink(r.req(), d.Node, "f"); err != 0 {
				t.Fatal(err)
			}
			// It is open still, and stays so over the server's death.
			r.start(t, r.mem)
			f = r.f
			if s := r.read(t, e.Node); s != "hello you" {
				t.Fatalf("%q", s)
			}
			if g, err := f.GetAttr(fs.Req{}, e.Node); err != 0 || g.Attr.Nlink != 0 {
				t.Fatal(g, err)
			}
			f.Release(r.req(), e.Node)
			f.Forget(r.req(), e.Node, 100)
			if _, err := f.GetAttr(fs.Req{}, e.Node); err != abi.ESTALE {
				t.Fatal(err)
			}
			if err := f.RmDir(r.req(), fs.RootID, "d"); err != 0 {
				t.Fatal(err)
			}
			if _, err := f.Symlink(r.req(), fs.RootID, "l", "/etc/passwd", cred); err != 0 {
				t.Fatal(err)
			}
			if s, err := f.ReadLink(fs.Req{}, r.walk(t, "l")); s != "/etc/passwd" || err != 0 {
				t.Fatal(s, err)
			}
			tmp, err := f.CreateTemp(r.req(), fs.RootID, 0o600, cred)
			if err == abi.EOPNOTSUPP {
				return
			}
			if err != 0 {
				t.Fatal(err)
			}
			f.Write(r.req(), tmp.Node, 0, []byte("temp"))
			r.start(t, r.mem)
			if _, err := r.f.Link(r.req(), tmp.Node, fs.RootID, "named"); err != 0 {
				t.Fatal(err)
			}
			if s := r.read(t, r.walk(t, "named")); s != "temp" {
				t.Fatalf("%q", s)
			}
			m, err := r.f.Map(fs.Req{}, tmp.Node, fs.MapToWrite)
			if err != 0 || m.Tag == 0 || !m.Writable {
				t.Fatal(m, err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	r := newRig(t, Config{ReadOnly: true, AttrTTL: 5})
	r.put(t, "d/f", "data")
	f := r.f
	n := r.walk(t, "d/f")
	d := r.walk(t, "d")
	for what, err := range map[string]abi.Errno{
		"mkdir":  second(f.MkDir(r.req(), d, "x", 0o755, cred)),
		"unlink": f.Unlink(r.req(), d, "f"),
		"rename": f.Rename(r.req(), d, "f", d, "g", 0),
		"open":   second(f.Open(r.req(), n, true, false)),
		"trunc":  second(f.Open(r.req(), n, false, true)),
		"chmod":  second(f.SetAttr(r.req(), n, &fs.SetAttrIn{Valid: fs.SetMode, Mode: 0o600})),
		"xattr":  f.SetXattr(r.req(), n, "user.x", nil, 0),
		"link":   second(f.Link(r.req(), n, d, "g")),
		"map":    secondMap(f.Map(fs.Req{}, n, fs.MapToWrite)),
		"temp":   second(f.CreateTemp(r.req(), d, 0o600, cred)),
	} {
		if err != abi.EROFS {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, _, err := f.Write(r.req(), n, 0, []byte("x")); err != abi.EROFS {
		t.Error("write:", err)
	}
	if err := second(f.MkDir(r.req(), d, "f", 0o755, cred)); err != abi.EEXIST {
		t.Error("mkdir of what exists:", err)
	}
	if e, _ := f.GetAttr(fs.Req{}, n); e.TTL != 5 {
		t.Error("ttl", e.TTL)
	}
	if m, err := f.Map(fs.Req{}, n, fs.MapToShow); err != 0 || m.Writable || !m.Stable {
		t.Error(m, err)
	}
	if l, err := f.ReadDir(fs.Req{}, d, 0, 100); err != 0 || len(l) != 1 || l[0].Name != "f" || l[0].Type != 8 {
		t.Error(l, err)
	}
}

func second(_ fs.Entry, err abi.Errno) abi.Errno     { return err }
func secondMap(_ fs.MapOut, err abi.Errno) abi.Errno { return err }

// TestFileRoot: a single file can be served.
// TestReadDirPlus: what comes with the entries of a directory is what Lookup answers, names
// that lead out of it are not followed, and a client that may keep nothing is told nothing.
func TestReadDirPlus(t *testing.T) {
	for _, ttl := range []int64{1e9, -1} {
		r := newRig(t, Config{ReadOnly: true, AttrTTL: ttl})
		r.put(t, "out/secret", "x")
		r.put(t, "d/file", "12345")
		r.put(t, "d/sub/below", "y")
		for link, to := range map[string]string{"d/link": "../out", "d/up": "/etc", "d/loop": "loop"} {
			if err := os.Symlink(to, filepath.Join(r.dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mkfifo(filepath.Join(r.dir, "d/fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		d := r.walk(t, "d")
		for _, plus := range []uint32{0, 2, 100} {
			l, err := r.f.ReadDirPlus(fs.Req{}, d, 0, 1000, plus)
			plain, _ := r.f.ReadDir(fs.Req{}, d, 0, 1000)
			if err != 0 || len(l) != 6 || len(plain) != 6 {
				t.Fatalf("%d and %d entries, %v", len(l), len(plain), err)
			}
			known := 0
			for i := range l {
				e := &l[i]
				if p := e.Plain(); p != plain[i] {
					t.Errorf("entry %+v, ReadDir's is %+v", p, plain[i])
				}
				if e.Known == 0 {
					continue
				}
				known++
				if want, err := r.f.Lookup(fs.Req{}, d, e.Name); err != 0 || e.Found != want {
					t.Errorf("%s: %+v, Lookup answers %+v, %v", e.Name, e.Found, want, err)
				}
			}
			want := min(int(plus), len(l))
			if ttl < 0 {
				want = 0
			}
			if known != want {
				t.Errorf("ttl %d, plus %d: %d are known, want %d", ttl, plus, known, want)
			}
		}
		// What was learnt without a descriptor can be opened.
		r.start(t, r.mem)
		if s := r.read(t, r.walk(t, "d/file")); s != "12345" {
			t.Errorf("read %q", s)
		}
		e, whole, b, err := r.f.OpenRead(r.req(), r.walk(t, "d/file"), 5)
		if err != 0 || whole != (ttl > 0) || whole && string(b) != "12345" || e.Attr.Size != 5 {
			t.Errorf("OpenRead: %v %q %v", whole, b, err)
		}
		for _, most := range []int{4, 0, -1} {
			if _, whole, b, err := r.f.OpenRead(r.req(), r.walk(t, "d/file"), most); err != 0 || whole || len(b) != 0 {
				t.Errorf("OpenRead of at most %d: %v %q %v", most, whole, b, err)
			}
		}
		if _, _, _, err := r.f.OpenRead(r.req(), r.walk(t, "d/link"), 100); err != abi.ELOOP {
			t.Errorf("OpenRead of a link: %v", err)
		}
	}
}

// TestReadFiles: files are answered whole, with their attributes; what is in the place of one, or can not be had,
// is left out, and not opened.
func TestReadFiles(t *testing.T) {
	for _, cfg := range []Config{{ReadOnly: true}, {ReadOnly: true, ByComponent: true}, {}} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			r := newRig(t, cfg)
			path := func(name string) string { return filepath.Join(r.dir, "d", name) }
			long := strings.Repeat("n", 251) + "\n\xff " // 255 bytes
			files := []string{"plain", "replaced", "link", "fifo", "dir", "shorter", "longer", "gone", "moved", "other name", "empty", long, "last"}
			var ids []fs.NodeID
			for _, name := range files {
				r.put(t, "d/"+name, "text of "+name[:min(len(name), 12)])
				ids = append(ids, r.walk(t, "d/"+name))
			}
			if err := os.Link(path("other name"), path("two")); err != nil {
				t.Fatal(err)
			}
			if two := r.walk(t, "d/two"); two != ids[9] {
				t.Fatal("hard links are two nodes")
			}
			must := func(errs ...error) {
				t.Helper()
				for _, err := range errs {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, name := range []string{"replaced", "link", "fifo", "dir", "gone"} {
				must(os.Remove(path(name)))
			}
			must(os.WriteFile(path("replaced"), []byte("another file"), 0o644), os.Symlink("plain", path("link")),
				unix.Mkfifo(path("fifo"), 0o600), os.Mkdir(path("dir"), 0o700), os.WriteFile(path("shorter"), []byte("te"), 0o644),
				os.WriteFile(path("longer"), []byte(strings.Repeat("x", 500)), 0o644), os.Rename(path("moved"), path("elsewhere")),
				os.WriteFile(path("empty"), nil, 0o644), os.WriteFile(path("last"), []byte("new text"), 0o644))
			ask := append(ids, fs.RootID, r.walk(t, "d"), 1<<40, ids[0])
			list, err := r.f.ReadFiles(fs.Req{}, ask, 400)
			if err != 0 {
				t.Fatal(err)
			}
			want := map[fs.NodeID]string{ids[0]: "text of plain", ids[5]: "te", ids[9]: "text of other name"[:len("text of ")+10], ids[10]: "", ids[11]: "text of " + long[:12], ids[12]: "new text"}
			if !cfg.ReadOnly {
				want = nil // attributes may not be kept
			}
			got := map[fs.NodeID]string{}
			for _, d := range list {
				got[d.File.Node] = string(d.Data)
				if d.File.Attr.Size != uint64(len(d.Data)) || d.File.TTL == 0 {
					t.Errorf("%q: %+v", d.Data, d.File)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d files, want %d: %v", len(got), len(want), got)
			}
			for n, s := range want {
				if g, ok := got[n]; !ok || g != s {
					t.Errorf("%q, want %q", g, s)
				}
			}
			// Nobody has opened the FIFO: there is still no reader.
			if fd, err := unix.Open(path("fifo"), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != unix.ENXIO {
				unix.Close(fd)
				t.Errorf("the FIFO has a reader: %v", err)
			}
			if !cfg.ReadOnly {
				return
			}
			// No more than what has room in an answer, nor more files than may be asked for.
			var many []fs.NodeID
			for i := range 8 {
				name := fmt.Sprint("d/large", i)
				r.put(t, name, strings.Repeat("y", 40<<10))
				many = append(many, r.walk(t, name))
			}
			if list, err := r.f.ReadFiles(fs.Req{}, many, 1<<30); err != 0 || len(list) != 3 {
				t.Errorf("%d large files, %v", len(list), err)
			}
			for _, most := range []int{40<<10 - 1, 0, -1} {
				if list, err := r.f.ReadFiles(fs.Req{}, many, most); err != 0 || len(list) != 0 {
					t.Errorf("at most %d: %d files, %v", most, len(list), err)
				}
			}
			if list, _ := r.f.ReadFiles(fs.Req{}, make([]fs.NodeID, fs.MaxFiles+1), 100); len(list) != 0 {
				t.Errorf("%d files of too many", len(list))
			}
			if os.Geteuid() != 0 {
				must(os.Chmod(path("plain"), 0))
				if list, err := r.f.ReadFiles(fs.Req{}, ids[:1], 400); err != 0 || len(list) != 0 {
					t.Errorf("a file that may not be read: %d, %v", len(list), err)
				}
			}
		})
	}
}

func TestFileRoot(t *testing.T) {
	for _, ro := range []bool{true, false} {
		r := newRig(t, Config{})
		r.put(t, "f", "data")
		fd, e := unix.Open(filepath.Join(r.dir, "f"), unix.O_PATH|unix.O_CLOEXEC, 0)
		if e != nil {
			t.Fatal(e)
		}
		defer unix.Close(fd)
		h, e := store.Format(make([]byte, 2<<20), Version)
		if e != nil {
			t.Fatal(e)
		}
		f, err := New(h, Config{RootFD: fd, ReadOnly: ro, MaxNodes: 10, Flows: 10}, r.objs)
		if err != 0 {
			t.Fatal(err)
		}
		defer f.Close()
		a, err := f.GetAttr(fs.Req{}, fs.RootID)
		if err != 0 || a.Attr.Mode&fs.TypeMask != fs.TypeReg || a.TTL != map[bool]uint64{true: 1e9}[ro] {
			t.Fatal(a, err)
		}
		buf := make([]byte, 10)
		if n, err := f.Read(fs.Req{}, fs.RootID, 0, buf); err != 0 || string(buf[:n]) != "data" {
			t.Fatal(n, err)
		}
		if _, err := f.Lookup(fs.Req{}, fs.RootID, "x"); err != abi.ENOTDIR {
			t.Fatal(err)
		}
		if _, _, _, err := f.Write(fs.Req{}, fs.RootID, 0, []byte("D")); (err == abi.EROFS) != ro || err != 0 && !ro {
			t.Fatal(err)
		}
		use := fs.MapToWrite
		if ro {
			use = fs.MapToShow
		}
		if m, err := f.Map(fs.Req{}, fs.RootID, use); err != 0 || m.Writable == ro {
			t.Fatal(m, err)
		}
	}
}

// TestHostileNames tries what leads out of the tree.
func TestHostileNames(t *testing.T) {
	for _, by := range []bool{false, true} {
		r := newRig(t, Config{ByComponent: by})
		r.put(t, "d/f", "inside")
		os.Symlink("/etc", filepath.Join(r.dir, "abs"))
		os.Symlink("../../../../../../etc", filepath.Join(r.dir, "d/rel"))
		os.Symlink("/proc/self/root", filepath.Join(r.dir, "magic"))
		for _, name := range []string{"abs", "magic"} {
			e, err := r.f.Lookup(fs.Req{}, fs.RootID, name)
			if err != 0 || e.Attr.Mode&fs.TypeMask != fs.TypeLink {
				t.Fatalf("%s: %v, mode %o", name, err, e.Attr.Mode)
			}
			if _, err := r.f.Lookup(fs.Req{}, e.Node, "passwd"); err != abi.ENOTDIR {
				t.Fatalf("%s was followed: %v", name, err)
			}
			if _, err := r.f.Open(r.req(), e.Node, false, false); err != abi.ELOOP {
				t.Fatalf("%s was opened: %v", name, err)
			}
		}
		up, err := r.f.Lookup(fs.Req{}, fs.RootID, "..")
		if err != 0 || up.Node != fs.RootID {
			t.Fatal("the root's .. is", up.Node, err)
		}
		d := r.walk(t, "d")
		if up, err = r.f.Lookup(fs.Req{}, d, ".."); err != 0 || up.Node != fs.RootID {
			t.Fatal(up.Node, err)
		}
		for name, want := range map[string]abi.Errno{
			"../d": abi.EINVAL, "/etc": abi.EINVAL, "f/": abi.EINVAL, "": abi.ENOENT, "f\x00g": abi.EINVAL,
			strings.Repeat("n", 256): abi.ENAMETOOLONG, "none": abi.ENOENT,
		} {
			if _, err := r.f.Lookup(fs.Req{}, d, name); err != want {
				t.Errorf("Lookup(%q): %v, want %v", name, err, want)
			}
			if want != abi.ENOENT || name == "" {
				if _, err := r.f.MkDir(r.req(), d, name, 0o755, cred); err != want {
					t.Errorf("MkDir(%q): %v, want %v", name, err, want)
				}
				if err := r.f.Unlink(r.req(), d, name); err != want {
					t.Errorf("Unlink(%q): %v, want %v", name, err, want)
				}
				if err := r.f.Rename(r.req(), fs.RootID, "abs", d, name, 0); err != want {
					t.Errorf("Rename(%q): %v, want %v", name, err, want)
				}
			}
		}
		for _, id := range []fs.NodeID{0, 500, 1 << 40, ^fs.NodeID(0), d + 1<<32} {
			if _, err := r.f.GetAttr(fs.Req{}, id); err != abi.ESTALE {
				t.Errorf("node %d: %v", id, err)
			}
			r.f.Release(fs.Req{}, id)
			r.f.Forget(fs.Req{}, id, 1)
		}
		n := r.walk(t, "d/f")
		if _, err := r.f.Read(fs.Req{}, n, 1<<63, make([]byte, 10)); err != abi.EINVAL {
			t.Error(err)
		}
		if _, _, _, err := r.f.Write(r.req(), n, 1<<63, []byte("x")); err != abi.EFBIG {
			t.Error(err)
		}
		if _, err := r.f.MkNod(r.req(), d, "dev", fs.TypeChr|0o666, 0x103, cred); err != abi.EPERM {
			t.Error(err)
		}
	}
}

// TestSpecialFiles: FIFOs, sockets and devices are looked at, never opened.
func TestSpecialFiles(t *testing.T) {
	r := newRig(t, Config{})
	if err := unix.Mkfifo(filepath.Join(r.dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	n := r.walk(t, "fifo")
	// Each of these would wait for a writer for ever.
	if _, err := r.f.Open(r.req(), n, false, false); err != 0 {
		t.Error(err)
	}
	if _, err := r.f.Read(fs.Req{}, n, 0, make([]byte, 1)); err != abi.EINVAL {
		t.Error(err)
	}
	if _, err := r.f.Map(fs.Req{}, n, fs.MapToShow); err != abi.ENODEV {
		t.Error(err)
	}
	if err := unix.Mknod(filepath.Join(r.dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
		n := r.walk(t, "null")
		if _, err := r.f.Open(r.req(), n, true, false); err != abi.EACCES {
			t.Error(err)
		}
		if _, err := r.f.Read(fs.Req{}, n, 0, make([]byte, 1)); err != abi.EACCES {
			t.Error(err)
		}
	}
}

// TestSwappedLink: while names are looked up and read, another program swaps a
// directory for a symlink that leads out, and a file for a FIFO.
func TestSwappedLink(t *testing.T) {
	for _, by := range []bool{false, true} {
		r := newRig(t, Config{ByComponent: by, MaxFDs: 2})
		r.noProc = by
		r.start(t, r.mem)
		out := t.TempDir()
		if err := os.WriteFile(filepath.Join(out, "f"), []byte("OUTSIDE"), 0o644); err != nil {
			t.Fatal(err)
		}
		r.put(t, "d/f", "inside")
		r.put(t, "x", "inside")
		link, fifo := filepath.Join(r.dir, "link"), filepath.Join(r.dir, "fifo")
		if err := os.Symlink(out, link); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(fifo, 0o666); err != nil {
			t.Fatal(err)
		}
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				default:
				}
				unix.Renameat2(unix.AT_FDCWD, filepath.Join(r.dir, "d"), unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				unix.Renameat2(unix.AT_FDCWD, filepath.Join(r.dir, "x"), unix.AT_FDCWD, fifo, unix.RENAME_EXCHANGE)
			}
		}()
		hits := 0
		for i := 0; i < 1500; i++ {
			for _, p := range []string{"d/f", "x"} {
				n, err := fs.RootID, abi.Errno(0)
				for _, c := range strings.Split(p, "/") {
					var e fs.Entry
					if e, err = r.f.Lookup(fs.Req{}, n, c); err != 0 {
						break
					}
					n = e.Node
				}
				if err != 0 {
					continue
				}
				buf := make([]byte, 20)
				if k, err := r.f.Read(fs.Req{}, n, 0, buf); err == 0 && k > 0 {
					if string(buf[:k]) != "inside" {
						t.Fatalf("read %q", buf[:k])
					}
					hits++
				}
			}
		}
		close(stop)
		<-ended
		t.Logf("%d reads in the race", hits)
	}
}

// TestStale: what was replaced on the host is ESTALE until it is looked up.
func TestStale(t *testing.T) {
	r := newRig(t, Config{})
	r.put(t, "d/f", "one")
	n := r.walk(t, "d/f")
	r.put(t, "d/g", "two")
	if err := os.Rename(filepath.Join(r.dir, "d/g"), filepath.Join(r.dir, "d/f")); err != nil {
		t.Fatal(err)
	}
	r.start(t, r.mem) // no descriptor is left
	if _, err := r.f.GetAttr(fs.Req{}, n); err != abi.ESTALE {
		t.Fatal(err)
	}
	m := r.walk(t, "d/f")
	if m == n || r.read(t, m) != "two" {
		t.Fatal("the old node lives on")
	}
	os.Rename(filepath.Join(r.dir, "d"), filepath.Join(r.dir, "e"))
	r.start(t, r.mem)
	if _, err := r.f.GetAttr(fs.Req{}, m); err != abi.ESTALE {
		t.Fatal(err)
	}
	if k := r.walk(t, "e/f"); k != m || r.read(t, m) != "two" {
		t.Fatal("the node was not found again under its new name")
	}
}

// TestRepeat runs each changing operation twice under one request number, with
// a new incarnation in between.
func TestRepeat(t *testing.T) {
	r := newRig(t, Config{})
	r.put(t, "a", "x")
	r.put(t, "b", "y")
	twice := func(what string, op func(q fs.Req) string) {
		t.Helper()
		q := r.req()
		first := op(q)
		r.start(t, r.mem)
		if again := op(q); again != first || !strings.HasSuffix(first, "OK") {
			t.Errorf("%s: %s, then %s", what, first, again)
		}
	}
	twice("mkdir", func(q fs.Req) string { e, err := r.f.MkDir(q, fs.RootID, "d", 0o755, cred); return fmt.Sprint(e, err) })
	twice("create", func(q fs.Req) string {
		e, made, err := r.f.Create(q, fs.RootID, "c", 0o644, true, cred)
		return fmt.Sprint(e, made, err)
	})
	c := r.walk(t, "c")
	twice("append", func(q fs.Req) string {
		n, at, size, err := r.f.Write(q, c, fs.AppendOff, []byte("abc"))
		return fmt.Sprint(n, at, size, err)
	})
	if s := r.read(t, c); s != "abc" {
		t.Errorf("appended twice: %q", s)
	}
	twice("rename", func(q fs.Req) string { return fmt.Sprint(r.f.Rename(q, fs.RootID, "a", fs.RootID, "b", 0)) })
	twice("exchange", func(q fs.Req) string {
		return fmt.Sprint(r.f.Rename(q, fs.RootID, "c", fs.RootID, "b", fs.RenameExchange))
	})
	twice("unlink", func(q fs.Req) string { return fmt.Sprint(r.f.Unlink(q, fs.RootID, "b")) })
	twice("rmdir", func(q fs.Req) string { return fmt.Sprint(r.f.RmDir(q, fs.RootID, "d")) })
}

// TestCrash kills the server at every store to its state of record during each
// operation, starts another one on what is left, and asks again: there is one
// effect and one answer.
func TestCrash(t *testing.T) {
	ops := []struct {
		name string
		run  func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno
		want string // names and contents afterwards
	}{
		{"mkdir", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return second(f.MkDir(q, fs.RootID, "n", 0o755, cred))
		}, "a=one b=two d/ n/"},
		{"create", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			_, made, err := f.Create(q, fs.RootID, "n", 0o644, true, cred)
			if err == 0 && !made {
				err = abi.EIO
			}
			return err
		}, "a=one b=two d/ n="},
		{"rename", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return f.Rename(q, fs.RootID, "a", fs.RootID, "b", 0)
		}, "b=one d/"},
		{"exchange", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return f.Rename(q, fs.RootID, "a", fs.RootID, "b", fs.RenameExchange)
		}, "a=two b=one d/"},
		{"unlink", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno { return f.Unlink(q, fs.RootID, "a") }, "b=two d/"},
		{"discard", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return f.Discard(q, fs.RootID, "a", ids["a"], 1)
		}, "b=two d/"},
		{"rmdir", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno { return f.RmDir(q, fs.RootID, "d") }, "a=one b=two"},
		{"link", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return second(f.Link(q, ids["a"], fs.RootID, "n"))
		}, "a=one b=two d/ n=one"},
		{"symlink", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			return second(f.Symlink(q, fs.RootID, "n", "t", cred))
		}, "a=one b=two d/ n->t"},
		{"append", func(f *FS, q fs.Req, ids map[string]fs.NodeID) abi.Errno {
			_, _, _, err := f.Write(q, ids["a"], fs.AppendOff, []byte("+"))
			return err
		}, "a=one+ b=two d/"},
	}
	type death struct{ at int }
	for _, op := range ops {
		t.Run(op.name, func(t *testing.T) {
			for at := 1; ; at++ {
				r := newRig(t, Config{})
				r.put(t, "a", "one")
				r.put(t, "b", "two")
				os.Mkdir(filepath.Join(r.dir, "d"), 0o755)
				ids := map[string]fs.NodeID{}
				for _, n := range []string{"a", "b", "d"} {
					ids[n] = r.walk(t, n)
				}
				if op.name == "discard" {
					if _, err := r.f.Open(r.req(), ids["a"], true, false); err != 0 {
						t.Fatal(err)
					}
				}
				q := r.req()
				count := 0
				died := func() (died bool) {
					defer func() {
						if e := recover(); e != nil {
							if _, ok := e.(death); !ok {
								panic(e)
							}
							died = true
							// The dead process's lock does not matter to the next.
							r.f.mu.TryLock()
							r.f.mu.Unlock()
						}
					}()
					r.f.h.SetCrashHook(func(string) {
						if count++; count == at {
							panic(death{at})
						}
					})
					if err := op.run(r.f, q, ids); err != 0 {
						t.Fatal(err)
					}
					return false
				}()
				r.f.h.SetCrashHook(nil)
				r.start(t, r.mem)
				if err := op.run(r.f, q, ids); err != 0 {
					t.Fatalf("killed at store %d: the repetition says %v", at, err)
				}
				if got := show(t, r.dir); got != op.want {
					t.Fatalf("killed at store %d: %s, want %s", at, got, op.want)
				}
				for _, n := range []string{"a", "b"} {
					if e, err := r.f.GetAttr(fs.Req{}, ids[n]); err == 0 && e.Attr.Nlink == 0 {
						t.Fatalf("killed at store %d: node of %s leads nowhere", at, n)
					}
				}
				if _, err := r.f.GetAttr(fs.Req{}, ids["a"]); op.name == "discard" && err != abi.ESTALE {
					t.Fatalf("killed at store %d: what was discarded is open still: %v", at, err)
				}
				if !died {
					t.Logf("%d points", count)
					return
				}
			}
		})
	}
}

func show(t *testing.T, dir string) string {
	t.Helper()
	des, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, de := range des {
		p := filepath.Join(dir, de.Name())
		switch de.Type() {
		case os.ModeDir:
			out = append(out, de.Name()+"/")
		case os.ModeSymlink:
			l, _ := os.Readlink(p)
			out = append(out, de.Name()+"->"+l)
		default:
			b, _ := os.ReadFile(p)
			out = append(out, de.Name()+"="+string(b))
		}
	}
	return strings.Join(out, " ")
}

// TestPlusLeavesNodes: names that were only listed do not take the nodes that those need which
// are asked for.
func TestPlusLeavesNodes(t *testing.T) {
	r := newRig(t, Config{ReadOnly: true})
	const files = 450 // of 500 nodes
	for i := range files {
		r.put(t, fmt.Sprintf("f%03d", i), "x")
	}
	known := 0
	for c := uint64(0); ; {
		l, err := r.f.ReadDirPlus(fs.Req{}, fs.RootID, c, 200, 1000)
		if err != 0 {
			t.Fatal(err)
		}
		if len(l) == 0 {
			break
		}
		for i := range l {
			known += int(l[i].Known)
		}
		c = l[len(l)-1].Next
	}
	if known < 200 || known > 250 {
		t.Errorf("%d of %d are known", known, files)
	}
	for i := range files {
		r.walk(t, fmt.Sprintf("f%03d", i))
	}
}

// TestRemovedGivenBack: of a file that lost its last name nothing stays open once nobody has
// it open, though clients have looked it up and know it still; removed directories are looked
// at as others are when there are too many descriptors.
func TestRemovedGivenBack(t *testing.T) {
	for _, fds := range []int{0, 20} {
		r := newRig(t, Config{MaxFDs: fds})
		open := func() int {
			l, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			return len(l)
		}
		f := r.f
		one := func(i int, how string) {
			e, _, err := f.Create(r.req(), fs.RootID, "f", 0o644, true, cred)
			if err != 0 {
				t.Fatal(err)
			}
			if _, _, _, err := f.Write(r.req(), e.Node, 0, []byte("x")); err != 0 {
				t.Fatal(err)
			}
			n := r.walk(t, "f")
			switch how {
			case "released":
				f.Release(r.req(), n)
				err = f.Unlink(r.req(), fs.RootID, "f")
			case "discarded":
				err = f.Discard(r.req(), fs.RootID, "f", n, 1)
			case "removed while it is open":
				if err = f.Unlink(r.req(), fs.RootID, "f"); r.read(t, n) != "x" {
					t.Error("it is empty")
				}
				f.Release(r.req(), n)
			case "renamed over":
				f.Release(r.req(), n)
				r.put(t, "g", "y")
				r.walk(t, "g")
				if err = f.Rename(r.req(), fs.RootID, "g", fs.RootID, "f", 0); err == 0 {
					err = f.Unlink(r.req(), fs.RootID, "f")
				}
			case "a directory":
				f.Release(r.req(), n)
				if err = f.Unlink(r.req(), fs.RootID, "f"); err == 0 {
					if _, err = f.MkDir(r.req(), fs.RootID, "d", 0o755, cred); err == 0 {
						_, err = f.ReadDir(fs.Req{}, r.walk(t, "d"), 0, 100)
					}
				}
				if err == 0 {
					err = f.RmDir(r.req(), fs.RootID, "d")
				}
			case "one of two names":
				if _, err = f.Link(r.req(), n, fs.RootID, "g"); err == 0 {
					err = f.Discard(r.req(), fs.RootID, "f", n, 1)
				}
				if g := r.walk(t, "g"); g != n || r.read(t, g) != "x" {
					t.Error("the other name is another file's")
				}
				if err == 0 {
					err = f.Unlink(r.req(), fs.RootID, "g")
				}
			}
			if err != 0 {
				t.Fatal(how, err)
			}
			if _, err := f.GetAttr(fs.Req{}, n); err != abi.ESTALE {
				t.Errorf("%s: its attributes: %v", how, err)
			}
		}
		for _, how := range []string{"released", "discarded", "removed while it is open", "renamed over", "one of two names", "a directory"} {
			one(0, how)
			before := open()
			for i := range 30 {
				one(i, how)
			}
			if now := open(); now > before+2 && how != "a directory" || fds > 0 && now > before+fds+2 {
				t.Errorf("%s, at most %d: %d descriptors, %d before", how, fds, now, before)
			}
		}
	}
}
