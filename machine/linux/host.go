// Package linux is the machine layer on a Linux/amd64 host: memory objects are
// memfds, doorbells are eventfds, a control channel is an AF_UNIX SOCK_SEQPACKET
// pair, a context is a host process that a pidfd stands for.
//
// One goroutine, the reactor, waits for all channels and processes of a
// machine. No host thread sleeps in a host call.
package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
)

// Spawner starts fresh guest tasks: the zygote.
type Spawner interface {
	// Spawn asks for a fresh task that owns copies of the three descriptors.
	// It returns once the request is handed over.
	Spawn(control, area, doorbell int) error
	// Stop ends the reaper, and with it every guest task, and waits for it.
	Stop()
}

// Options say how a machine is made.
type Options struct {
	// Exe is the program that servers are; "" is the running one.
	Exe string
	// Processors are those on which its tasks run; none: where the caller may run.
	Processors machine.Processors
	// Nice is the lowest nice value that tasks may be given, if it is below 0; else it is
	// that of the caller. Priority is the highest fixed priority, 0 for none; Deadline says
	// whether they may have shares by deadline. What the host refuses they get not either.
	Nice     int32
	Priority uint32
	Deadline bool
	// Log takes what the machine layer itself has to say.
	Log func(line string)
}

// Machine implements machine.Machine.
type Machine struct {
	opts    Options
	all     bool // its processors are those of the caller
	may     machine.Scheduling
	start   time.Time
	reactor *reactor
	null    *os.File

	mu      sync.Mutex
	spawner Spawner
	servers map[*channel]bool // processes that have to be waited for
	closed  bool
	idle    chan struct{} // closed when closed and no server is left

	umu     sync.Mutex // guards what Usage counts; taken last
	objects map[*file]bool
	guests  map[*channel]int // their host pids
}

var raiseOnce sync.Once

// New makes a machine. It raises the process's limit of descriptors to the hard
// limit, once.
func New(opts Options) (*Machine, error) {
	if rootInside() {
		return nil, errRootInside
	}
	raiseOnce.Do(func() {
		var r unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil && r.Cur < r.Max {
			r.Cur = r.Max
			_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &r) // the old limit serves, with fewer tasks
		}
	})
	go startThreads() // the host takes a while, and nothing needs them yet
	if opts.Exe == "" {
		opts.Exe = "/proc/self/exe"
	}
	own := ownProcessors()
	all := opts.Processors == machine.Processors{}
	switch {
	case all:
		opts.Processors = own
	case opts.Processors.And(own) != opts.Processors:
		return nil, fmt.Errorf("processors %s: %w; it may use %s", opts.Processors, ErrProcessors, own)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("machine: %w", err)
	}
	m := &Machine{opts: opts, all: all, may: hostScheduling(&opts), start: time.Now(), null: null,
		servers: map[*channel]bool{}, idle: make(chan struct{}), objects: map[*file]bool{}, guests: map[*channel]int{}}
	if m.reactor, err = newReactor(); err != nil {
		_ = null.Close()
		return nil, err
	}
	return m, nil
}

// SetSpawner gives the machine what starts its guest tasks; the machine stops
// it in Close, or here if it is closed already.
func (m *Machine) SetSpawner(s Spawner) {
	m.mu.Lock()
	closed := m.closed
	if !closed {
		m.spawner = s
	}
	m.mu.Unlock()
	if closed {
		s.Stop()
	}
}

func (m *Machine) log(format string, args ...any) {
	if m.opts.Log != nil {
		m.opts.Log(fmt.Sprintf(format, args...))
	}
}

// ErrClosed: the machine is closed.
var ErrClosed = errors.New("machine: closed")

// Close ends every process of the machine and waits until they are gone. The
// nucleus is stopped before (Kernel.Stop); no sink is called afterwards.
func (m *Machine) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	sp := m.spawner
	m.spawner = nil
	for c := range m.servers {
		c.Kill("the machine is closed")
	}
	if len(m.servers) == 0 {
		close(m.idle)
	}
	m.mu.Unlock()
	if sp != nil {
		sp.Stop()
	}
	<-m.idle
	m.reactor.stop()
	_ = m.null.Close()
}

// file is a counted descriptor.
type file struct {
	fd   int
	refs atomic.Int32
	m    *Machine // memory objects: whose they are, for Usage; else nil
	near *channel // far ends of channels: the other end; else nil
}

func newFile(fd int) *file {
	f := &file{fd: fd}
	f.refs.Store(1)
	return f
}

// Retain implements machine.Handle.
func (f *file) Retain() { f.refs.Add(1) }

// Release implements machine.Handle.
func (f *file) Release() {
	if f.refs.Add(-1) != 0 {
		return
	}
	if f.m != nil {
		f.m.umu.Lock()
		delete(f.m.objects, f)
		f.m.umu.Unlock()
	}
	_ = unix.Close(f.fd)
}

// HandleOf makes a handle of a descriptor, which it takes over.
func HandleOf(fd int) machine.Handle { return newFile(fd) }

// FD is the descriptor behind a handle that this package made. It stays the
// handle's.
func FD(h machine.Handle) int { return h.(*file).fd }

// memfdNoexec is 0 once the host refused MFD_NOEXEC_SEAL (before Linux 6.3).
var memfdNoexec atomic.Int32

