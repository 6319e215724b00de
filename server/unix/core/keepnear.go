package core

import (
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/idl/fs"
)

// Who asks for the attributes of a directory's names in the order of the names (git of all files
// that it keeps, a walk over a tree) is answered those of the next ones together with what it asks for
// (docs/lending.md, *The next names*). What is told so is what would be answered if it was asked for now,
// and holds as long as that would. Nothing of it is in the state of record.

const (
	// With so many names in order the next ones come along, or, where the file server had to be
	// asked for the last of these, that is asked what all names of the directory are.
	nearAfter = 2
	// nearRuns is for how many directories of a task it is known where it is.
	nearRuns = 16
	// In a directory of which more names are known the next ones are not looked for.
	nearKids = 512
	// nearAhead is of how many names of a directory the file server is asked at once.
	nearAhead = 128
)

// nearRun is where a task is that asks for names of a directory in order.
type nearRun struct {
	dir   *node
	last  string // name that was asked for or came along
	n     int    // so many in order
	ahead bool   // the server was asked for all
	// What is behind from and at most last came along, and holds while the task has these numbers.
	from         string
	names, attrs uint64
}

// nearAt counts name, of dir, in the task's run through the directory.
func (ts *task) nearAt(dir *node, name string) *nearRun {
	for i := range ts.near {
		if r := &ts.near[i]; r.dir == dir {
			switch {
			case name > r.last:
				r.n++
			case r.names != 0 && name > r.from:
				// It came along, and has made room for another one since, or does not hold any more.
				if r.names == ts.names && r.attrs == ts.attrs {
					return nil
				}
			default:
				r.n, r.ahead = 1, false
			}
			r.last, r.names = name, 0
			return r
		}
	}
	if ts.near == nil {
		ts.near = make([]nearRun, nearRuns)
	}
	r := &ts.near[ts.nearNext%nearRuns]
	ts.nearNext++
	*r = nearRun{dir: dir, last: name, n: 1}
	return r
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
	if run == nil || run.n < nearAfter {
		return
	}
	if c.seen.asked {
		if !run.ahead && dir.plus() == plusAll {
			run.ahead = true
			c.learnAhead(dir)
		}
		return
	}
	if len(dir.kids) > nearKids || !k.fresh(c.seen.until) || len(c.Acts) >= abi.MaxActions || c.OutRoom() < abi.NearMost*abi.NearSize {
		return
	}
	var next []string
	for name, kd := range dir.kids {
		if n := kd.n; name > f.name && len(name) <= abi.NearName && n != nil && n.covered == nil && n.m == dir.m &&
			n.writing == 0 && !n.gone && k.fresh(kd.until) && k.fresh(n.attrUntil) {
			next = append(next, name)
		}
	}
	if len(next) == 0 || !c.namesHold() {
		return
	}
	slices.Sort(next)
	next = next[:min(len(next), abi.NearMost)]
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
	run.from, run.last = f.name, next[len(next)-1]
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
