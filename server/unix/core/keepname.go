package core

import "hythe/abi"

// Answers about names (docs/lending.md, *Names*). A task's library keeps what it was answered
// by stat(2), access(2), readlink(2) and their like for a path that it asks for again, and
// answers by itself while two numbers are what they were: one that goes when any name that
// the machine knows may lead elsewhere, or to a process that sees another tree or has other rights; one
// that goes when the attributes of any file change that such an answer has been given
// of. It goes for all tasks: which answers depend on what is not kept. Nothing of it is in the state
// of record; a next incarnation begins without.

// names is what the kernel knows of answers that libraries keep.
type names struct {
	last  uint64         // number given to a library; those of later incarnations are greater
	tasks map[*task]bool // that have any
	at    int64          // when what was known of some name is over; 0: never

	foresight foresight
}

// nameRest is how many of its wishes a task is refused after its numbers have gone: where things change
// all the time, nothing is gained.
const nameRest = 4

// mostThreads is how many threads a process may have whose library keeps answers: each is looked at
// for each answer, and others wait for the server meanwhile.
const mostThreads = 256

// namesChanged is called when a name may lead elsewhere than it did, or not for everybody.
func (k *Kernel) namesChanged() {
	for ts := range k.names.tasks {
		k.forgetNames(ts)
	}
}

// forgetNames has one task's library forget its answers.
func (k *Kernel) forgetNames(ts *task) {
	if !k.names.tasks[ts] {
		return
	}
	delete(k.names.tasks, ts)
	k.Host.Tell(ts.id, abi.ToldNames, 0)
	k.Host.Tell(ts.id, abi.ToldAttrs, 0)
	ts.names, ts.attrs, ts.rest = 0, 0, nameRest
}

// attrsChanged is called when attributes change that are in answers.
func (k *Kernel) attrsChanged() {
	for ts := range k.names.tasks {
		if ts.attrs != 0 {
			k.Host.Tell(ts.id, abi.ToldAttrs, 0)
			ts.attrs, ts.rest = 0, nameRest
		}
	}
}

// nameNumber is one that no library was told before, in this incarnation or another: they
// begin with the time, in ns, and are given out more slowly.
func (k *Kernel) nameNumber() uint64 {
	k.names.last = max(k.names.last, uint64(k.moment())) + 1
	return k.names.last
}

// KeepName has the caller's library keep the call's answer, v or an error, about the name that it
// is asked for, if it wants to and what the answer depends on is known. c.Acts is
// all that the answer stores.
func (c *Call) KeepName(v uint64, err abi.Errno) {
	k, n := c.K, c.seen.at.node
	if c.seen.bare {
		n = nil
	}
	switch err {
	case 0:
	case abi.ENOENT, abi.ENOTDIR, abi.EINVAL:
		n = nil
		if len(c.Acts) != 0 {
			return
		}
		v = -uint64(err)
	default:
		return
	}
	var off, size uint64
	if len(c.Acts) > 0 {
		a := &c.Acts[0]
		if len(c.Acts) > 1 || a.Op != abi.ActCopyOut || a.Flags != 0 || a.A[2] > abi.NameData {
			return
		}
		off, size = a.A[1], a.A[2]
	}
	until := c.seen.until
	if n != nil {
		if n.m.core != nil || n.writing > 0 {
			return
		}
		until = min(until, n.attrUntil)
	}
	if c.seen.asked || !k.fresh(until) || !c.mayKeepNames() {
		return
	}
	if !c.namesHold() {
		return
	}
	ts := k.tasks[c.Task]
	attrs := uint64(0)
	if n != nil {
		attrs = k.attrsHold(ts)
		n.told = true
	}
	k.namesUntil(until)
	c.Act(abi.ActName, 0, ts.names, attrs, v, off, size)
}

// Missing says whether an open that makes nothing has ended with err since there is no such name, and would
// again as long as there is none.
func (c *Call) Missing(err abi.Errno) bool {
	p := c.Proc()
	tab := c.K.FDs.Get(p.FDs)
	// While the table may grow there is a number free (fdGrow).
	return (err == abi.ENOENT || err == abi.ENOTDIR) && c.seen.missing && tab != nil && uint64(tab.Cap) < p.Rlimits[RlimitNofile].Cur
}

// KeepMissing is KeepName for such an open.
func (c *Call) KeepMissing(err abi.Errno) {
	if c.Missing(err) {
		c.KeepName(0, err)
	}
}

// namesHold sees to it that the caller's task has a number while which answers hold, if it is not
// refused that.
func (c *Call) namesHold() bool {
	k := c.K
	ts := k.tasks[c.Task]
	if ts.rest > 0 {
		ts.rest--
		return false
	}
	if ts.names == 0 {
		ts.names = k.nameNumber()
		k.Host.Tell(ts.id, abi.ToldNames, ts.names)
		if k.names.tasks == nil {
			k.names.tasks = map[*task]bool{}
		}
		k.names.tasks[ts] = true
	}
	return true
}

// attrsHold answers the number while which a task's answers with attributes hold.
func (k *Kernel) attrsHold(ts *task) uint64 {
	if ts.attrs == 0 {
		ts.attrs = k.nameNumber()
		k.Host.Tell(ts.id, abi.ToldAttrs, ts.attrs)
	}
	return ts.attrs
}

// namesUntil says how long what an answer says is known.
func (k *Kernel) namesUntil(until int64) {
	if until != NoDeadline {
		k.atEarliest(&k.names.at, until, k.namesChanged)
	}
}

// mayKeepNames says whether all threads of the caller's task see the same names, with the
// same rights, and nobody wants to see what they ask for.
func (c *Call) mayKeepNames() bool {
	k := c.K
	if ts := c.borrows(); ts == nil || !k.mayLend(ts) || c.ns() != 0 {
		return false
	}
	threads := k.ThreadsOf(c.ProcRef())
	if len(threads) > mostThreads {
		return false
	}
	cred := c.Thread().Cred
	for _, t := range threads {
		if th := k.Threads.Get(t); th.Fs != 0 || th.Cred != cred {
			return false
		}
	}
	return true
}
