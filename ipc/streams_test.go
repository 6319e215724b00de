package ipc

import (
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// A stream's memory is looked at where the libraries have it, and no further.
func TestStreamMemory(t *testing.T) {
	const shift = 12
	fd, err := unix.MemfdCreate("stream", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(StreamSize(shift)-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := MapStream(fd, shift); err == nil {
		t.Error("an object that is too short")
	}
	if _, err := MapStream(fd, abi.StreamMaxShift+1); err == nil {
		t.Error("rings that are too large")
	}
	if err := unix.Ftruncate(fd, int64(StreamSize(shift))); err != nil {
		t.Fatal(err)
	}
	m, err := MapStream(fd, shift)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Unmap()
	for dir := range 2 {
		at := int64(abi.StreamRingOff + dir<<shift)
		for off, b := range map[int64]string{at: "cde", at + 1<<shift - 2: "ab", int64(dir*abi.StreamWordSize + abi.StreamCount): "\x07"} {
			if _, err := unix.Pwrite(fd, []byte(b), off); err != nil {
				t.Fatal(err)
			}
		}
		v := uint64(abi.StreamLent | 5 | dir<<abi.StreamWordNo)
		if !m.Set(dir, 0, v) || m.Set(dir, 0, 1) || m.Word(dir) != v {
			t.Errorf("direction %d: %x", dir, m.Word(dir))
		}
	}
	for dir := range 2 {
		word, count := m.Back(dir)
		if want := uint64(5 | dir<<abi.StreamWordNo); word != want || m.Word(dir) != want || count != 7 {
			t.Errorf("direction %d: taken back %x, %d; now %x", dir, word, count, m.Word(dir))
		}
		b := make([]byte, 5)
		if m.Bytes(dir, 3<<shift-2, b); string(b) != "abcde" {
			t.Errorf("direction %d: %q", dir, b)
		}
	}
}
