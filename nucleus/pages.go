package nucleus

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
	"hythe/nucleus/vm"
)

// Limits of paged objects.
const (
	maxWatches = 64      // of a task
	maxLocked  = 64      // spans of an object
	maxPages   = 1 << 20 // bytes that one call is about
)

// pager is what the nucleus knows of a paged object (docs/decisions/0011-pagers.md): who
// supplies its pages, who has mapped it, and which pages were asked for.
type pager struct {
	object  *vm.Object
	port    *port.Port // no right: who receives there is the pager; nobody, once it is dead
	tag     uint64     // the pager's own word for the object
	asked   map[uint64]*asked
	locked  []span
	watches []*watch
}

// askedCost is what a page that was asked for costs the budget of who faulted, until there
// is an answer: a task can wake itself, and go on to the next page.
const askedCost = port.MessageCost

// asked is a page that somebody waits for.
type asked struct {
	p     *pager
	off   uint64
	write bool
	task  *task // who faulted first
	taken bool  // the pager has the message
}

// span is a range of an object.
type span struct{ off, n uint64 }

// watch is a mapping of a paged object in a task.
type watch struct {
	k      *Kernel
	task   *task
	p      *pager
	faults machine.Faults
	base   uint64 // address of the mapping
	span
}

// part is where a range of the object is in the mapping; n is 0 if it is not.
func (w *watch) part(s span) (addr, n uint64) {
	from, to := max(s.off, w.off), min(s.off+s.n, w.off+w.n)
	if from >= to {
		return 0, 0
	}
	return w.base + from - w.off, to - from
}

// each calls f with the part of each mapping that a range is in.
func (p *pager) each(s span, f func(w *watch, addr, n uint64)) {
	for _, w := range p.watches {
		if addr, n := w.part(s); n > 0 {
			f(w, addr, n)
		}
	}
}

// broken ends a task whose mapping does not do what the pager of its object says. To the
// pager, and to who else maps the object, it is as if that task had ended before.
func (w *watch) broken(why string) {
	if w.task.ctx != nil {
		w.task.ctx.Kill(why)
	}
}

// lock forbids to write a range in all mappings, or takes that back.
func (p *pager) lock(s span, on bool) {
	p.each(s, func(w *watch, addr, n uint64) {
		if w.faults.Protect(addr, n, on) != nil {
			w.broken("its mapping of a paged object cannot be locked")
		}
	})
}

// refuse makes it an error to touch a range in all mappings.
func (p *pager) refuse(s span) {
	p.each(s, func(w *watch, addr, n uint64) {
		if w.faults.Poison(addr, n) != nil {
			w.broken("a page of its memory is nobody's to supply")
		}
	})
}

// paged makes an object a paged one, whose pager receives on e. The lock is held.
func (k *Kernel) paged(o *vm.Object, e *port.Entry, tag uint64) {
	p := &pager{object: o, port: e.Port, tag: tag, asked: map[uint64]*asked{}}
	o.Pager, e.Port.Pages = p, true
	k.pagers = append(k.pagers, p)
}

// unpaged is told that the last right to an object, and so the last mapping that the
// nucleus knows of, is gone.
func (k *Kernel) unpaged(o *vm.Object) {
	if p, ok := o.Pager.(*pager); ok {
		p.answered(k, span{0, o.Size})
		k.pagers = slices.DeleteFunc(k.pagers, func(q *pager) bool { return q == p })
	}
}

// ask sends a data request to the pager.
func (k *Kernel) ask(a *asked) {
	p := a.p
	m := k.ports.NewMessage()
	m.Dest, m.ID, m.Page = k.ports.MakeSend(p.port), abi.MsgPageRequest, a
	access := uint64(0)
	if a.write {
		access = 1
	}
	for _, v := range [...]uint64{p.tag, a.off, abi.PageSize, access} {
		m.Body = binary.LittleEndian.AppendUint64(m.Body, v)
	}
	payer := a.task
	if payer.gone {
		payer = nil
	}
	a.taken = false
	if payer != nil {
		k.ports.Pay(m, payer)
	}
	k.ports.Enqueue(m)
}

// fault is the machine's news that a thread of the task waits for a page, or for one
// that is locked to be written.
func (w *watch) fault(addr uint64, write, locked bool) {
	k, p := w.k, w.p
	k.enter()
	defer k.leave()
	page := addr &^ (abi.PageSize - 1)
	if !slices.Contains(p.watches, w) || page < w.base || page-w.base >= w.n || locked {
		return // what is locked goes on when it is not any more
	}
	off := w.off + page - w.base
	if p.asked[off] != nil {
		return
	}
	if p.port.Dead {
		p.refuse(span{off, abi.PageSize})
		return
	}
	if !k.affords(w.task, askedCost) {
		w.broken("it waits for more pages than it can pay for")
		return
	}
	a := &asked{p: p, off: off, write: write, task: w.task}
	p.asked[off] = a
	k.charge(w.task, askedCost)
	k.ask(a)
}

// orphaned refuses the pages that were asked for of a pager that is gone for good, and
// lets those be written that it had locked.
func (k *Kernel) orphaned(dead *port.Port) {
	for _, p := range k.pagers {
		if p.port != dead {
			continue
		}
		for off := range p.asked {
			p.refuse(span{off, abi.PageSize})
		}
		p.answered(k, span{0, p.object.Size})
		for _, l := range p.locked {
			p.lock(l, false)
		}
		p.locked = nil
	}
}

