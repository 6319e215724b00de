package ipc

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// one checks that a reply brought n descriptors and gives them; a nucleus that
// answers otherwise is out of order, and the call failed.
func (r *Reply) fds(n int) ([]int, abi.Errno) {
	if len(r.FDs) != n {
		closeAll(r.FDs)
		return nil, abi.EPROTO
	}
	return r.FDs, 0
}

// CreateObject makes a memory object of size bytes with a durable label ("" for
// none); the caller owns the descriptor. It does not shrink, so that it can be
// mapped. ENOMEM, EINVAL, EMFILE.
func (c *Conn) CreateObject(size uint64, label string) (abi.Name, int, abi.Errno) {
	return c.createObject(size, 0, label)
}

// CreateFile is CreateObject of one that can be made shorter: it is for others to
// map, and its maker reads and writes it by its descriptor.
func (c *Conn) CreateFile(size uint64, label string) (abi.Name, int, abi.Errno) {
	return c.createObject(size, abi.ObjectShrinks, label)
}

func (c *Conn) createObject(size, flags uint64, label string) (abi.Name, int, abi.Errno) {
	r, err := c.Call(abi.CallObjectCreate, [6]uint64{size, flags}, []byte(label), nil)
	if err != 0 {
		return 0, -1, err
	}
	f, err := r.fds(1)
	if err != 0 {
		return 0, -1, err
	}
	return abi.Name(r.A[0]), f[0], 0
}

// CreatePlaced makes a memory object that has an address: one that no other object of the
// machine has, and at which MapObject maps it in every task, so that pointers in it are
// right for all of them. A task pays for it a little more, by its size.
func (c *Conn) CreatePlaced(size uint64, label string) (abi.Name, int, abi.Errno) {
	return c.createObject(size, abi.ObjectPlaced, label)
}

// ObjectAddress is the address of an object that has one, else 0.
func (c *Conn) ObjectAddress(object abi.Name) (uint64, abi.Errno) {
	r, err := c.Call(abi.CallPortStatus, [6]uint64{uint64(object)}, nil, nil)
	if err != 0 {
		return 0, err
	}
	if r.A[0] != 1<<abi.RightObject {
		return 0, abi.EPERM
	}
	return r.A[2], 0
}

// ImportObject makes a memory object of the host file fd, which stays the
// caller's.
func (c *Conn) ImportObject(fd int, label string) (abi.Name, abi.Errno) {
	r, err := c.Call(abi.CallObjectImport, [6]uint64{}, []byte(label), []int{fd})
	return abi.Name(r.A[0]), err
}

// ObjectFD gives a new descriptor of a memory object.
func (c *Conn) ObjectFD(object abi.Name, readOnly bool) (int, abi.Errno) {
	fd, _, err := c.objectFD(object, readOnly)
	return fd, err
}

