package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Streams to the outside that are lent (docs/lending.md): this server has the host's socket from the net
// server, looks when it is ready, and gives it to the library of the task that has the stream by one
// descriptor. What passes by it is seen neither here nor there.
//
// The socket is held from when the net server has lent it; the task is lent it while nothing of the stream
// is under way here. What is held is not in the state of record: the next incarnation of either
// server begins without (Reclaim, Adopt). What the task does with it late is done by somebody who has it
// by a descriptor of his own, and the host's kernel keeps the order.

// hostLending is the derived part of an Outside that is, or may be, lent.
type hostLending struct {
	state  int        // lend...
	unlike bool       // asked for, and not wanted any more
	adopts bool       // the net server's next incarnation is about to have it
	object ObjectName // the socket, while it is held
	file   store.Ref[File]
	reads  int // those that have found something
	// task has had it by descriptor fd. busy: its library may still receive by it, and nobody does here (leavesHost).
	task TaskID
	fd   int32
	busy bool
	// watches are the items that the host watches (lendhostset.go).
	watches []*epollWatch
}

const (
	lendNone  = 0
	lendAsked = 1
	lendHeld  = 2
)

// hostLoan is a host socket that a task has, by descriptor.
type hostLoan struct {
	object ObjectName
	tag    uint64
	file   store.Ref[File]
	gen    uint32
}

// maxHosts is how many host sockets a machine's tasks have at most; each is a descriptor of the nucleus's,
// of the two servers' and of the task's.
const maxHosts = 512

// outOf answers the record of a stream to the outside of which a file, which may be gone, is the program's end; nil:
// it is none.
func (k *Kernel) outOf(f store.Ref[File]) (store.Ref[Outside], *outsideRT) {
	if len(k.io.out.rt) == 0 {
		return 0, nil
	}
	file := k.Files.Get(f)
	if file == nil || file.Kind != FileSocket {
		return 0, nil
	}
	s := k.Socks.Get(sockOf(file))
	if s.Family != FamilyInet && s.Family != FamilyInet6 {
		return 0, nil
	}
	return k.outOfPeer(k.SockPeer(s))
}

// outOfPeer is outOf by the end that no program has.
func (k *Kernel) outOfPeer(p store.Ref[Socket]) (store.Ref[Outside], *outsideRT) {
	if p == 0 {
		return 0, nil
	}
	o := k.Socks.Get(p).Inet.Out
	if o == 0 || !k.Socks.Get(p).hidden() {
		return 0, nil
	}
	return o, k.io.out.rt[o]
}

// hostFits says whether nothing is special about a stream, and nothing that has come waits here.
func (k *Kernel) hostFits(f store.Ref[File], rec *Outside, rt *outsideRT) bool {
	if rec.State != outStream || rec.Over != 0 || rec.Hard != 0 || rt.receiving {
		return false
	}
	r := sockOf(k.Files.Get(f))
	s, q := k.Socks.Get(r), k.io.socks.at(r)
	return s.State == SockConnected && s.Err == 0 && s.Shut == 0 && s.Opts&optStamps == 0 && s.Inet.Fin == 0 && s.Bytes == 0 && s.RcvLowat == 1 &&
		(inetSockets{sockQueues{k}}).mark(s) == 0 && (k.nonblock(f) || s.RcvTimeo == 0 && s.SndTimeo == 0) && !k.sniffing(ProtoTCP) && len(q.async) == 0 &&
		k.Files.Get(f).Refs == 1 && len(k.fileRT(f).notes) == 0
}

// mayWaitHost says whether the caller may be lent a stream as far as it waits: of several threads one may close the descriptor by
// which another waits, which on Linux goes on with its file. So who waits is alone.
func (c *Call) mayWaitHost(f store.Ref[File]) bool { return c.K.nonblock(f) || c.K.alone(c.ProcRef()) }

