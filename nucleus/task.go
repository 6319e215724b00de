package nucleus

import (
	"cmp"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
)

// task is a server or a guest task. A server's task outlives its host process:
// between two incarnations it is the estate, which keeps every right, queue,
// label, object and binding under the same names.
type task struct {
	k      *Kernel
	id     uint64
	name   string
	guest  bool
	powers Powers
	space  *port.Space
	self   *port.Port // the kernel port: who has a send right to it governs the task
	server *Server    // nil for guests

	// ctx is nil while no process is attached. link is the incarnation.
	ctx    machine.Context
	link   *link
	gone   bool // for good
	wanted bool

	// Guests that make calls: the channel on which they do, and the first right.
	ports     machine.Context
	portsLink *link

	watches []*watch // mappings of paged objects
	coming  []*watch // those that the host makes ready
	legacy  legacy   // of a task that is being forked
	inside  bool     // the incarnation is in the nucleus's own process

	bindings []*binding       // as a server and as a client, in order of ids
	taken    []*port.Message  // received requests whose reply right is unused, in order
	waits    map[*waiter]bool // calls that wait
	alone    *waiter          // the one for whose answer the task takes nothing else

	// Guests: the processor set, nil for the default one; of that the processors on which
	// it is to run from its beginning, none for all; and whether it has begun.
	set   *processors
	cpus  machine.Processors
	begun bool
	// Until then: who forks it, whether it is to run elsewhere than that does, and the calls
	// that wait for it.
	parent   *task
	unplaced bool
	kicked   bool // its first thread is to be kicked
	early    []*early

	alarms    map[uint64]*alarm // that it set, by their numbers
	nextAlarm uint64

	threads int // of a guest, with its governor's leave; they are in its budget
	used    int // bytes that it pays for
	clients int // bindings of which it is the client

	// Guests: what threads that go before others lend, by host thread id. Servers: what the
	// process was lent. urgent: one of them is there.
	raised map[uint64]machine.Policy
	lent   machine.Policy
	urgent bool

	// Guests: who made it, and whom EventTaskDead goes to.
	owner    *task
	children int
	// Deaths of guest tasks that no incarnation was told of.
	unsaid []abi.CallHeader
}

func (k *Kernel) newTask(name string, guest bool) *task {
	k.nextTask++
	t := &task{k: k, id: k.nextTask, name: name, guest: guest, waits: map[*waiter]bool{}}
	names := k.limits.Names
	if guest {
		names = 0
	}
	t.space = port.NewSpace(t, names)
	t.space.Answered = func(m *port.Message) {
		i := slices.Index(t.taken, m)
		if i < 0 {
			return // it is back in the queue, and keeps its objects
		}
		t.taken = slices.Delete(t.taken, i, i+1)
		k.ports.Done(m)
	}
	t.self = k.ports.NewPort()
	t.self.Kernel = t
	k.tasks[t.id] = t
	return t
}

// ended is the machine's news that the process of a task is gone.
func (k *Kernel) ended(t *task, e machine.Exit) {
	ctx := t.ctx
	t.ctx, t.link = nil, nil
	if ctx != nil {
		ctx.Close()
	}
	for w := range t.waits {
		k.cancel(w)
	}
	t.unmapped()
	k.calm(t)
	if t.guest {
		k.shutPorts(t)
		k.remove(t)
		return
	}
	s := t.server
	// Who ends as it was told to has not died of what it leaves.
	t.retake(s.leaving && e == machine.Exit{})
	s.running, s.ready = false, false
	s.tried(ErrSuccessor)
	if s.succeed() {
		return
	}
	if f := k.hooks.Dead; f != nil && !k.stopped {
		k.later = append(k.later, func() { f(s, e) })
	}
	// What waits already has nobody else to ask for the next incarnation.
	for _, en := range t.space.Sorted() {
		if en.Port != nil && en.Port.Holder == t.space && en.Port.Queue.Len() > 0 {
			k.ports.Touch(en.Port)
		}
	}
}

// retake puts every request that was taken and not answered back in front of its
// queue, in the order in which they were taken. orderly: their receiver did not die
// with them.
func (t *task) retake(orderly bool) {
	taken := t.taken
	t.taken = nil
	for _, m := range slices.Backward(taken) {
		if !orderly {
			m.Times++
		}
		if m.From.Holder != t.space {
			t.k.ports.Disown(t.space, m)
		}
		t.k.ports.Requeue(m.From, m)
	}
}

