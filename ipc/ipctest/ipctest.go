// Package ipctest stands in for the nucleus in tests of servers: control
// channels, memory objects and bindings over real descriptors, between
// goroutines of one process, and the start of a server's next incarnation.
package ipctest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
)

// Nucleus is a nucleus of a test: it keeps objects and bindings, and knows each
// server by the name under which it was started.
type Nucleus struct {
	t    testing.TB
	mu   sync.Mutex
	next uint64
	objs map[abi.Name]object
	bnds map[uint64]*binding
	tsks map[string]*Task
}

type object struct {
	fd    int
	label string
	owner string
}

type binding struct {
	id             uint64
	slots          int
	label          string
	server, client string
	fds            [3]int
}

// Task is one incarnation of a server.
type Task struct {
	Conn *ipc.Conn
	// In is what the incarnation inherited; Startup has run.
	In *ipc.Inheritance
	// Ready is closed when the server says that it is ready; Logs gets its lines.
	Ready chan struct{}

	n    *Nucleus
	name string
	inc  uint64
	fd   int // the nucleus's end
	once sync.Once
}

// New makes a nucleus that ends with the test.
func New(t testing.TB) *Nucleus {
	n := &Nucleus{t: t, next: 100, objs: map[abi.Name]object{}, bnds: map[uint64]*binding{}, tsks: map[string]*Task{}}
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, o := range n.objs {
			_ = unix.Close(o.fd)
		}
		for _, b := range n.bnds {
			for _, fd := range b.fds {
				_ = unix.Close(fd)
			}
		}
		for _, t := range n.tsks {
			_ = unix.Shutdown(t.fd, unix.SHUT_RDWR)
		}
	})
	return n
}