// hostSoon asks the net server for the host's socket of the stream from which the caller has just read,
// if it has done so often.
func (c *Call) hostSoon(fd int32, f store.Ref[File]) {
	k := c.K
	o, rt := k.outOf(f)
	if rt == nil || rt.state != lendNone || rt.busy || k.io.out.never || k.Config.Link != nil {
		return
	}
	if rt.reads++; rt.reads < lendOften || len(k.io.out.hosts) >= maxHosts || !c.mayWaitHost(f) || !c.mayBorrow(fd, f) || !k.hostFits(f, k.Outs.Get(o), rt) {
		return
	}
	if !k.hostSetsFor(f) {
		rt.reads = 0
		return
	}
	rt.reads, rt.state, rt.unlike, rt.file = 0, lendAsked, false, f
	rec := k.Outs.Get(o)
	id, taken := rec.ID, rec.Taken
	k.ask(func(n NetBackend) {
		n.Lend(id, taken, func(object ObjectName, e abi.Errno) { k.hostLent(rt, object, e) })
	})
}

// hostLent takes the net server's answer.
func (k *Kernel) hostLent(rt *outsideRT, object ObjectName, e abi.Errno) {
	k.Enter()
	defer k.Leave()
	st := &k.io.out
	there := st.rt[rt.o] == rt && k.Outs.Get(rt.o).State == outStream
	if e == 0 && (!there || rt.unlike) {
		k.ask(func(n NetBackend) { n.DropHost(object) })
	}
	if !there {
		return
	}
	if e != 0 || rt.unlike {
		st.never = st.never || e == abi.EPERM || e == abi.ENOSYS
		rt.state, rt.readable, rt.reads = lendNone, true, -lentForNothing
		k.kickOut(rt.o)
		return
	}
	if st.hosts == nil {
		st.hosts = map[ObjectName]store.Ref[Outside]{}
	}
	rt.state, rt.object = lendHeld, object
	st.hosts[object] = rt.o
	if _, mine := k.outOf(rt.file); mine == rt {
		for _, w := range k.fileRT(rt.file).epolls {
			k.watchHeld(w)
		}
	}
	if rt.state == lendHeld {
		k.hostReady(rt.o, k.io.out.net.LookHost(object))
		k.wakeReader(rt)
	}
	k.kickOut(rt.o)
}

// wakeReader has who waits here for bytes of a stream that is held look whether he is to do so in his library.
func (k *Kernel) wakeReader(rt *outsideRT) {
	if p := k.Outs.Get(rt.o).Sock; p != 0 {
		if r := k.SockPeer(k.Socks.Get(p)); r != 0 {
			k.wakeSock(r, PollIn|PollRdNorm)
		}
	}
}

// heldMeanwhile is for a call that has waited here for what comes by f: ErrRestart, if it is to begin again, for its library
// can serve it. For another one what comes comes here again.
func (c *Call) heldMeanwhile(f store.Ref[File]) abi.Errno {
	o, rt := c.K.outOf(f)
	if rt == nil || rt.state != lendHeld || rt.adopts {
		return 0
	}
	if c.plainRead && c.Thread().Progress == 0 {
		return abi.ErrRestart
	}
	c.K.unlendHost(o, rt)
	return 0
}

// HostReady is told what a host socket is ready for; without the lock.
func (k *Kernel) HostReady(object ObjectName, ev uint32) {
	k.Enter()
	defer k.Leave()
	if o := k.io.out.hosts[object]; o != 0 {
		k.hostReady(o, ev)
	}
}

func (k *Kernel) hostReady(o store.Ref[Outside], ev uint32) {
	p := k.Outs.Get(o).Sock
	if p == 0 {
		return
	}
	if r := k.SockPeer(k.Socks.Get(p)); r != 0 {
		if ev&(PollIn|PollHup|PollErr|PollRdHup) != 0 {
			k.wakeSock(r, PollIn|PollRdNorm|ev&(PollHup|PollErr|PollRdHup))
		}
		if ev&PollOut != 0 {
			k.wakeSock(r, PollOut|PollWrNorm)
		}
	}
}