// remove ends a task for good: its rights, its bindings, its kernel port.
func (k *Kernel) remove(t *task) {
	if t.gone {
		return
	}
	t.gone = true
	delete(k.tasks, t.id)
	t.unmapped()
	var bind uint64
	for _, b := range slices.Clone(t.bindings) {
		if b.guest == t {
			bind = b.id
		}
		k.unbind(b, t)
	}
	if o := t.owner; o != nil {
		o.children--
		// The name stays with the owner as a dead name.
		if e := o.space.Of(t.self); e != nil {
			h := abi.CallHeader{Op: abi.EventTaskDead}
			h.A[0], h.A[1] = uint64(e.Name), bind
			if o.ctx != nil {
				o.post(&h, nil, nil)
			} else if !o.gone {
				o.unsaid = append(o.unsaid, h)
			}
		}
	}
	var made []*task
	for _, u := range k.tasks {
		if u.owner == t {
			made = append(made, u)
		}
	}
	// In order, so that a schedule of the simulated machine can be run again.
	slices.SortFunc(made, func(a, b *task) int { return cmp.Compare(a.id, b.id) })
	for _, u := range made {
		u.owner = nil
		if u.ctx != nil {
			u.ctx.Kill("its server is gone for good")
		}
	}
	k.unalarm(t)
	k.unbegun(t)
	k.calm(t)
	t.join(nil)
	k.threads(t, -t.threads)
	t.space.Destroy(k.ports)
	k.ports.Kill(t.self)
}

// taskOf finds the guest task that a name of t stands for. EPERM: it is no
// task's right; ESRCH: the task is dead.
func (k *Kernel) taskOf(t *task, name uint64) (*task, abi.Errno) {
	e := t.space.Entry(abi.Name(name))
	switch {
	case name > uint64(abi.NameDead) || e == nil:
		return nil, abi.EBADF
	case e.Mask&(1<<abi.RightDead) != 0:
		return nil, abi.ESRCH
	case e.Mask&(1<<abi.RightSend) == 0 || e.Port.Kernel == nil:
		return nil, abi.EPERM
	}
	g, ok := e.Port.Kernel.(*task)
	if !ok || !g.guest {
		return nil, abi.EPERM
	}
	if g.ctx == nil {
		return nil, abi.ESRCH
	}
	return g, 0
}

