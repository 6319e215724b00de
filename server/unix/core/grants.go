package core

import (
	"slices"

	"hythe/abi"
	"hythe/store"
)

// Who maps a part of a file mostly maps others too: a dynamic linker makes four mappings of each
// library. The object is granted to the task with the first one, by a message to the nucleus and another to
// the task, for which its library waits; and is kept there for the others until the
// descriptor is closed. Only of a process with one thread: its answers are carried out one after
// the other, so nobody waits for a grant that was dropped. Nothing of it is in the state of
// record: a next incarnation grants anew, and what the task was to keep it keeps until it ends.

// mostKept is how many grants a task keeps.
const mostKept = 4

// keptGrant is a grant to read that a task keeps; object is 0 when its name may be another's by now, file when
// its descriptor was closed and the task has not been told to drop the grant.
type keptGrant struct {
	file   store.Ref[File]
	object ObjectName
	tag    uint64
}

// keptGrants are those of all tasks.
type keptGrants struct {
	tasks map[*task]bool
	tags  map[uint64]bool // which no other grant may have meanwhile
}

// forget is called before an object's name is given up.
func (g *keptGrants) forget(o ObjectName) {
	for ts := range g.tasks {
		for i := range ts.kept {
			if ts.kept[i].object == o {
				ts.kept[i].object = 0
			}
		}
	}
}

// leave forgets what a task keeps.
func (g *keptGrants) leave(ts *task) {
	for _, x := range ts.kept {
		delete(g.tags, x.tag)
	}
	delete(g.tasks, ts)
	ts.kept = nil
}

// GrantFile answers the tag under which the caller's task has, or gets, the right to map the object of the
// open file f. Unless it is kept the caller has it dropped when it has been used.
func (c *Call) GrantFile(f store.Ref[File], o ObjectName, write bool) (tag uint64, kept bool) {
	k := c.K
	ts := k.tasks[c.Task]
	keeps := ts != nil && !write && k.ownTask(c) && c.Proc().Threads == 1 && k.Files.Get(f).Kind == FileVnode
	if keeps {
		for i := range ts.kept {
			if x := &ts.kept[i]; x.object == o {
				if x.file == 0 {
					x.file = f
				}
				return x.tag, true
			}
		}
	}
	tag = k.NextGrant()
	k.Host.Grant(c.Task, o, !write, tag)
	if !keeps {
		return tag, false
	}
	if len(ts.kept) == mostKept {
		c.dropOldest(ts)
	}
	if k.grants.tasks == nil {
		k.grants.tasks, k.grants.tags = map[*task]bool{}, map[uint64]bool{}
	}
	k.grants.tasks[ts], k.grants.tags[tag] = true, true
	ts.kept = append(ts.kept, keptGrant{f, o, tag})
	return tag, true
}

func (c *Call) dropOldest(ts *task) {
	tag := ts.kept[0].tag
	ts.kept = slices.Delete(ts.kept, 0, 1)
	delete(c.K.grants.tags, tag)
	c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
}

// dropKept has the caller's task drop what it keeps of an open file that a descriptor of it is closed
// of; 0: of all.
func (c *Call) dropKept(f store.Ref[File]) {
	ts := c.K.tasks[c.Task]
	if ts == nil || len(ts.kept) == 0 {
		return
	}
	c.dropKeptOf(ts, func(x *keptGrant) bool { return f == 0 || x.file == f })
}

// dropKeptOf has it drop those that which picks.
func (c *Call) dropKeptOf(ts *task, which func(x *keptGrant) bool) {
	rest := ts.kept[:0]
	for _, x := range ts.kept {
		if !which(&x) {
			rest = append(rest, x)
			continue
		}
		delete(c.K.grants.tags, x.tag)
		c.Act(abi.ActDropGrant, abi.ActIgnore, x.tag)
	}
	if ts.kept = rest; len(rest) == 0 {
		delete(c.K.grants.tasks, ts)
	}
}
