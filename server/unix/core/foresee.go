package core

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/store"
)

// A program that begins mostly asks for the names that it asked for the last time: where libraries, modules,
// headers and messages are, and more often where they are not. So what processes of a program have asked for is
// noted, in order, and whoever asks for one of these names is answered the next ones together with it
// (docs/lending.md, *Names that a program asks for*). What is told so is what would be answered if
// it was asked for now, by the caller's own rights, and holds as long as that would: no file server is asked. Who else has
// the program learns from that what names it was given, so only processes of the same user with the
// same root do. Nothing of it is in the state of record.

const (
	// mostTrails is of how many programs it is known what they ask for, mostWishes how much of each, mostMaybe how many
	// names are known that only one process has asked for.
	mostTrails = 64
	mostWishes = 512
	mostMaybe  = 1024
	// trailFirst processes of a program are not told anything, to see what they ask for, and of those that follow each
	// trailAgain-th. What was asked by fewer than half of them is not told.
	trailFirst = 3
	trailAgain = 16
	// trailOld is when what was seen longer ago counts half, maybeFor for how many processes it is known what only one
	// has asked for.
	trailOld = 16
	maybeFor = 4
)

// Wish is a question about a name, as a library knows it: the call, the two arguments on which the answer
// depends beside the path, and that.
type Wish struct {
	Nr, A, B uint64
	Path     string
}

// trail is what processes of a program ask for.
type trail struct {
	user  uint32
	root  store.Ref[Vnode]
	list  []trailWish
	at    map[Wish]int
	maybe map[Wish]TaskID // asked for by one process
	begun int             // processes
	seen  int             // of these, those that were not told anything
}

// trailWish is one of them: how many of those that were not told anything have asked for it, of how many.
type trailWish struct {
	Wish
	hits, born int
}

// likely says whether the next process asks for it.
func (w *trailWish) likely(t *trail) bool { return 2*w.hits > t.seen-w.born }

// foresight is what the kernel knows of all programs.
type foresight struct {
	trails map[NodeKey]*trail
	order  []NodeKey // the oldest first
	shadow *Call     // of Foresee
	chan_  *wishChan
}

// taskTrail is how far a task is.
type taskTrail struct {
	t *trail
	// told: it is told the next names; else it is seen what it asks for.
	told bool
	done [mostWishes / 64]uint64 // told, or asked for
	// names is with which number it was told; with another one nothing of that holds.
	names uint64
}

func (d *taskTrail) has(i int) bool { return d.done[i/64]>>(i%64)&1 != 0 }
func (d *taskTrail) set(i int)      { d.done[i/64] |= 1 << (i % 64) }

// trailOf answers where the caller's task is in what its program asks for; nil: nothing is noted of it.
func (c *Call) trailOf() *taskTrail {
	k := c.K
	ts, n := k.tasks[c.Task], k.nodeOf(c.Proc().Exe)
	if ts == nil || n == nil || n.m.core != nil {
		return nil
	}
	if ts.trail != nil {
		if ts.trail.t.user != c.Cred().FSUID || ts.trail.t.root != k.FsCtxs.Get(c.fsRef()).Root {
			ts.trail = &taskTrail{t: &trail{user: ^uint32(0)}} // it is another one since: nobody's
		}
		return ts.trail
	}
	f, key := &k.names.foresight, n.key()
	user, root := c.Cred().FSUID, k.FsCtxs.Get(c.fsRef()).Root
	t := f.trails[key]
	if t != nil && (t.user != user || t.root != root) {
		delete(f.trails, key)
		f.order = slices.DeleteFunc(f.order, func(x NodeKey) bool { return x == key })
		t = nil
	}
	if t == nil {
		if f.trails == nil {
			f.trails = map[NodeKey]*trail{}
		}
		if len(f.order) == mostTrails {
			delete(f.trails, f.order[0])
			f.order = slices.Delete(f.order, 0, 1)
		}
		t = &trail{user: user, root: root, at: map[Wish]int{}, maybe: map[Wish]TaskID{}}
		f.trails[key] = t
		f.order = append(f.order, key)
	}
	ts.trail = &taskTrail{t: t, told: t.begun >= trailFirst && t.begun%trailAgain != 0}
	t.begun++
	if !ts.trail.told {
		t.see()
	}
	return ts.trail
}

// see counts a process of which it is seen what it asks for.
func (t *trail) see() {
	if t.seen++; t.seen%maybeFor == 0 {
		clear(t.maybe)
	}
	if t.seen == trailOld {
		t.seen /= 2
		for i := range t.list {
			t.list[i].hits /= 2
			t.list[i].born /= 2
		}
	}
}

// note notes that a process that is not told anything has asked for w.
func (d *taskTrail) note(id TaskID, w Wish) {
	t := d.t
	if i, ok := t.at[w]; ok {
		if !d.has(i) {
			d.set(i)
			t.list[i].hits++
		}
		return
	}
	if first, ok := t.maybe[w]; !ok || first == id {
		if len(t.maybe) < mostMaybe {
			t.maybe[w] = id
		}
		return
	}
	if len(t.list) == mostWishes && !t.forget() {
		return
	}
	delete(t.maybe, w)
	t.at[w] = len(t.list)
	d.set(len(t.list))
	t.list = append(t.list, trailWish{w, 1, t.seen - 1})
}