// receivesByHost has the caller's library serve a call that receives, if it can: then the call is run again
// there. Else what comes by the stream comes through this server from now on.
func (c *Call) receivesByHost(fd int32, f store.Ref[File], plain bool) bool {
	k := c.K
	plain = plain && (c.Local == abi.LocalRead || c.Local == abi.LocalRecv && c.Args[4] == 0)
	o, rt := k.outOf(f)
	if rt == nil || rt.state == lendNone || k.Socks.Get(sockOf(k.Files.Get(f))).Bytes > 0 {
		return false
	}
	if plain && c.lendHost(fd, f, o, rt) {
		return true
	}
	if plain && (rt.adopts || rt.state == lendAsked) {
		return false // nothing is there yet; it is told when that is over
	}
	k.unlendHost(o, rt)
	return false
}

// sendsByHost is the same for a call that sends; if not, it sends through this server.
func (c *Call) sendsByHost(fd int32, f store.Ref[File]) bool {
	if c.Local != abi.LocalWrite && c.Local != abi.LocalWritev && (c.Local != abi.LocalSend || c.Args[4] != 0) {
		return false
	}
	k := c.K
	o, rt := k.outOf(f)
	if rt == nil || rt.state != lendHeld {
		return false
	}
	if c.lendHost(fd, f, o, rt) {
		return true
	}
	if k.io.out.tried == f && !rt.sending && k.io.out.net.LookHost(rt.object)&(PollHup|PollErr) == PollHup {
		k.breakOut(o, 0) // the library has told with what error it ended: from now on it is EPIPE
	}
	return false
}

// toLibrary is the error of a call that the library is to serve: lendHost has said yes.
func (c *Call) toLibrary() abi.Errno {
	c.localCut = true
	return abi.ErrRestart
}

// lendHost lends the caller the stream that is held, by descriptor fd.
func (c *Call) lendHost(fd int32, f store.Ref[File], o store.Ref[Outside], rt *outsideRT) bool {
	k := c.K
	rec := k.Outs.Get(o)
	if rt.state != lendHeld || k.io.out.tried == f || rt.sending || k.Socks.Get(rec.Sock).Bytes > 0 || k.fileRT(f).pins != 1 ||
		!k.hostFits(f, rec, rt) || !c.mayWaitHost(f) || !c.mayBorrow(fd, f) || k.signalPending(c.T) {
		return false
	}
	ts := c.borrower()
	l := &ts.lent.hosts[fd]
	var granted uint64
	if l.object != rt.object || l.file != f || l.gen != k.Files.Gen(f) {
		if l.object == 0 {
			ts.lent.nhosts++
		}
		*l = hostLoan{object: rt.object, tag: k.NextGrant(), file: f, gen: k.Files.Gen(f)}
		k.Host.Grant(c.Task, rt.object, false, l.tag)
		granted = 1
	}
	now := uint64(0)
	if k.nonblock(f) {
		now = 1 << abi.StreamNow
	}
	from, to := k.lendPos(c.Task, fd, f, abi.LentIsStream, abi.StreamIsHost<<abi.StreamShift|l.tag&abi.HostTags<<abi.StreamNo|now)
	rt.file, rt.task, rt.fd = f, c.Task, fd
	c.Acts = slices.Insert(c.Acts, 0, abi.Action{Op: abi.ActLend, Flags: uint32(l.tag)<<8 | abi.ActHost, A: [5]uint64{uint64(fd), granted, 0, from, to}})
	return to != 0
}

// takeBackHost: the task asks here from now on, also where its library has not begun to do without: what it is about
// to carry out may have been said by the last incarnation. The socket is held.
func (k *Kernel) takeBackHost(f store.Ref[File], m *File) {
	k.lentPos(m, 0)
	m.LentTo, m.LentFD, m.LentNo = 0, 0, 0
	k.io.out.tried = f
}

// unlendHost has what comes by a stream come through this server.
func (k *Kernel) unlendHost(o store.Ref[Outside], rt *outsideRT) {
	switch rt.state {
	case lendAsked:
		rt.unlike = true
	case lendHeld:
		k.dropHost(rt)
		rt.readable, rt.reads = true, 0
		k.kickOut(o)
	}
}

