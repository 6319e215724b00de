package main

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/personality/wasi"
)

// system implements wasi.System with the calls of Linux.
type system struct {
	inherited []int
	ignored   uint64 // signals, when the program was executed: bit n-1 for signal n
}

func (s *system) ignores(sig int) bool { return s.ignored&(1<<(sig-1)) != 0 }

// number is an error's; EIO for one that is none of the system's.
func number(err error) abi.Errno {
	var e unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return abi.Errno(e)
	}
	return abi.EIO
}

// again makes a call until no signal cuts it short.
func again[T any](call func() (T, error)) (T, abi.Errno) {
	for {
		v, err := call()
		if !errors.Is(err, unix.EINTR) {
			return v, number(err)
		}
	}
}

func none(err error) (struct{}, error) { return struct{}{}, err }

func (*system) Readv(fd int, v [][]byte, off int64) (int, abi.Errno) {
	return again(func() (int, error) {
		switch {
		case len(v) == 1 && off < 0:
			return unix.Read(fd, v[0])
		case len(v) == 1:
			return unix.Pread(fd, v[0], off)
		case len(v) == 0:
			return unix.Read(fd, nil)
		case off < 0:
			return unix.Readv(fd, v)
		}
		return unix.Preadv(fd, v, off)
	})
}

// Writev implements wasi.System. Who writes to standard output or standard error that
// nobody reads any more is ended, as by Linux: a module can have no handler for that. At
// other descriptors the error is told.
func (s *system) Writev(fd int, v [][]byte, off int64) (int, abi.Errno) {
	n, e := writev(fd, v, off)
	if e == abi.EPIPE && !s.ignores(int(unix.SIGPIPE)) && (fd == 1 || fd == 2) {
		s.Raise(int(unix.SIGPIPE))
	}
	return n, e
}

func writev(fd int, v [][]byte, off int64) (int, abi.Errno) {
	return again(func() (int, error) {
		switch {
		case len(v) == 1 && off < 0:
			return unix.Write(fd, v[0])
		case len(v) == 1:
			return unix.Pwrite(fd, v[0], off)
		case len(v) == 0:
			return unix.Write(fd, nil)
		case off < 0:
			return unix.Writev(fd, v)
		}
		return unix.Pwritev(fd, v, off)
	})
}

func (*system) Seek(fd int, off int64, whence int) (int64, abi.Errno) {
	n, err := unix.Seek(fd, off, whence)
	return n, number(err)
}

func (*system) Close(fd int) abi.Errno { return number(unix.Close(fd)) }

func (*system) Flags(fd int) (int, abi.Errno) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return n, number(err)
}

func (*system) SetFlags(fd, flags int) abi.Errno {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
	return number(err)
}

func (*system) Sync(fd int, dataOnly bool) abi.Errno {
	if dataOnly {
		return number(unix.Fdatasync(fd))
	}
	return number(unix.Fsync(fd))
}

func (*system) Advise(fd int, off, n int64, advice int) abi.Errno {
	return number(unix.Fadvise(fd, off, n, advice))
}

func (*system) Allocate(fd int, off, n int64) abi.Errno {
	_, e := again(func() (struct{}, error) { return none(unix.Fallocate(fd, 0, off, n)) })
	return e
}

func (*system) Truncate(fd int, size int64) abi.Errno { return number(unix.Ftruncate(fd, size)) }

func stat(st *unix.Stat_t, err error) (wasi.Stat, abi.Errno) {
	return wasi.Stat{Dev: st.Dev, Ino: st.Ino, Nlink: uint64(st.Nlink), Mode: st.Mode, Size: uint64(st.Size),
		Atime: st.Atim.Nano(), Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}, number(err)
}

func (*system) Stat(fd int) (wasi.Stat, abi.Errno) {
	var st unix.Stat_t
	return stat(&st, unix.Fstat(fd, &st))
}

func (*system) Dirents(fd int, b []byte) (int, abi.Errno) {
	n, err := unix.Getdents(fd, b)
	return n, number(err)
}

func (*system) Terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func (*system) Readable(fd int) (int, abi.Errno) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return n, number(err)
}

func (s *system) Inherited() []int { return s.inherited }

// openFiles are the process's descriptors. It is called before it opens any.
func openFiles() []int {
	fd, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var out []int
	buf := make([]byte, 8<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			slices.Sort(out)
			return out
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, s := range names {
			f, err := strconv.Atoi(s)
			if err != nil || f == fd {
				continue
			}
			// What the runtime opened for itself is closed on exec, as nothing
			// that came through exec is.
			if fl, err := unix.FcntlInt(uintptr(f), unix.F_GETFD, 0); err == nil && fl&unix.FD_CLOEXEC == 0 {
				out = append(out, f)
			}
		}
	}
}

func (*system) Openat(fd int, path string, flags int, beneath bool) (int, abi.Errno) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC)}
	if flags&unix.O_PATH == 0 {
		how.Flags |= unix.O_NOCTTY // openat2 refuses the two together
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = 0o666
	}
	return again(func() (int, error) {
		if !beneath {
			return unix.Openat(fd, path, int(how.Flags), uint32(how.Mode))
		}
		how.Resolve = unix.RESOLVE_BENEATH
		return unix.Openat2(fd, path, &how)
	})
}

func (*system) Statat(fd int, path string, follow bool) (wasi.Stat, abi.Errno) {
	var st unix.Stat_t
	flags := 0
	if !follow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	return stat(&st, unix.Fstatat(fd, path, &st, flags))
}

