package core

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/idl/fs"
)

// Who asks for the attributes of a directory's names in the order of the names (git of all files
// that it keeps), or in that in which they are listed (tar, find), is answered those of the next ones together with what it asks for
// (docs/lending.md, *The next names*). What is told so is what would be answered if it was asked for now,
// and holds as long as that would. Nothing of it is in the state of record.

const (
	// With so many names in order the next ones come along, or, where the file server had to be
	// asked for the last of these, that is asked what all names of the directory are.
	nearAfter = 2
	// Of a task of which that was so in the last directory they come with the first name of another one, but
	// for one in so many, to see whether it still goes on.
	nearAgain = 16
	// nearRuns is for how many directories of a task it is known where it is.
	nearRuns = 16
	// In a directory of which more names are known the next ones are not looked for, and the order of
	// one that lists more is not kept.
	nearKids = 512
	// nearAhead is of how many names of a directory the file server is asked at once.
	nearAhead = 128
)

// dirOrder is in which order a directory has listed its names last. It is a hint: what is told of names is
// what is known of them.
type dirOrder struct {
	names []string
	next  uint64 // cookie behind these
}

// listed takes note of what the directory has listed behind cookie.
func (o *dirOrder) listed(cookie uint64, l []fs.DirEntry) {
	if cookie == 0 {
		o.names, o.next = nil, 0
	}
	if len(l) == 0 || cookie != o.next || len(o.names)+len(l) > nearKids {
		if len(l) != 0 {
			o.names, o.next = nil, ^uint64(0)
		}
		return
	}
	o.names = slices.Grow(o.names, len(l))
	for i := range l {
		o.names = append(o.names, l[i].Name)
	}
	o.next = l[len(l)-1].Next
}

// place is where name is, -1: nowhere; it is looked for behind place from first.
func (o *dirOrder) place(name string, from int) int {
	from = min(from+1, len(o.names))
	if i := slices.Index(o.names[from:], name); i >= 0 {
		return from + i
	}
	return slices.Index(o.names[:from], name)
}

// nearRun is where a task is that asks for names of a directory in order: theirs, or that in which they
// are listed.
type nearRun struct {
	dir  *node
	last string // name that was asked for or came along
	at   int    // place of it, -1: it is not listed
	// So many in order, as listed.
	n, m  int
	first bool // none was asked for before
	ahead bool // the server was asked for all
	// What is behind from (or fromAt, as listed) and at most last (at) came along, and holds while the task
	// has these numbers.
	listed       bool
	from         string
	fromAt       int
	names, attrs uint64
}

// nearAt counts name, of dir, in the task's run through the directory. nil: it came along already.
func (ts *task) nearAt(dir *node, name string) *nearRun {
	for i := range ts.near {
		r := &ts.near[i]
		if r.dir != dir {
			continue
		}
		at := dir.order.place(name, r.at)
		came := r.names != 0 && (r.listed && at > r.fromAt && at <= r.at || !r.listed && name > r.from && name <= r.last)
		switch {
		case !came:
			r.n, r.m = r.n+1, r.m+1
			if name <= r.last {
				r.n = 1
			}
			if at <= r.at || at < 0 {
				r.m = 1
			}
			if r.n == 1 && r.m == 1 {
				r.ahead, ts.nearSure = false, false
			}
		case r.names == ts.names && r.attrs == ts.attrs:
			return nil // it has made room for another one since
		}
		r.last, r.at, r.names, r.first = name, at, 0, false
		return r
	}
	if ts.near == nil {
		ts.near = make([]nearRun, nearRuns)
	}
	r := &ts.near[ts.nearNext%nearRuns]
	ts.nearNext++
	*r = nearRun{dir: dir, last: name, at: dir.order.place(name, -1), n: 1, m: 1, first: true}
	if ts.nearNext%nearAgain == 0 {
		ts.nearSure = false
	}
	return r
}

