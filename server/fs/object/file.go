package object

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
)

// File is an Object over a host descriptor (a memfd, or a file that was
// imported). It owns the descriptor.
type File struct {
	fd   int
	name uint64
}

// NewFile makes an Object of fd, known to the nucleus as name.
func NewFile(fd int, name uint64) *File { return &File{fd, name} }

// Errno turns a host error into a neutral one; 0 for nil.
func Errno(err error) abi.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(unix.Errno); ok {
		return abi.Errno(e) // neutral numbers are Linux's, which this host speaks
	}
	return abi.EIO
}

// FD is the descriptor, which stays the File's.
func (f *File) FD() int { return f.fd }

// ID implements Object.
func (f *File) ID() uint64 { return f.name }

// Close implements Object.
func (f *File) Close() {
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

// ReadAt implements Object.
func (f *File) ReadAt(p []byte, off int64) (int, abi.Errno) {
	total := 0
	for len(p) > 0 {
		n, err := unix.Pread(f.fd, p, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return total, Errno(err)
		}
		if n == 0 {
			break
		}
		total, off, p = total+n, off+int64(n), p[n:]
	}
	return total, 0
}

// WriteAt implements Object.
func (f *File) WriteAt(p []byte, off int64) (int, abi.Errno) {
	total := 0
	for len(p) > 0 {
		n, err := unix.Pwrite(f.fd, p, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return total, Errno(err)
		}
		total, off, p = total+n, off+int64(n), p[n:]
	}
	return total, 0
}

// Truncate implements Object.
func (f *File) Truncate(size int64) abi.Errno {
	return Errno(retry(func() error { return unix.Ftruncate(f.fd, size) }))
}

// Seal implements Object.
func (f *File) Seal() abi.Errno {
	return Errno(retry(func() error {
		_, err := unix.FcntlInt(uintptr(f.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
		return err
	}))
}

// Allocate implements Object.
func (f *File) Allocate(mode uint32, off, n int64) abi.Errno {
	return Errno(retry(func() error { return unix.Fallocate(f.fd, mode, off, n) }))
}

// Find implements Object.
func (f *File) Find(off int64, whence uint32) (int64, abi.Errno) {
	at, err := unix.Seek(f.fd, off, int(whence))
	return at, Errno(err)
}

// Stat implements Object.
func (f *File) Stat() (int64, uint64, abi.Errno) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, 0, Errno(err)
	}
	return st.Size, uint64(st.Blocks), 0
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