// callTaskCreate: see abi.CallTaskCreate. EINVAL: slots; EAGAIN: the limit of
// tasks, the guests' budget is used up, or the parent's channel is full; ENOMEM: the host
// has no room; ESRCH: the parent is dead.
func callTaskCreate(k *Kernel, t *task, c *call) abi.Errno {
	slots := c.A[1]
	if slots == 0 || slots > abi.MaxSlots {
		return abi.EINVAL
	}
	var parent *task
	if c.A[0] != uint64(abi.NameNull) {
		p, err := k.taskOf(t, c.A[0])
		if err != 0 {
			return err
		}
		parent = p
	}
	if t.children >= k.limits.Tasks || len(t.bindings) >= k.limits.Bindings {
		return abi.EAGAIN
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	b, err := k.newBinding(uint32(slots), false)
	if err != 0 {
		return err
	}
	g := k.newTask("task", true)
	cost := ThreadCost
	if parent != nil { // it may share all that its parent has mapped
		cost += (len(parent.watches) + len(parent.coming)) * watchCost
	}
	if !k.affords(g, cost) {
		b.drop()
		k.dropTask(g)
		return abi.EAGAIN
	}
	g.link = &link{k: k, t: g}
	ctx, far, herr := k.m.NewChannel(g.link)
	if herr != nil {
		b.drop()
		k.dropTask(g)
		return abi.ENOMEM
	}
	g.ctx = ctx
	if parent == nil {
		if herr := k.m.Spawn(far, b.area, b.toServer); herr != nil {
			err = abi.EAGAIN
		}
	} else {
		h := abi.CallHeader{Op: abi.EventChannel}
		h.A[3] = c.A[2]
		if !parent.tell(&h, []machine.Handle{far, b.area, b.toServer}) {
			err = abi.EAGAIN
		}
	}
	far.Release()
	if err != 0 {
		g.ctx, g.link = nil, nil
		ctx.Close()
		b.drop()
		k.dropTask(g)
		return err
	}
	g.owner = t
	t.children++
	k.threads(g, 1)
	if parent != nil {
		g.join(parent.set)
		g.parent = parent
		for _, w := range slices.Concat(parent.watches, parent.coming) {
			g.bequeath(w)
		}
	}
	b.guest, b.client, b.server = g, g, t
	k.addBinding(b)
	name, _ := t.space.Copyout(k.ports, k.ports.MakeSend(g.self))
	b.task = name
	c.out[0], c.out[1] = uint64(name), b.id
	c.fds = []machine.Handle{b.area, b.toServer}
	return 0
}

// dropTask takes back a task that nobody knows of yet.
func (k *Kernel) dropTask(g *task) {
	g.gone = true
	delete(k.tasks, g.id)
	k.ports.Kill(g.self)
}

// shutPorts ends a guest task's ports channel: what waits in calls is over. Its
// rights stay until the task's end.
func (k *Kernel) shutPorts(t *task) {
	if t.ports == nil {
		return
	}
	for w := range t.waits {
		k.cancel(w)
	}
	t.ports.Close()
	t.ports, t.portsLink = nil, nil
}

// callTaskOpen: see abi.CallTaskOpen. What a governor repeats has no further effect
// while the task has its right. EBADF, EPERM: a name is no task, or no send right;
// ESRCH: the task is dead; EPIPE: the right is; EAGAIN: the task's library does not
// read; ENOMEM.
func callTaskOpen(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	e, err := k.sendRight(t, c.A[1])
	if err != 0 {
		return err
	}
	if e.Port.Kernel != nil {
		return abi.EPERM
	}
	if g.portsLink == nil {
		l := &link{k: k, t: g, ports: true}
		ctx, far, herr := k.m.NewChannel(l)
		if herr != nil {
			return abi.ENOMEM
		}
		ctx.Pace()
		h := abi.CallHeader{Op: abi.EventGrant}
		h.A[3] = abi.PortsTag
		ok := g.tell(&h, []machine.Handle{far})
		far.Release()
		if !ok {
			ctx.Close()
			return abi.EAGAIN
		}
		g.ports, g.portsLink = ctx, l
		g.space.Limit = k.limits.GuestNames
	} else {
		c.out[1] = 1
	}
	if have := g.space.Of(e.Port); have != nil && have.Mask&(1<<abi.RightSend) != 0 {
		c.out[0] = uint64(have.Name)
		return 0
	}
	if !g.space.Room(1) {
		return abi.ENOSPC
	}
	n, _ := g.space.Copyout(k.ports, t.space.Copyin(k.ports, port.Claim{Name: e.Name, Disp: abi.CopySend}))
	c.out[0] = uint64(n)
	return 0
}

func callTaskTerminate(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	g.ctx.Kill("terminated")
	return 0
}

// callThreadKick: ESRCH also when the task has no such thread. Which one it is the machine
// may have to look for, among all of them, and its number is the guest's own word. The first
// one of a task that has not begun is kicked when it has (begin).
func callThreadKick(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if c.A[1] == 0 && !g.begun {
		g.kicked = true
		return 0
	}
	ctx := g.ctx
	c.slow = func(c *call) abi.Errno {
		if !ctx.Kick(c.A[1]) {
			return abi.ESRCH
		}
		return 0
	}
	return 0
}

func callTaskInfo(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	ctx := g.ctx
	c.slow = func(c *call) abi.Errno {
		i, ok := ctx.Info()
		if !ok {
			return abi.ESRCH
		}
		cpu, ok := ctx.CPU(c.A[1])
		if !ok {
			return abi.ESRCH
		}
		c.out = [6]uint64{i.Pid, i.Resident, i.UserNS, i.SystemNS, cpu}
		c.data = []byte(i.Command)
		return 0
	}
	return 0
}

func callTaskMaps(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if c.A[2] > 1 {
		return abi.EINVAL
	}
	ctx := g.ctx
	c.slow = func(c *call) abi.Errno {
		c.data = ctx.Maps(c.A[2] == 1)
		// A0 of the reply is the whole text's length, which may be more than one
		// answer holds; A1 of the call is where in it to go on.
		c.out[0] = uint64(len(c.data))
		from := min(c.A[1], uint64(len(c.data)))
		c.data = c.data[from:min(from+abi.MaxInline, uint64(len(c.data)))]
		return 0
	}
	return 0
}

// callTaskMemory: EFAULT when nothing could be read; less than asked when the
// memory ends. Of a task that has not begun, nothing: a look at a page that it shares, and
// that is not watched yet, would make it zeros.
func callTaskMemory(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if c.A[2] == 0 || c.A[2] > abi.MaxInline {
		return abi.EINVAL
	}
	if !g.begun {
		return abi.EFAULT
	}
	ctx := g.ctx
	c.slow = func(c *call) abi.Errno {
		p := make([]byte, c.A[2])
		n := ctx.ReadMemory(c.A[1], p)
		if n == 0 {
			return abi.EFAULT
		}
		c.data = p[:n]
		return 0
	}
	return 0
}

// callTaskStore: EFAULT when nothing could be stored; less than asked where the memory
// ends, or is not the task's own to write: shared memory that it may only read. Of a task
// that has not begun as callTaskMemory.
func callTaskStore(k *Kernel, t *task, c *call) abi.Errno {
	g, err := k.taskOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if len(c.inline) == 0 || len(c.inline) > abi.MaxInline {
		return abi.EINVAL
	}
	if !g.begun {
		return abi.EFAULT
	}
	ctx, p := g.ctx, slices.Clone(c.inline)
	c.slow = func(c *call) abi.Errno {
		n := ctx.WriteMemory(c.A[1], p)
		if n == 0 {
			return abi.EFAULT
		}
		c.out[0] = uint64(n)
		return 0
	}
	return 0
}
