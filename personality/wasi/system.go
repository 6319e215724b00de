package wasi

import "hythe/abi"

// sysVector is one of Readv and Writev.
type sysVector = func(fd int, v [][]byte, off int64) (int, abi.Errno)

// System is the calls of Linux that the functions of preview 1 are made of. Descriptors
// are the process's; an error of 0 is none.
type System interface {
	// Readv and Writev move bytes at a descriptor's position (off below 0) or at an
	// offset. A vector has at most 1024 parts.
	Readv(fd int, v [][]byte, off int64) (int, abi.Errno)
	Writev(fd int, v [][]byte, off int64) (int, abi.Errno)
	Seek(fd int, off int64, whence int) (int64, abi.Errno)
	Close(fd int) abi.Errno
	// Flags and SetFlags are fcntl's F_GETFL and F_SETFL.
	Flags(fd int) (int, abi.Errno)
	SetFlags(fd, flags int) abi.Errno
	Sync(fd int, dataOnly bool) abi.Errno
	// Advise and Allocate are posix_fadvise and posix_fallocate.
	Advise(fd int, off, n int64, advice int) abi.Errno
	Allocate(fd int, off, n int64) abi.Errno
	Truncate(fd int, size int64) abi.Errno
	Stat(fd int) (Stat, abi.Errno)
	// Dirents fills b with struct linux_dirent64.
	Dirents(fd int, b []byte) (int, abi.Errno)
	// Terminal says whether a descriptor is one, Readable how many bytes can be read.
	Terminal(fd int) bool
	Readable(fd int) (int, abi.Errno)
	// Inherited are the open descriptors that the process began with, in order.
	Inherited() []int

	// Openat opens path from the directory fd; with beneath the way does not lead out
	// of it (EXDEV). The flags are Linux's.
	Openat(fd int, path string, flags int, beneath bool) (int, abi.Errno)
	Statat(fd int, path string, follow bool) (Stat, abi.Errno)
	// SetTimes sets a file's times: atime and mtime in nanoseconds, TimeNow or
	// TimeKeep. With path empty the file is fd itself.
	SetTimes(fd int, path string, follow bool, atime, mtime int64) abi.Errno
	Mkdirat(fd int, path string) abi.Errno
	Unlinkat(fd int, path string, dir bool) abi.Errno
	Linkat(ofd int, old string, nfd int, new string, follow bool) abi.Errno
	Renameat(ofd int, old string, nfd int, new string) abi.Errno
	Symlinkat(target string, fd int, path string) abi.Errno
	Readlinkat(fd int, path string, b []byte) (int, abi.Errno)

	// Clock and Resolution are in nanoseconds; clocks have preview 1's numbers.
	Clock(id uint32) (int64, abi.Errno)
	Resolution(id uint32) (int64, abi.Errno)
	Random(b []byte) abi.Errno
	Yield()
	// Poll waits until one of f is ready, for timeout nanoseconds or, below 0, for
	// ever. The answer is how many are.
	Poll(f []PollFD, timeout int64) (int, abi.Errno)
	// Exit ends the process. Raise sends it a signal (Linux's number), whose action is
	// the default one unless it was ignored from the beginning.
	Exit(status int)
	Raise(sig int) abi.Errno

	Accept(fd int, nonblock bool) (int, abi.Errno)
	Recv(fd int, v [][]byte, peek, waitAll bool) (n int, truncated bool, e abi.Errno)
	Send(fd int, v [][]byte) (int, abi.Errno)
	Shutdown(fd int, how int) abi.Errno
	// Stream says whether a socket is one of a stream.
	Stream(fd int) bool

	// Reserve answers n bytes of address space without memory, and Commit makes the
	// first n bytes of it usable, filled with zeros.
	Reserve(n uint64) ([]byte, abi.Errno)
	Commit(b []byte, n uint64) abi.Errno
}

// Stat is a file's attributes: Mode and the others as Linux has them, times in
// nanoseconds.
type Stat struct {
	Dev, Ino, Nlink     uint64
	Mode                uint32
	Size                uint64
	Atime, Mtime, Ctime int64
}

// Times that are none.
const (
	TimeNow  = -1 << 63
	TimeKeep = -1<<63 + 1
)

// PollFD is what is waited for at a descriptor.
type PollFD struct {
	FD            int
	Read, Write   bool
	Ready, Hangup bool // the answer; Ready also for an error
	Invalid       bool
}

// Linux's constants that System is spoken to with (fcntl.h, stat.h).
const (
	sysWronly    = 1
	sysRdwr      = 2
	sysAccMode   = 3
	sysCreat     = 0o100
	sysExcl      = 0o200
	sysTrunc     = 0o1000
	sysAppend    = 0o2000
	sysNonblock  = 0o4000
	sysDsync     = 0o10000
	sysDirectory = 0o200000
	sysNofollow  = 0o400000
	sysSync      = 0o4010000
	sysPath      = 0o10000000

	modeType    = 0o170000
	modeSocket  = 0o140000
	modeSymlink = 0o120000
	modeRegular = 0o100000
	modeBlock   = 0o060000
	modeDir     = 0o040000
	modeChar    = 0o020000
)

// atCwd is the working directory as a descriptor (fcntl.h).
const atCwd = -100