// dropHost gives a socket that is held up.
func (k *Kernel) dropHost(rt *outsideRT) {
	if rt.state != lendHeld {
		rt.unlike = true
		return
	}
	if m := k.Files.Get(rt.file); rt.file != 0 && m != nil && m.LentTo != 0 && m.Kind == FileSocket {
		if _, mine := k.outOf(rt.file); mine == rt {
			k.takeBackHost(rt.file, k.Files.Mut(rt.file))
		}
	}
	k.countHost(rt)
	watches := rt.watches
	rt.watches = nil
	for _, w := range watches {
		k.unwatchHost(w)
		k.touchSet(w.rt)
		w.rt.ready.push(&w.place)
		w.rt.q.Wake(PollIn | PollRdNorm)
	}
	k.leavesHost(rt)
	object := rt.object
	delete(k.io.out.hosts, object)
	rt.state, rt.object, rt.file = lendNone, 0, 0
	k.ask(func(n NetBackend) { n.DropHost(object) })
}

// leavesHost is called when what comes by a stream is to come here again, and the task that has had the socket was told so
// (Lent.Pos): as long as its library is in a call that receives by it, what is received here could be told before what that
// brings. A thread that waits there is kicked.
func (k *Kernel) leavesHost(rt *outsideRT) {
	if rt.task != 0 && k.Host.HostsBusy(rt.task)&(1<<rt.fd) != 0 {
		k.awaitLeft(rt)
		k.kickAll(rt.task)
	}
}

func (k *Kernel) awaitLeft(rt *outsideRT) {
	if k.io.out.busy == nil {
		k.io.out.busy = map[store.Ref[Outside]]*outsideRT{}
	}
	rt.busy = true
	k.io.out.busy[rt.o] = rt
}

// hostBusy says whether nothing may be received here of a stream yet.
func (k *Kernel) hostBusy(rt *outsideRT) bool {
	if rt.busy && k.Host.HostsBusy(rt.task)&(1<<rt.fd) == 0 {
		rt.busy = false
		delete(k.io.out.busy, rt.o)
	}
	return rt.busy
}

// hostsLeft is called when the library of a task says that it has left a host's socket, by which others may wait again
// meanwhile, and when the task has ended.
func (k *Kernel) hostsLeft(t TaskID) {
	for o, rt := range k.io.out.busy {
		if rt.task == t && !k.hostBusy(rt) {
			k.kickOut(o)
		}
	}
}

// recoverHosts is leavesHost of what the last incarnation has lent.
func (k *Kernel) recoverHosts() {
	for t, ts := range k.tasks {
		fds := k.Host.HostsBusy(t)
		if fds == 0 {
			continue
		}
		k.afterCommit(func() { k.kickAll(t) })
		p := k.Procs.Get(ts.proc)
		if p == nil {
			continue
		}
		tab := k.FDs.Get(p.FDs)
		for fd, e := range fdEntries(k.Heap.Bytes(tab.Block)) {
			if fd >= abi.LentFiles || fds&(1<<fd) == 0 || e.File == 0 {
				continue
			}
			if _, rt := k.outOf(e.File); rt != nil {
				rt.task, rt.fd = t, int32(fd)
				k.awaitLeft(rt)
			}
		}
	}
}

// takeBackWaiting has a task that is about to have several threads ask here for what it would wait for by its library.
func (k *Kernel) takeBackWaiting(t TaskID) {
	for _, o := range k.io.out.hosts {
		rt := k.io.out.rt[o]
		if m := k.Files.Get(rt.file); rt.task == t && rt.file != 0 && m != nil && m.LentTo == t && m.Kind == FileSocket && !k.nonblock(rt.file) {
			k.takeBackHost(rt.file, k.Files.Mut(rt.file))
		}
	}
}

// takeBackHosts has all of them come through this server.
func (k *Kernel) takeBackHosts() {
	for _, o := range k.io.out.hosts {
		k.unlendHost(o, k.io.out.rt[o])
	}
}

