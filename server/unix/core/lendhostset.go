package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Streams to the outside that epoll sets watch (docs/lending.md): while this server holds the host's socket of
// one, it is watched in an epoll set of the host's, one for each of the machine's that has such items. What is ready
// there this server tells (EpollWait), or the library of the task that was lent the set, which has the host's set by
// a grant, and sleeps in it. By level or edge, the host knows what was told to whom.
//
// Of items that ask once, or exclusively, this server asks itself, as of all others (pollHost).

// hostSet is the derived part of a set that has, or may have, such items.
type hostSet struct {
	hosts      ObjectName // the host's set; 0: there is none
	asked      bool       // one is being made
	over       bool       // the machine's is no more
	nhosts     int        // items
	hostsFirst bool       // whose turn it is
	wake       uint64     // WakeData
	woken      bool       // WakeHostSet
	// hostsTo is the task that has it by a grant: nobody else is told by it. 0: none yet. sleepsAt is as its how
	// manyth it was lent last.
	hostsTo  TaskID
	sleepsAt int
}

// hostSetLoan is a host's set that a task has, and by which grant.
type hostSetLoan struct {
	hosts ObjectName
	tag   uint64
}

// maxHostSets is how many a machine has at most; each is a descriptor of the nucleus's, two of this server's and one of a task's.
const maxHostSets = 128

// hostEvents are the bits of an item that the host is told.
const hostEvents = PollIn | PollRdNorm | PollOut | PollWrNorm | PollRdHup | EpollET

// hostSetsFor says whether all sets that watch a file have a host's set, or need none; those that do not have it get one.
func (k *Kernel) hostSetsFor(f store.Ref[File]) bool {
	have := true
	for _, w := range k.fileRT(f).epolls {
		if !k.byHost(w) {
			continue
		}
		if w.rt.hosts == 0 {
			have = false
			k.newHostSet(w.rt)
		}
	}
	return have
}

// byHost says whether an item is one that the host can watch.
func (k *Kernel) byHost(w *epollWatch) bool {
	return k.EpItems.Get(w.item).Events&(EpollOneshot|EpollExclusive) == 0
}

// newHostSet has a host's set made, in which all is watched that the last one has.
func (k *Kernel) newHostSet(rt *epollRT) {
	if rt.asked || k.io.out.nsets >= maxHostSets {
		return
	}
	rt.asked = true
	k.io.out.nsets++
	k.ask(func(n NetBackend) {
		n.NewHostSet(func(set ObjectName, e abi.Errno) {
			k.Enter()
			defer k.Leave()
			rt.asked = false
			if e != 0 {
				k.io.out.nsets--
				return
			}
			if rt.over {
				k.endHostSet(set)
				return
			}
			k.touchSet(rt)
			last := rt.hosts
			k.calmHostSet(rt)
			delete(k.io.out.sets, last)
			rt.hosts, rt.hostsTo, rt.woken = set, 0, false
			k.wakeData(rt)
			if last != 0 {
				for _, w := range rt.items {
					if w.host != 0 && !k.tellHost(w, w.host, false) {
						k.giveUpHost(w)
					}
				}
				k.endHostSet(last)
			}
			rt.q.Wake(PollIn | PollRdNorm) // who sleeps looks at the new one
		})
	})
}

// renewHostSet has another host's set made when a task asks that is not the one which has it: that could
// be told what is for this one.
func (k *Kernel) renewHostSet(rt *epollRT, t TaskID) {
	if rt.hostsTo != 0 && rt.hostsTo != t && rt.nhosts > 0 {
		k.newHostSet(rt)
	}
}

// dropHostSet ends with the set.
func (k *Kernel) dropHostSet(rt *epollRT) {
	rt.over = true
	if set := rt.hosts; set != 0 {
		k.calmHostSet(rt)
		delete(k.io.out.sets, set)
		rt.hosts = 0
		k.endHostSet(set)
	}
}

func (k *Kernel) endHostSet(set ObjectName) {
	k.io.out.nsets--
	k.ask(func(n NetBackend) { n.DropHostSet(set) })
}

