package points

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageFD is where a server of this test finds its page: not one of the
// descriptors that a server is told of.
const pageFD = 200

// maxPoints is how many points of one run are told apart.
const maxPoints = 1 << 20

// page is what this process and the server that it has killed share.
type page struct {
	victim [32]byte         // the server's name
	count  uint64           // atomic: points that it has passed, in all its lives
	kill   [2]uint64        // it dies at its kill[0]th point, and at its kill[1]th; 0: not
	kinds  [maxPoints]uint8 // of each point that it passed: index into kinds, from 1
}

// newPage makes the page and leaves it where every process that this one starts
// finds it.
func newPage() (*page, error) {
	fd, err := unix.MemfdCreate("points", 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Ftruncate(fd, int64(unsafe.Sizeof(page{}))); err != nil {
		return nil, err
	}
	if err := unix.Dup2(fd, pageFD); err != nil {
		return nil, err
	}
	_ = unix.Close(fd)
	return mapPage()
}

func mapPage() (*page, error) {
	b, err := unix.Mmap(pageFD, 0, int(unsafe.Sizeof(page{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*page)(unsafe.Pointer(&b[0])), nil
}

// at is the server's side: it counts a point, and dies there if it is its turn.
func (p *page) at(kind uint8) {
	n := atomic.AddUint64(&p.count, 1)
	if n < maxPoints {
		p.kinds[n] = kind
	}
	if n == p.kill[0] || n == p.kill[1] {
		// As SIGKILL does, this ends all threads where they are; a server is the
		// first process of its name space, which no signal of its own kills.
		syscall.Exit(137)
	}
}