// forget makes room for others; false: all are likely. What tasks were told by their places is not so any more, which
// costs them that they ask.
func (t *trail) forget() bool {
	t.list = slices.DeleteFunc(t.list, func(w trailWish) bool { return !w.likely(t) })
	clear(t.at)
	for i := range t.list {
		t.at[t.list[i].Wish] = i
	}
	return len(t.list) < mostWishes
}

// Foresee has the caller's library keep the answers about the names that its program asks for behind w, which it
// has just asked for. ask makes the call of another wish: with Foreseen set, where what is not known is EAGAIN, and
// nothing is changed.
func (c *Call) Foresee(w Wish, ask func(s *Call, w *Wish) (uint64, abi.Errno)) {
	k := c.K
	if !c.WantNear || c.foreseen || c.outFault || !c.mayKeepNames() {
		return
	}
	d := c.trailOf()
	if d == nil || d.t.at == nil {
		return
	}
	if !d.told {
		if c.seen.until != 0 {
			d.note(c.Task, w)
		}
		return
	}
	i, ok := d.t.at[w]
	if !ok || len(c.Acts) >= abi.MaxActions-1 {
		return
	}
	ts := k.tasks[c.Task]
	if d.names != ts.names || ts.names == 0 {
		clear(d.done[:])
		d.names = ts.names
	}
	d.set(i)
	next := make([]int, 0, abi.ForeseeMost)
	for j := i + 1; j < len(d.t.list) && len(next) < abi.ForeseeMost; j++ {
		if !d.has(j) && d.t.list[j].likely(d.t) {
			next = append(next, j)
		}
	}
	if len(next) == 0 || c.OutRoom() < abi.ForeseeMost*abi.ForeseeSize || !c.namesHold() {
		return
	}
	b := c.OutBuf(len(next) * abi.ForeseeSize)
	s, n := c.shadow(), 0
	for _, j := range next {
		w := &d.t.list[j].Wish
		d.set(j)
		s.foresee(w)
		v, e := ask(s, w)
		s.KeepName(v, e)
		if len(s.Acts) == 0 {
			continue
		}
		a := &s.Acts[len(s.Acts)-1]
		if a.Op != abi.ActName {
			continue
		}
		// Nr, A, B, the answer, whether it depends on attributes, how long path and data are; path; data.
		item := b[n*abi.ForeseeSize:][:abi.ForeseeSize]
		for i, v := range [...]uint64{w.Nr, w.A, w.B, a.A[2], a.A[1], uint64(len(w.Path)), a.A[4]} {
			binary.LittleEndian.PutUint64(item[8*i:], v)
		}
		copy(item[abi.ForeseeHead:], w.Path)
		copy(item[abi.ForeseeHead+abi.NameMax:], s.Chan.Out()[max(a.A[3], abi.SlotOutOff)-abi.SlotOutOff:][:a.A[4]])
		n++
	}
	d.names = ts.names
	if n > 0 {
		c.Act(abi.ActForesee, 0, ts.names, uint64(n), c.outAt(n*abi.ForeseeSize))
	}
}

// shadow answers the call by which others' answers are found out: it is of the same thread.
func (c *Call) shadow() *Call {
	f := &c.K.names.foresight
	if f.shadow == nil {
		f.shadow, f.chan_ = &Call{K: c.K}, &wishChan{out: make([]byte, abi.SlotOutSize)}
	}
	s := f.shadow
	s.Reset()
	s.T, s.Task, s.Slot, s.Kind, s.Chan = c.T, c.Task, c.Slot, c.Kind, f.chan_
	return s
}

// foresee prepares the call for another wish.
func (c *Call) foresee(w *Wish) {
	ch := c.Chan.(*wishChan)
	ch.in = append(ch.in[:0], w.Path...)
	c.Acts, c.outUsed, c.inUsed = c.Acts[:0], 0, 0
	c.Nr, c.Args, c.seen = w.Nr, [8]uint64{}, seen{}
	c.foreseen, c.WantName, c.near = true, true, nil
}

// PathAt has a foreseen call find its path at argument arg.
func (c *Call) PathAt(arg int) { c.Chan.(*wishChan).arg = arg }

// wishChan is the slot of a call that no library has made: there is a path.
type wishChan struct {
	in, out []byte
	arg     int
}

func (w *wishChan) In() []byte     { return w.in }
func (w *wishChan) Out() []byte    { return w.out }
func (w *wishChan) InUsed() uint32 { return uint32(len(w.in)) }
func (w *wishChan) Extent(arg int) (off, n uint32, fault, ok bool) {
	return 0, uint32(len(w.in)), false, arg == w.arg
}
func (w *wishChan) More([]abi.Action) bool    { return false }
func (w *wishChan) Stage([]abi.Action) uint32 { return 0 }
func (w *wishChan) Back() uint32              { return 0 }
func (w *wishChan) Repeat() bool              { return false }