// watchHeld has the host watch an item whose file is a stream that is held.
func (k *Kernel) watchHeld(w *epollWatch) {
	if len(k.io.out.hosts) == 0 || w.host != 0 {
		return
	}
	_, rt := k.outOf(w.file)
	if rt == nil || rt.state != lendHeld {
		return
	}
	if !k.byHost(w) {
		if k.EpItems.Get(w.item).Events&EpollExclusive != 0 && k.EpItems.Get(w.item).Events&EpollET != 0 {
			k.unlendHost(rt.o, rt) // of its edges nobody would hear
		}
		return
	}
	w.host = rt.object
	rt.watches = append(rt.watches, w)
	w.rt.nhosts++
	if w.rt.hosts == 0 || !k.tellHost(w, rt.object, false) {
		k.giveUpHost(w)
		return
	}
	k.touchSet(w.rt)
	w.rt.ready.remove(&w.place)
	w.rt.q.Wake(PollIn | PollRdNorm) // who sleeps looks at the host's set
}

// giveUpHost has what comes by the stream of an item come through this server.
func (k *Kernel) giveUpHost(w *epollWatch) {
	o := k.io.out.hosts[w.host]
	if rt := k.io.out.rt[o]; o != 0 && rt != nil {
		k.unlendHost(o, rt)
	}
}

// watchAgain tells the host of another mask or other data; false: it does not watch the item.
func (k *Kernel) watchAgain(w *epollWatch) bool {
	if w.host != 0 && k.byHost(w) && k.tellHost(w, w.host, true) {
		return true
	}
	k.unwatchHost(w)
	return false
}

// tellHost has the host watch an item, or (again) tells it of another mask.
func (k *Kernel) tellHost(w *epollWatch, o ObjectName, again bool) bool {
	it := k.EpItems.Get(w.item)
	if it.Data == w.rt.wake {
		k.touchSet(w.rt)
		k.wakeData(w.rt)
	}
	return k.io.out.net.WatchHost(w.rt.hosts, o, it.Events&hostEvents, it.Data, again) == 0
}

// wakeData chooses what a wake-up has for data: nothing in the set has.
func (k *Kernel) wakeData(rt *epollRT) {
	taken := make(map[uint64]struct{}, len(rt.items)) // who chose his data to clash again and again is gone through once
	for _, w := range rt.items {
		taken[k.EpItems.Get(w.item).Data] = struct{}{}
	}
	for clash := true; clash; {
		rt.wake += 0x9e3779b97f4a7c15
		_, clash = taken[rt.wake]
	}
	k.io.out.net.WakeData(rt.hosts, rt.wake)
}

// unwatchHost ends that the host watches an item.
func (k *Kernel) unwatchHost(w *epollWatch) {
	if w.host == 0 {
		return
	}
	if rt := k.io.out.rt[k.io.out.hosts[w.host]]; rt != nil {
		if i := slices.Index(rt.watches, w); i >= 0 {
			rt.watches = slices.Delete(rt.watches, i, i+1)
		}
	}
	k.io.out.net.UnwatchHost(w.rt.hosts, w.host)
	w.host = 0
	w.rt.nhosts--
}

// hostsReady tells what is ready of the items that the host watches, and answers how much that is.
func (k *Kernel) hostsReady(rt *epollRT, ev []EpollEvent) int {
	if rt.nhosts == 0 || len(ev) == 0 || rt.hosts == 0 {
		return 0
	}
	return k.io.out.net.WaitHostSet(rt.hosts, ev)
}

// armHostSet has those woken who sleep in a set when something is ready of what the host watches.
func (k *Kernel) armHostSet(rt *epollRT) {
	if rt.nhosts == 0 || rt.hosts == 0 {
		return
	}
	k.calmHostSet(rt)
	if k.io.out.sets == nil {
		k.io.out.sets = map[ObjectName]*epollRT{}
	}
	k.io.out.sets[rt.hosts] = rt
	k.io.out.net.ArmHostSet(rt.hosts)
}

// HostSetReady is told that something is ready in a host's set; without the lock.
func (k *Kernel) HostSetReady(set ObjectName) {
	k.Enter()
	defer k.Leave()
	rt := k.io.out.sets[set]
	delete(k.io.out.sets, set)
	if rt != nil && rt.hosts == set {
		rt.q.Wake(PollIn | PollRdNorm)
	}
}