func init() { memfdNoexec.Store(unix.MFD_NOEXEC_SEAL) }

// NewObject implements machine.Machine. The memfd can grow, but is sealed against
// shrinking if it is not to: a server that maps it must not get SIGBUS from
// another holder.
func (m *Machine) NewObject(size uint64, name string, shrinks bool) (machine.Handle, error) {
	if len(name) > 64 {
		name = name[:64]
	}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("hythe:"+name, flags|int(memfdNoexec.Load()))
	if err == unix.EINVAL {
		memfdNoexec.Store(0)
		fd, err = unix.MemfdCreate("hythe:"+name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memory object: %w", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("memory object: %w", err)
	}
	if !shrinks {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("memory object: %w", err)
		}
	}
	f := newFile(fd)
	f.m = m
	m.umu.Lock()
	m.objects[f] = true
	m.umu.Unlock()
	return f, nil
}

// ObjectSize implements machine.Machine: regular files and memfds have one, sockets of TCP that are
// connected 0, and so have epoll sets. A socket of another kind could carry descriptors to others, or reach them.
func (m *Machine) ObjectSize(h machine.Handle) (uint64, bool) {
	var st unix.Stat_t
	if err := unix.Fstat(FD(h), &st); err != nil {
		return 0, false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return uint64(st.Size), true
	case unix.S_IFSOCK:
		p, err := unix.GetsockoptInt(FD(h), unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err != nil || p != unix.IPPROTO_TCP {
			return 0, false
		}
		_, err = unix.Getpeername(FD(h))
		return 0, err == nil
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", FD(h)))
	return 0, err == nil && name == "anon_inode:[eventpoll]"
}

// ReadOnly implements machine.Machine: the file is opened again for reading, so
// the new description can never be written or mapped shared and writable.
func (m *Machine) ReadOnly(h machine.Handle) (machine.Handle, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", FD(h)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read-only object: %w", err)
	}
	return newFile(fd), nil
}

// Freeze implements machine.Machine. What is frozen does not shrink either.
func (m *Machine) Freeze(h machine.Handle) error {
	_, err := unix.FcntlInt(uintptr(FD(h)), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	return err
}

// NewDoorbell implements machine.Machine.
func (m *Machine) NewDoorbell() (machine.Handle, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("doorbell: %w", err)
	}
	return newFile(fd), nil
}

// FormatBinding implements machine.Machine: Magic and NumSlots; the rest of a
// fresh area is zero as it has to be.
func (m *Machine) FormatBinding(h machine.Handle, slots uint32) error {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], abi.BindMagic)
	binary.LittleEndian.PutUint32(b[8:], slots)
	if n, err := unix.Pwrite(FD(h), b[:], 0); err != nil || n != len(b) {
		return fmt.Errorf("binding: %w", err)
	}
	return nil
}

// Requests implements machine.Machine. Slots that nobody has used are holes.
func (m *Machine) Requests(h machine.Handle, slots uint32) int {
	n := 0
	for i := int64(0); i < int64(slots); i++ {
		at := abi.BindHeaderSize + i*abi.SlotSize
		data, err := unix.Seek(FD(h), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err == nil && data > at {
			i = (data-abi.BindHeaderSize+abi.SlotSize-1)/abi.SlotSize - 1
			continue
		}
		var b [20]byte // the first words of abi.Slot
		if _, err := unix.Pread(FD(h), b[:], at); err != nil {
			continue
		}
		state, kind := binary.NativeEndian.Uint32(b[:]), binary.NativeEndian.Uint32(b[16:])
		if (state == abi.SlotRequest || state == abi.SlotResumed) && kind != abi.KindStart {
			n++
		}
	}
	return n
}

// window is where the emulation library begins in each task, 0 if there are none.
func (m *Machine) window() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w, ok := m.spawner.(interface{ Window() uintptr }); ok {
		return uint64(w.Window())
	}
	return 0
}

// Spawn implements machine.Machine.
func (m *Machine) Spawn(far, area, doorbell machine.Handle) error {
	m.mu.Lock()
	s := m.spawner
	m.mu.Unlock()
	if s == nil {
		return errors.New("machine: it has no zygote")
	}
	return s.Spawn(FD(far), FD(area), FD(doorbell))
}

// Now implements machine.Machine.
func (m *Machine) Now() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return uint64(time.Since(m.start))
	}
	return uint64(ts.Nano())
}

type timer struct{ *time.Timer }

func (t timer) Stop() { t.Timer.Stop() }

// After implements machine.Machine. f runs on a goroutine of its own.
func (m *Machine) After(ns uint64, f func()) machine.Timer {
	return timer{time.AfterFunc(time.Duration(min(ns, 1<<62)), f)}
}

// Go implements machine.Machine.
func (m *Machine) Go(f func()) { go f() }

// TakeFD gives the descriptor of a handle away: it is the caller's, the handle's
// reference is dropped. For the far end of a channel that is served in the
// nucleus's own process.
func TakeFD(h machine.Handle) (int, error) {
	defer h.Release()
	fd, err := unix.FcntlInt(uintptr(FD(h)), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, fmt.Errorf("machine: %w", err)
	}
	return fd, nil
}

var _ machine.Machine = (*Machine)(nil)
