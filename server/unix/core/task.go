package core

import (
	"fmt"

	"hythe/abi"
	"hythe/store"
)

// threadRT is the derived part of a thread.
type threadRT struct {
	// sleeping is the call of this thread that sleeps, nil if none.
	sleeping *sleeper
	// call is the call in which it sleeps, nil if none.
	call *Call
	// gone: the thread is to end (its process exits or its task died): calls
	// unwind, nobody is answered.
	gone bool
	// inServer: the thread waits for an answer of ours; no kick is needed to
	// reach it.
	inServer bool
	// stopWait: it sleeps because its process is stopped.
	stopWait bool
	// kicked: a kick is on its way that has not shown up as a KindPoll.
	kicked bool
	// short is the thread's last read.
	short shortRead
	// frames are the signal frames of the thread's last reply.
	frames []frameNote
	// mask is abi.ThreadMask as the library has it, 0: it never had, maskUnsure: nobody knows.
	mask uint64
	// told is who tells the host how the thread is scheduled.
	told told
	threadRTExtra
}

func (k *Kernel) threadRT(t store.Ref[Thread]) *threadRT {
	rt := k.threads[t]
	if rt == nil {
		rt = &threadRT{}
		k.threads[t] = rt
	}
	return rt
}

func (k *Kernel) procRT(p store.Ref[Proc]) *procRT {
	rt := k.procs[p]
	if rt == nil {
		rt = &procRT{}
		k.procs[p] = rt
	}
	return rt
}

// briefly is a time in which one thread does not use what the Host counts as some: it counts
// hundredths of a second, of which some went by before the core knew of the task.
const briefly = 8e6

// brief says whether the task is so young, and has had one thread only, that the Host need
// not be asked for the processor time that it has used: it would answer none.
func (t *task) brief(now int64) bool {
	return t.born != 0 && !t.threaded && now-t.born < briefly
}

// addTask makes a task known.
func (k *Kernel) addTask(id TaskID, p store.Ref[Proc]) *task {
	t := &task{id: id, proc: p, slots: map[uint32]store.Ref[Thread]{}, born: k.Clock.Mono()}
	k.tasks[id] = t
	k.OnTask(id)
	return t
}

// bindSlot says which thread speaks on a slot.
func (k *Kernel) bindSlot(id TaskID, slot uint32, t store.Ref[Thread]) {
	if ts := k.tasks[id]; ts != nil {
		if t == 0 {
			delete(ts.slots, slot)
		} else {
			ts.slots[slot] = t
		}
	}
}

// Token makes the number by which a new task or thread will say who it is.
func token(t store.Ref[Thread], gen uint32) uint64 { return uint64(gen)<<32 | uint64(t) }

// Resolve finds the thread that a request comes from and prepares c for it;
// false: the request is from nobody we know (the caller ends the task). With
// the lock held.
func (k *Kernel) Resolve(c *Call, hostTID uint64) bool {
	ts := k.tasks[c.Task]
	for ts == nil && k.proc.creating > 0 {
		// Perhaps the record of this task is about to be made.
		ch := make(chan struct{}, 1)
		e := k.proc.born.Watch(func(uint32) {
			select {
			case ch <- struct{}{}:
			default:
			}
		})
		c.release()
		<-ch
		c.reacquire()
		e.Unwatch()
		ts = k.tasks[c.Task]
	}
	if ts == nil || ts.dead {
		return false
	}
	t := ts.slots[c.Slot]
	switch c.Kind {
	case abi.KindFork, abi.KindThread:
		if t == 0 || uint64(c.Args[0]) != token(t, k.Threads.Get(t).Token) {
			return false
		}
	}
	if t == 0 {
		return false
	}
	c.T = t
	th := k.Threads.Get(t)
	if th.State == ThreadDead {
		// Its last call may lack only the answer.
		return th.DoneSeq == c.Seq
	}
	if th.HostTID != hostTID {
		k.Threads.Mut(t).HostTID = hostTID
	}
	if th.CurSeq != c.Seq {
		k.dropParts(t)
		k.begins(t, c)
	} else {
		// The same call again, after a crash: the same numbers to file servers.
		k.Threads.Mut(t).FSSeq = th.FSBase
	}
	// A call that is done already may have given the slot to another thread (vfork).
	if c.Late != 0 && th.DoneSeq != c.Seq {
		m := k.Threads.Mut(t)
		if c.Late&abi.LateIsRobust != 0 {
			m.RobustHead, m.RobustLen = c.LateRobust, abi.RobustSize
		}
		if c.Late&abi.LateIsTid != 0 {
			m.ClearTid = c.LateTid
		}
	}
	return true
}

// Serve runs one request to its reply. The lock is held on entry and on
// return; in between it may have been given up. On return the reply, if there
// is one (NoReply), is in c; the serve loop stores it in the slot, calls
// Commit..., and publishes it.
func (k *Kernel) Serve(c *Call) {
	first := c.T
	personality, pid, tid := c.Proc().Personality, c.Proc().Pid, c.Thread().Tid // the call may end them
	module := c.Proc().Flags&ProcModule != 0                                    // whose own lines say what it does (TraceModule)
	defer func() {
		if r := recover(); r != nil {
			k.crashed(c, first)
			panic(r)
		}
	}()
	k.resumeParts(c)
	for {
		k.serveOnce(c)
		if c.Kind == abi.KindTrap && !module && k.tracing(pid) {
			k.traceCall(c, k.Personality(personality), first, pid, tid)
		}
		if !k.finish(c) {
			break
		}
		// Run again in place: the same numbers to file servers, and a deadline
		// that was set stays.
		c.Err, c.Result = 0, 0
		c.Acts = c.acts()[:0]
		c.outUsed = 0
		c.taking, c.spilled = false, nil
		c.InReset()
		th := c.MutThread()
		th.FSSeq = th.FSBase
	}
	if c.Kind == abi.KindTrap {
		k.count(personality, c.Nr)
	}
}

