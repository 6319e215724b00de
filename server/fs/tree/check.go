package tree

import (
	"fmt"

	"hythe/idl/fs"
	"hythe/store"
)

// check verifies what must hold between transactions. Over a Below link counts
// and sizes start from the lower layer's and are not judged.
func (t *Tree) check() {
	names := map[Ref]uint32{}
	subs := map[Ref]uint32{}
	entries := map[Ref]uint32{}
	kids := map[Ref]uint32{}
	t.dirents.Each(func(r store.Ref[Dirent], d *Dirent) bool {
		din := t.inodes.Get(d.Dir)
		if din == nil || !isDir(din) {
			panic(fmt.Sprintf("tree: entry %d is in node %d, which is no directory", r, d.Dir))
		}
		if got, _ := t.Find(d.Dir, t.name(d)); got != r {
			panic(fmt.Sprintf("tree: entry %d (%q) is not in the index", r, t.name(d)))
		}
		if d.Child == 0 {
			return true
		}
		in := t.inodes.Get(d.Child)
		if in == nil {
			panic(fmt.Sprintf("tree: entry %q leads to node %d, which is free", t.name(d), d.Child))
		}
		entries[d.Dir]++
		names[d.Child]++
		if isDir(in) {
			subs[d.Dir]++
			if in.Parent != d.Dir {
				panic(fmt.Sprintf("tree: directory %q does not know its parent", t.name(d)))
			}
		}
		return true
	})
	for dir, x := range t.dirs {
		if t.inodes.Get(dir) == nil && len(x.names) > 0 {
			panic("tree: index of a directory that is gone")
		}
	}
	var pages, inodes uint64
	t.inodes.Each(func(r Ref, in *Inode) bool {
		inodes++
		if in.FoundIn != 0 {
			kids[in.FoundIn]++
		}
		if in.Flags&FlagObject != 0 {
			pages += in.Blocks / 8
		} else {
			pages += popcount(in.Pages)
		}
		if in.Valid&^in.Pages != 0 {
			panic(fmt.Sprintf("tree: node %d has data in pages that it does not own", r))
		}
		if isDir(in) && entries[r] != in.Entries {
			panic(fmt.Sprintf("tree: directory %d has %d entries and says %d", r, entries[r], in.Entries))
		}
		if in.LowerNode != 0 {
			return true
		}
		switch {
		case r == t.Root(), isDir(in) && names[r] == 1:
			if in.Nlink != 2+subs[r] {
				panic(fmt.Sprintf("tree: directory %d has %d links, should have %d", r, in.Nlink, 2+subs[r]))
			}
		case in.Nlink != names[r]:
			panic(fmt.Sprintf("tree: node %d has %d links and %d names", r, in.Nlink, names[r]))
		case in.Nlink == 0 && in.Opens == 0 && in.Kids == 0:
			panic(fmt.Sprintf("tree: node %d is neither named nor open", r))
		}
		return true
	})
	t.inodes.Each(func(r Ref, in *Inode) bool {
		if kids[r] != in.Kids {
			panic(fmt.Sprintf("tree: node %d counts %d found nodes, has %d", r, in.Kids, kids[r]))
		}
		return true
	})
	sb := t.supers.Get(t.super)
	if sb.Pages != pages || sb.Inodes != inodes {
		panic(fmt.Sprintf("tree: %d pages and %d inodes are in use, the record says %d and %d", pages, inodes, sb.Pages, sb.Inodes))
	}
	if root := t.inodes.Get(t.Root()); root == nil || root.Mode&fs.TypeMask != fs.TypeDir {
		panic("tree: no root")
	}
}
