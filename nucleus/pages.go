package nucleus

import (
	"encoding/binary"
	"maps"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
	"hythe/nucleus/vm"
)

// Limits of paged objects.
const (
	maxWatches = abi.MaxHelloRanges
	maxLocked  = 64      // spans of an object
	maxPages   = 1 << 20 // bytes that one call is about, or one request
	maxPieces  = 64      // of a mapping
	maxUnder   = 1024    // requests that the machine has and has not carried out
)

// pager is what the nucleus knows of a paged object (docs/decisions/0011-pagers.md): who
// supplies its pages, who has mapped it, and which pages were asked for.
type pager struct {
	object  *vm.Object
	port    *port.Port // no right: who receives there is the pager; nobody, once it is dead
	tag     uint64     // the pager's own word for the object
	cluster uint64     // bytes that are asked for at once, at most
	keep    bool       // the pager is not told that nobody else has the object
	asked   map[uint64]*asked
	locked  []span
	watches []*watch
	// told: the pager was told that nobody else has the object, by the message term while
	// it has not received that.
	told bool
	term *asked
	// under is how many requests of the pager's the machine has: the memory of who maps the
	// object can keep it from carrying them out.
	under int
}

// askedCost is what a page that was asked for costs the budget of who faulted, until there
// is an answer: a task can wake itself, and go on to the next page.
const askedCost = port.MessageCost

// asked is a page that somebody waits for, with those behind it that were asked for with
// it. Each is in pager.asked.
type asked struct {
	p *pager
	span
	write bool
	task  *task // who faulted first
	taken bool  // the pager has the message
}

// watchCost is what a mapping costs a guest: of the host's descriptors the nucleus has not
// many.
const watchCost = vm.Cost

// span is a range of an object.
type span struct{ off, n uint64 }

// watch is a mapping of a paged object in a task.
type watch struct {
	k      *Kernel
	task   *task
	p      *pager
	faults machine.Faults
	made   piece  // as it was at first
	number uint64 // of a guest: what its library calls the mapping
	pieces []piece
}

// piece is what is left of a mapping at one place: a task may unmap and move parts.
type piece struct {
	base uint64
	span
}

// part is where a range of the object is in the piece; n is 0 if it is not.
func (w *piece) part(s span) (addr, n uint64) {
	from, to := max(s.off, w.off), min(s.off+s.n, w.off+w.n)
	if from >= to {
		return 0, 0
	}
	return w.base + from - w.off, to - from
}

// each calls f with each place of a range in a mapping.
func (w *watch) each(s span, f func(addr, n uint64)) {
	for i := range w.pieces {
		if addr, n := w.pieces[i].part(s); n > 0 {
			f(addr, n)
		}
	}
}

// each calls f with each place that a range is mapped at.
func (p *pager) each(s span, f func(w *watch, addr, n uint64)) {
	for _, w := range p.watches {
		w.each(s, func(addr, n uint64) { f(w, addr, n) })
	}
}

// broken ends a task whose mapping does not do what the pager of its object says. To the
// pager, and to who else maps the object, it is as if that task had ended before.
func (w *watch) broken(why string) {
	if w.task.ctx != nil {
		w.task.ctx.Kill(why)
	}
}

// watched says whether the mapping is one still.
func (w *watch) watched() bool { return slices.Contains(w.p.watches, w) }

// A range that cannot be locked may be one of which the news is under way that it is
// mapped no more: it is looked at again, so often. Who keeps the machine from it for so long,
// by one try or many, ends.
const (
	protectTries  = 1000
	protectPause  = 1e6  // ns
	protectWithin = 30e9 // ns
)

// protect forbids to write a range in a mapping, or takes that back, and calls done then,
// with the lock held. until is when there was time enough for all tries.
func (w *watch) protect(s span, on bool, try int, until uint64, done func()) {
	k, left := w.k, 1
	end := func() {
		if left--; left == 0 {
			done()
		}
	}
	w.each(s, func(addr, n uint64) {
		left++
		w.p.under++
		over := false
		timer := k.m.After(until-min(until, k.m.Now()), func() {
			k.enter()
			defer k.leave()
			if over {
				return // it was stopped too late
			}
			over = true
			if w.watched() {
				w.broken("it keeps its mapping of a paged object from being locked")
			}
			end()
		})
		w.faults.Protect(addr, n, on, func(err error) {
			k.enter()
			defer k.leave()
			w.p.under--
			timer.Stop()
			if over {
				return
			}
			over = true
			switch {
			case err == nil || !w.watched():
				end()
			case try == protectTries:
				w.broken("its mapping of a paged object cannot be locked")
				end()
			default:
				k.m.After(protectPause, func() {
					k.enter()
					defer k.leave()
					w.protect(s, on, try+1, until, end)
				})
			}
		})
	})
	end()
}

