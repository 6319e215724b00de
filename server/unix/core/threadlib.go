package core

import (
	"hythe/abi"
	"hythe/store"
)

// What libraries do with threads by themselves (docs/lending.md, *Threads*): a new one begins without asking, and
// one that is not its process's first ends without asking.
//
// That a thread has begun, and its host id, are in its slot, with its token (abi.Slot.Begun). We hear of it
// with its first request, whichever it is. Who wants something of it before has the library's threads ask when they
// begin (abi.ThreadsAsk), and looks there then.
//
// That it has ended is in its slot, too (abi.Slot.Ended), and the doorbell is rung as for a request. It is carried out
// before the next request of the task is served, and once, since the token is of the thread's record alone; a
// next incarnation looks at the slots of all threads. Forged words end a thread's record, so that what comes
// from its slot afterwards is a stranger's, and ends the task.

// mayBegin says whether a thread that is about to be made has nothing to ask when it begins.
func (k *Kernel) mayBegin(t store.Ref[Thread]) bool {
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	mask := k.threadRT(t).mask
	return th.Begins == 0 && th.StaleSched == 0 && p.Debugger == 0 && p.Stopped == 0 && th.Pending|p.Pending == 0 &&
		(mask == 0 || mask == uint64(th.Mask)|abi.MaskKnown)
}

// hostTID answers the host's id of a thread, 0: it is not known, or its process's task is known by its first
// thread (leads).
func (k *Kernel) hostTID(t store.Ref[Thread]) uint64 {
	th := k.Threads.Get(t)
	p := k.Procs.Get(th.Proc)
	if th.HostTID != 0 || th.State != ThreadLive || p.Task == 0 || p.VforkParent != 0 {
		return th.HostTID
	}
	if of, tid := k.Host.Begun(p.Task, th.Slot); of == token(t, th.Token) {
		return tid
	}
	return 0
}

// hail has a thread come that has not called yet: it asks when it begins, or has begun by now, and its host id is answered.
func (k *Kernel) hail(t store.Ref[Thread]) uint64 {
	if ts := k.tasks[k.Procs.Get(k.Threads.Get(t).Proc).Task]; ts != nil {
		k.mayThreads(ts, ts.may|abi.ThreadsAsk)
	}
	return k.hostTID(t)
}

// mayThreads tells a task's library what its threads may do without asking.
func (k *Kernel) mayThreads(ts *task, may uint64) {
	if ts.may != may {
		ts.may = may
		k.Host.Tell(ts.id, abi.ToldThreads, may)
	}
}

// hasAsked notes that a thread has asked when it began. Others that were hailed may not have begun.
func (k *Kernel) hasAsked(c *Call) {
	ts := k.tasks[c.Task]
	if ts == nil || ts.may&abi.ThreadsAsk == 0 {
		return
	}
	for _, t := range k.procRT(c.ProcRef()).threads {
		if k.hostTID(t) == 0 && !k.leads(t) {
			return
		}
	}
	k.mayThreads(ts, ts.may&^abi.ThreadsAsk)
}

// ThreadEnded is told by the serve loop, with the lock held, that the library of a task says that the thread
// on a slot has ended.
func (k *Kernel) ThreadEnded(id TaskID, slot uint32) {
	ts := k.tasks[id]
	if ts == nil || ts.dead {
		return
	}
	t := ts.slots[slot]
	th := k.Threads.Get(t)
	if t == 0 || th == nil || th.State != ThreadLive {
		return
	}
	of, code := k.Host.Ended(id, slot)
	if of != token(t, th.Token) {
		return
	}
	rt, p := k.threadRT(t), th.Proc
	r := k.Procs.Get(p)
	if rt.inServer || rt.sleeping != nil || rt.vforkWait || r.State != ProcLive || r.VforkParent != 0 {
		return // it is forged: who ends makes no call
	}
	status := code & 0xff << 8
	if r.Exiting == 0 && r.Threads == 1 {
		k.exitGroup(p, status) // which ends a thread that runs
		if r = k.Procs.Get(p); r == nil || r.State != ProcLive {
			return
		}
	}
	if k.Threads.Get(t).State == ThreadLive {
		if r.Exiting == 0 {
			k.traceEnd(t, status)
		}
		k.leaves(t)
	}
	if r := k.Procs.Get(p); r.Threads == 0 && r.Exiting != 0 {
		k.procEnd(p)
	}
}

// leaves takes a thread that has ended out of its process, and tells who waits for that.
func (k *Kernel) leaves(t store.Ref[Thread]) {
	th := k.Threads.Get(t)
	r, rest, task := k.Procs.Get(th.Proc), k.procRT(th.Proc), k.Procs.Get(th.Proc).Task
	tid, told := k.hostTID(t), th.Sched != Sched{} || th.StaleSched != 0
	stays := r.Exiting == 0 && !k.threadRT(t).gone // the task does
	k.threadEnd(t)
	if stays {
		k.afterCommit(func() { k.threadGone(task, tid, told) })
	}
	if len(rest.threads) == 1 {
		rest.childQ.Wake(^uint32(0)) // an exec may wait for it
	}
	rest.deadQ.Wake(^uint32(0))
}

// recoverEnds carries out which threads have ended and were not looked at by the last incarnation.
func (k *Kernel) recoverEnds() {
	for id, ts := range k.tasks {
		for slot := range ts.slots {
			k.ThreadEnded(id, slot)
		}
	}
}
