package nucleus

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/message"
	"hythe/nucleus/port"
	"hythe/nucleus/vm"
)

// Powers are what a server may do besides using the rights it holds. The
// supervisor gives them when it makes the server.
type Powers uint32

// The powers.
const (
	PowerTasks     Powers = 1 << iota // make guest tasks
	PowerMemory                       // read and write the memory of tasks it governs
	PowerImport                       // make memory objects of host files, connections and epoll sets
	PowerSupervise                    // ask the supervisor
)

// handler is one call: the lock is held, the descriptors are counted, the power
// is checked. It checks the rest, does it, and fills the answer.
type handler struct {
	run      func(k *Kernel, t *task, c *call) abi.Errno
	power    Powers
	fds      int  // descriptors that the call takes
	byNumber bool // a guest, which can send none, names its descriptor
	inline   bool // whether inline bytes are allowed
	guest    bool // whether guest tasks that make calls may make it
}

// calls are numbered below the events.
var calls [abi.EventReply]handler

func init() {
	calls = [len(calls)]handler{
		abi.CallPortAllocate:   {run: callPortAllocate, guest: true},
		abi.CallPortDeallocate: {run: callPortDeallocate, guest: true},
		abi.CallPortModRefs:    {run: callPortModRefs, guest: true},
		abi.CallPortMakeSend:   {run: callPortMakeSend, guest: true},
		abi.CallPortLabel:      {run: callPortLabel, guest: true, inline: true},
		abi.CallPortSetMember:  {run: callPortSetMember, guest: true},
		abi.CallPortLimit:      {run: callPortLimit, guest: true},
		abi.CallPortStatus:     {run: callPortStatus, guest: true},
		abi.CallPortNotify:     {run: callPortNotify, guest: true},
		abi.CallPortRename:     {run: callPortRename, guest: true},
		abi.CallMsgSend:        {run: callMsgSend, guest: true, inline: true},
		abi.CallMsgReceive:     {run: callMsgReceive, guest: true},
		abi.CallObjectCreate:   {run: callObjectCreate, guest: true, inline: true},
		abi.CallObjectImport:   {run: callObjectImport, power: PowerImport, fds: 1, inline: true},
		abi.CallObjectFD:       {run: callObjectFD, guest: true},
		abi.CallObjectGrant:    {run: callObjectGrant},
		abi.CallBind:           {run: callBind, inline: true},
		abi.CallUnbind:         {run: callUnbind},
		abi.CallTaskCreate:     {run: callTaskCreate, power: PowerTasks},
		abi.CallTaskTerminate:  {run: callTaskTerminate},
		abi.CallThreadKick:     {run: callThreadKick},
		abi.CallTaskInfo:       {run: callTaskInfo},
		abi.CallTaskMemory:     {run: callTaskMemory, power: PowerMemory},
		abi.CallReady:          {run: callReady},
		abi.CallLog:            {run: callLog, inline: true},
		abi.CallBatch:          {run: callBatch, guest: true, inline: true},
		abi.CallSupervise:      {run: callSupervise, power: PowerSupervise, inline: true},
		abi.CallTaskMaps:       {run: callTaskMaps},
		abi.CallHello:          {run: callHello},
		abi.CallTaskStore:      {run: callTaskStore, power: PowerMemory, inline: true},
		abi.CallTaskOpen:       {run: callTaskOpen, power: PowerTasks},
		abi.CallMsgCancel:      {run: callMsgCancel, guest: true},
		abi.CallObjectWatch:    {run: callObjectWatch, fds: 1, byNumber: true, guest: true},
		abi.CallObjectUnwatch:  {run: callObjectUnwatch, guest: true},
		abi.CallObjectPages:    {run: callObjectPages, guest: true, inline: true},
		abi.CallPagerAttrs:     {run: callPagerAttrs, guest: true},
		abi.CallAlarmSet:       {run: callAlarmSet, guest: true},
		abi.CallAlarmCancel:    {run: callAlarmCancel, guest: true},
		abi.CallProcessorSet:   {run: callProcessorSet, inline: true},
		abi.CallProcessorInfo:  {run: callProcessorInfo},
		abi.CallTaskAssign:     {run: callTaskAssign, inline: true},
		abi.CallThreadPolicy:   {run: callThreadPolicy, inline: true},
		abi.CallTaskThreads:    {run: callTaskThreads},
	}
}