// askAgain sends a new incarnation the requests that the last one had taken.
func (k *Kernel) askAgain(t *task) {
	for _, p := range k.pagers {
		if p.port.Holder != t.space {
			continue
		}
		var l []uint64
		for off, a := range p.asked {
			if a.taken {
				l = append(l, off)
			}
		}
		slices.Sort(l)
		for _, off := range l {
			k.ask(p.asked[off])
		}
	}
}

// unwatch ends a mapping, as far as the nucleus knows of it.
func (k *Kernel) unwatch(w *watch) {
	is := func(x *watch) bool { return x == w }
	w.p.watches = slices.DeleteFunc(w.p.watches, is)
	w.task.watches = slices.DeleteFunc(w.task.watches, is)
	w.faults.Close()
	w.p.object.Release()
}

// unmapped ends all mappings of a task whose address space is gone.
func (t *task) unmapped() {
	for len(t.watches) > 0 {
		t.k.unwatch(t.watches[0])
	}
}

// callObjectUnwatch: see abi.CallObjectUnwatch. ESRCH: nothing is mapped there.
func callObjectUnwatch(k *Kernel, t *task, c *call) abi.Errno {
	for _, w := range t.watches {
		if w.base == c.A[0] {
			k.unwatch(w)
			return 0
		}
	}
	return abi.ESRCH
}

// callObjectWatch: see abi.CallObjectWatch. EBADF; EINVAL: no paged object, the range is
// not in it or not of whole pages, or the descriptor is not what the machine wants;
// EAGAIN: too many; EPERM: the task is in the nucleus's own process.
func callObjectWatch(k *Kernel, t *task, c *call) abi.Errno {
	base, s := c.A[1], span{c.A[2], c.A[3]}
	e, err := k.object(t, c.A[0])
	if err != 0 {
		return err
	}
	p, ok := e.Object.Pager.(*pager)
	if !ok || !s.in(e.Object) || base%abi.PageSize != 0 || base+s.n < base {
		return abi.EINVAL
	}
	if t.inside {
		return abi.EPERM
	}
	if len(t.watches) >= maxWatches {
		return abi.EAGAIN
	}
	w := &watch{k: k, task: t, p: p, base: base, span: s}
	f, herr := k.m.WatchFaults(c.handles[0], w.fault)
	if herr != nil {
		return abi.EINVAL
	}
	w.faults = f
	for _, l := range p.locked {
		if addr, n := w.part(l); n > 0 && f.Protect(addr, n, true) != nil {
			f.Close()
			return abi.EINVAL
		}
	}
	e.Object.Retain()
	p.watches = append(p.watches, w)
	t.watches = append(t.watches, w)
	return 0
}

// in says whether a range is one of whole pages of an object.
func (s span) in(o *vm.Object) bool {
	return s.n > 0 && s.off%abi.PageSize == 0 && s.n%abi.PageSize == 0 && s.off+s.n >= s.off && s.off+s.n <= o.Size
}

// callObjectPages: see abi.CallObjectPages. EBADF, EPERM: the name is no object, or the
// task does not receive on the pager's port; EINVAL: no paged object, no such operation,
// the range is not of whole pages of it or more than a MiB, or, to lock, a part of it is
// locked, or, to flush or unlock, it is none that was locked; EAGAIN: too much is
// locked; ENOMEM. A task whose mapping cannot be locked, or made an error to touch, ends:
// no task's doing is an error of the pager's.
func callObjectPages(k *Kernel, t *task, c *call) abi.Errno {
	e, err := k.object(t, c.A[0])
	if err != 0 {
		return err
	}
	o, s := e.Object, span{c.A[2], c.A[3]}
	p, ok := o.Pager.(*pager)
	if !ok || !s.in(o) || s.n > maxPages {
		return abi.EINVAL
	}
	if p.port.Holder != t.space {
		return abi.EPERM
	}
	h, _ := o.Handle(false)
	at := slices.Index(p.locked, s)
	switch c.A[1] {
	case abi.PagesUnavailable:
		if k.m.FillPages(h, s.off, s.n) != nil {
			return abi.ENOMEM
		}
		fallthrough
	case abi.PagesSupply:
		p.each(s, func(w *watch, addr, n uint64) { w.faults.Wake(addr, n) })
		p.answered(k, s)
	case abi.PagesError:
		p.refuse(s)
		p.answered(k, s)
	case abi.PagesLock:
		if at >= 0 {
			return 0
		}
		if slices.ContainsFunc(p.locked, func(l span) bool { return l.off < s.off+s.n && s.off < l.off+l.n }) {
			return abi.EINVAL
		}
		if len(p.locked) >= maxLocked {
			return abi.EAGAIN
		}
		p.lock(s, true)
		p.locked = append(p.locked, s)
	case abi.PagesFlush, abi.PagesUnlock:
		if at < 0 {
			return abi.EINVAL
		}
		if c.A[1] == abi.PagesFlush && k.m.PunchPages(h, s.off, s.n) != nil {
			return abi.ENOMEM
		}
		p.locked = slices.Delete(p.locked, at, at+1)
		p.lock(s, false)
	default:
		return abi.EINVAL
	}
	return 0
}

// answered forgets that pages were asked for.
func (p *pager) answered(k *Kernel, s span) {
	for off, a := range p.asked {
		if off >= s.off && off-s.off < s.n {
			delete(p.asked, off)
			k.charge(a.task, -askedCost)
		}
	}
}