// adoptHost gives a socket to the net server's next incarnation: the stream goes on, unless something was
// under way by way of the last one.
func (k *Kernel) adoptHost(o store.Ref[Outside], rt *outsideRT) {
	rec := k.Outs.Get(o)
	whole := !rt.sending && k.Socks.Get(rec.Sock).Bytes == 0
	rt.sending, rt.adopts = true, true // nothing is sent until it is there
	id, taken, object := rec.ID, rec.Taken, rt.object
	k.ask(func(n NetBackend) {
		n.Adopt(id, taken, object, func(inc uint64, e abi.Errno) {
			k.Enter()
			defer k.Leave()
			if e == 0 && inc != k.io.out.inc {
				return // there is another one, which is asked, too
			}
			rt.sending, rt.adopts = false, false
			if k.io.out.rt[o] != rt {
				return
			}
			k.kickOut(o)
			switch {
			case k.Outs.Get(o).State != outStream:
				// It was closed before it was there.
				k.ask(func(n NetBackend) { n.Close(id, true, func() {}) })
			case e != 0 || !whole:
				k.breakOut(o, abi.ECONNRESET)
			default:
				k.Outs.Mut(o).Inc = inc
				rt.writable = true
				if rt.state == lendHeld {
					k.hostReady(o, k.io.out.net.LookHost(rt.object))
					k.wakeReader(rt)
				}
			}
		})
	})
}

// pollHost is what an end whose peer no program has is ready for, m being what is known here.
func (k *Kernel) pollHost(p store.Ref[Socket], m uint32) uint32 {
	if len(k.io.out.hosts) == 0 {
		return m
	}
	_, rt := k.outOfPeer(p)
	if rt == nil || rt.state != lendHeld {
		return m
	}
	ev := k.io.out.net.LookHost(rt.object)
	if missing := (PollIn | PollOut) &^ ev; missing != 0 && ev&(PollHup|PollErr) == 0 {
		// Whoever has asked may sleep until it is. What is ready is not armed: he would be woken at once.
		if missing&PollIn != 0 && ev&PollRdHup == 0 {
			missing |= PollRdHup
		}
		k.io.out.net.ArmHost(rt.object, missing)
	}
	if ev&PollOut == 0 {
		m &^= PollOut | PollWrNorm
	}
	if ev&PollIn != 0 {
		m |= PollIn | PollRdNorm
	}
	return m | ev&(PollHup|PollErr|PollRdHup)
}

// waitingHost is how many bytes have come by a stream that is held.
func (k *Kernel) waitingHost(s *Socket) uint32 {
	if len(k.io.out.hosts) == 0 || s.Type != SockStream {
		return 0
	}
	if _, rt := k.outOfPeer(k.SockPeer(s)); rt != nil && rt.state == lendHeld {
		return k.io.out.net.WaitingHost(rt.object)
	}
	return 0
}

// closeHosts has the caller's library close the sockets whose descriptors are closed.
func (c *Call) closeHosts(l *lentTask) {
	for fd := 0; fd < len(l.hosts) && l.nhosts > 0; fd++ {
		h := &l.hosts[fd]
		if h.object == 0 || len(c.Acts) >= abi.MaxActions-1 {
			continue
		}
		if c.K.Files.Get(h.file) != nil && c.K.Files.Gen(h.file) == h.gen && c.K.io.out.hosts[h.object] != 0 {
			continue
		}
		c.Act(abi.ActUnlend, abi.ActHost, uint64(fd), h.tag&abi.HostTags)
		*h = hostLoan{}
		l.nhosts--
	}
}

// countHosts counts what has passed by all of them.
func (k *Kernel) countHosts() {
	for _, o := range k.io.out.hosts {
		k.countHost(k.io.out.rt[o])
	}
}

func (k *Kernel) countHost(rt *outsideRT) {
	p := k.Outs.Get(rt.o).Sock
	if p == 0 {
		return
	}
	in, out := k.io.out.net.PassedHost(rt.object)
	if r := k.SockPeer(k.Socks.Get(p)); r != 0 {
		k.countStream(r, in)
	}
	k.countStream(p, out)
}
