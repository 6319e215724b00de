package ipc

import (
	"container/list"
	"fmt"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// FilePager supplies the pages of one object and takes them back when there are more than
// it may have in memory, to a file: a default pager. It has no state of record of its own:
// where a page is can be seen in the object (it is there), else in the file (it is not a
// hole), else it was never written.
type FilePager struct {
	conn   *Conn
	object abi.Name
	fd     int // of the object
	file   int
	most   int // pages
	order  *list.List
	at     map[uint64]*list.Element
	buf    [abi.PageSize]byte
}

// NewFilePager makes the pager of an object with at most so many pages in memory. fd is
// the object's, file where they go; both stay the caller's. size is the object's.
func NewFilePager(c *Conn, object abi.Name, fd, file int, size uint64, most int) (*FilePager, error) {
	p := &FilePager{conn: c, object: object, fd: fd, file: file, most: max(most, 1), order: list.New(), at: map[uint64]*list.Element{}}
	for off := int64(0); ; {
		from, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err != nil {
			break // ENXIO: nothing more
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("ipc: pager: %w", err)
		}
		for ; from < to; from += abi.PageSize {
			p.used(uint64(from))
			// The last incarnation may have locked it.
			_ = c.Pages(object, abi.PagesUnlock, uint64(from), abi.PageSize)
		}
		off = to
	}
	return p, nil
}

func (p *FilePager) used(off uint64) {
	if e := p.at[off]; e != nil {
		p.order.MoveToBack(e)
		return
	}
	p.at[off] = p.order.PushBack(off)
}

// there says whether a file has data at a page.
func there(fd int, off uint64) bool {
	at, err := unix.Seek(fd, int64(off), unix.SEEK_DATA)
	return err == nil && uint64(at) < off+abi.PageSize
}

// Serve answers one request for a page.
func (p *FilePager) Serve(q PageRequest) error {
	if e := p.supply(q.Off); e != 0 {
		return fmt.Errorf("ipc: pager: page at %d: %w", q.Off, e)
	}
	p.used(q.Off)
	for p.order.Len() > p.most {
		off := p.order.Front().Value.(uint64)
		if err := p.evict(off); err != nil {
			return fmt.Errorf("ipc: pager: page at %d: %w", off, err)
		}
		p.order.Remove(p.at[off])
		delete(p.at, off)
	}
	return nil
}

func (p *FilePager) supply(off uint64) abi.Errno {
	switch {
	case there(p.fd, off):
		// It came meanwhile, or the last incarnation brought it: it may be newer than
		// what the file has.
		return p.conn.Pages(p.object, abi.PagesSupply, off, abi.PageSize)
	case !there(p.file, off):
		return p.conn.Pages(p.object, abi.PagesUnavailable, off, abi.PageSize)
	}
	n, err := unix.Pread(p.file, p.buf[:], int64(off))
	if err == nil {
		clear(p.buf[n:])
		_, err = unix.Pwrite(p.fd, p.buf[:], int64(off))
	}
	if err != nil {
		return p.conn.Pages(p.object, abi.PagesError, off, abi.PageSize)
	}
	return p.conn.Pages(p.object, abi.PagesSupply, off, abi.PageSize)
}

// evict writes a page to the file and takes it back. At each step it is in one place
// that is right: nobody writes it between the read and the flush.
func (p *FilePager) evict(off uint64) error {
	if e := p.conn.Pages(p.object, abi.PagesLock, off, abi.PageSize); e != 0 {
		return e
	}
	_, err := unix.Pread(p.fd, p.buf[:], int64(off))
	if err == nil {
		_, err = unix.Pwrite(p.file, p.buf[:], int64(off))
	}
	if err != nil {
		_ = p.conn.Pages(p.object, abi.PagesUnlock, off, abi.PageSize)
		return err
	}
	if e := p.conn.Pages(p.object, abi.PagesFlush, off, abi.PageSize); e != 0 {
		return e
	}
	return nil
}