// name32 refuses what is no name.
func name32(v uint64) (abi.Name, abi.Errno) {
	if v > uint64(abi.NameDead) {
		return 0, abi.EBADF
	}
	return abi.Name(v), 0
}

// lender finds whose budget a thing of so many bytes is to be in: the task's own, or,
// where name is the reply right of a request that it has not answered, that of who
// lends for it. EBADF; EPERM: it is no such right; EAGAIN: so much was not lent, or the
// budget is used up.
func (k *Kernel) lender(t *task, name uint64, cost int) (*task, abi.Errno) {
	if name == uint64(abi.NameNull) {
		if !k.affords(t, cost) {
			return nil, abi.EAGAIN
		}
		return t, 0
	}
	n, err := name32(name)
	if err != 0 {
		return nil, err
	}
	e := t.space.Entry(n)
	switch {
	case e == nil:
		return nil, abi.EBADF
	case e.Taken == nil:
		return nil, abi.EPERM
	}
	m := e.Taken
	u, _ := m.Payer.(*task)
	if u == nil || u.gone || m.Lent < cost || !k.affords(u, cost) {
		return nil, abi.EAGAIN
	}
	m.Lent -= cost
	return u, 0
}

// chosen is a name that a task chooses for what it makes, or NameNull. EINVAL: it is
// reserved; EEXIST: it stands for something.
func chosen(t *task, v uint64) (abi.Name, abi.Errno) {
	switch n := abi.Name(v); {
	case v >= uint64(abi.NameDead):
		return 0, abi.EINVAL
	case t.space.Entry(n) != nil:
		return 0, abi.EEXIST
	default:
		return n, 0
	}
}