// due says whether it is time to tell what the next names are, and in which order.
func (r *nearRun) due(ts *task) (listed, ok bool) {
	listed = r.m > r.n || r.m == r.n && ts.nearListed
	if r.at < 0 {
		listed = false
	}
	n := r.n
	if listed {
		n = r.m
	}
	if n >= nearAfter {
		ts.nearSure = true
		if r.m != r.n {
			ts.nearListed = listed
		}
	}
	return listed, n >= nearAfter || r.first && ts.nearSure
}

// Near says that the call has answered the attributes of what a path leads to that is not followed, as encode
// stores them (in abi.NameData bytes): the answers about the next names may come along.
func (c *Call) Near(encode func(c *Call, b []byte, s *Stat)) {
	if c.WantNear {
		c.near = encode
	}
}

// KeepNear has the caller's library keep the answers about the names behind the one that it has asked
// for, if Near was called and it asks for one after the other.
func (c *Call) KeepNear() {
	k, f := c.K, &c.seen.at
	dir := f.dir
	if c.near == nil || f.node == nil || dir == nil || f.last != lastNormal || f.slash || dir.m.core != nil || !c.mayKeepNames() {
		return
	}
	ts := k.tasks[c.Task]
	run := ts.nearAt(dir, f.name)
	if run == nil {
		return
	}
	listed, due := run.due(ts)
	if !due {
		return
	}
	if c.seen.asked {
		if run.ahead || dir.plus() != plusAll {
			return
		}
		run.ahead = true
		c.learnAhead(dir)
		// Another thread may have been here since.
		if k.tasks[c.Task] != ts || run.dir != dir || run.last != f.name || dir.gone || !c.mayKeepNames() {
			return
		}
	}
	if len(dir.kids) > nearKids || !k.fresh(c.seen.until) || len(c.Acts) >= abi.MaxActions || c.OutRoom() < abi.NearMost*abi.NearSize {
		return
	}
	var next []string
	known := func(name string) bool {
		kd := dir.kids[name]
		n := kd.n
		return n != nil && len(name) <= abi.NearName && n.covered == nil && n.m == dir.m && n.writing == 0 && !n.gone &&
			k.fresh(kd.until) && k.fresh(n.attrUntil)
	}
	at := run.at
	if listed {
		for at+1 < len(dir.order.names) && len(next) < abi.NearMost {
			at++
			if known(dir.order.names[at]) {
				next = append(next, dir.order.names[at])
			}
		}
	} else {
		for name := range dir.kids {
			if name > f.name && known(name) {
				next = append(next, name)
			}
		}
		slices.Sort(next)
		next = next[:min(len(next), abi.NearMost)]
	}
	if len(next) == 0 || !c.namesHold() {
		return
	}
	b := c.OutBuf(len(next) * abi.NearSize)
	clear(b)
	until := c.seen.until
	for i, name := range next {
		kd := dir.kids[name]
		if kd.plus {
			kd.plus = false
			dir.kids[name] = kd
			dir.m.plusUsed++
		}
		until = min(until, kd.until, kd.n.attrUntil)
		kd.n.told = true
		s := kd.n.stat()
		item := b[i*abi.NearSize:]
		binary.LittleEndian.PutUint64(item, uint64(len(name)))
		copy(item[8:], name)
		c.near(c, item[8+abi.NearName:][:abi.NameData], &s)
	}
	k.namesUntil(until)
	run.listed, run.from, run.fromAt = listed, f.name, run.at
	if listed {
		run.at = at
	} else {
		run.last = next[len(next)-1]
	}
	run.names, run.attrs = ts.names, k.attrsHold(ts)
	c.Act(abi.ActNames, 0, run.names, run.attrs, uint64(len(next)), c.outAt(len(b)), 0)
}

// learnAhead asks a directory's server what its names are (gives up the lock).
func (c *Call) learnAhead(dir *node) {
	k := c.K
	k.trim()
	var list []fs.DirPlus
	var e abi.Errno
	gen, changed := dir.gen, dir.m.changed
	c.ask(func() { list, e = c.server(dir.m).ReadDirPlus(fs.Req{}, dir.id, 0, plusMost, nearAhead) })
	if e == 0 {
		k.learnPlus(dir, gen, changed, list)
	}
}
