package core

import (
	"slices"
	"strings"
	"time"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/tree"
)

// Who reads all small files of a directory (tar, cp, grep) opens one after the other, as the directory
// lists them or by their names. When some were opened so, the lower server is asked what is in the
// next ones, in one request; what it answers is given to who opens them, as long as the
// attributes are good that came with it. Where few of the last ones were then opened it takes
// longer until it is asked again, so that all that can be had by opening files in vain is a
// fixed number of others read for each.
const (
	readAfter   = 2  // files in order, at first
	readDoubt   = 3  // where more than a quarter was of no use
	readSeldom  = 16 // where three quarters were of no use
	readTrusted = 16 // so many were read ahead before it is believed that they are all of use

	readFirst = 8        // files asked for at first; twice as many each time
	readFiles = 32       // at most
	readSmall = 16 << 10 // bytes of a file
	readBytes = 96 << 10 // of all of them, by the sizes that were listed

	// What is kept: the oldest makes room.
	readHeldFiles = 512
	readHeldBytes = 1 << 20

	// Of so many directories it is known what follows what, of so many files of each and of all.
	readDirs   = 512
	readOfDir  = 1024
	readListed = 8192
)

// readAhead is what is in files that nobody has opened. All of it is derived.
type readAhead struct {
	none  bool // the lower server does not know ReadFiles
	dirs  map[dirKey]*readDir
	order []dirKey // of dirs, the oldest first
	files int      // of all dirs

	held      map[fs.NodeID]heldFile
	queue     []heldKey // of held, the oldest first, and what was there before
	next      uint64    // number of what comes into held next
	bytes     int       // of held
	got, used int       // files that were read ahead, and that were then opened, lately
}

// dirKey is a directory; gen keeps it apart from its place's next use.
type dirKey struct {
	r   tree.Ref
	gen uint32
}

// readDir is in which order somebody goes through a directory's files.
type readDir struct {
	files  []listedFile
	orders [2]readOrder // as listed, by name (made when it is needed)
}

type listedFile struct {
	low  fs.NodeID
	size uint64
	name string
}

type readOrder struct {
	seq   []int32 // of files; nil: as they are
	at    map[fs.NodeID]int32
	after int32 // one behind the file that was opened last
	run   int   // so many in order, since it was asked last
	most  int   // so many to ask for the next time
}

type heldFile struct {
	data                []byte
	mtime, ctime, btime fs.Time
	till                time.Time
	no                  uint64
}

type heldKey struct {
	low fs.NodeID
	no  uint64
}

// listed takes note of what a directory lists: from its start, or behind what it did.
func (a *readAhead) listed(dir tree.Ref, gen uint32, first bool, list []fs.DirPlus) {
	key := dirKey{dir, gen}
	d := a.dirs[key]
	if d == nil {
		if a.dirs == nil {
			a.dirs = map[dirKey]*readDir{}
		}
		a.order = append(a.order, key)
	}
	if d == nil || first {
		if d != nil {
			a.files -= len(d.files)
		}
		d = &readDir{}
		d.orders[0].at = map[fs.NodeID]int32{}
		a.dirs[key] = d
	}
	a.files -= len(d.files)
	d.orders[1] = readOrder{}
	for i := range list {
		e := &list[i]
		if e.Known == 0 || e.Found.Attr.Mode&fs.TypeMask != fs.TypeReg || e.Found.Attr.Size == 0 || e.Found.Attr.Size > readSmall {
			continue
		}
		if _, ok := d.orders[0].at[e.Found.Node]; ok || len(d.files) >= readOfDir {
			continue // another of its names, or two read the directory
		}
		d.orders[0].at[e.Found.Node] = int32(len(d.files))
		d.files = append(d.files, listedFile{e.Found.Node, e.Found.Attr.Size, e.Name})
	}
	a.files += len(d.files)
	for len(a.order) > 1 && (len(a.order) > readDirs || a.files > readListed) {
		a.files -= len(a.dirs[a.order[0]].files)
		delete(a.dirs, a.order[0])
		a.order = a.order[1:]
	}
}

// byName makes the second order.
func (d *readDir) byName() {
	o := &d.orders[1]
	o.seq = make([]int32, len(d.files))
	for i := range o.seq {
		o.seq[i] = int32(i)
	}
	slices.SortFunc(o.seq, func(x, y int32) int { return strings.Compare(d.files[x].name, d.files[y].name) })
	o.at = make(map[fs.NodeID]int32, len(o.seq))
	for i, f := range o.seq {
		o.at[d.files[f].low] = int32(i)
	}
}

// opened counts a file that is opened. False: it is not known where the file is.
func (d *readDir) opened(low fs.NodeID) bool {
	if _, ok := d.orders[0].at[low]; !ok {
		return false
	}
	for i := range d.orders {
		o := &d.orders[i]
		if i == 1 && o.at == nil {
			if d.orders[0].run > 1 {
				break // they come as listed
			}
			d.byName()
		}
		at := o.at[low]
		// Some may be left out, but not most.
		if at >= o.after && at < o.after+4 {
			o.run++
		} else {
			o.run, o.most = 1, 0
		}
		o.after = at + 1
	}
	return true
}