// lock forbids to write a range in all mappings, or takes that back, and calls done, which
// may be nil, with the lock held when it is so.
func (p *pager) lock(s span, on bool, done func()) {
	left := 1
	end := func() {
		if left--; left == 0 && done != nil {
			done()
		}
	}
	for _, w := range p.watches {
		left++
		w.protect(s, on, 1, w.k.m.Now()+protectWithin, end)
	}
	end()
}

// refuse makes it an error to touch a range in all mappings.
func (p *pager) refuse(s span) {
	p.each(s, func(w *watch, addr, n uint64) {
		p.under++
		w.faults.Poison(addr, n, func(err error) {
			w.k.enter()
			defer w.k.leave()
			p.under--
			if err != nil && w.watched() {
				w.broken("a page of its memory is nobody's to supply")
			}
		})
	})
}

// paged makes an object a paged one, whose pager receives on e. The lock is held.
func (k *Kernel) paged(o *vm.Object, e *port.Entry, tag uint64) {
	p := &pager{object: o, port: e.Port, tag: tag, cluster: abi.PageSize, asked: map[uint64]*asked{}}
	o.Pager, e.Port.Pages = p, true
	k.pagers = append(k.pagers, p)
}

// unpaged is told that the last right to an object, and so the last mapping that the
// nucleus knows of, is gone.
func (k *Kernel) unpaged(o *vm.Object) {
	if p, ok := o.Pager.(*pager); ok {
		p.answered(k, span{0, o.Size})
		k.pagers = slices.DeleteFunc(k.pagers, func(q *pager) bool { return q == p })
		if o.Handed && !p.keep { // it gave up its own right before
			k.terminate(p, true)
		}
	}
}

// dropped is told that a right to an object, or a mapping of it, is gone.
func (k *Kernel) dropped(o *vm.Object) {
	if p, ok := o.Pager.(*pager); ok && o.Handed {
		k.fewer = append(k.fewer, p)
	}
}

// shared says whether somebody else than its pager has the object.
func (p *pager) shared() bool {
	own := 0
	if sp := p.port.Holder; sp != nil && sp.Holds(p.object) {
		own = 1
	}
	return p.object.Refs() > own
}

// lonely tells a pager that nobody else has its object any more, if it is so.
func (k *Kernel) lonely(p *pager) {
	if p.object.Refs() > 0 && p.object.Handed && !p.keep && !p.shared() {
		k.terminate(p, false)
	}
}

// terminate sends the message that nobody else has the object; gone: the pager has not
// either.
func (k *Kernel) terminate(p *pager, gone bool) {
	p.object.Handed, p.told = false, true
	if p.port.Dead || p.term != nil {
		return
	}
	m := k.ports.NewMessage()
	p.term = &asked{p: p}
	m.Dest, m.ID, m.Page = k.ports.MakeSend(p.port), abi.MsgPageTerminate, p.term
	last := uint64(0)
	if gone {
		last = 1
	}
	for _, v := range [...]uint64{p.tag, last} {
		m.Body = binary.LittleEndian.AppendUint64(m.Body, v)
	}
	if t, ok := p.object.Payer.(*task); ok && !t.gone {
		k.ports.Pay(m, t) // else there could be any number, of objects that are gone
	}
	k.ports.Enqueue(m)
}