// objectFD is ObjectFD, and answers the object's address, 0 if it has none.
func (c *Conn) objectFD(object abi.Name, readOnly bool) (int, uint64, abi.Errno) {
	r, err := c.Call(abi.CallObjectFD, [6]uint64{uint64(object), flag(readOnly)}, nil, nil)
	if err != 0 {
		return -1, 0, err
	}
	f, err := r.fds(1)
	if err != 0 {
		return -1, 0, err
	}
	return f[0], r.A[2], 0
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Grant gives the peer of a binding a descriptor of an object, under a tag by
// which it finds it. The peer has it in its control channel when this returns.
func (c *Conn) Grant(binding uint64, object abi.Name, readOnly bool, tag uint64) abi.Errno {
	_, err := c.Call(abi.CallObjectGrant, [6]uint64{binding, uint64(object), flag(readOnly), tag}, nil, nil)
	return err
}

// PostGrant is Grant that does not wait (see Post): what is written after it,
// here or on the binding, is seen by nobody before the object is on its way.
func (c *Conn) PostGrant(binding uint64, object abi.Name, readOnly bool, tag uint64, refused func(abi.Errno)) {
	c.Post(abi.CallObjectGrant, [6]uint64{binding, uint64(object), flag(readOnly), tag}, refused)
}

// Bind makes a binding to the receiver behind the send right, with the given
// number of slots; the label is told to the receiver, and to this task's next
// incarnation.
func (c *Conn) Bind(send abi.Name, slots int, label string) (*ClientBinding, abi.Errno) {
	if slots < 1 || slots > abi.MaxSlots {
		return nil, abi.EINVAL
	}
	r, err := c.Call(abi.CallBind, [6]uint64{uint64(send), uint64(slots)}, []byte(label), nil)
	if err != 0 {
		return nil, err
	}
	if _, err := r.fds(3); err != 0 {
		return nil, err
	}
	b, e := NewClientBinding(&Bound{ID: r.A[0], Role: abi.RoleClient, Slots: slots, Label: label, FDs: r.FDs})
	if e != nil {
		return nil, abi.ENOMEM
	}
	return c.client(b), 0
}

// Unbind ends a binding; the peer gets EventUnbound. Calls in progress on a
// client binding answer EIO.
func (c *Conn) Unbind(id uint64) abi.Errno {
	c.mu.Lock()
	b := c.clients[id]
	delete(c.clients, id)
	c.mu.Unlock()
	if b != nil {
		b.Break()
	}
	_, err := c.Call(abi.CallUnbind, [6]uint64{id}, nil, nil)
	return err
}

// TaskCreate makes a guest task: a fresh one, or (parent given) one that the
// parent will fork, which gets EventChannel with the tag. It answers the task's
// name and the binding on which the new task will speak.
func (c *Conn) TaskCreate(parent abi.Name, slots int, tag uint64) (abi.Name, *ServerBinding, abi.Errno) {
	if slots < 1 || slots > abi.MaxSlots {
		return 0, nil, abi.EINVAL
	}
	r, err := c.Call(abi.CallTaskCreate, [6]uint64{uint64(parent), uint64(slots), tag}, nil, nil)
	if err != 0 {
		return 0, nil, err
	}
	if _, err := r.fds(2); err != 0 {
		return 0, nil, err
	}
	b, e := newServerBinding(&Bound{ID: r.A[1], Role: abi.RoleServer, Slots: slots, FDs: r.FDs}, true)
	if e != nil {
		_ = c.TaskTerminate(abi.Name(r.A[0]))
		return 0, nil, abi.ENOMEM
	}
	return abi.Name(r.A[0]), b, 0
}

// TaskOpen lets a task make calls of the nucleus on a channel of its own, and gives it
// a copy of the send right first. It answers the task's name for that. It may be
// repeated.
func (c *Conn) TaskOpen(task, first abi.Name) (abi.Name, abi.Errno) {
	r, err := c.Call(abi.CallTaskOpen, [6]uint64{uint64(task), uint64(first)}, nil, nil)
	return abi.Name(r.A[0]), err
}

// TaskTerminate ends a task at once.
func (c *Conn) TaskTerminate(task abi.Name) abi.Errno {
	_, err := c.Call(abi.CallTaskTerminate, [6]uint64{uint64(task)}, nil, nil)
	return err
}

// Kick interrupts a thread of a task (hostID as in abi.Slot.HostID): it comes
// with KindPoll, or leaves the wait that it is in.
func (c *Conn) Kick(task abi.Name, hostID uint64) abi.Errno {
	_, err := c.Call(abi.CallThreadKick, [6]uint64{uint64(task), hostID}, nil, nil)
	return err
}

// Processors is a set of processors: bit i%64 of word i/64 is number i.
type Processors [abi.MaxCPUs / 64]uint64

func (p *Processors) bytes() []byte {
	b := make([]byte, 0, abi.MaxCPUs/8)
	for _, w := range p {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// ProcessorSet makes a set of processors, to which tasks can be assigned. EINVAL: one of
// them is not the machine's.
func (c *Conn) ProcessorSet(p Processors) (abi.Name, abi.Errno) {
	r, err := c.Call(abi.CallProcessorSet, [6]uint64{}, p.bytes(), nil)
	return abi.Name(r.A[0]), err
}

// ProcessorInfo says which processors are in a set, or, with NameNull, in the default set,
// and how many guest tasks.
func (c *Conn) ProcessorInfo(set abi.Name) (p Processors, tasks int, err abi.Errno) {
	r, err := c.Call(abi.CallProcessorInfo, [6]uint64{uint64(set)}, nil, nil)
	if err == 0 && len(r.Inline) != abi.MaxCPUs/8 {
		err = abi.EPROTO
	}
	if err != 0 {
		return p, 0, err
	}
	for i := range p {
		p[i] = binary.LittleEndian.Uint64(r.Inline[8*i:])
	}
	return p, int(r.A[1]), 0
}

// TaskAssign moves a task to a processor set, or, with NameNull, to the default one.
func (c *Conn) TaskAssign(task, set abi.Name) abi.Errno {
	_, err := c.Call(abi.CallTaskAssign, [6]uint64{uint64(task), 0, uint64(set)}, nil, nil)
	return err
}

// TaskProcessors lets a task, or the thread of it with this host id, run on some of the
// processors of its set. EINVAL: none of them is in it.
func (c *Conn) TaskProcessors(task abi.Name, hostID uint64, p Processors) abi.Errno {
	_, err := c.Call(abi.CallTaskAssign, [6]uint64{uint64(task), hostID, uint64(abi.NameDead)}, p.bytes(), nil)
	return err
}

// Policy is how a thread is scheduled.
type Policy struct {
	Class                     uint32 // abi.Class...
	Nice                      int32  // ClassNormal, ClassBatch, ClassIdle
	Priority                  uint32 // ClassFixed, ClassRound
	Runtime, Deadline, Period uint64 // ClassDeadline: ns
	Reset                     bool   // what the thread makes is of ClassNormal
}

// ThreadPolicy has the host schedule a task's thread with this host id, or, with 0, all of
// them. EPERM: the machine was not given so much; EOPNOTSUPP: the host refuses it; EBUSY:
// the host has no such share left.
func (c *Conn) ThreadPolicy(task abi.Name, hostID uint64, p Policy) abi.Errno {
	a := [6]uint64{uint64(task), hostID, uint64(p.Class), uint64(int64(p.Nice)), flag(p.Reset)}
	var b []byte
	switch p.Class {
	case abi.ClassFixed, abi.ClassRound:
		a[3] = uint64(p.Priority)
	case abi.ClassDeadline:
		a[3] = 0
		for _, v := range [...]uint64{p.Runtime, p.Deadline, p.Period} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	_, err := c.Call(abi.CallThreadPolicy, a, b, nil)
	return err
}

// Scheduling is what tasks of the machine may be given.
type Scheduling struct {
	Classes  uint32 // bits 1<<abi.Class...
	Nice     int32  // the lowest nice value
	Priority uint32 // the highest fixed one
}

// Scheduling asks what tasks may be given.
func (c *Conn) Scheduling() (Scheduling, abi.Errno) {
	r, err := c.Call(abi.CallProcessorInfo, [6]uint64{}, nil, nil)
	return Scheduling{uint32(r.A[2]), int32(r.A[3]), uint32(r.A[4])}, err
}

// TaskThreads says that a task has so many threads more: they are in its budget.
// EAGAIN: it has no room, and may not have them.
func (c *Conn) TaskThreads(task abi.Name, more int) abi.Errno {
	_, err := c.Call(abi.CallTaskThreads, [6]uint64{uint64(task), uint64(int64(more))}, nil, nil)
	return err
}

// ThreadGone says that a thread of a task has ended: the host's id of it, or 0 if it never
// began.
func (c *Conn) ThreadGone(task abi.Name, thread uint64) abi.Errno {
	_, err := c.Call(abi.CallTaskThreads, [6]uint64{uint64(task), ^uint64(0), 0, thread}, nil, nil)
	return err
}

// SetTaskThreads says how many threads a task has, whatever was said before.
func (c *Conn) SetTaskThreads(task abi.Name, n int) abi.Errno {
	_, err := c.Call(abi.CallTaskThreads, [6]uint64{uint64(task), uint64(n), 1}, nil, nil)
	return err
}

// TaskInfo is what the host knows of a task.
type TaskInfo struct {
	HostPID          uint64
	Resident         uint64 // bytes
	UserNs, SystemNs uint64 // in coarse steps
	CPUNs            uint64 // both, as exactly as the host can say
	Command          string
}

// TaskInfo asks the host about a task.
func (c *Conn) TaskInfo(task abi.Name) (TaskInfo, abi.Errno) { return c.ThreadInfo(task, 0) }

// ThreadInfo is TaskInfo with the CPUNs of one of its threads (hostID as for Kick).
func (c *Conn) ThreadInfo(task abi.Name, hostID uint64) (TaskInfo, abi.Errno) {
	r, err := c.Call(abi.CallTaskInfo, [6]uint64{uint64(task), hostID}, nil, nil)
	return TaskInfo{r.A[0], r.A[1], r.A[2], r.A[3], r.A[4], string(r.Inline)}, err
}

// TaskMaps gives the host's map of a task's address space, as text; with detail
// also what each line of it takes. A text that changes while its parts come is
// asked for again, a few times: a task that never rests gets what there is.
func (c *Conn) TaskMaps(task abi.Name, detail bool) (string, abi.Errno) {
	var b strings.Builder
	var d uint64
	if detail {
		d = 1
	}
	for try := 0; ; try++ {
		b.Reset()
		var size uint64
		for {
			at := uint64(b.Len())
			r, err := c.Call(abi.CallTaskMaps, [6]uint64{uint64(task), at, d}, nil, nil)
			if err != 0 {
				return "", err
			}
			changed := at > 0 && r.A[0] != size
			size = r.A[0]
			if changed && try < 3 {
				break
			}
			b.Write(r.Inline)
			if len(r.Inline) == 0 || uint64(b.Len()) >= size {
				return b.String(), 0
			}
		}
	}
}

// TaskMemory reads n bytes of a task's memory at addr (debuggers, core dumps).
func (c *Conn) TaskMemory(task abi.Name, addr uint64, n int) ([]byte, abi.Errno) {
	r, err := c.Call(abi.CallTaskMemory, [6]uint64{uint64(task), addr, uint64(n)}, nil, nil)
	return r.Inline, err
}

// TaskStore writes into a task's memory at addr (debuggers) and answers how much it
// could.
func (c *Conn) TaskStore(task abi.Name, addr uint64, b []byte) (int, abi.Errno) {
	r, err := c.Call(abi.CallTaskStore, [6]uint64{uint64(task), addr}, b, nil)
	return int(r.A[0]), err
}

// MakePort makes a port with a receive right and a durable label.
func (c *Conn) MakePort(label string) (abi.Name, abi.Errno) { return c.makePort(label, abi.NameNull) }

// MakePortFor is MakePort at the cost of who sent the request m, which is not answered
// yet. EAGAIN: it does not lend so much.
func (c *Conn) MakePortFor(m *Message, label string) (abi.Name, abi.Errno) {
	return c.makePort(label, m.Reply)
}

func (c *Conn) makePort(label string, lender abi.Name) (abi.Name, abi.Errno) {
	r, err := c.Call(abi.CallPortAllocate, [6]uint64{abi.RightReceive, uint64(lender)}, nil, nil)
	if err != 0 {
		return 0, err
	}
	name := abi.Name(r.A[0])
	if label != "" {
		if _, err := c.Call(abi.CallPortLabel, [6]uint64{uint64(name)}, []byte(label), nil); err != 0 {
			return 0, err
		}
	}
	return name, 0
}

// DropReceive gives a receive right up: the port dies.
func (c *Conn) DropReceive(port abi.Name) abi.Errno {
	_, err := c.Call(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightReceive, ^uint64(0)}, nil, nil)
	return err
}

// NotifyDead asks for Handlers.Dead when the port behind a send right dies. EPIPE: it
// is dead.
func (c *Conn) NotifyDead(send abi.Name) abi.Errno {
	_, err := c.Call(abi.CallPortNotify, [6]uint64{uint64(send), abi.NotifyDeadName, uint64(abi.NameDead)}, nil, nil)
	return err
}

// MakeSend adds a send right to a port of which this task holds the receive
// right, under the same name.
func (c *Conn) MakeSend(receive abi.Name) abi.Errno {
	_, err := c.Call(abi.CallPortMakeSend, [6]uint64{uint64(receive)}, nil, nil)
	return err
}

// Deallocate drops one user reference of a right.
func (c *Conn) Deallocate(name abi.Name) abi.Errno {
	_, err := c.Call(abi.CallPortDeallocate, [6]uint64{uint64(name)}, nil, nil)
	return err
}

// DeallocateAll is Deallocate for each of many names, of which none is an error.
func (c *Conn) DeallocateAll(names []abi.Name) {
	b := c.Batch()
	for _, n := range names {
		_ = b.Add(abi.CallPortDeallocate, [6]uint64{uint64(n)}, nil)
	}
	_ = b.Do(func(int, Reply, abi.Errno) {})
}

// Log puts one line into the machine's log.
func (c *Conn) Log(level int, line string) {
	if len(line) > abi.MaxInline {
		line = line[:abi.MaxInline]
	}
	_, _ = c.Call(abi.CallLog, [6]uint64{uint64(level)}, []byte(line), nil)
}

// Ready says that this server has recovered and serves.
func (c *Conn) Ready() abi.Errno {
	_, err := c.Call(abi.CallReady, [6]uint64{}, nil, nil)
	return err
}

// CloseFD closes a descriptor that came with an event or a reply.
func CloseFD(fd int) { _ = unix.Close(fd) }

// FileID answers which file of the host fd is, as maps show it (Conn.TaskMaps): its
// device and its number there. Zeros if fd is none.
func FileID(fd int) (major, minor uint32, ino uint64) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0, 0, 0
	}
	return unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino
}
