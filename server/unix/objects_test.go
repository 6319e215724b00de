package unix

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestObjectsGrants: an object that was granted twice is there until it was given
// up twice, and who reads through it is not cut off by the second grant.
func TestObjectsGrants(t *testing.T) {
	var o objects
	o.open()
	if !o.Room() {
		t.Error("no room at the start")
	}
	o.max = 1
	fd, err := unix.MemfdCreate("object", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	again, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(fd, []byte("data"), 0); err != nil {
		t.Fatal(err)
	}
	o.put(7, fd)
	if o.Room() {
		t.Error("room for more than the most")
	}
	d := o.Data(7)
	o.put(7, again)
	o.drop(7)
	var b [4]byte
	if n, err := d.ReadAt(b[:], 0); n != 4 || err != nil {
		t.Errorf("after the second grant and one drop: %d, %v", n, err)
	}
	o.drop(7)
	if o.Data(7) != nil || !o.Room() {
		t.Error("still there after as many drops as grants")
	}
	if _, err := d.ReadAt(b[:], 0); err == nil {
		t.Error("its descriptor is still open")
	}
}
