package object

import (
	"golang.org/x/sys/unix"

	"hythe/abi"
)

// Local makes objects in this process alone, without a nucleus: for tests, and
// for a server that runs inside another process. Objects last as long as Local.
type Local struct {
	byLabel map[string]*kept
	next    uint64
}

type kept struct {
	fd   int
	name uint64
}

// NewLocal makes an empty set of objects.
func NewLocal() *Local { return &Local{byLabel: map[string]*kept{}} }

// Create implements Objects.
func (l *Local) Create(label string) (Object, abi.Errno) {
	if l.byLabel[label] != nil {
		return nil, abi.EEXIST
	}
	fd, err := unix.MemfdCreate("hythe", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, Errno(err)
	}
	return l.keep(fd, label)
}

func (l *Local) keep(fd int, label string) (Object, abi.Errno) {
	l.next++
	l.byLabel[label] = &kept{fd, l.next}
	o, ok := l.Open(label)
	if !ok {
		return nil, abi.EMFILE
	}
	return o, 0
}

// Open implements Objects.
func (l *Local) Open(label string) (Object, bool) {
	k := l.byLabel[label]
	if k == nil {
		return nil, false
	}
	fd, err := unix.FcntlInt(uintptr(k.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, false
	}
	return NewFile(fd, k.name), true
}

// Import implements Objects.
func (l *Local) Import(fd int, label string, _ bool) (Object, abi.Errno) {
	if o, ok := l.Open(label); ok {
		return o, 0
	}
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, Errno(err)
	}
	return l.keep(d, label)
}

// Free implements Objects.
func (l *Local) Free(label string) {
	if k := l.byLabel[label]; k != nil {
		unix.Close(k.fd)
		delete(l.byLabel, label)
	}
}

// Len implements Objects.
func (l *Local) Len() int { return len(l.byLabel) }

// Close ends all objects.
func (l *Local) Close() {
	for label, k := range l.byLabel {
		unix.Close(k.fd)
		delete(l.byLabel, label)
	}
}
