package console

import (
	"sync"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/console"
)

// streams are the host's files behind the three streams.
type streams struct {
	fds  [proto.Streams]int // -1: none
	info [proto.Streams]proto.Info
	term int // the descriptor of the terminal, or -1

	mu    sync.Mutex
	saved unix.Termios // how the terminal was before Hythe
	raw   bool
}

// Inspect says what a descriptor is as a stream, -1 of none.
func Inspect(fd int) proto.Info {
	v, _ := inspect(fd)
	return v
}

// inspect answers a terminal's settings too.
func inspect(fd int) (proto.Info, *unix.Termios) {
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return proto.Info{Flags: proto.InfoClosed}, nil
	}
	v := proto.Info{Mode: st.Mode}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		v.Size = uint64(st.Size)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return v, nil
	}
	v.Flags = proto.InfoTerminal
	return v, t
}

// newStreams looks at the descriptors that the configuration names. A terminal
// must be set as its user had it, or saved must say how that was.
func newStreams(fds [proto.Streams]int, saved *unix.Termios) *streams {
	s := &streams{fds: fds, term: -1}
	for i, fd := range fds {
		var t *unix.Termios
		if s.info[i], t = inspect(fd); s.info[i].Flags&proto.InfoClosed != 0 {
			s.fds[i] = -1
		}
		if t != nil && s.term < 0 {
			s.term = fd
			s.saved = *t
			if saved != nil {
				s.saved = *saved
				s.raw = *saved != *t // a predecessor died with the terminal changed
			}
		}
	}
	return s
}

// Wait sleeps in poll(2), which a terminal or pipe that is not ready makes
// wait without the effects of a read or write that waits.
func (s *streams) Wait(i int, write bool) {
	p := []unix.PollFd{{Fd: int32(s.fds[i]), Events: unix.POLLIN}}
	if write {
		p[0].Events = unix.POLLOUT
	}
	for {
		n, err := unix.Poll(p, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return // errors show in the read or write that follows
		}
	}
}

func (s *streams) Read(i int, buf []byte) (int, abi.Errno) {
	n, err := unix.Read(s.fds[i], buf)
	if err == unix.EIO && s.info[i].Flags&proto.InfoTerminal != 0 {
		return 0, 0 // the terminal was hung up: the end of the input
	}
	return max(n, 0), errno(err)
}

func (s *streams) ReadAt(i int, buf []byte, off int64) (int, abi.Errno) {
	n, err := unix.Pread(s.fds[i], buf, off)
	return max(n, 0), errno(err)
}

func (s *streams) Write(i int, data []byte) (int, abi.Errno) {
	n, err := unix.Write(s.fds[i], data)
	return max(n, 0), errno(err)
}

// errno makes a neutral error of the host's: abi has Linux's numbers.
func errno(err error) abi.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(unix.Errno); ok {
		return abi.Errno(e)
	}
	return abi.EIO
}

// Offset is that of a regular file; what else can be sought in (devices) does
// not count bytes.
func (s *streams) Offset(i int) int64 {
	if s.info[i].Mode&unix.S_IFMT != unix.S_IFREG {
		return -1
	}
	off, err := unix.Seek(s.fds[i], 0, unix.SEEK_CUR)
	if err != nil {
		return -1
	}
	return off
}

func (s *streams) Info(i int) proto.Info { return s.info[i] }

func (s *streams) Size() proto.Size {
	if s.term < 0 {
		return proto.Size{}
	}
	w, err := unix.IoctlGetWinsize(s.term, unix.TIOCGWINSZ)
	if err != nil {
		return proto.Size{}
	}
	return proto.Size{Rows: w.Row, Cols: w.Col, XPixel: w.Xpixel, YPixel: w.Ypixel}
}

func (s *streams) SetRaw(on bool) abi.Errno {
	if s.term < 0 {
		return abi.ENOTTY
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.saved
	if on {
		makeRaw(&t)
	}
	if err := unix.IoctlSetTermios(s.term, unix.TCSETSW, &t); err != nil {
		return errno(err)
	}
	s.raw = on
	return 0
}

// makeRaw is cfmakeraw(3): bytes pass as they are, one at a time, and no key
// makes a signal.
func makeRaw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN] = 1
	t.Cc[unix.VTIME] = 0
}

// restore sets the terminal as it was.
func (s *streams) restore() {
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if raw {
		s.SetRaw(false)
	}
}