// received is told that the pager has a message of the nucleus's.
func (a *asked) received() {
	a.taken = true
	if a.p.term == a {
		a.p.term = nil
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
	for _, v := range [...]uint64{p.tag, a.off, a.n, access} {
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

// Fault implements machine.FaultSink: a thread of the task waits for a page, or for one
// that is locked to be written.
func (w *watch) Fault(addr uint64, write, locked bool) {
	k, p := w.k, w.p
	k.enter()
	defer k.leave()
	page := addr &^ (abi.PageSize - 1)
	i := slices.IndexFunc(w.pieces, func(m piece) bool { return page >= m.base && page-m.base < m.n })
	if !w.watched() || i < 0 || locked {
		return // what is locked goes on when it is not any more
	}
	off := w.pieces[i].off + page - w.pieces[i].base
	if p.asked[off] != nil {
		return
	}
	ahead := p.ahead(k, off)
	if ahead == 0 {
		// The page came before this news, and may have been written since: if it was asked
		// for again, its pager would store it over that.
		w.faults.Wake(page, abi.PageSize)
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
	a := &asked{p: p, span: span{off, ahead}, write: write, task: w.task}
	n := uint64(0)
	for ; n < a.n && p.asked[off+n] == nil && k.affords(w.task, askedCost); n += abi.PageSize {
		p.asked[off+n] = a
		k.charge(w.task, askedCost)
	}
	a.n = n
	k.ask(a)
}

// ahead is how many bytes from off on are asked for at once: of a cluster, what is not
// there.
func (p *pager) ahead(k *Kernel, off uint64) uint64 {
	return p.absent(k, span{off, min(p.cluster, p.object.Size-off)})
}

// absent is how many bytes of a range are not there before the first that is.
func (p *pager) absent(k *Kernel, s span) uint64 {
	h, _ := p.object.Handle(false)
	return k.m.AbsentPages(h, s.off, s.n)
}

// Unmapped implements machine.FaultSink: the task has the range no more.
func (w *watch) Unmapped(addr, n uint64) { w.moved(addr, n, 0) }

// Moved implements machine.FaultSink: the task has the range elsewhere.
func (w *watch) Moved(from, to, n uint64) { w.moved(from, n, to) }

// moved takes a range out of the mapping, and adds it at another place, if that is not 0.
func (w *watch) moved(addr, n, to uint64) {
	w.k.enter()
	defer w.k.leave()
	if !w.watched() || n > ^uint64(0)-addr {
		return
	}
	var l []piece
	for _, m := range w.pieces {
		from, end := max(addr, m.base), min(addr+n, m.base+m.n)
		if from >= end {
			l = append(l, m)
			continue
		}
		if from > m.base {
			l = append(l, piece{m.base, span{m.off, from - m.base}})
		}
		if to != 0 {
			l = append(l, piece{to + from - addr, span{m.off + from - m.base, end - from}})
		}
		if end < m.base+m.n {
			l = append(l, piece{end, span{m.off + end - m.base, m.base + m.n - end}})
		}
	}
	switch w.pieces = l; {
	case len(l) == 0:
		w.k.unwatch(w)
	case len(l) > maxPieces:
		w.broken("its mapping of a paged object is in too many pieces")
	}
}

// orphaned refuses the pages that were asked for of a pager that is gone for good, and
// lets those be written that it had locked.
func (k *Kernel) orphaned(dead *port.Port) {
	for _, p := range k.pagers {
		if p.port != dead {
			continue
		}
		for _, off := range slices.Sorted(maps.Keys(p.asked)) {
			p.refuse(span{off, abi.PageSize})
		}
		p.answered(k, span{0, p.object.Size})
		for _, l := range p.locked {
			p.lock(l, false, nil)
		}
		p.locked = nil
	}
}

// askAgain sends a new incarnation the requests that the last one had taken. Where that had
// stored pages, and not said so any more, who waits looks again.
func (k *Kernel) askAgain(t *task) {
	for _, p := range k.pagers {
		if p.port.Holder != t.space {
			continue
		}
		var l []uint64
		for off, a := range p.asked {
			if a.taken && off == a.off {
				l = append(l, off)
			}
		}
		slices.Sort(l)
		for _, off := range l {
			switch a := p.asked[off]; {
			case a == nil: // it was in the span of another
			case p.absent(k, a.span) < a.n:
				k.supplied(p, a.span)
			default:
				k.ask(a)
			}
		}
		if p.told && !p.keep && !p.shared() {
			k.terminate(p, false)
		}
	}
}

// unwatch ends a mapping, as far as the nucleus knows of it.
func (k *Kernel) unwatch(w *watch) {
	is := func(x *watch) bool { return x == w }
	w.p.watches = slices.DeleteFunc(w.p.watches, is)
	w.task.watches = slices.DeleteFunc(w.task.watches, is)
	w.faults.Close()
	k.unmap(w)
}

// unmap gives back what a mapping holds.
func (k *Kernel) unmap(w *watch) {
	w.p.object.Release()
	if w.task.guest {
		k.charge(w.task, -watchCost)
	}
}

// unmapped ends all mappings of a task whose address space is gone.
func (t *task) unmapped() {
	for len(t.watches) > 0 {
		t.k.unwatch(t.watches[0])
	}
	t.bequest().drop()
}

// legacy is what a task that is being forked may have of its parent's mappings: those that
// the parent had when it began to fork, or has made since. Each holds its object, which the
// parent may have unmapped by the time at which the child says what it has, and is paid for by
// the child, which may never say anything.
type legacy []*watch

// bequeath keeps a mapping for a task that is being forked, if it can pay for that.
func (t *task) bequeath(w *watch) {
	if len(t.legacy) < 2*maxWatches && t.k.affords(t, watchCost) {
		t.k.charge(t, watchCost)
		w.p.object.Retain()
		t.legacy = append(t.legacy, w)
	}
}

// bequest is what was kept for a task, which pays for it no more; who takes it drops it.
func (t *task) bequest() legacy {
	l := t.legacy
	t.legacy = nil
	t.k.charge(t, -len(l)*watchCost)
	return l
}

func (l legacy) drop() {
	for _, w := range l {
		w.p.object.Release()
	}
}

// find is the mapping with a number in which, as it was made, n bytes at addr are, nil if there
// is none. A thread may have mapped another object at one's place meanwhile.
func (l legacy) find(number, addr, n uint64) *watch {
	for _, w := range l {
		if m := w.made; w.number == number && addr%abi.PageSize == 0 && n%abi.PageSize == 0 && n > 0 && addr >= m.base && addr-m.base < m.n && n <= m.n-(addr-m.base) {
			return w
		}
	}
	return nil
}

// greeted is told what a guest task says of itself, and, if it was forked, what it shares of
// its parent's paged objects (abi.HelloRange). Its process is there to others when that is
// watched; it waits until it is told so, before code of its program runs.
func (k *Kernel) greeted(l *link, c *call) {
	t, from, ranges := l.t, l.t.bequest(), 0
	defer from.drop()
	if c.Op == abi.CallHello {
		ranges = min(len(c.inline)/abi.HelloRangeSize, abi.MaxHelloRanges)
	}
	if ranges == 0 {
		k.begin(t)
		return
	}
	h, left := abi.CallHeader{Op: abi.EventWatched}, 1
	end := func() {
		if left--; left == 0 && l.current() {
			k.begin(t)
			if !t.tell(&h, nil) {
				t.ctx.Kill("it does not read what it asked for")
			}
		}
	}
	for i := range ranges {
		word := func(n int) uint64 { return binary.LittleEndian.Uint64(c.inline[i*abi.HelloRangeSize+8*n:]) }
		addr, n, fd, ctx := word(0), word(1), word(2), t.ctx
		number := fd >> abi.MappingShift
		err := abi.EINVAL
		left++
		done := func(err abi.Errno) {
			if err != 0 {
				h.A[0] |= 1 << i
			}
			end()
		}
		if m := from.find(number, addr, n); m != nil {
			w := &watch{k: k, task: t, p: m.p, made: piece{addr, span{m.made.off + addr - m.made.base, n}}, number: number}
			err = k.watch(w, l, func() (machine.Handle, bool) { return ctx.Take(uint64(uint32(fd))) }, done)
		}
		if err != 0 {
			done(err)
		}
	}
	end()
}

// callObjectUnwatch: see abi.CallObjectUnwatch. ESRCH: nothing is mapped there any more.
func callObjectUnwatch(k *Kernel, t *task, c *call) abi.Errno {
	for _, w := range t.watches {
		if w.made.base == c.A[0] {
			k.unwatch(w)
			return 0
		}
	}
	return abi.ESRCH
}

// callObjectWatch: see abi.CallObjectWatch. EBADF, also where a guest has no such
// descriptor; EINVAL: no paged object, the range is not in it or not of whole pages, or the
// descriptor is not what the machine wants, or nothing is mapped there; EAGAIN: too many,
// or a guest's budget is used up; EPERM: the task is in the nucleus's own process.
func callObjectWatch(k *Kernel, t *task, c *call) abi.Errno {
	base, s := c.A[1], span{c.A[2], c.A[3]}
	e, err := k.object(t, c.A[0])
	if err != 0 {
		return err
	}
	p, ok := e.Object.Pager.(*pager)
	if !ok || !s.in(e.Object) || base%abi.PageSize != 0 || base+s.n < base || len(c.handles) == 0 && !t.guest {
		return abi.EINVAL
	}
	if t.inside {
		return abi.EPERM
	}
	from, id, ctx, fd := c.from, c.ID, t.ctx, c.A[4]
	take := func() (machine.Handle, bool) { return ctx.Take(uint64(uint32(fd))) }
	if len(c.handles) > 0 {
		h := c.handles[0]
		h.Retain()
		take = func() (machine.Handle, bool) { return h, true }
	}
	err = k.watch(&watch{k: k, task: t, p: p, made: piece{base, s}, number: fd >> abi.MappingShift}, from, take, func(err abi.Errno) { k.late(from, id, err) })
	if err != 0 && len(c.handles) > 0 {
		c.handles[0].Release()
	}
	c.wait = err == 0
	return err
}

// watch has the machine tell what happens to a mapping, by a descriptor that take answers,
// and calls done with the lock held, unless the error is another than 0. EAGAIN, EBADF,
// EINVAL as callObjectWatch; ESRCH: who is on the link has ended.
func (k *Kernel) watch(w *watch, from *link, take func() (machine.Handle, bool), done func(abi.Errno)) abi.Errno {
	t := w.task
	if len(t.watches)+len(t.coming) >= maxWatches || t.guest && !k.affords(t, watchCost) {
		return abi.EAGAIN
	}
	w.pieces = []piece{w.made}
	w.p.object.Retain()
	if t.guest {
		k.charge(t, watchCost)
		for _, u := range k.tasks {
			if u.parent == t {
				u.bequeath(w)
			}
		}
	}
	t.coming = append(t.coming, w)
	k.m.Go(func() { // the host may let it wait for the task
		err := abi.EBADF
		var f machine.Faults
		if h, ok := take(); ok {
			err = 0
			var herr error
			if f, herr = k.m.WatchFaults(h, w.made.base, w.made.n, w); herr != nil {
				err = abi.EINVAL
			}
			h.Release()
		}
		k.enter()
		defer k.leave()
		k.watchNow(w, f, err, from, done)
	})
	return 0
}

// watchNow is the rest of watch: what is locked is so in the mapping, too, and who has come
// upon a page meanwhile looks again.
func (k *Kernel) watchNow(w *watch, f machine.Faults, err abi.Errno, from *link, done func(abi.Errno)) {
	t, p := w.task, w.p
	t.coming = slices.DeleteFunc(t.coming, func(x *watch) bool { return x == w })
	if err == 0 && !from.current() {
		f.Close()
		err = abi.ESRCH
	}
	if err != 0 {
		k.unmap(w)
		done(err)
		return
	}
	w.faults = f
	p.watches = append(p.watches, w)
	t.watches = append(t.watches, w)
	left := 1
	end := func() {
		if left--; left == 0 {
			f.Wake(w.made.base, w.made.n)
			done(0)
		}
	}
	for _, l := range p.locked {
		left++
		w.protect(l, true, 1, k.m.Now()+protectWithin, end)
	}
	end()
}

// late answers a call that waited, if who made it is there still.
func (k *Kernel) late(from *link, id uint64, err abi.Errno) {
	if from.current() {
		from.t.answer(&call{CallHeader: abi.CallHeader{ID: id}}, err)
	}
}

// callPagerAttrs: see abi.CallPagerAttrs. As callObjectPages; EINVAL: a cluster
// of more than a MiB, or no such attribute.
func callPagerAttrs(k *Kernel, t *task, c *call) abi.Errno {
	p, _, err := k.pagerOf(t, c.A[0])
	if err != 0 {
		return err
	}
	if c.A[1] > maxPages/abi.PageSize || c.A[2] > abi.PagesKeep {
		return abi.EINVAL
	}
	if c.A[1] != 0 {
		p.cluster = c.A[1] * abi.PageSize
	}
	if c.A[2] != 0 {
		p.keep = c.A[2] == abi.PagesKeep
		k.lonely(p)
	}
	c.out[0], c.out[1] = p.cluster/abi.PageSize, abi.PagesTell
	if p.keep {
		c.out[1] = abi.PagesKeep
	}
	return 0
}

// pagerOf finds the pager of an object that is the task itself.
func (k *Kernel) pagerOf(t *task, name uint64) (*pager, *vm.Object, abi.Errno) {
	e, err := k.object(t, name)
	if err != 0 {
		return nil, nil, err
	}
	p, ok := e.Object.Pager.(*pager)
	switch {
	case !ok:
		return nil, nil, abi.EINVAL
	case p.port.Holder != t.space:
		return nil, nil, abi.EPERM
	}
	return p, e.Object, 0
}

// in says whether a range is one of whole pages of an object.
func (s span) in(o *vm.Object) bool {
	return s.n > 0 && s.off%abi.PageSize == 0 && s.n%abi.PageSize == 0 && s.off+s.n >= s.off && s.off+s.n <= o.Size
}

// callObjectPages: see abi.CallObjectPages. EBADF, EPERM: the name is no object, or the
// task does not receive on the pager's port; EINVAL: no paged object, no such operation,
// the range is not of whole pages of it or more than a MiB, or bytes are given that are
// not all of it or not to supply, or, to lock, a part of it is
// locked, or, to flush or unlock, it is none that was locked; EAGAIN: too much is
// locked, or those who map the object keep the machine from doing what was said before;
// ENOMEM. A task whose mapping cannot be locked, or made an error to touch, ends:
// no task's doing is an error of the pager's.
func callObjectPages(k *Kernel, t *task, c *call) abi.Errno {
	p, o, err := k.pagerOf(t, c.A[0])
	if err != 0 {
		return err
	}
	s := span{c.A[2], c.A[3]}
	if !s.in(o) || s.n > maxPages || len(c.inline) > 0 && (c.A[1] != abi.PagesSupply || uint64(len(c.inline)) != s.n) {
		return abi.EINVAL
	}
	if (c.A[1] == abi.PagesLock || c.A[1] == abi.PagesError) && p.under >= maxUnder {
		return abi.EAGAIN
	}
	h, _ := o.Handle(false)
	at := slices.Index(p.locked, s)
	switch c.A[1] {
	case abi.PagesUnavailable:
		if k.m.FillPages(h, s.off, s.n) != nil {
			return abi.ENOMEM
		}
		k.supplied(p, s)
	case abi.PagesSupply:
		if len(c.inline) > 0 && k.m.StorePages(h, s.off, c.inline) != nil {
			return abi.ENOMEM
		}
		k.supplied(p, s)
	case abi.PagesError:
		p.refuse(s)
		p.answered(k, s)
	case abi.PagesLock:
		if at < 0 {
			if slices.ContainsFunc(p.locked, func(l span) bool { return l.off < s.off+s.n && s.off < l.off+l.n }) {
				return abi.EINVAL
			}
			if len(p.locked) >= maxLocked {
				return abi.EAGAIN
			}
			p.locked = append(p.locked, s)
		}
		c.wait = true
		from, id := c.from, c.ID
		p.lock(s, true, func() { k.late(from, id, 0) })
	case abi.PagesFlush, abi.PagesUnlock:
		if at < 0 {
			return abi.EINVAL
		}
		if c.A[1] == abi.PagesFlush && k.m.PunchPages(h, s.off, s.n) != nil {
			return abi.ENOMEM
		}
		p.locked = slices.Delete(p.locked, at, at+1)
		p.lock(s, false, nil)
	default:
		return abi.EINVAL
	}
	return 0
}

// supplied lets who waits for pages look again.
func (k *Kernel) supplied(p *pager, s span) {
	p.each(s, func(w *watch, addr, n uint64) { w.faults.Wake(addr, n) })
	p.answered(k, s)
}

// answered forgets that pages were asked for. With the page that somebody waited for go
// those behind it which were asked for with it and not supplied: who has come to wait for
// one of them meanwhile asks anew.
func (p *pager) answered(k *Kernel, s span) {
	drop := func(off uint64, a *asked) {
		delete(p.asked, off)
		k.charge(a.task, -askedCost)
	}
	in := func(off uint64) bool { return off >= s.off && off-s.off < s.n }
	page := func(off uint64, a *asked) {
		drop(off, a)
		if off != a.off {
			return
		}
		for o := a.off + abi.PageSize; o < a.off+a.n; o += abi.PageSize {
			if p.asked[o] == a && !in(o) {
				drop(o, a)
				p.each(span{o, abi.PageSize}, func(w *watch, addr, n uint64) { w.faults.Wake(addr, n) })
			}
		}
	}
	if s.n > maxPages { // all of the object
		for off, a := range p.asked {
			page(off, a)
		}
		return
	}
	for off := s.off; off-s.off < s.n; off += abi.PageSize {
		if a := p.asked[off]; a != nil {
			page(off, a)
		}
	}
}