func (k *Kernel) serveOnce(c *Call) {
	rt := k.threadRT(c.T)
	rt.inServer = true
	rt.kicked = false
	rt.called = false
	if rt.gone {
		return
	}
	if c.Kind == abi.KindTrap {
		c.Flags |= k.convention(c.Proc())
	}
	if n := c.Thread().Crashes; n >= maxCrashes {
		k.refuse(c, n)
		return
	}
	k.io.out.tried = 0
	if k.Failpoint != nil {
		k.Failpoint(c)
	}
	if c.Thread().StaleSched != 0 && c.Kind != abi.KindStart {
		c.settleSched()
		if rt.gone {
			return
		}
	}
	switch c.Kind {
	case abi.KindTrap:
		p := k.Personality(c.Proc().Personality)
		p.Call(c)
	case abi.KindStart:
		c.settleSched()
		if rt.gone {
			break
		}
		k.tellStack(c.ProcRef())
		p := k.Personality(c.Proc().Personality)
		k.traceStart(c, p)
		if e := p.Start(c); e != 0 {
			k.Host.Log("start of " + c.procName() + ": " + e.Name())
			k.killProcess(c.ProcRef(), SIGKILL)
		} else if r := c.Proc(); r.Flags&ProcHeld != 0 {
			k.Procs.Mut(c.ProcRef()).Flags &^= ProcHeld
			if r.Debugger != 0 {
				c.holdExec()
			}
		}
	case abi.KindFork, abi.KindThread:
		k.firstCall(c)
	case abi.KindFault:
		p := k.Personality(c.Proc().Personality)
		info := p.Fault(c)
		c.Flags |= abi.ReplyKeepRegs
		if c.execFault() {
			break
		}
		if !k.exception(c, ExceptionFault, &info) {
			k.forceSignal(c.T, &info)
		}
	case abi.KindPoll:
		k.pollCall(c)
	default:
		// A library never sends this: a guest that forges it is told nothing.
		c.Fail(abi.ENOSYS)
	}
}

// procName is what to call the process in a log line.
func (c *Call) procName() string {
	p := c.Proc()
	if p == nil {
		return "?"
	}
	return p.CommName()
}

// CommName is the process's name.
func (p *Proc) CommName() string {
	n := 0
	for n < len(p.Comm) && p.Comm[n] != 0 {
		n++
	}
	return string(p.Comm[:n])
}

// maxCrashes is how many panics a request may cause before it is refused.
const maxCrashes = 2

// crashed notes in the state of record that serving c has panicked; the server
// dies then. The next incarnation undoes nothing else of it: the transaction
// that panicked is taken back here. A server that is killed from outside, in
// whatever call, leaves no such note: that call is run again as often as need be.
func (k *Kernel) crashed(c *Call, first store.Ref[Thread]) {
	k.notePanic(c.outside, func() {
		t := c.T
		if th := k.Threads.Get(t); t == 0 || th == nil || th.CurSeq != c.Seq {
			t = first // which made c.T, in what was taken back
		}
		if t != 0 && k.Threads.Get(t) != nil {
			m := k.Threads.Mut(t)
			if m.CurSeq != c.Seq {
				k.begins(t, c) // Resolve's change was taken back, too
			}
			m.Crashes++
		}
	})
}

// notePanic has the state of record say what note does, of a panic that ends the server, and nothing else of
// the transaction under way. outside: the lock is given up.
func (k *Kernel) notePanic(outside bool, note func()) {
	if outside {
		k.mu.Lock() // for good
	}
	if k.Heap.InTx() {
		k.Heap.Abort()
	}
	k.Heap.Begin()
	note()
	k.Heap.Commit()
}

// begin notes that the thread's call seq has begun.
func (th *Thread) begin(seq uint64) {
	th.CurSeq = seq
	th.Progress, th.Deadline, th.Aux, th.FSSent, th.Crashes, th.PartNo = 0, 0, 0, 0, 0, 0
	th.FSBase, th.FSGives = th.FSSeq, 0
}

// refuse answers a request that has made the server panic n times: EIO, or the
// end of the process where there is no call to answer, and where that answer
// did not help either.
func (k *Kernel) refuse(c *Call, n uint32) {
	p := c.Proc()
	what := "is answered EIO"
	if c.Kind != abi.KindTrap || n > maxCrashes {
		what = "ends the process"
	}
	k.Host.Log(fmt.Sprintf("request %d (kind %d) of process %d (%s) crashed the server %d times: it %s",
		c.Nr, c.Kind, p.Pid, c.procName(), n, what))
	if c.Kind == abi.KindTrap && n == maxCrashes {
		c.Fail(abi.EIO)
		return
	}
	c.Flags |= abi.ReplyKeepRegs
	k.killProcess(c.ProcRef(), SIGKILL)
}
