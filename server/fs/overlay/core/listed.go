package core

import (
	"time"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/tree"
)

// What a lower directory listed is kept for as long as the lower server lets names be believed: who
// walks over a tree again (git, make, a shell's completion) asks it nothing in that time. All of it
// is derived.

const (
	listedNames = 1 << 15 // of all directories together; then all is forgotten
	listedDir   = 1 << 12 // of one directory: a larger one is not kept
)

// listings are the directories that are kept.
type listings struct {
	dirs  map[dirKey]*listing
	names int
}

// listing are the entries of one, in the lower server's order. It is of use when all is there.
type listing struct {
	list []fs.DirPlus // with Known 0
	till time.Time    // of the first part
	all  bool
}

func (l *listings) drop(key dirKey) {
	if d := l.dirs[key]; d != nil {
		l.names -= len(d.list)
		delete(l.dirs, key)
	}
}

// add takes note of what the lower server has answered about a directory behind cookie.
func (l *listings) add(key dirKey, cookie uint64, list []fs.DirPlus, till time.Time) {
	if cookie == 0 {
		l.drop(key)
		if len(list) == 0 {
			return // hardly worth it; and so it may be of a server that has it no more
		}
		if l.dirs == nil {
			l.dirs = map[dirKey]*listing{}
		}
		l.dirs[key] = &listing{till: till}
	}
	d := l.dirs[key]
	if d == nil || d.all {
		return
	}
	if n := len(d.list); n > 0 && d.list[n-1].Next != cookie {
		l.drop(key)
		return
	}
	if len(list) == 0 {
		d.all = true
		return
	}
	for i := range list {
		e := list[i]
		e.Known, e.Found = 0, fs.Entry{}
		d.list = append(d.list, e)
	}
	l.names += len(list)
	if len(d.list) > listedDir {
		l.drop(key)
	}
	if l.names > listedNames {
		clear(l.dirs)
		l.names = 0
	}
}

// from answers what add was told behind cookie, about max bytes of names.
func (l *listings) from(key dirKey, cookie uint64, max int, now time.Time) ([]fs.DirPlus, bool) {
	d := l.dirs[key]
	if d == nil || !d.all || now.After(d.till) {
		return nil, false
	}
	at := 0
	if cookie != 0 {
		for at < len(d.list) && d.list[at].Next != cookie {
			at++
		}
		if at++; at > len(d.list) {
			return nil, false
		}
	}
	end, used := at, 0
	for end < len(d.list) && (end == at || used+len(d.list[end].Name) <= max) {
		used += len(d.list[end].Name)
		end++
	}
	return append([]fs.DirPlus(nil), d.list[at:end]...), true
}

// read reads what the lower directory has. kept: nobody was asked.
func (b *below) read(dir tree.Ref, cookie uint64, max int, plus uint32) (list []fs.DirPlus, kept bool, err abi.Errno) {
	key := dirKey{dir, b.t.Get(dir).Gen}
	if list, ok := b.lists.from(key, cookie, max, b.now()); ok {
		for i := range list[:min(len(list), int(min(plus, 1<<20)))] {
			if b.knows(key, list[i].Name) {
				list[i].Known = tree.KnownBelow
			}
		}
		return list, true, 0
	}
	till := b.now().Add(b.nameTTL)
	if plus > 0 {
		list, err = b.low.ReadDirPlus(fs.Req{}, b.lower(dir), cookie, max, plus)
	} else {
		var l []fs.DirEntry
		l, err = b.low.ReadDir(fs.Req{}, b.lower(dir), cookie, max)
		list = make([]fs.DirPlus, len(l))
		for i := range l {
			list[i] = l[i].Plus()
		}
	}
	if err != 0 {
		b.lists.drop(key)
	} else if b.nameTTL > 0 {
		b.lists.add(key, cookie, list, till)
	}
	return list, false, err
}

// knows says whether it is known what a lower name is, and that this is still so.
func (b *below) knows(key dirKey, name string) bool {
	v, ok := b.names[nameKey{key.r, key.gen, name}]
	if !ok || v.low == 0 || b.now().After(v.till) {
		return false
	}
	c, ok := b.attrs[b.shadow(v.low)]
	return ok && (c.ttl == ^uint64(0) || !b.now().After(c.till))
}
