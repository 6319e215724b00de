package tree

import (
	"bytes"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// A client reserves a part of the room that there is, and what it gives back leaves the times.
func TestReserve(t *testing.T) {
	r := newRig(t, Limits{Bytes: 64 << 20})
	s := r.s
	e, _, err := s.Create(fs.Req{}, fs.RootID, "f", 0o644, true, fs.Cred{})
	if err != 0 {
		t.Fatal(err)
	}
	small, _, err := s.Create(fs.Req{}, fs.RootID, "small", 0o644, true, fs.Cred{})
	if err != 0 {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("x"), 300<<10)
	if n, _, _, err := s.Write(fs.Req{}, e.Node, 0, data); n != len(data) || err != 0 {
		t.Fatal(n, err)
	}
	size := uint64(len(data))
	if _, err := s.Fallocate(fs.Req{}, e.Node, fs.AllocReserve, size, 5<<20); err != abi.ENOSPC {
		t.Errorf("more than its part: %v", err)
	}
	if a, _ := s.GetAttr(fs.Req{}, e.Node); a.Attr.Size != size {
		t.Errorf("%d bytes though it was refused", a.Attr.Size)
	}
	a, err := s.Fallocate(fs.Req{}, e.Node, fs.AllocReserve, size, 2<<20)
	if err != 0 || a.Attr.Size != size+2<<20 || a.Attr.Blocks*512 < size+2<<20 {
		t.Fatalf("%v %+v", err, a)
	}
	used := r.s.t.freePages()
	s.SetAttr(fs.Req{}, e.Node, &fs.SetAttrIn{Valid: fs.SetMtime, Mtime: fs.Time{Sec: 5}})
	before, _ := s.GetAttr(fs.Req{}, e.Node)
	for _, end := range []uint64{size + 1000, size, size} {
		a, err := s.SetAttr(fs.Req{}, e.Node, &fs.SetAttrIn{Valid: fs.SetTrimmed, Size: end})
		if err != 0 || a.Attr.Size != end || a.Attr.Mtime != before.Attr.Mtime || a.Attr.Ctime != before.Attr.Ctime {
			t.Errorf("%d: %v %+v", end, err, a.Attr)
		}
	}
	if got := r.s.t.freePages(); got < used+500 {
		t.Errorf("%d pages are free, %d were", got, used)
	}
	for _, end := range []uint64{size + 1, MaxFile + 1, ^uint64(0)} {
		if _, err := s.SetAttr(fs.Req{}, e.Node, &fs.SetAttrIn{Valid: fs.SetTrimmed, Size: end}); err != abi.EINVAL {
			t.Errorf("to %d: %v", end, err)
		}
	}
	if _, err := s.SetAttr(fs.Req{}, small.Node, &fs.SetAttrIn{Valid: fs.SetTrimmed}); err != abi.EINVAL {
		t.Errorf("of a file that had nothing reserved: %v", err)
	}
	if _, err := s.SetAttr(fs.Req{}, fs.RootID, &fs.SetAttrIn{Valid: fs.SetTrimmed}); err == 0 {
		t.Error("of a directory")
	}
	s.Check()
}