// following answers the files to ask for with low, that was opened: it and those behind it in the
// order in which files are opened. None: it is not time to.
func (a *readAhead) following(d *readDir, low fs.NodeID, size uint64) []fs.NodeID {
	o := &d.orders[0]
	if d.orders[1].run > o.run {
		o = &d.orders[1]
	}
	need, most := readAfter, max(readFirst, o.most)
	switch {
	case a.used*4 < a.got:
		need = readSeldom
	case a.used*4 < a.got*3:
		need = readDoubt
	case a.got >= readTrusted:
		need, most = 1, readFiles
	}
	if o.run < need {
		return nil
	}
	o.run, o.most = 0, min(2*most, readFiles)
	ask, total := []fs.NodeID{low}, size
	for i := int(o.at[low]) + 1; i < len(d.files) && len(ask) < most; i++ {
		f := &d.files[i]
		if o.seq != nil {
			f = &d.files[o.seq[i]]
		}
		if _, ok := a.held[f.low]; ok {
			continue
		}
		if total += f.size; total > readBytes {
			break
		}
		ask = append(ask, f.low)
	}
	if len(ask) == 1 {
		return nil
	}
	return ask
}

// hold keeps what is in a file.
func (a *readAhead) hold(low fs.NodeID, h heldFile) {
	a.drop(low)
	if a.held == nil {
		a.held = map[fs.NodeID]heldFile{}
	}
	a.next++
	h.no = a.next
	a.held[low] = h
	a.bytes += len(h.data)
	a.queue = append(a.queue, heldKey{low, h.no})
	for len(a.queue) > 0 && (len(a.queue) > readHeldFiles || a.bytes > readHeldBytes) {
		old := a.queue[0]
		a.queue = a.queue[1:]
		if a.held[old.low].no == old.no {
			a.drop(old.low)
		}
	}
}

func (a *readAhead) drop(low fs.NodeID) {
	if h, ok := a.held[low]; ok {
		a.bytes -= len(h.data)
		delete(a.held, low)
	}
}

// take answers what is kept of a file with attributes a, once.
func (a *readAhead) take(low fs.NodeID, at *fs.Attr, now time.Time) ([]byte, bool) {
	h, ok := a.held[low]
	if !ok {
		return nil, false
	}
	a.drop(low)
	if now.After(h.till) || uint64(len(h.data)) != at.Size || h.mtime != at.Mtime || h.ctime != at.Ctime || h.btime != at.Btime {
		return nil, false
	}
	a.used++
	return h.data, true
}

// Whole implements tree.Below.
func (b *below) Whole(r tree.Ref, at *fs.Attr) ([]byte, bool) {
	if data, ok := b.readAhead(r, at); ok {
		return data, true
	}
	buf := make([]byte, at.Size+1)
	k, err := b.low.Read(fs.Req{}, b.lower(r), 0, buf)
	if err != 0 || k == len(buf) {
		return nil, false
	}
	return buf[:k], true
}

// Read implements tree.Below. Who reads all of a small file at once may have it open since long before,
// or its client may, which keeps files open: that counts as an opening.
func (b *below) Read(r tree.Ref, off uint64, buf []byte) (int, abi.Errno) {
	if off == 0 && len(buf) > 0 {
		if c, ok := b.attrs[r]; ok && c.attr.Size > 0 && c.attr.Size <= readSmall && c.attr.Size <= uint64(len(buf)) && !b.now().After(c.till) {
			if data, ok := b.readAhead(r, &c.attr); ok {
				return copy(buf, data), 0
			}
		}
	}
	return b.low.Read(fs.Req{}, b.lower(r), off, buf)
}

// readAhead counts the opening of a small file with attributes at, and answers what is in it if that is known,
// or is asked for now together with others'.
func (b *below) readAhead(r tree.Ref, at *fs.Attr) ([]byte, bool) {
	a, low, in := &b.reads, b.lower(r), b.t.Get(r)
	var d *readDir
	if up := b.t.Get(in.FoundIn); in.FoundIn != 0 && up != nil {
		d = a.dirs[dirKey{in.FoundIn, up.Gen}]
	}
	if d != nil && !d.opened(low) {
		d = nil
	}
	if data, ok := a.take(low, at, b.now()); ok {
		return data, true
	}
	if d != nil && !a.none && b.nameTTL != 0 {
		if ask := a.following(d, low, at.Size); ask != nil {
			return b.readFiles(ask, at)
		}
	}
	return nil, false
}

// readFiles asks what is in files, answers that of the first, whose attributes the client was told
// are at, and keeps the others'.
func (b *below) readFiles(ask []fs.NodeID, at *fs.Attr) (first []byte, ok bool) {
	a := &b.reads
	list, err := b.low.ReadFiles(fs.Req{}, ask, readSmall)
	if err == abi.ENOSYS {
		a.none = true // an older server
	}
	if err != 0 {
		return nil, false
	}
	a.got, a.used = a.got/2+len(ask)-1, a.used/2
	for i := range list {
		f := &list[i]
		low, attr := f.File.Node, &f.File.Attr
		r := b.shadow(low)
		if r == 0 || f.File.TTL == 0 || uint64(len(f.Data)) != attr.Size || !slices.Contains(ask, low) {
			continue
		}
		if low == ask[0] {
			if attr.Size == at.Size && attr.Mtime == at.Mtime && attr.Ctime == at.Ctime {
				first, ok = f.Data, true
			}
			continue
		}
		in := b.t.Get(r)
		if in.Flags&(tree.FlagLowerMeta|tree.FlagLowerData) != tree.FlagLowerMeta|tree.FlagLowerData {
			continue // it is the tree's by now
		}
		b.cache(r, &f.File)
		a.hold(low, heldFile{data: f.Data, mtime: attr.Mtime, ctime: attr.Ctime, btime: attr.Btime, till: b.attrs[r].till})
	}
	return first, ok
}