// pollHostSet says whether a set is ready by what the host watches; if not, who sleeps is woken when it is.
func (k *Kernel) pollHostSet(rt *epollRT) bool {
	if rt.nhosts == 0 || rt.hosts == 0 {
		return false
	}
	k.calmHostSet(rt)
	if k.io.out.net.PollHostSet(rt.hosts) {
		return true
	}
	k.armHostSet(rt)
	return false
}

// mayLendHostSet says whether a set that the caller is to be lent has no host's set, or one that it may have.
func (c *Call) mayLendHostSet(f store.Ref[File], rt *epollRT) bool {
	return rt.nhosts == 0 || rt.hosts != 0 && !rt.asked && (rt.hostsTo == 0 || rt.hostsTo == c.Task) && c.K.Files.Get(f).Refs == 1
}

// lendHostSet gives the caller the host's set of a set that it is lent as its at-th, and answers LentSet.Host and Wake.
func (c *Call) lendHostSet(rt *epollRT, at int) (host, wake uint64) {
	if rt.nhosts == 0 {
		return 0, 0
	}
	k := c.K
	l := c.borrower().lent
	h := &l.hostSets[at]
	k.calmHostSet(rt)
	rt.hostsTo, rt.sleepsAt = c.Task, at
	if h.hosts != rt.hosts {
		if h.hosts == 0 {
			l.nhostSets++
		}
		*h = hostSetLoan{rt.hosts, k.NextGrant()}
		for h.tag&abi.HostTags == 0 {
			h.tag = k.NextGrant()
		}
		k.Host.Grant(c.Task, rt.hosts, false, h.tag)
		c.Acts = slices.Insert(c.Acts, 0, abi.Action{Op: abi.ActLend, Flags: uint32(h.tag)<<8 | abi.ActHostSet, A: [5]uint64{uint64(at)}})
	}
	return h.tag & abi.HostTags, rt.wake
}

// closeHostSets has the caller's library close the host's sets that it needs no more.
func (c *Call) closeHostSets(l *lentTask) {
	for at := 0; at < len(l.hostSets) && l.nhostSets > 0; at++ {
		h := &l.hostSets[at]
		if h.hosts == 0 || len(c.Acts) >= abi.MaxActions-1 {
			continue
		}
		if rt := l.sets[at].rt; rt != nil && rt.hosts == h.hosts {
			continue
		}
		c.Act(abi.ActUnlend, abi.ActHostSet, uint64(at), h.tag&abi.HostTags)
		*h = hostSetLoan{}
		l.nhostSets--
	}
}

// wakeHostSet wakes those who sleep in the host's set, which has just been taken back.
func (k *Kernel) wakeHostSet(rt *epollRT) {
	if rt.hosts != 0 && rt.hostsTo == rt.to.id && !rt.woken && k.Host.SetSleeps(rt.to.id, rt.at) {
		rt.woken = true
		k.io.out.net.WakeHostSet(rt.hosts, true)
	}
}

// calmHostSet ends the wake-up. Of several who slept some may not have seen it yet: they are kicked, and look again.
func (k *Kernel) calmHostSet(rt *epollRT) {
	if !rt.woken {
		return
	}
	rt.woken = false
	k.io.out.net.WakeHostSet(rt.hosts, false)
	if k.Host.SetSleeps(rt.hostsTo, rt.sleepsAt) {
		k.kickAll(rt.hostsTo)
	}
}

// kickAll has all threads of a task that are not here come and look.
func (k *Kernel) kickAll(t TaskID) {
	if ts := k.tasks[t]; ts != nil && !ts.dead {
		for _, th := range k.procRT(ts.proc).threads {
			k.poke(th)
		}
	}
}

// recoverHostSets has those look again who sleep in a set of the last incarnation's.
func (k *Kernel) recoverHostSets() {
	for t := range k.tasks {
		for at := range abi.LentSets {
			if k.Host.SetSleeps(t, at) {
				k.kickAll(t)
				break
			}
		}
	}
}
