package wire

import (
	"encoding/binary"
	"testing"

	"hythe/abi"
	"hythe/ipc"
)

// TestCounts: no count is taken that the bytes behind it cannot hold, or that is beyond
// the limit, whatever the multiplication would come to.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		count       uint32
		have        int
		most, least int
		ok          bool
	}{
		{0, 0, 8, 4, true},
		{2, 8, 8, 4, true},
		{2, 7, 8, 4, false},
		{9, 100, 8, 4, false},
		{1 << 31, 1 << 10, 1 << 32, 8, false},
		{1 << 30, 1 << 10, 1 << 32, 4, false}, // times 4 it is 0 in 32 bits
		{^uint32(0), 1 << 10, 1 << 32, 1, false},
		{1 << 10, 1 << 10, 1 << 20, 0, true}, // what takes no bytes counts as one
		{1<<10 + 1, 1 << 10, 1 << 20, 0, false},
	} {
		b := binary.LittleEndian.AppendUint32(nil, c.count)
		n, rest, ok := Count(append(b, make([]byte, c.have)...), c.most, c.least)
		if ok != c.ok || ok && (n != int(c.count) || len(rest) != c.have) {
			t.Errorf("%+v: %d, %d left, %v", c, n, len(rest), ok)
		}
	}
	for _, n := range []uint32{5, 1 << 31, ^uint32(0)} {
		b := append(binary.LittleEndian.AppendUint32(nil, n), 1, 2, 3, 4)
		if v, _, ok := View(b, 1<<40); ok {
			t.Errorf("%d of 4 bytes: %v", n, v)
		}
	}
	// What was taken cannot be appended to over what follows it.
	v, rest, ok := View([]byte{1, 0, 0, 0, 7, 8}, 8)
	if _ = append(v, 9); !ok || rest[0] != 8 {
		t.Errorf("%v, %v, %v", v, rest, ok)
	}
}

// TestErrno: an answer has an errno of its own, not the word for a later answer.
func TestErrno(t *testing.T) {
	for _, c := range []struct{ sent, want abi.Errno }{
		{0, 0}, {abi.ENOENT, abi.ENOENT}, {ipc.Later, abi.EIO}, {ipc.Later | abi.ENOENT, abi.EIO}, {4096, abi.EIO},
	} {
		if _, e := Errno(Refuse(c.sent).Body); e != c.want {
			t.Errorf("%d: %v, want %v", c.sent, e, c.want)
		}
	}
	if _, e := Errno([]byte{0, 0, 0}); e != abi.EIO {
		t.Errorf("three bytes: %v", e)
	}
}