// callPortAllocate: EINVAL: kind, or a port set at another's cost; ENOSPC: the task's
// names are used up; chosen's; lender's.
func callPortAllocate(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[0] != abi.RightReceive && c.A[0] != abi.RightSet {
		return abi.EINVAL
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	name, err := chosen(t, c.A[2])
	if err != 0 {
		return err
	}
	if c.A[0] == abi.RightSet {
		if c.A[1] != uint64(abi.NameNull) {
			return abi.EINVAL
		}
		c.out[0] = uint64(t.space.AllocateSet(name).Name)
		return 0
	}
	payer, err := k.lender(t, c.A[1], port.PortCost)
	if err != 0 {
		return err
	}
	c.out[0] = uint64(t.space.Allocate(k.ports, name, payer).Name)
	return 0
}

func callPortDeallocate(k *Kernel, t *task, c *call) abi.Errno {
	n, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	return t.space.Deallocate(k.ports, n)
}

func callPortModRefs(k *Kernel, t *task, c *call) abi.Errno {
	n, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	if c.A[1] > 255 {
		return abi.EINVAL
	}
	return t.space.ModRefs(k.ports, n, uint8(c.A[1]), int64(c.A[2]))
}

// receiveRight finds a name with a receive right.
func receiveRight(t *task, v uint64) (*port.Entry, abi.Errno) {
	n, err := name32(v)
	if err != 0 {
		return nil, err
	}
	return t.space.Lookup(n, 1<<abi.RightReceive)
}

// callPortMakeSend: EOVERFLOW: the name's user references are used up.
func callPortMakeSend(k *Kernel, t *task, c *call) abi.Errno {
	e, err := receiveRight(t, c.A[0])
	if err != 0 {
		return err
	}
	if e.Urefs >= port.MaxUrefs {
		return abi.EOVERFLOW
	}
	t.space.Copyout(k.ports, k.ports.MakeSend(e.Port))
	return 0
}

func callPortLabel(k *Kernel, t *task, c *call) abi.Errno {
	e, err := receiveRight(t, c.A[0])
	if err != 0 {
		return err
	}
	if len(c.inline) > abi.MaxLabel {
		return abi.EMSGSIZE
	}
	e.Port.Label = slices.Clone(c.inline)
	return 0
}

func callPortSetMember(k *Kernel, t *task, c *call) abi.Errno {
	n, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	set, err := name32(c.A[1])
	if err != 0 {
		return err
	}
	return t.space.SetMember(k.ports, n, set)
}

func callPortLimit(k *Kernel, t *task, c *call) abi.Errno {
	e, err := receiveRight(t, c.A[0])
	if err != 0 {
		return err
	}
	if c.A[1] == 0 || c.A[1] > port.MaxLimit {
		return abi.EINVAL
	}
	e.Port.Limit = int(c.A[1])
	k.ports.Touch(e.Port)
	return 0
}

// callPortStatus: see abi.CallPortStatus. EBADF.
func callPortStatus(k *Kernel, t *task, c *call) abi.Errno {
	n, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	e := t.space.Entry(n)
	if e == nil {
		return abi.EBADF
	}
	c.out[0], c.out[5] = uint64(e.Mask), uint64(e.Urefs)
	switch {
	case e.Object != nil:
		c.out[1], c.out[2] = e.Object.Size, e.Object.Addr
	case e.Set != nil:
		c.out[1] = uint64(e.Set.Members.Len())
		for i := range min(e.Set.Members.Len(), abi.MaxInline/4) {
			c.data = binary.LittleEndian.AppendUint32(c.data, uint32(e.Set.Members.At(i).Name))
		}
	case e.Mask&(1<<abi.RightReceive) != 0:
		p := e.Port
		c.out[1], c.out[2] = uint64(p.Queue.Len()), uint64(p.Limit)
		c.out[3], c.out[4] = uint64(p.Seq), uint64(p.MakeSends)
		c.data = message.PutStatus(p.Status())
	}
	return 0
}

// callPortNotify: see abi.MsgNotify. EPERM: the name has not the right that the
// notification is about, or A2 is no send-once right. The right that was
// registered before is dropped (its receiver gets a send-once notification).
func callPortNotify(k *Kernel, t *task, c *call) abi.Errno {
	n, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	once, err := name32(c.A[2])
	if err != 0 {
		return err
	}
	if c.A[1] > 255 || c.A[3] > 1<<32-1 {
		return abi.EINVAL
	}
	kind := uint8(c.A[1])
	if err := t.space.CanNotify(n, kind, once); err != 0 {
		return err
	}
	var r port.Right
	if once != abi.NameNull && once != abi.NameDead {
		r = t.space.Copyin(k.ports, port.Claim{Name: once, Disp: abi.MoveSendOnce})
	}
	old, err := t.space.Notify(k.ports, n, kind, r, once == abi.NameDead, uint32(c.A[3]))
	k.ports.Drop(old)
	return err
}

func callPortRename(k *Kernel, t *task, c *call) abi.Errno {
	old, err := name32(c.A[0])
	if err != 0 {
		return err
	}
	n, err := name32(c.A[1])
	if err != 0 {
		return err
	}
	return t.space.Rename(old, n)
}

// MaxObjectSize bounds a memory object: 1 TiB of address range (it is sparse).
const MaxObjectSize = 1 << 40

// callObjectCreate: EINVAL: size or flags; EBADF, EPERM: of a paged one, A3 is no receive
// right; EMSGSIZE: label; ENOSPC: names; ENOMEM, also where no address is left; chosen's;
// lender's, where it is a guest or says so (servers may make as many as they need).
func callObjectCreate(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[0] == 0 || c.A[0] > MaxObjectSize || c.A[1]&^(abi.ObjectShrinks|abi.ObjectPaged|abi.ObjectPlaced) != 0 {
		return abi.EINVAL
	}
	var pages *port.Entry
	if c.A[1]&abi.ObjectPaged != 0 {
		if c.A[1]&abi.ObjectShrinks != 0 || c.A[0]%abi.PageSize != 0 {
			return abi.EINVAL
		}
		var err abi.Errno
		if pages, err = receiveRight(t, c.A[3]); err != 0 {
			return err
		}
	}
	if len(c.inline) > abi.MaxLabel {
		return abi.EMSGSIZE
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	name, err := chosen(t, c.A[5])
	if err != 0 {
		return err
	}
	var payer *task
	if t.guest || c.A[2] != uint64(abi.NameNull) {
		var err abi.Errno
		if payer, err = k.lender(t, c.A[2], vm.CostOf(c.A[0], c.A[1]&abi.ObjectPlaced != 0)); err != 0 {
			return err
		}
	}
	h, herr := k.m.NewObject(c.A[0], t.name, c.A[1]&abi.ObjectShrinks != 0)
	if herr != nil {
		return abi.ENOMEM // and what was lent for it is spent
	}
	o := k.objects.Adopt(h, c.A[0], slices.Clone(c.inline))
	if c.A[1]&abi.ObjectPlaced != 0 && !k.objects.Place(o) {
		o.Release()
		return abi.ENOMEM
	}
	if payer != nil {
		o.Payer, o.Cost = payer, vm.CostOf(o.Size, o.Addr != 0)
		k.charge(payer, o.Cost)
	}
	if pages != nil {
		k.paged(o, pages, c.A[4])
	}
	c.out[0] = uint64(t.space.NewObject(name, o, false).Name)
	c.fds = []machine.Handle{h}
	return 0
}

// callObjectImport: EINVAL: the descriptor is no file that can be mapped, connection, or epoll set. A1 of
// the reply is its size in bytes now.
func callObjectImport(k *Kernel, t *task, c *call) abi.Errno {
	if len(c.inline) > abi.MaxLabel {
		return abi.EMSGSIZE
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	h := c.handles[0]
	size, ok := k.m.ObjectSize(h)
	if !ok {
		return abi.EINVAL
	}
	h.Retain()
	e := t.space.AddObject(k.objects.Adopt(h, size, slices.Clone(c.inline)), false)
	c.out[0], c.out[1] = uint64(e.Name), size
	return 0
}

// callObjectFD: EPERM: no object, or writing asked for of a read-only right.
func callObjectFD(k *Kernel, t *task, c *call) abi.Errno {
	e, err := k.object(t, c.A[0])
	if err != 0 {
		return err
	}
	ro := c.A[1]&1 != 0
	if e.ReadOnly && !ro {
		return abi.EPERM
	}
	if e.Object.Pager != nil && ro {
		return abi.EINVAL
	}
	h, herr := e.Object.Handle(ro)
	if herr != nil {
		return abi.ENOMEM
	}
	c.out[1], c.out[2] = e.Object.Size, e.Object.Addr
	c.fds = []machine.Handle{h}
	return 0
}

func callReady(k *Kernel, t *task, c *call) abi.Errno {
	s := t.server
	if s.ready {
		return 0
	}
	s.ready = true
	s.tried(nil)
	if f := k.hooks.Ready; f != nil {
		k.later = append(k.later, func() { f(s) })
	}
	return 0
}

func callLog(k *Kernel, t *task, c *call) abi.Errno {
	k.log(t, int(min(c.A[0], 255)), string(c.inline[:min(len(c.inline), abi.MaxLogLine)]))
	return 0
}

func callSupervise(k *Kernel, t *task, c *call) abi.Errno {
	f := k.hooks.Supervise
	if f == nil {
		return abi.ENOSYS
	}
	s, req := t.server, slices.Clone(c.inline)
	c.slow = func(c *call) (err abi.Errno) {
		c.data, err = f(s, req)
		if len(c.data) > abi.MaxInline {
			c.data, err = nil, abi.EMSGSIZE
		}
		return err
	}
	return 0
}

// callHello: a server has no need to introduce itself.
func callHello(_ *Kernel, _ *task, c *call) abi.Errno {
	c.wait = true
	return 0
}