// Memfd makes a memory object's storage.
func Memfd(t testing.TB, size int64) int {
	t.Helper()
	fd, err := unix.MemfdCreate("ipctest", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	return fd
}

func dup(t testing.TB, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// format makes the descriptors of a fresh binding.
func format(t testing.TB, slots int) (fds [3]int) {
	t.Helper()
	fds[0] = Memfd(t, abi.BindHeaderSize+int64(slots)*abi.SlotSize)
	var h [12]byte
	binary.LittleEndian.PutUint64(h[:], abi.BindMagic)
	binary.LittleEndian.PutUint32(h[8:], uint32(slots))
	if _, err := unix.Pwrite(fds[0], h[:], 0); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 3; i++ {
		var err error
		if fds[i], err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

// Raw makes a binding without any nucleus: Server and Client give ends of it
// as often as wanted (new incarnations).
type Raw struct {
	FDs   [3]int
	Slots int
	t     testing.TB
}

// NewRaw formats a binding of slots slots.
func NewRaw(t testing.TB, slots int) *Raw {
	r := &Raw{format(t, slots), slots, t}
	t.Cleanup(func() {
		for _, fd := range r.FDs {
			_ = unix.Close(fd)
		}
	})
	return r
}

func (r *Raw) bound(role uint64) *ipc.Bound {
	return &ipc.Bound{ID: 1, Role: role, Slots: r.Slots, Redelivered: true, Label: "raw",
		FDs: []int{dup(r.t, r.FDs[0]), dup(r.t, r.FDs[1]), dup(r.t, r.FDs[2])}}
}

// Server opens the server's end.
func (r *Raw) Server() *ipc.ServerBinding {
	r.t.Helper()
	b, err := ipc.NewServerBinding(r.bound(abi.RoleServer))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// Client opens the client's end.
func (r *Raw) Client() *ipc.ClientBinding {
	r.t.Helper()
	b, err := ipc.NewClientBinding(r.bound(abi.RoleClient))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// Rung is how often the server's doorbell was rung since the last time. An end is open.
func (r *Raw) Rung() uint64 {
	var b [8]byte
	if n, _ := unix.Read(r.FDs[1], b[:]); n != len(b) {
		return 0 // EAGAIN: the ends do not wait
	}
	return binary.LittleEndian.Uint64(b[:])
}

// Start starts an incarnation of the server called name with a configuration.
// It inherits the objects and bindings of the one before, which must have ended
// (Kill). sends are servers to which it gets send rights, labelled with their
// names.
func (n *Nucleus) Start(name, config string, sends ...string) *Task {
	n.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	t := &Task{n: n, name: name, fd: pair[0], Ready: make(chan struct{}), inc: 1}
	n.mu.Lock()
	if old := n.tsks[name]; old != nil {
		t.inc = old.inc + 1
	}
	n.tsks[name] = t
	for i, s := range sends {
		t.post(abi.EventInherit, 0, 0, [6]uint64{uint64(10 + i), abi.RightSend}, []byte(s), nil)
	}
	for nm, o := range n.objs {
		if o.owner == name {
			t.post(abi.EventInherit, 0, 0, [6]uint64{uint64(nm), abi.RightObject}, []byte(o.label), []int{o.fd})
		}
	}
	for _, b := range n.bnds {
		if b.server == name {
			t.post(abi.EventBinding, 0, 0, [6]uint64{b.id, abi.RoleServer, uint64(b.slots), 2, 1}, []byte(b.label), b.fds[:])
		}
		if b.client == name {
			t.post(abi.EventBinding, 0, 0, [6]uint64{b.id, abi.RoleClient, uint64(b.slots), 0, 1}, []byte(b.label), b.fds[:])
		}
	}
	t.post(abi.EventGo, 0, 0, [6]uint64{t.inc}, []byte(config), nil)
	n.mu.Unlock()
	go t.serve(sends)
	if t.Conn, err = ipc.Dial(pair[1]); err != nil {
		n.t.Fatal(err)
	}
	if t.In, err = ipc.Startup(t.Conn); err != nil {
		n.t.Fatal(err)
	}
	return t
}

// Kill ends an incarnation's channel: its Conn fails. What it keeps mapped stays.
func (t *Task) Kill() { _ = unix.Shutdown(t.fd, unix.SHUT_RDWR) }

// Stop asks the server to end (EventStop).
func (t *Task) Stop() { t.post(abi.EventStop, 0, 0, [6]uint64{}, nil, nil) }

func (t *Task) post(op uint32, id uint64, e abi.Errno, a [6]uint64, inline []byte, fds []int) {
	b := make([]byte, abi.CallHeaderSize, abi.CallHeaderSize+len(inline))
	le := binary.LittleEndian
	le.PutUint32(b, op)
	le.PutUint32(b[4:], uint32(len(fds)))
	le.PutUint64(b[8:], id)
	le.PutUint32(b[16:], uint32(e))
	le.PutUint32(b[20:], uint32(len(inline)))
	for i, x := range a {
		le.PutUint64(b[24+8*i:], x)
	}
	b = append(b, inline...)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_ = unix.Sendmsg(t.fd, b, oob, nil, unix.MSG_NOSIGNAL)
}

func (t *Task) serve(sends []string) {
	defer func() { _ = unix.Close(t.fd) }()
	buf := make([]byte, abi.CallHeaderSize+abi.MaxInline)
	oob := make([]byte, unix.CmsgSpace(4*abi.MaxObjects))
	for {
		n, oobn, _, _, err := unix.Recvmsg(t.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < abi.CallHeaderSize {
			return
		}
		var fds []int
		if m, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for i := range m {
				f, _ := unix.ParseUnixRights(&m[i])
				fds = append(fds, f...)
			}
		}
		le := binary.LittleEndian
		var a [6]uint64
		for i := range a {
			a[i] = le.Uint64(buf[24+8*i:])
		}
		t.call(le.Uint32(buf), le.Uint64(buf[8:]), a, string(buf[abi.CallHeaderSize:n]), fds, sends)
	}
}

func (t *Task) call(op uint32, id uint64, a [6]uint64, inline string, fds []int, sends []string) {
	n := t.n
	n.mu.Lock()
	defer n.mu.Unlock()
	reply := func(e abi.Errno, a [6]uint64, fds ...int) { t.post(abi.EventReply, id, e, a, nil, fds) }
	switch op {
	case abi.CallObjectCreate:
		n.next++
		fd := Memfd(n.t, int64(a[0]))
		n.objs[abi.Name(n.next)] = object{fd, inline, t.name}
		reply(0, [6]uint64{n.next}, fd)
	case abi.CallObjectImport:
		if len(fds) != 1 {
			reply(abi.EINVAL, a)
			return
		}
		n.next++
		n.objs[abi.Name(n.next)] = object{fds[0], inline, t.name}
		reply(0, [6]uint64{n.next})
	case abi.CallObjectFD:
		o, ok := n.objs[abi.Name(a[0])]
		if !ok {
			reply(abi.EINVAL, a)
			return
		}
		reply(0, a, o.fd)
	case abi.CallObjectGrant:
		b, o := n.bnds[a[0]], n.objs[abi.Name(a[1])]
		if b == nil || o.owner == "" {
			reply(abi.EINVAL, a)
			return
		}
		peer := n.tsks[b.client]
		if t.name == b.client {
			peer = n.tsks[b.server]
		}
		fd := o.fd
		if a[2] == 1 {
			var err error
			if fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", o.fd), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				reply(abi.EIO, a)
				return
			}
			defer func() { _ = unix.Close(fd) }()
		}
		// The peer can grant on what it was granted.
		n.next++
		n.objs[abi.Name(n.next)] = object{dup(n.t, fd), "", peer.name}
		peer.post(abi.EventGrant, 0, 0, [6]uint64{b.id, n.next, 0, a[3]}, nil, []int{fd})
		reply(0, a)
	case abi.CallBind:
		i := int(a[0]) - 10
		if i < 0 || i >= len(sends) || n.tsks[sends[i]] == nil || a[1] < 1 || a[1] > abi.MaxSlots {
			reply(abi.EINVAL, a)
			return
		}
		n.next++
		b := &binding{n.next, int(a[1]), inline, sends[i], t.name, format(n.t, int(a[1]))}
		n.bnds[b.id] = b
		n.tsks[b.server].post(abi.EventBinding, 0, 0, [6]uint64{b.id, abi.RoleServer, a[1], 2}, []byte(inline), b.fds[:])
		reply(0, [6]uint64{b.id}, b.fds[:]...)
	case abi.CallUnbind:
		b := n.bnds[a[0]]
		if b == nil {
			reply(abi.EINVAL, a)
			return
		}
		delete(n.bnds, a[0])
		for _, name := range []string{b.server, b.client} {
			if name != t.name {
				n.tsks[name].post(abi.EventUnbound, 0, 0, a, nil, nil)
			}
		}
		for _, fd := range b.fds {
			_ = unix.Close(fd)
		}
		reply(0, a)
	case abi.CallReady:
		t.once.Do(func() { close(t.Ready) })
		reply(0, a)
	case abi.CallLog:
		reply(0, a)
	default:
		reply(abi.ENOSYS, a)
	}
}
