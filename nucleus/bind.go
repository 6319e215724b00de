package nucleus

import (
	"slices"

	"hythe/abi"
	"hythe/machine"
)

// binding is a memory area shared by a client and a server, and their
// doorbells. It stays as it is while either of them has no process.
type binding struct {
	id       uint64
	client   *task
	server   *task
	guest    *task // the client, if it is a guest task
	slots    uint32
	label    []byte
	port     abi.Name // server: on which port it was made
	task     abi.Name // server: the name of the guest task
	area     machine.Handle
	toServer machine.Handle
	toClient machine.Handle // nil for guests, which sleep on their slot
}

// newBinding makes the shared parts. ENOMEM: the host has no room.
func (k *Kernel) newBinding(slots uint32, both bool) (*binding, abi.Errno) {
	b := &binding{slots: slots}
	var err error
	if b.area, err = k.m.NewObject(abi.BindHeaderSize+uint64(slots)*abi.SlotSize, "binding", false); err != nil {
		return nil, abi.ENOMEM
	}
	if err = k.m.FormatBinding(b.area, slots); err == nil {
		b.toServer, err = k.m.NewDoorbell()
	}
	if err == nil && both {
		b.toClient, err = k.m.NewDoorbell()
	}
	if err != nil {
		b.drop()
		return nil, abi.ENOMEM
	}
	return b, 0
}

func (b *binding) drop() {
	for _, h := range []machine.Handle{b.area, b.toServer, b.toClient} {
		if h != nil {
			h.Release()
		}
	}
}

// cost is what a binding costs its client's budget: the pages that are there
// from the beginning or with the first use of each slot.
func (b *binding) cost() int { return int(1+b.slots) * abi.PageSize }

func (k *Kernel) addBinding(b *binding) {
	if b.guest == nil {
		k.charge(b.client, b.cost())
		b.client.clients++
	}
	k.nextBind++
	b.id = k.nextBind
	k.bindings[b.id] = b
	b.server.bindings = append(b.server.bindings, b)
	if b.client != b.server {
		b.client.bindings = append(b.client.bindings, b)
	}
}

func (b *binding) fds() []machine.Handle {
	if b.toClient == nil {
		return []machine.Handle{b.area, b.toServer}
	}
	return []machine.Handle{b.area, b.toServer, b.toClient}
}

// announce tells one side of a binding that it has it.
func (b *binding) announce(t *task, role uint64, again bool) {
	h := abi.CallHeader{Op: abi.EventBinding}
	h.A = [6]uint64{b.id, role, uint64(b.slots)}
	if role == abi.RoleServer {
		h.A[3] = uint64(b.port)
		if b.guest != nil {
			h.A[3] = uint64(b.task)
		}
	}
	if again {
		h.A[4] = 1
	}
	t.post(&h, b.label, b.fds())
}

// unbind ends a binding; by is the side that ended it, the other one is told.
func (k *Kernel) unbind(b *binding, by *task) {
	if k.bindings[b.id] != b {
		return
	}
	delete(k.bindings, b.id)
	if b.guest == nil {
		k.charge(b.client, -b.cost())
		b.client.clients--
	}
	for _, t := range []*task{b.client, b.server} {
		if i := slices.Index(t.bindings, b); i >= 0 {
			t.bindings = slices.Delete(t.bindings, i, i+1)
		}
		// A server learns of a guest's end by EventTaskDead.
		if t != by && t.ctx != nil && b.guest == nil {
			h := abi.CallHeader{Op: abi.EventUnbound}
			h.A[0] = b.id
			t.post(&h, nil, nil)
		}
	}
	b.drop()
}

// callBind: see abi.CallBind. EBADF, EPERM: the name is no send right; EPIPE:
// its port is dead; EAGAIN: the receive right is in a message now, or a limit
// of either side is reached; EINVAL: slots or label; ENOMEM.
func callBind(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[1] == 0 || c.A[1] > abi.MaxSlots || len(c.inline) > abi.MaxLabel {
		return abi.EINVAL
	}
	e, err := k.sendRight(t, c.A[0])
	if err != 0 {
		return err
	}
	p := e.Port
	if p.Kernel != nil {
		return abi.EPERM
	}
	if p.Holder == nil {
		return abi.EAGAIN
	}
	s := p.Holder.Task.(*task)
	// A client uses up its own budget long before the server's room.
	if t.clients >= k.limits.Sessions || len(s.bindings) >= k.limits.Bindings ||
		!k.affords(t, (&binding{slots: uint32(c.A[1])}).cost()) {
		return abi.EAGAIN
	}
	b, err := k.newBinding(uint32(c.A[1]), true)
	if err != 0 {
		return err
	}
	b.client, b.server, b.port = t, s, p.Name
	b.label = slices.Clone(c.inline)
	k.addBinding(b)
	if s.ctx != nil {
		b.announce(s, abi.RoleServer, false)
	} else {
		k.want(s)
	}
	if f := k.hooks.Traffic; f != nil {
		f(Traffic{At: k.m.Now(), What: TrafficBound, From: t.String(), To: s.String(), Port: string(p.Label), Bytes: int(b.slots)})
	}
	c.out[0] = b.id
	c.fds = b.fds()
	return 0
}

// bindingOf finds a binding of the task: EBADF.
func (k *Kernel) bindingOf(t *task, id uint64) (*binding, abi.Errno) {
	b := k.bindings[id]
	if b == nil || b.client != t && b.server != t {
		return nil, abi.EBADF
	}
	return b, 0
}

// callUnbind: EPERM for the binding of a guest task, which ends with the task.
func callUnbind(k *Kernel, t *task, c *call) abi.Errno {
	b, err := k.bindingOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if b.guest != nil {
		return abi.EPERM
	}
	k.unbind(b, t)
	return 0
}

// callObjectGrant: see abi.CallObjectGrant. EBADF: no such binding or name;
// EPERM: the name is no object, or writing is asked for a read-only right;
// EAGAIN: the peer's channel is full; ENOSPC: the peer has no room for a name.
func callObjectGrant(k *Kernel, t *task, c *call) abi.Errno {
	b, err := k.bindingOf(t, c.A[0])
	if err != 0 {
		return err
	}
	e, err := k.object(t, c.A[1])
	if err != 0 {
		return err
	}
	ro := c.A[2]&1 != 0
	if e.ReadOnly && !ro {
		return abi.EPERM
	}
	if e.Object.Pager != nil && ro {
		return abi.EINVAL
	}
	peer := b.client
	if peer == t && b.server != t {
		peer = b.server
	}
	h, herr := e.Object.Handle(ro)
	if herr != nil {
		return abi.ENOMEM
	}
	ev := abi.CallHeader{Op: abi.EventGrant}
	ev.A = [6]uint64{b.id, 0, 0, c.A[3]}
	if peer.guest {
		if peer.ctx == nil {
			return abi.ESRCH
		}
		if !peer.tell(&ev, []machine.Handle{h}) {
			return abi.EAGAIN
		}
		return 0
	}
	if !peer.space.Room(1) {
		return abi.ENOSPC
	}
	e.Object.Retain()
	ev.A[1] = uint64(peer.space.AddObject(e.Object, ro).Name)
	if peer.ctx != nil {
		peer.post(&ev, nil, []machine.Handle{h})
	}
	return 0
}
