package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/tree"
)

// Who asks for some names of a directory mostly asks for the others too (git looks at all that
// it keeps, a compiler at headers): once aheadAfter of one were found below, the lower server
// is asked what all of them are, in one request. Where few of the last ones were then asked
// for, only after aheadSeldom. A directory of more than aheadMost names is left alone.
const (
	aheadAfter  = 3
	aheadSeldom = 16
	aheadMost   = 128
	aheadBytes  = 8 << 10 // of names
	// So many directories are counted for.
	aheadDirs = 4096
)

// aheadNodes is how many nodes that nobody has asked for are kept; then the oldest are given
// back. Only a test changes it.
var aheadNodes = 4096

// ahead is what is known of names that nobody has asked for. All of it is derived.
type ahead struct {
	finds     map[tree.Ref]int // names of a directory that were found; -1: it has too many
	got, used int              // names that were looked at ahead, and that were then asked for, lately
	nodes     []aheadNode      // in the order in which they were made
}

// aheadNode is a node that may have no client; gen keeps it apart from its place's next use.
type aheadNode struct {
	r   tree.Ref
	gen uint32
}

// found counts a name of a directory.
func (a *ahead) found(dir tree.Ref) {
	if a.finds == nil || len(a.finds) >= aheadDirs {
		a.finds = map[tree.Ref]int{}
	}
	if n := a.finds[dir]; n >= 0 {
		a.finds[dir] = n + 1
	}
}

// Due implements tree.Below.
func (b *below) Due(dir tree.Ref) bool {
	a := &b.ahead
	n := a.finds[dir]
	return n >= aheadSeldom || n >= aheadAfter && a.used*4 >= a.got
}

func (a *ahead) keep(r tree.Ref, gen uint32) { a.nodes = append(a.nodes, aheadNode{r, gen}) }

// idle says whether nobody has a node of the lower layer: it may be dropped.
func idle(in *tree.Inode) bool {
	return in.Lookups == 0 && in.Opens == 0 && in.Kids == 0 && in.Flags&tree.FlagLowerMeta != 0 && in.Flags&tree.FlagPinned == 0
}

// LookAhead implements tree.Below.
func (b *below) LookAhead(dir tree.Ref) abi.Errno {
	a := &b.ahead
	a.finds[dir] = 0
	if b.nameTTL == 0 {
		return 0 // they would be asked for again
	}
	list, err := b.low.ReadDirPlus(fs.Req{}, b.lower(dir), 0, aheadBytes, aheadMost)
	if err != 0 {
		return 0
	}
	b.reads.listed(dir, b.t.Get(dir).Gen, true, list)
	a.got, a.used = a.got/2, a.used/2
	names := 0
	var met []fs.NodeID
	for i := range list {
		d := &list[i]
		names += len(d.Name)
		if d.Known == 0 {
			continue
		}
		key := nameKey{dir, b.t.Get(dir).Gen, d.Name}
		known := b.shadow(d.Found.Node) != 0
		_, own := b.t.Find(dir, d.Name)
		if v, ok := b.names[key]; own != nil || ok && !b.now().After(v.till) {
			// The tree's own, or it was asked for already, and is what it was then for as
			// long as was said.
			if !known {
				b.low.Forget(fs.Req{}, d.Found.Node, 1)
			}
			continue
		}
		r, err := b.Meet(dir, d.Name, &d.Found)
		if err != 0 {
			// There is no room for more. The transaction is taken back: nobody keeps what it met.
			a.finds[dir] = -1
			for _, rest := range list[i:] {
				if rest.Known != 0 && b.shadow(rest.Found.Node) == 0 {
					met = append(met, rest.Found.Node)
				}
			}
			for _, id := range met {
				b.low.Forget(fs.Req{}, id, 1)
			}
			return err
		}
		if v, ok := b.names[key]; ok {
			v.ahead = true
			b.names[key] = v
			a.got++
		}
		if !known {
			a.keep(r, b.t.Get(r).Gen)
			met = append(met, d.Found.Node)
		}
	}
	if len(list) > aheadMost || names > aheadBytes-tree.NameMax {
		a.finds[dir] = -1
	}
	for len(a.nodes) > aheadNodes {
		o := a.nodes[0]
		a.nodes = a.nodes[1:]
		if in := b.t.Get(o.r); in != nil && in.Gen == o.gen && in.LowerNode != 0 && idle(in) {
			dir := in.FoundIn
			b.t.Drop(o.r)
			if up := b.t.Get(dir); dir != b.t.Root() && up != nil && idle(up) {
				a.keep(dir, up.Gen) // its client has gone before
			}
		}
	}
	return 0
}