func (*system) SetTimes(fd int, path string, follow bool, atime, mtime int64) abi.Errno {
	var ts [2]unix.Timespec
	for i, t := range [2]int64{atime, mtime} {
		switch t {
		case wasi.TimeNow:
			ts[i].Nsec = unix.UTIME_NOW
		case wasi.TimeKeep:
			ts[i].Nsec = unix.UTIME_OMIT
		default:
			ts[i] = unix.NsecToTimespec(t)
		}
	}
	flags := 0
	switch {
	case path == "":
		flags = unix.AT_EMPTY_PATH
	case !follow:
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	return number(unix.UtimesNanoAt(fd, path, ts[:], flags))
}

func (*system) Mkdirat(fd int, path string) abi.Errno { return number(unix.Mkdirat(fd, path, 0o777)) }

func (*system) Unlinkat(fd int, path string, dir bool) abi.Errno {
	flags := 0
	if dir {
		flags = unix.AT_REMOVEDIR
	}
	return number(unix.Unlinkat(fd, path, flags))
}

func (*system) Linkat(ofd int, old string, nfd int, new string, follow bool) abi.Errno {
	flags := 0
	switch {
	case old == "":
		// By its descriptor: /proc is how one without privileges can.
		ofd, old, flags = unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(ofd), unix.AT_SYMLINK_FOLLOW
	case follow:
		flags = unix.AT_SYMLINK_FOLLOW
	}
	return number(unix.Linkat(ofd, old, nfd, new, flags))
}

func (*system) Renameat(ofd int, old string, nfd int, new string) abi.Errno {
	return number(unix.Renameat(ofd, old, nfd, new))
}

func (*system) Symlinkat(target string, fd int, path string) abi.Errno {
	return number(unix.Symlinkat(target, fd, path))
}

func (*system) Readlinkat(fd int, path string, b []byte) (int, abi.Errno) {
	n, err := unix.Readlinkat(fd, path, b)
	return n, number(err)
}

// clocks are Linux's numbers of preview 1's.
var clocks = [...]int32{unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_PROCESS_CPUTIME_ID, unix.CLOCK_THREAD_CPUTIME_ID}

func (*system) Clock(id uint32) (int64, abi.Errno) {
	var ts unix.Timespec
	err := unix.ClockGettime(clocks[id], &ts)
	return ts.Nano(), number(err)
}

func (*system) Resolution(id uint32) (int64, abi.Errno) {
	var ts unix.Timespec
	err := unix.ClockGetres(clocks[id], &ts)
	return ts.Nano(), number(err)
}

func (*system) Random(b []byte) abi.Errno {
	for len(b) > 0 {
		n, e := again(func() (int, error) { return unix.Getrandom(b[:min(len(b), 1<<20)], 0) })
		if e != 0 {
			return e
		}
		b = b[n:]
	}
	return 0
}

func (*system) Poll(f []wasi.PollFD, timeout int64) (int, abi.Errno) {
	fds := make([]unix.PollFd, len(f))
	for i := range f {
		fds[i].Fd = int32(f[i].FD)
		if f[i].Read {
			fds[i].Events |= unix.POLLIN | unix.POLLRDHUP
		}
		if f[i].Write {
			fds[i].Events |= unix.POLLOUT
		}
	}
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(timeout)
		ts = &t
	}
	n, err := unix.Ppoll(fds, ts, nil)
	if err != nil {
		return 0, number(err)
	}
	for i := range f {
		re := fds[i].Revents
		f[i].Ready = re&(unix.POLLIN|unix.POLLOUT|unix.POLLERR) != 0
		f[i].Hangup = re&(unix.POLLHUP|unix.POLLRDHUP) != 0
		f[i].Invalid = re&unix.POLLNVAL != 0
	}
	return n, 0
}

func (*system) Exit(status int) { unix.Exit(status) }

func (*system) Accept(fd int, nonblock bool) (int, abi.Errno) {
	flags := unix.SOCK_CLOEXEC
	if nonblock {
		flags |= unix.SOCK_NONBLOCK
	}
	return again(func() (int, error) {
		n, _, err := unix.Accept4(fd, flags)
		return n, err
	})
}

func (*system) Recv(fd int, v [][]byte, peek, waitAll bool) (int, bool, abi.Errno) {
	flags := 0
	if peek {
		flags |= unix.MSG_PEEK
	}
	if waitAll {
		flags |= unix.MSG_WAITALL
	}
	truncated := false
	n, e := again(func() (int, error) {
		n, _, got, _, err := unix.RecvmsgBuffers(fd, v, nil, flags)
		truncated = got&unix.MSG_TRUNC != 0
		return n, err
	})
	return n, truncated, e
}

func (*system) Send(fd int, v [][]byte) (int, abi.Errno) {
	return again(func() (int, error) { return unix.SendmsgBuffers(fd, v, nil, nil, unix.MSG_NOSIGNAL) })
}

func (*system) Shutdown(fd, how int) abi.Errno { return number(unix.Shutdown(fd, how)) }

func (*system) Stream(fd int) bool {
	t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && t != unix.SOCK_DGRAM
}

func (*system) Reserve(n uint64) ([]byte, abi.Errno) {
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	return b, number(err)
}

func (*system) Commit(b []byte, n uint64) abi.Errno {
	if n == 0 {
		return 0
	}
	return number(unix.Mprotect(b[:n], unix.PROT_READ|unix.PROT_WRITE))
}

// raisePatience is how long a signal that ends the process may take to do so.
const raisePatience = time.Second

func (s *system) Raise(sig int) abi.Errno {
	if s.ignores(sig) {
		return 0
	}
	setSignal(sig, false)
	if err := unix.Kill(unix.Getpid(), unix.Signal(sig)); err != nil {
		return number(err)
	}
	switch unix.Signal(sig) {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return 0
	}
	// Another thread may be the one that takes it; the module must not go on.
	time.Sleep(raisePatience)
	return 0
}
