package core

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestDeviceBits: what tells devices apart is where it may be, and tells them apart.
func TestDeviceBits(t *testing.T) {
	const (
		allowed = (1<<52 - 1) &^ (1<<32 - 1) &^ (1 << 48)
		low     = 1<<32 - 1
	)
	seen := map[uint64]uint64{}
	check := func(major, minor uint32) {
		dev := unix.Mkdev(major, minor)
		v := deviceBits(dev)
		if v == 0 || v&^allowed != 0 {
			t.Fatalf("%d:%d: bits %#x", major, minor, v)
		}
		if was, ok := seen[v]; ok {
			t.Fatalf("%d:%d has the bits of %#x, %#x", major, minor, was, v)
		}
		seen[v] = dev
	}
	for minor := range uint32(1 << 12) {
		check(0, minor)
	}
	check(0, 1<<18-1)
	check(0, 1<<18)
	// What a host's disks, partitions, loops and mapped devices are.
	for _, major := range []uint32{7, 8, 9, 252, 253, 254, 259} {
		for minor := range uint32(16) {
			check(major, minor)
		}
	}
	f := &FS{dev: unix.Mkdev(8, 1)}
	if n := f.ino(f.dev, 12345); n != 12345 {
		t.Error("root's device:", n)
	}
	for _, ino := range []uint64{1, 12345, low, 1<<40 + 5} {
		n := f.ino(unix.Mkdev(0, 40), ino)
		if n&low != ino&low || n == ino || n == f.ino(unix.Mkdev(0, 41), ino) {
			t.Errorf("%d of another device: %#x", ino, n)
		}
	}
}
