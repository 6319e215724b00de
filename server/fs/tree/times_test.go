package tree

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/idl/fs"
)

// past is a time that no operation of the test sets.
const past = 1_000_000_000

// TestTimes: which of atime, mtime and ctime each operation sets, compared with
// the host's tmpfs.
func TestTimes(t *testing.T) {
	host := oracleDir(t)
	cred := fs.Cred{}
	// Each case prepares the same nodes on both sides, sets their times to the
	// past, and runs the operation. The paths watched are named by the case.
	for _, c := range []struct {
		name  string
		watch string
		host  func(p string) error
		here  func(s fs.Server, root fs.NodeID)
	}{
		{"create", ". n", func(p string) error { return os.WriteFile(p+"/n", nil, 0o644) },
			func(s fs.Server, r fs.NodeID) { s.Create(fs.Req{}, r, "n", 0o644, true, cred) }},
		{"mkdir", ". n", func(p string) error { return unix.Mkdir(p+"/n", 0o755) },
			func(s fs.Server, r fs.NodeID) { s.MkDir(fs.Req{}, r, "n", 0o755, cred) }},
		{"symlink", ". n", func(p string) error { return unix.Symlink("x", p+"/n") },
			func(s fs.Server, r fs.NodeID) { s.Symlink(fs.Req{}, r, "n", "x", cred) }},
		{"link", ". f n", func(p string) error { return unix.Link(p+"/f", p+"/n") },
			func(s fs.Server, r fs.NodeID) { n, _ := s.Lookup(fs.Req{}, r, "f"); s.Link(fs.Req{}, n.Node, r, "n") }},
		{"unlink", ". h", func(p string) error { return unix.Unlink(p + "/f") },
			func(s fs.Server, r fs.NodeID) { s.Unlink(fs.Req{}, r, "f") }},
		{"rmdir", ".", func(p string) error { return unix.Rmdir(p + "/e") },
			func(s fs.Server, r fs.NodeID) { s.RmDir(fs.Req{}, r, "e") }},
		{"rename", ". d n", func(p string) error { return unix.Rename(p+"/f", p+"/n") },
			func(s fs.Server, r fs.NodeID) { s.Rename(fs.Req{}, r, "f", r, "n", 0) }},
		{"rename over", ". d h f", func(p string) error { return unix.Rename(p+"/g", p+"/f") },
			func(s fs.Server, r fs.NodeID) { s.Rename(fs.Req{}, r, "g", r, "f", 0) }},
		{"rename into", ". d d/n", func(p string) error { return unix.Rename(p+"/e", p+"/d/n") },
			func(s fs.Server, r fs.NodeID) {
				d, _ := s.Lookup(fs.Req{}, r, "d")
				s.Rename(fs.Req{}, r, "e", d.Node, "n", 0)
			}},
		{"exchange", ". d d/i f", func(p string) error {
			return unix.Renameat2(unix.AT_FDCWD, p+"/f", unix.AT_FDCWD, p+"/d/i", unix.RENAME_EXCHANGE)
		}, func(s fs.Server, r fs.NodeID) {
			d, _ := s.Lookup(fs.Req{}, r, "d")
			s.Rename(fs.Req{}, r, "f", d.Node, "i", fs.RenameExchange)
		}},
		{"rename onto itself", ". f", func(p string) error { return unix.Rename(p+"/f", p+"/h") },
			func(s fs.Server, r fs.NodeID) { s.Rename(fs.Req{}, r, "f", r, "h", 0) }},
		{"write", ". f", func(p string) error { return onFile(p, func(fd int) { unix.Pwrite(fd, []byte("x"), 0) }) },
			onNode(func(s fs.Server, n fs.NodeID) { s.Write(fs.Req{}, n, 0, []byte("x")) })},
		{"write nothing", "f", func(p string) error { return onFile(p, func(fd int) { unix.Pwrite(fd, nil, 0) }) },
			onNode(func(s fs.Server, n fs.NodeID) { s.Write(fs.Req{}, n, 0, nil) })},
		{"read", "f", func(p string) error { return onFile(p, func(fd int) { unix.Pread(fd, make([]byte, 2), 0) }) },
			onNode(func(s fs.Server, n fs.NodeID) { s.Read(fs.Req{}, n, 0, make([]byte, 2)) })},
		{"truncate, path", "f", func(p string) error { return unix.Truncate(p+"/f", 1) },
			onNode(func(s fs.Server, n fs.NodeID) { s.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetSize, Size: 1}) })},
		{"truncate to the same, path", "f", func(p string) error { return unix.Truncate(p+"/f", 4) },
			onNode(func(s fs.Server, n fs.NodeID) { s.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetSize, Size: 4}) })},
		{"ftruncate to the same", "f", func(p string) error { return onFile(p, func(fd int) { unix.Ftruncate(fd, 4) }) },
			onNode(func(s fs.Server, n fs.NodeID) {
				s.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetSize | fs.SetMtimeNow, Size: 4})
			})},
		{"open with O_TRUNC", "f", func(p string) error {
			fd, err := unix.Open(p+"/f", unix.O_RDWR|unix.O_TRUNC, 0)
			unix.Close(fd)
			return err
		}, onNode(func(s fs.Server, n fs.NodeID) { s.Open(fs.Req{}, n, true, true) })},
		{"chmod", "f", func(p string) error { return unix.Chmod(p+"/f", 0o600) },
			onNode(func(s fs.Server, n fs.NodeID) { s.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetMode, Mode: 0o600}) })},
		{"utimes", "f", func(p string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, p+"/f", []unix.Timespec{{Sec: 5}, {Nsec: unix.UTIME_OMIT}}, 0)
		}, onNode(func(s fs.Server, n fs.NodeID) {
			s.SetAttr(fs.Req{}, n, &fs.SetAttrIn{Valid: fs.SetAtime, Atime: fs.Time{Sec: 5}})
		})},
		{"fallocate", "f", func(p string) error { return onFile(p, func(fd int) { unix.Fallocate(fd, 0, 0, 10000) }) },
			onNode(func(s fs.Server, n fs.NodeID) { s.Fallocate(fs.Req{}, n, 0, 0, 10000) })},
		{"setxattr", "f", func(p string) error { return unix.Setxattr(p+"/f", "user.x", []byte("v"), 0) },
			onNode(func(s fs.Server, n fs.NodeID) { s.SetXattr(fs.Req{}, n, "user.x", []byte("v"), 0) })},
		{"readlink", "l", func(p string) error { _, err := os.Readlink(p + "/l"); return err },
			func(s fs.Server, r fs.NodeID) { n, _ := s.Lookup(fs.Req{}, r, "l"); s.ReadLink(fs.Req{}, n.Node) }},
		{"readdir", "d", func(p string) error { _, err := os.ReadDir(p + "/d"); return err },
			func(s fs.Server, r fs.NodeID) {
				n, _ := s.Lookup(fs.Req{}, r, "d")
				s.ReadDir(fs.Req{}, n.Node, 0, 100)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := host + "/" + strings.Map(func(r rune) rune {
				if r == ' ' || r == ',' {
					return '_'
				}
				return r
			}, c.name)
			s := fs.Server(newRig(t, Limits{}).s)
			if err := unix.Mkdir(p, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, d := range []string{"d", "e"} {
				unix.Mkdir(p+"/"+d, 0o755)
				s.MkDir(fs.Req{}, fs.RootID, d, 0o755, cred)
			}
			for _, f := range []string{"f", "g", "d/i"} {
				os.WriteFile(p+"/"+f, []byte("data"), 0o644)
				dir, name, _ := parent(s, f)
				e, _, _ := s.Create(fs.Req{}, dir, name, 0o644, true, cred)
				s.Write(fs.Req{}, e.Node, 0, []byte("data"))
				s.Release(fs.Req{}, e.Node)
			}
			unix.Link(p+"/f", p+"/h")
			f, _ := walk(s, "f")
			s.Link(fs.Req{}, f, fs.RootID, "h")
			unix.Symlink("x", p+"/l")
			s.Symlink(fs.Req{}, fs.RootID, "l", "x", cred)
			var all []string
			for _, n := range []string{"d/i", "d", "e", "f", "g", "h", "l", "."} {
				all = append(all, n)
				ts := []unix.Timespec{{Sec: past}, {Sec: past}}
				if err := unix.UtimesNanoAt(unix.AT_FDCWD, p+"/"+n, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
					t.Fatal(err)
				}
				id, _ := walk(s, strings.TrimPrefix(n, "."))
				tm := fs.Time{Sec: past}
				s.SetAttr(fs.Req{}, id, &fs.SetAttrIn{Valid: fs.SetAtime | fs.SetMtime, Atime: tm, Mtime: tm})
			}
			hostBefore, hereBefore := map[uint64]unix.Timespec{}, map[uint64]fs.Time{}
			for _, n := range all {
				var st unix.Stat_t
				unix.Lstat(p+"/"+n, &st)
				hostBefore[st.Ino] = st.Ctim
				id, _ := walk(s, strings.TrimPrefix(n, "."))
				e, _ := s.GetAttr(fs.Req{}, id)
				hereBefore[e.Attr.Ino] = e.Attr.Ctime
			}
			// The kernel's clock for times has steps: wait for the next one.
			probe := p + ".probe"
			var first, now unix.Stat_t
			for i := 0; ; i++ {
				os.Remove(probe)
				os.WriteFile(probe, nil, 0o600)
				unix.Stat(probe, &now)
				if i == 0 {
					first = now
				} else if now.Ctim.Nano()-first.Ctim.Nano() > 11e6 {
					break
				}
			}
			if err := c.host(p); err != nil {
				t.Fatal(err)
			}
			c.here(s, fs.RootID)
			for _, n := range strings.Fields(c.watch) {
				var st unix.Stat_t
				if err := unix.Lstat(p+"/"+n, &st); err != nil {
					t.Fatal(err)
				}
				id, err := walk(s, strings.TrimPrefix(n, "."))
				if err != 0 {
					t.Fatal(n, err)
				}
				e, _ := s.GetAttr(fs.Req{}, id)
				a := e.Attr
				was, known := hostBefore[st.Ino]
				want := fmt.Sprintf("a %v m %v c %v", st.Atim.Sec != past, st.Mtim.Sec != past, !known || st.Ctim != was)
				hwas, hknown := hereBefore[a.Ino]
				got := fmt.Sprintf("a %v m %v c %v", a.Atime.Sec != past, a.Mtime.Sec != past, !hknown || a.Ctime != hwas)
				if got != want {
					t.Errorf("%s: %s, want %s", n, got, want)
				}
			}
		})
	}
}

func onFile(p string, f func(fd int)) error {
	fd, err := unix.Open(p+"/f", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	f(fd)
	return unix.Close(fd)
}

func onNode(f func(s fs.Server, n fs.NodeID)) func(fs.Server, fs.NodeID) {
	return func(s fs.Server, root fs.NodeID) {
		n, _ := s.Lookup(fs.Req{}, root, "f")
		f(s, n.Node)
	}
}
