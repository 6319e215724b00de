package nucleus

import (
	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/message"
	"hythe/nucleus/port"
)

// waiter is a call that waits: a receive, or a send to a full queue.
type waiter struct {
	t     *task
	id    uint64
	port  *port.Port
	set   *port.Set
	send  bool
	timer machine.Timer
	done  bool
	// A send that is followed by a receive in the same call, and whether it was
	// done.
	next   abi.Name
	nextNS uint64
	sent   bool
	// A call for whose answer its task takes nothing else: where the request went,
	// and where the answer comes.
	alone  bool
	dest   *port.Port
	answer *port.Port
}

// wait registers a call that waits; ns is its time.
func (k *Kernel) wait(t *task, id uint64, w *waiter, ns uint64) {
	w.t, w.id = t, id
	t.waits[w] = true
	if ns != abi.Forever {
		w.timer = k.m.After(ns, func() {
			k.enter()
			defer k.leave()
			k.expire(w, abi.ETIMEDOUT)
		})
	}
}

// endWait ends a waiter's bookkeeping.
func (k *Kernel) endWait(w *waiter) {
	w.done = true
	delete(w.t.waits, w)
	if w.t.alone == w {
		w.t.alone = nil
	}
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (k *Kernel) newWaiter() *waiter {
	n := len(k.waiters)
	if n == 0 {
		return &waiter{}
	}
	w := k.waiters[n-1]
	k.waiters = k.waiters[:n-1]
	return w
}

// freeWaiter keeps a waiter whose wait ended. One with a time may still be known
// to a timer that is just going off.
func (k *Kernel) freeWaiter(w *waiter) {
	if w.timer == nil && len(k.waiters) < 64 {
		*w = waiter{}
		k.waiters = append(k.waiters, w)
	}
}

// finish answers a waiting call with an error, or a send with success.
func (k *Kernel) finish(w *waiter, err abi.Errno) {
	if w.done {
		return
	}
	k.endWait(w)
	defer k.freeWaiter(w)
	if w.t.caller() == nil {
		return
	}
	if w.send && err == 0 && w.next != abi.NameNull {
		k.receive(w.t, w.id, w.next, w.nextNS, true)
		if w.alone {
			k.alone(w.t, w.id, w.port, w.answer)
		}
		return
	}
	k.refuse(w.t, w.id, err, w.sent)
}

// refuse answers a call that waited, or could not, with an error, or with
// success and nothing else. sent: the message of a combined call is on its way.
func (k *Kernel) refuse(t *task, id uint64, err abi.Errno, sent bool) {
	h := abi.CallHeader{Op: abi.EventReply, ID: id, Err: uint32(err)}
	if sent {
		h.A[3] = 1
	}
	t.post(&h, nil, nil)
}

// expire ends a waiting call with ETIMEDOUT or ECANCELED. A message that did not
// get in goes back to its sender, as in Mach's pseudo-receive: the reply's
// inline bytes are the message with the names that its rights have now.
func (k *Kernel) expire(w *waiter, why abi.Errno) {
	if w.done {
		return
	}
	k.endWait(w)
	if !w.send {
		k.unread(w)
		k.refuse(w.t, w.id, why, w.sent)
		return
	}
	h := abi.CallHeader{Op: abi.EventReply, ID: w.id, Err: uint32(why)}
	m := k.ports.Unblock(w.port, w)
	if !w.t.space.Room(need(m) + 1) {
		k.ports.Discard(m)
		w.t.post(&h, nil, nil)
		return
	}
	dest := m.Dest
	m.Dest = port.Right{}
	remote, kind := w.t.space.Copyout(k.ports, dest)
	b, fds, _ := k.hand(w.t, m, remote)
	b[8] = giveBack(kind)
	w.t.post(&h, b, fds)
	k.ports.Done(m)
}

func giveBack(kind uint8) uint8 {
	switch kind {
	case abi.RightSend:
		return abi.MoveSend
	case abi.RightSendOnce:
		return abi.MoveSendOnce
	}
	return 0
}

func (k *Kernel) unread(w *waiter) {
	is := func(t any) bool { return t == any(w) }
	if w.set != nil {
		w.set.Readers.Remove(is)
	} else {
		w.port.Readers.Remove(is)
	}
}

// cancel ends the waiting call of a task whose process is gone. A message that
// waits for room stays in line: its rights have left the sender, and a new
// incarnation that repeats the request is known by its Seq.
func (k *Kernel) cancel(w *waiter) {
	k.endWait(w)
	if !w.send {
		k.unread(w)
		return
	}
	for i := range w.port.Blocked.Len() {
		if m := w.port.Blocked.At(i); m.Sender == any(w) {
			m.Sender = nil
		}
	}
}

// sendRight finds a name with a send right. EPIPE: a dead name.
func (k *Kernel) sendRight(t *task, name uint64) (*port.Entry, abi.Errno) {
	if name > uint64(abi.NameDead) {
		return nil, abi.EBADF
	}
	e := t.space.Entry(abi.Name(name))
	switch {
	case e == nil:
		return nil, abi.EBADF
	case e.Mask&(1<<abi.RightDead) != 0:
		return nil, abi.EPIPE
	case e.Mask&(1<<abi.RightSend) == 0:
		return nil, abi.EPERM
	}
	return e, 0
}

func (k *Kernel) object(t *task, name uint64) (*port.Entry, abi.Errno) {
	if name > uint64(abi.NameDead) {
		return nil, abi.EBADF
	}
	return t.space.Lookup(abi.Name(name), 1<<abi.RightObject)
}

// need is how many names a message takes at most.
func need(m *port.Message) int {
	n := len(m.Rights) + len(m.Objects)
	if m.Reply.Port != nil {
		n++
	}
	return n
}

// MaxLent bounds what is lent with a request.
const MaxLent = 1 << 30

// callMsgSend: see abi.CallMsgSend. Everything is checked before anything is
// taken. EINVAL: the bytes are no message, a disposition does not fit, or a
// receive right would be sent where nobody could ever receive it; EMSGSIZE;
// EBADF, EPERM: a name or its right; EPIPE: the port is dead; EAGAIN: the queue
// is full and the timeout 0, or too many calls wait, or the sender's budget does not
// hold the message (an answer is in the budget of who asked); ETIMEDOUT, ECANCELED: see
// expire; EBUSY: an object to be frozen is mapped writable.
//
// With A1 it then receives, by the same reply, as callMsgReceive does. With A3 (see
// abi.SendAlone) EDEADLK: the call would wait for itself. A3 of the
// reply is 1 when an error is the receive's, which is EBADF also where the
// message took the receive right away.
func callMsgSend(k *Kernel, t *task, c *call) abi.Errno {
	if len(c.inline) > abi.MaxInline {
		return abi.EMSGSIZE
	}
	next := abi.Name(c.A[1])
	if next != abi.NameNull {
		if _, err := readable(t, c.A[1]); err != 0 {
			return err
		}
		if c.A[2] != 0 && len(t.waits) >= k.waiting(t) {
			return abi.EAGAIN
		}
	}
	if c.A[4] > MaxLent {
		return abi.EINVAL
	}
	alone := c.A[3]&abi.SendAlone != 0
	if c.A[3]&^abi.SendAlone != 0 || alone && next == abi.NameNull {
		return abi.EINVAL
	}
	m := &k.in
	if err := m.Decode(c.inline); err != 0 {
		return err
	}
	switch m.RemoteDisp {
	case abi.MoveSend, abi.CopySend, abi.MakeSend, abi.MoveSendOnce, abi.MakeSendOnce:
	default:
		return abi.EINVAL
	}
	claims := append(k.claims[:0], port.Claim{Name: m.Remote, Disp: m.RemoteDisp})
	if m.Local != abi.NameNull || m.LocalDisp != 0 {
		switch m.LocalDisp {
		case abi.MoveSend, abi.CopySend, abi.MakeSend, abi.MoveSendOnce, abi.MakeSendOnce:
		default:
			return abi.EINVAL
		}
		claims = append(claims, port.Claim{Name: m.Local, Disp: m.LocalDisp})
	}
	re := t.space.Entry(m.Remote)
	if re == nil {
		return abi.EBADF
	}
	for _, r := range m.Rights {
		claims = append(claims, port.Claim{Name: r.Name, Disp: r.Disp})
	}
	k.claims = claims
	if err := t.space.Check(claims); err != 0 {
		return err
	}
	if re.Mask&(1<<abi.RightDead) != 0 {
		return abi.EPIPE
	}
	dest := re.Port
	if dest.Kernel != nil {
		return abi.EPERM
	}
	for _, r := range m.Rights {
		if r.Disp == abi.MoveReceive && r.Name != abi.NameNull && r.Name != abi.NameDead &&
			port.Cycle(t.space.Entry(r.Name).Port, dest) {
			return abi.EINVAL
		}
	}
	var objects []port.Range
	for _, o := range m.Objects {
		e, err := k.object(t, uint64(o.Name))
		if err != 0 {
			return err
		}
		if e.Object.Pager != nil && o.Flags != 0 {
			return abi.EINVAL
		}
		if o.Flags&^3 != 0 || o.Off+o.Len < o.Off || o.Off+o.Len > e.Object.Size {
			return abi.EINVAL
		}
		// To freeze an object is to take it from all who write it.
		if e.ReadOnly && (o.Flags&3 == 0 || o.Flags&2 != 0 && !e.Object.Frozen) {
			return abi.EPERM
		}
		objects = append(objects, port.Range{Object: e.Object, Flags: o.Flags,
			ReadOnly: o.Flags != 0, Off: o.Off, Len: o.Len})
	}
	once := m.RemoteDisp == abi.MoveSendOnce || m.RemoteDisp == abi.MakeSendOnce
	full := !once && dest.Full()
	if full && (c.A[0] == 0 || len(t.waits) >= k.waiting(t)) {
		return abi.EAGAIN
	}
	if !once && !k.affords(t, port.Cost(len(m.Body), len(m.Rights)+len(m.Objects))) {
		return abi.EAGAIN
	}
	if alone && k.deadlock(t, dest) {
		return abi.EDEADLK
	}
	for _, o := range objects {
		if o.Flags&2 != 0 && o.Object.Freeze() != nil {
			return abi.EBUSY
		}
	}

	// Point of no return.
	pm := k.ports.NewMessage()
	pm.ID, pm.Seq, pm.Trace, pm.Body = m.ID, m.Seq, m.Trace, append(pm.Body, m.Body...)
	pm.Dest = t.space.Copyin(k.ports, claims[0])
	claims = claims[1:]
	if len(claims) > len(m.Rights) {
		pm.Reply = t.space.Copyin(k.ports, claims[0])
		claims = claims[1:]
	}
	for _, cl := range claims {
		r := t.space.Copyin(k.ports, cl)
		if r.Kind == abi.RightReceive {
			r.Port.Transit = dest
		}
		pm.Rights = append(pm.Rights, r)
	}
	for _, o := range objects {
		o.Object.Retain()
	}
	pm.Objects = objects
	pm.Lent = int(c.A[4])
	k.ports.Pay(pm, t)
	if full {
		w := k.newWaiter()
		*w = waiter{port: dest, send: true, next: next, nextNS: c.A[2], alone: alone, dest: dest, answer: pm.Reply.Port}
		if alone {
			t.alone = w
		}
		pm.Sender = w
		dest.Blocked.PushBack(pm)
		c.wait = true
		k.wait(t, c.ID, w, c.A[0])
		k.traffic(TrafficBlocked, t, dest, pm)
		return 0
	}
	k.ports.Enqueue(pm)
	k.traffic(TrafficSent, t, dest, pm)
	answer := pm.Reply.Port
	if next != abi.NameNull {
		c.wait = true // receive answers
		k.receive(t, c.ID, next, c.A[2], true)
		if alone {
			k.alone(t, c.ID, dest, answer)
		}
	}
	return 0
}

// callMsgCancel: see abi.CallMsgCancel. ESRCH: no call with this id waits; its
// answer is on the channel already.
func callMsgCancel(k *Kernel, t *task, c *call) abi.Errno {
	for w := range t.waits {
		if w.id == c.A[0] {
			k.expire(w, abi.ECANCELED)
			return 0
		}
	}
	return abi.ESRCH
}

// readable finds a name that can be received from.
func readable(t *task, n uint64) (*port.Entry, abi.Errno) {
	if n > uint64(abi.NameDead) {
		return nil, abi.EBADF
	}
	e := t.space.Entry(abi.Name(n))
	switch {
	case e == nil:
		return nil, abi.EBADF
	case e.Mask&(1<<abi.RightReceive|1<<abi.RightSet) == 0:
		return nil, abi.EPERM
	}
	return e, 0
}

// callMsgReceive: see abi.CallMsgReceive. The reply's A0 is the name of the port
// that the message came on, A1 is 1 for a request that an earlier incarnation
// had taken (A2 of them died with it, so that a server can refuse what killed it), the inline
// bytes are the message, and a descriptor comes with each object. A4 is the number of
// the task in whose budget the message is: of a request its sender's, which no other
// task of the machine ever has. EAGAIN: no
// message, with timeout 0; ETIMEDOUT; EPIPE: the receive right or the set went
// away; ENOSPC: the message (which stays) needs more names than the task may
// have.
func callMsgReceive(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[0] > uint64(abi.NameDead) {
		return abi.EBADF
	}
	c.wait = true // receive answers
	k.receive(t, c.ID, abi.Name(c.A[0]), c.A[1], false)
	return 0
}

// receive takes a message for the call id from a name, or lets the call wait.
// sent: the call has sent a message before.
func (k *Kernel) receive(t *task, id uint64, n abi.Name, ns uint64, sent bool) {
	e, err := readable(t, uint64(n))
	if err != 0 {
		k.refuse(t, id, err, sent)
		return
	}
	w := k.newWaiter()
	w.sent = sent
	var p *port.Port
	if e.Mask&(1<<abi.RightReceive) != 0 {
		w.port = e.Port
		if e.Port.Queue.Len() > 0 {
			p = e.Port
		}
	} else {
		w.set = e.Set
		p = e.Set.Next()
	}
	switch {
	case p != nil:
		k.freeWaiter(w)
		k.deliver(t, id, p, sent)
		return
	case ns == 0 || len(t.waits) >= k.waiting(t):
		k.freeWaiter(w)
		k.refuse(t, id, abi.EAGAIN, sent)
		return
	case w.set != nil:
		w.set.Readers.PushBack(w)
	default:
		w.port.Readers.PushBack(w)
	}
	k.wait(t, id, w, ns)
}

// deliver hands the first message of p to a call of its holder.
func (k *Kernel) deliver(t *task, id uint64, p *port.Port, sent bool) {
	h := abi.CallHeader{Op: abi.EventReply, ID: id}
	m := p.Queue.At(0)
	if m.Delivered == nil && !t.space.Room(need(m)) {
		k.refuse(t, id, abi.ENOSPC, sent)
		return
	}
	k.ports.Pop(p)
	h.A[0] = uint64(p.Name)
	if u, ok := m.Payer.(*task); ok {
		h.A[4] = u.id
	}
	var fds []machine.Handle
	if m.Delivered != nil {
		k.traffic(TrafficAgain, nil, p, m)
		h.A[1] = 1
		h.A[2] = m.Times
		for _, o := range m.Again {
			if fd, err := o.Object.Handle(o.ReadOnly); err == nil {
				fds = append(fds, fd)
			}
		}
	} else {
		k.traffic(TrafficReceived, nil, p, m)
		once := m.Reply.Kind == abi.RightSendOnce && m.Reply.Port != nil && !m.Reply.Port.Dead
		k.ports.Spend(m)
		var reply abi.Name
		m.Delivered, fds, reply = k.hand(t, m, p.Name)
		m.From = p
		if once {
			e := t.space.Entry(reply)
			e.Taken, m.Taken = m, e
		}
	}
	ok := t.post(&h, m.Delivered, fds)
	if m.Taken != nil {
		t.taken = append(t.taken, m) // before the task can end
		return
	}
	if !ok {
		k.ports.Requeue(p, m)
		return
	}
	if a, ok := m.Page.(*asked); ok {
		a.received()
	}
	k.ports.Done(m)
}

// hand gives the rights and objects of a message to a task and returns the wire
// form with the task's names, the handles, and the name of the reply right. The
// objects are kept in m.Again.
func (k *Kernel) hand(t *task, m *port.Message, remote abi.Name) ([]byte, []machine.Handle, abi.Name) {
	w := &k.has
	w.MsgHeader, w.Rights, w.Objects = abi.MsgHeader{}, w.Rights[:0], w.Objects[:0]
	w.Remote, w.ID, w.Seq, w.PortSeq, w.Trace, w.Body = remote, m.ID, m.Seq, m.PortSeq, m.Trace, m.Body
	var kind uint8
	w.Local, kind = t.space.Copyout(k.ports, m.Reply)
	w.LocalDisp = giveBack(kind)
	for _, r := range m.Rights {
		n, kind := t.space.Copyout(k.ports, r)
		if kind == abi.RightReceive && k.urgent > 0 {
			k.uneven()
		}
		w.Rights = append(w.Rights, abi.RightDesc{Name: n, Kind: kind})
	}
	var fds []machine.Handle
	for _, o := range m.Objects {
		d := abi.ObjectDesc{Flags: o.Flags, Off: o.Off, Len: o.Len}
		if h, err := o.Object.Handle(o.ReadOnly); err == nil {
			fds = append(fds, h)
			o.Object.Retain()
			d.Name = t.space.AddObject(o.Object, o.ReadOnly).Name
			m.Again = append(m.Again, o)
		} else {
			o.Object.Release()
		}
		w.Objects = append(w.Objects, d)
	}
	m.Reply, m.Rights, m.Objects = port.Right{}, m.Rights[:0], nil
	m.Wire = message.Put(m.Wire[:0], w)
	return m.Wire, fds, w.Local
}
