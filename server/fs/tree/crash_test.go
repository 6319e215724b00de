package tree

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/store"
)

type death struct{}

// dump renders a tree, data and times included.
func dump(s fs.Server, n fs.NodeID, p string) string {
	e, err := s.GetAttr(fs.Req{}, n)
	if err != 0 {
		return p + " " + err.Error()
	}
	a := e.Attr
	out := fmt.Sprintf("%s %d %o %d %d %d %v %v\n", p, a.Ino, a.Mode, a.Nlink, a.Size, a.Blocks, a.Mtime, a.Ctime)
	switch a.Mode & fs.TypeMask {
	case fs.TypeReg:
		buf := make([]byte, 512<<10)
		k, _ := s.Read(fs.Req{}, n, 0, buf)
		out += fmt.Sprintf(" %x\n", bytes.Trim(buf[:k], "\x00"))
		x, _ := s.ListXattr(fs.Req{}, n)
		out += string(x)
	case fs.TypeDir:
		l, _ := s.ReadDir(fs.Req{}, n, 0, 1<<20)
		for _, de := range l {
			c, _ := s.Lookup(fs.Req{}, n, de.Name)
			out += dump(s, c.Node, p+"/"+de.Name)
		}
	}
	return out
}

// TestCrash kills the server at every store of each operation: what its next
// incarnation finds is the state before or after, and a repetition of the
// request has the effect and the answer that one undisturbed request has.
func TestCrash(t *testing.T) {
	cred := fs.Cred{UID: 1, GID: 1}
	ids := func(s fs.Server, p string) fs.NodeID { n, _ := walk(s, p); return n }
	for name, op := range map[string]func(s fs.Server, q fs.Req) string{
		"mkdir":   func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.MkDir(q, fs.RootID, "n", 0o755, cred)) },
		"symlink": func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Symlink(q, fs.RootID, "n", "t", cred)) },
		"create":  func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Create(q, fs.RootID, "n", 0o600, true, cred)) },
		"temp":    func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.CreateTemp(q, fs.RootID, 0o600, cred)) },
		"long name": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.MkNod(q, fs.RootID, strings.Repeat("n", 200), fs.TypeFifo|0o600, 0, cred))
		},
		"unlink": func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Unlink(q, fs.RootID, "f")) },
		"discard": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Discard(q, fs.RootID, "h", ids(s, "h"), 2))
		},
		"rmdir":  func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.RmDir(q, fs.RootID, "e")) },
		"link":   func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Link(q, ids(s, "g"), fs.RootID, "n")) },
		"rename": func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Rename(q, fs.RootID, "f", fs.RootID, "g", 0)) },
		"exchange": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Rename(q, fs.RootID, "d", fs.RootID, "g", fs.RenameExchange))
		},
		"append": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Write(q, ids(s, "g"), fs.AppendOff, []byte("tail")))
		},
		"overwrite": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Write(q, ids(s, "g"), 2, bytes.Repeat([]byte("w"), 9000)))
		},
		"outgrow": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Write(q, ids(s, "g"), 300<<10, []byte("far")))
		},
		"truncate": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.SetAttr(q, ids(s, "g"), &fs.SetAttrIn{Valid: fs.SetSize | fs.SetMode, Size: 1, Mode: 0o600}))
		},
		"end sooner": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.SetAttr(q, ids(s, "o"), &fs.SetAttrIn{Valid: fs.SetSize, Size: 5000}))
		},
		"trim": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.SetAttr(q, ids(s, "o"), &fs.SetAttrIn{Valid: fs.SetTrimmed, Size: 5000}))
		},
		"reserve": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Fallocate(q, ids(s, "o"), fs.AllocReserve, 7000, 500000))
		},
		"empty": func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Open(q, ids(s, "o"), true, true)) },
		"end later": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.Write(q, ids(s, "o"), 300<<10, []byte("far")))
		},
		"punch": func(s fs.Server, q fs.Req) string { return fmt.Sprint(s.Fallocate(q, ids(s, "g"), 3, 1, 5000)) },
		"xattr": func(s fs.Server, q fs.Req) string {
			return fmt.Sprint(s.SetXattr(q, ids(s, "g"), "user.a", []byte("b"), 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, after, answer := "", "", ""
			for at, died := 0, true; died; at++ {
				// Point 0 is the undisturbed run.
				now := int64(1000)
				mem := make([]byte, 4<<20)
				objs := object.NewLocal()
				defer objs.Close()
				r := &rig{mem: mem, objs: objs}
				h, err := store.Format(mem, testVersion)
				if err != nil {
					t.Fatal(err)
				}
				r.serve(t, h, Limits{Inodes: 100})
				r.s.t.now = func() fs.Time { return fs.Time{Sec: now} }
				s := r.s
				s.MkDir(fs.Req{}, fs.RootID, "d", 0o755, cred)
				s.MkDir(fs.Req{}, fs.RootID, "e", 0o755, cred)
				for _, f := range []string{"f", "g", "o"} {
					e, _, _ := s.Create(fs.Req{}, fs.RootID, f, 0o644, true, cred)
					s.Write(fs.Req{}, e.Node, 0, bytes.Repeat([]byte("0123456789"), 700))
					if f == "o" {
						s.Map(fs.Req{}, e.Node, fs.MapToWrite) // it is an object from now on
					}
					s.Release(fs.Req{}, e.Node)
				}
				h2, _, _ := s.Create(fs.Req{}, fs.RootID, "h", 0o644, true, cred)
				s.Open(fs.Req{}, h2.Node, true, false) // it stays open, twice
				// Its own time makes the change show.
				now++
				first := dump(s, fs.RootID, "")
				q := fs.Req{Binding: 1, Client: 2, Seq: 3}
				died = at == 0
				func() {
					defer func() {
						if e := recover(); e != nil {
							if _, ok := e.(death); !ok {
								panic(e)
							}
							died = true
						}
					}()
					k := 0
					h.SetCrashHook(func(string) {
						if k++; k == at {
							panic(death{})
						}
					})
					op(s, q)
				}()
				if h, err = store.Open(mem, testVersion); err != nil {
					t.Fatal(err)
				}
				r.serve(t, h, Limits{Inodes: 100})
				r.s.t.now = func() fs.Time { return fs.Time{Sec: now} }
				r.s.Check()
				found := dump(r.s, fs.RootID, "")
				got := op(r.s, q)
				r.s.Check()
				last := dump(r.s, fs.RootID, "")
				if at == 0 {
					before, after, answer = first, found, got
				}
				if found != before && found != after {
					t.Fatalf("killed at %d: neither before nor after:\n%s", at, found)
				}
				if last != after || got != answer {
					t.Fatalf("killed at %d: repetition: %s, want %s\n%s\nwant\n%s", at, got, answer, last, after)
				}
				if strings.HasSuffix(answer, fmt.Sprint(abi.EINVAL)) || strings.Contains(answer, "ENO") {
					t.Fatal(answer)
				}
			}
		})
	}
}
