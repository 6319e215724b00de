package core

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
)

// TestOracle runs the same random operations through the server and by system
// calls in another directory.
func TestOracle(t *testing.T) {
	for seed := int64(1); seed <= 3; seed++ {
		r := newRig(t, Config{MaxFDs: 20, ByComponent: seed == 2})
		ref := t.TempDir()
		rnd := rand.New(rand.NewSource(seed))
		names := []string{"a", "b", "c", "d"}
		pick := func() string {
			var p []string
			for n := 1 + rnd.Intn(3); n > 0; n-- {
				p = append(p, names[rnd.Intn(len(names))])
			}
			return strings.Join(p, "/")
		}
		find := func(p string) (fs.NodeID, abi.Errno) {
			n := fs.RootID
			for _, c := range strings.Split(p, "/") {
				if c == "" {
					continue
				}
				e, err := r.f.Lookup(fs.Req{}, n, c)
				if err != 0 {
					return 0, err
				}
				n = e.Node
			}
			return n, 0
		}
		parent := func(p string) (fs.NodeID, string, abi.Errno) {
			i := strings.LastIndexByte(p, '/')
			n, err := find(p[:max(i, 0)])
			if err == 0 {
				if e, _ := r.f.GetAttr(fs.Req{}, n); e.Attr.Mode&fs.TypeMask != fs.TypeDir {
					err = abi.ENOTDIR
				}
			}
			return n, p[i+1:], err
		}
		for i := 0; i < 1500; i++ {
			p, q := pick(), pick()
			hp, hq := filepath.Join(ref, p), filepath.Join(ref, q)
			dir, name, err := parent(p)
			var want error
			what := ""
			switch rnd.Intn(9) {
			case 0, 1:
				what, want = "mkdir", unix.Mkdir(hp, 0o755)
				if err == 0 {
					_, err = r.f.MkDir(r.req(), dir, name, 0o755, cred)
				}
			case 2, 3:
				what = "create"
				var fd int
				if fd, want = unix.Open(hp, unix.O_CREAT|unix.O_RDWR, 0o644); want == nil {
					unix.Close(fd)
				}
				if err == 0 {
					var e fs.Entry
					if e, _, err = r.f.Create(r.req(), dir, name, 0o644, false, cred); err == 0 {
						r.f.Release(r.req(), e.Node)
					}
				}
			case 4:
				what, want = "unlink", unix.Unlink(hp)
				if err == 0 {
					err = r.f.Unlink(r.req(), dir, name)
				}
			case 5:
				what, want = "rmdir", unix.Rmdir(hp)
				if err == 0 {
					err = r.f.RmDir(r.req(), dir, name)
				}
			case 6:
				flags := uint32(rnd.Intn(3))
				what, want = fmt.Sprint("rename ", flags), unix.Renameat2(unix.AT_FDCWD, hp, unix.AT_FDCWD, hq, uint(flags))
				if err == 0 {
					var d fs.NodeID
					var nm string
					if d, nm, err = parent(q); err == 0 {
						err = r.f.Rename(r.req(), dir, name, d, nm, flags)
					}
				}
			case 7:
				what, want = "link", unix.Link(hp, hq)
				var n, d fs.NodeID
				if n, err = find(p); err == 0 {
					if d, name, err = parent(q); err == 0 {
						_, err = r.f.Link(r.req(), n, d, name)
					}
				}
			case 8:
				what = "append"
				var fd int
				if fd, want = unix.Open(hp, unix.O_WRONLY|unix.O_APPEND, 0); want == nil {
					unix.Write(fd, []byte("x"))
					unix.Close(fd)
				}
				var n fs.NodeID
				if n, err = find(p); err == 0 {
					_, _, _, err = r.f.Write(r.req(), n, fs.AppendOff, []byte("x"))
				}
			}
			if err != object.Errno(want) {
				t.Fatalf("seed %d step %d: %s %s %s: %v, want %v", seed, i, what, p, q, err, want)
			}
			if rnd.Intn(100) == 0 {
				r.start(t, r.mem)
			}
			if i%50 == 0 {
				if got, want := listing(t, r.dir), listing(t, ref); got != want {
					t.Fatalf("seed %d step %d: after %s %s %s:\n%s\nwant\n%s", seed, i, what, p, q, got, want)
				}
			}
		}
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		size := st.Size
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			size = 0
		}
		if p != dir {
			out = append(out, fmt.Sprintf("%s %o %d %d", strings.TrimPrefix(p, dir), st.Mode, st.Nlink, size))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}
