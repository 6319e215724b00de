package tree

import (
	"math/bits"
	"slices"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
)

// Modes of Fallocate (include/uapi/linux/falloc.h).
const (
	fallocKeepSize  = 1
	fallocPunchHole = 2
	fallocZeroRange = 16
)

// reserveSpare: who reserves gets that part of the room that there is.
const reserveSpare = 16

func popcount(w uint64) uint64 { return uint64(bits.OnesCount64(w)) }

// mask has a bit for each page that the bytes from..to touch, to <= SmallMax.
func mask(from, to uint64) uint64 {
	if from >= to {
		return 0
	}
	return upto((to+pageSize-1)>>pageShift) &^ upto(from>>pageShift)
}

func upto(n uint64) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}

func (t *Tree) freePages() uint64 {
	used := t.supers.Get(t.super).Pages
	if total := t.lim.Bytes / pageSize; used < total {
		return total - used
	}
	return 0
}

func (t *Tree) account(delta int64) {
	if delta == 0 {
		return
	}
	sb := t.supers.Mut(t.super)
	if delta < 0 && uint64(-delta) > sb.Pages {
		sb.Pages = 0
		return
	}
	sb.Pages += uint64(delta)
}

// object answers the memory object of a node that has one.
func (t *Tree) object(r Ref) (object.Object, bool) {
	if o := t.open[r]; o != nil {
		return o, true
	}
	if t.objs == nil {
		return nil, false
	}
	in := t.inodes.Get(r)
	o, ok := t.objs.Open(label(in.Ino))
	if ok {
		// What an incarnation wrote behind the end without living to say so is no
		// part of the file, and not to be seen in a mapping either.
		if size, _, err := o.Stat(); err == 0 && uint64(size) > in.Size {
			o.Truncate(int64(in.Size))
		}
		// Descriptors are fewer than files may be; the objects stay.
		for old, oo := range t.open {
			if len(t.open) < maxOpen || len(t.fresh) > 0 {
				break
			}
			oo.Close()
			delete(t.open, old)
		}
		t.open[r] = o
	}
	return o, ok
}

// maxReadObjects is from how many memory objects on no more are made only because
// small files are read often: an object is two descriptors of the nucleus for as
// long as the file lives.
const maxReadObjects = 1024

// maxOpen bounds the descriptors of memory objects that a tree holds.
const maxOpen = 2048

// Holds says whether the object with this label belongs to a node of the tree:
// after a restart the others are left over from transactions that never ended.
func (t *Tree) Holds(lab string) bool {
	if !strings.HasPrefix(lab, "file:") {
		return false
	}
	held := false
	t.inodes.Each(func(_ Ref, in *Inode) bool {
		held = in.Flags&FlagObject != 0 && label(in.Ino) == lab
		return !held
	})
	return held
}

// Objectify moves a file's data into a memory object, where it stays.
func (t *Tree) Objectify(r Ref) abi.Errno {
	in := t.inodes.Get(r)
	if in.Flags&FlagObject != 0 {
		if _, ok := t.object(r); !ok {
			return abi.EIO
		}
		return 0
	}
	if t.objs == nil {
		return abi.EFBIG
	}
	o, ok := t.objs.Open(label(in.Ino)) // left over from a transaction that did not end
	if !ok {
		var err abi.Errno
		if o, err = t.objs.Create(label(in.Ino)); err != 0 {
			return err
		}
	} else if err := o.Truncate(0); err != 0 {
		return err
	}
	if err := o.Truncate(int64(in.Size)); err != 0 {
		return err
	}
	data := t.h.Bytes(in.Data)
	for p := uint64(0); p < 64; p++ {
		off := p << pageShift
		if in.Pages>>p&1 == 0 {
			continue
		}
		if end := min(off+pageSize, in.Size, uint64(len(data))); in.Valid>>p&1 != 0 && off < end {
			if n, err := o.WriteAt(data[off:end], int64(off)); err != 0 || n != int(end-off) {
				o.Truncate(0)
				return orIO(err)
			}
			continue
		}
		if err := o.Allocate(fallocKeepSize, int64(off), pageSize); err != 0 {
			return err
		}
		if in.Valid>>p&1 != 0 { // see Fallocate
			if err := o.Allocate(fallocKeepSize, int64(off), pageSize); err != 0 {
				return err
			}
		}
	}
	t.open[r] = o
	t.fresh = append(t.fresh, r)
	in = t.inodes.Mut(r)
	t.account(-int64(popcount(in.Pages)))
	t.freeBlock(in.Data)
	in.Data.Off, in.Data.Cap, in.Data.Len = 0, 0, 0
	in.Pages, in.Valid, in.Blocks = 0, 0, 0
	in.Flags |= FlagObject
	return t.reaccount(r, o)
}

func orIO(e abi.Errno) abi.Errno {
	if e == 0 {
		return abi.EIO
	}
	return e
}

// reaccount brings the used pages up to date with an object's memory.
func (t *Tree) reaccount(r Ref, o object.Object) abi.Errno {
	_, blocks, err := o.Stat()
	if err != 0 {
		return err
	}
	if was := t.inodes.Get(r).Blocks; was != blocks {
		t.inodes.Mut(r).Blocks = blocks
		t.account(int64(blocks/8) - int64(was/8))
	}
	return 0
}

// ReadAt reads a file's bytes; 0 at its end.
func (t *Tree) ReadAt(r Ref, off uint64, buf []byte) (int, abi.Errno) {
	in := t.inodes.Get(r)
	if off >= in.Size {
		return 0, 0
	}
	buf = buf[:min(uint64(len(buf)), in.Size-off)]
	if in.Flags&FlagObject != 0 {
		o, ok := t.object(r)
		if !ok {
			return 0, abi.EIO
		}
		n, err := o.ReadAt(buf, int64(off))
		return n, err
	}
	data := t.h.Bytes(in.Data)
	for n := 0; n < len(buf); {
		at := off + uint64(n)
		p := at >> pageShift
		seg := buf[n:min(len(buf), n+int((p+1)<<pageShift-at))]
		k := 0
		if p < 64 && in.Valid>>p&1 != 0 && at < uint64(len(data)) {
			k = copy(seg, data[at:])
		}
		clear(seg[k:])
		n += len(seg)
	}
	return len(buf), 0
}

// reserve makes the block of a small file reach to end.
func (t *Tree) reserve(in *Inode, end uint64) abi.Errno {
	if uint64(in.Data.Cap) >= end {
		if uint64(in.Data.Len) < end {
			in.Data.Len = in.Data.Cap
		}
		return 0
	}
	want := end
	if end > pageSize {
		// A growing file is copied a few times, not at each write.
		want = min(max(end, 2*uint64(in.Data.Cap)), SmallMax)
	}
	b := t.h.Alloc(int(want))
	if b.Off == 0 {
		return abi.ENOSPC
	}
	b.Len = b.Cap
	if in.Data.Off != 0 {
		copy(t.h.Bytes(b), t.h.Bytes(in.Data))
		t.h.FreeBlock(in.Data)
	}
	in.Data = b
	return 0
}

// zeroGap makes the bytes between the end of a small file and to read as zero
// once the file reaches that far: what lies behind the end is not defined.
func (t *Tree) zeroGap(in *Inode, to uint64) {
	if in.Size&(pageSize-1) == 0 || in.Size >= to {
		return
	}
	p := in.Size >> pageShift
	if p >= 64 || in.Valid>>p&1 == 0 {
		return
	}
	end := min((p+1)<<pageShift, to, uint64(in.Data.Cap))
	if in.Size < end {
		clear(t.h.Unlogged(in.Data, int(in.Size), int(end-in.Size)))
	}
}

// WriteAt stores data in a regular file, as much of it as there is room for.
// Times are the caller's. EFBIG, ENOSPC, EIO.
func (t *Tree) WriteAt(r Ref, off uint64, data []byte) (int, abi.Errno) {
	in := t.inodes.Mut(r)
	if len(data) == 0 {
		return 0, 0
	}
	if off >= MaxFile {
		return 0, abi.EFBIG
	}
	if uint64(len(data)) > MaxFile-off {
		data = data[:MaxFile-off]
	}
	end := off + uint64(len(data))
	if in.Flags&FlagObject == 0 && end > SmallMax {
		if err := t.Objectify(r); err != 0 {
			return 0, err
		}
	}
	if in.Flags&FlagObject != 0 {
		return t.writeObject(r, in, off, data)
	}
	if free := t.freePages(); popcount(mask(off, end)&^in.Pages) > free {
		// As much as fits, page by page, as the kernel would.
		for end > off && popcount(mask(off, end)&^in.Pages) > free {
			end = (end - 1) &^ (pageSize - 1)
		}
		if end <= off {
			return 0, abi.ENOSPC
		}
		data = data[:end-off]
	}
	if err := t.reserve(in, end); err != 0 {
		return 0, err
	}
	t.zeroGap(in, off)
	old := in.Size
	for at := off; at < end; {
		p := at >> pageShift
		pend := (p + 1) << pageShift
		seg := data[at-off : min(end, pend)-off]
		stop := at + uint64(len(seg))
		if in.Valid>>p&1 == 0 {
			page := t.h.Unlogged(in.Data, int(p<<pageShift), int(min(pend, uint64(in.Data.Cap))-p<<pageShift))
			clear(page)
			copy(page[at&(pageSize-1):], seg)
		} else {
			n := uint64(0)
			if at < old {
				n = min(stop, old) - at
				copy(t.h.MutBytes(in.Data, int(at), int(n)), seg[:n])
			}
			if at+n < stop {
				copy(t.h.Unlogged(in.Data, int(at+n), int(stop-at-n)), seg[n:])
			}
		}
		at = stop
	}
	m := mask(off, end)
	t.account(int64(popcount(m &^ in.Pages)))
	in.Pages |= m
	in.Valid |= m
	in.Size = max(in.Size, end)
	return len(data), 0
}

func (t *Tree) writeObject(r Ref, in *Inode, off uint64, data []byte) (int, abi.Errno) {
	o, ok := t.object(r)
	if !ok {
		return 0, abi.EIO
	}
	// What lies behind the end certainly takes new memory; holes before it are
	// counted when they are filled.
	end := off + uint64(len(data))
	if end > in.Size {
		room := t.freePages() * pageSize
		fresh := end - max(off, (in.Size+pageSize-1)&^(pageSize-1))
		if end < (in.Size+pageSize-1)&^(pageSize-1) {
			fresh = 0
		}
		if fresh > room {
			cut := (fresh - room + pageSize - 1) &^ (pageSize - 1)
			if cut >= uint64(len(data)) {
				return 0, abi.ENOSPC
			}
			data = data[:uint64(len(data))-cut]
		}
	}
	n, err := o.WriteAt(data, int64(off))
	if n == 0 {
		return 0, orIO(err)
	}
	in.Size = max(in.Size, off+uint64(n))
	return n, t.reaccount(r, o)
}

// Truncate sets a file's size. Times are the caller's; keep: they stay as they are. EFBIG, ENOSPC, EIO.
//
// An object that ends sooner has lost its bytes before the transaction can be
// committed, so that is committed first as an intent, which is why a Truncate to
// less must be the first thing that a transaction does.
func (t *Tree) Truncate(r Ref, size uint64, keep bool) abi.Errno {
	in := t.inodes.Mut(r)
	if size > MaxFile {
		return abi.EFBIG
	}
	if in.Flags&FlagObject != 0 {
		o, ok := t.object(r)
		if !ok {
			return abi.EIO
		}
		if size < in.Size && !slices.Contains(t.fresh, r) {
			// Nothing else of this transaction has happened yet.
			sb := t.supers.Mut(t.super)
			if sb.Cut, sb.CutSize, sb.CutTime = r, size, t.now(); keep {
				sb.CutTime = fs.Time{}
			}
			t.h.Commit()
			t.h.Begin()
			in = t.inodes.Mut(r)
		}
		if err := o.Truncate(int64(size)); err != 0 {
			return err
		}
		t.cut = true
		t.supers.Mut(t.super).Cut = 0
		in.Size = size
		return t.reaccount(r, o)
	}
	if size > in.Size {
		// A sparse file of any size stays small while its data does.
		t.zeroGap(in, size)
		in.Size = size
		return 0
	}
	left := mask(0, min(size, SmallMax))
	t.account(-int64(popcount(in.Pages &^ left)))
	in.Pages &= left
	in.Valid &= left
	in.Size = size
	if in.Pages == 0 {
		t.freeBlock(in.Data)
		in.Data.Off, in.Data.Cap, in.Data.Len = 0, 0, 0
	}
	return 0
}

// endCut carries out or forgets, outside a transaction, the intent that a
// transaction left which was not committed.
func (t *Tree) endCut() {
	sb := t.supers.Get(t.super)
	r, size, at := sb.Cut, sb.CutSize, sb.CutTime
	did := t.cut
	t.cut = false
	if r == 0 {
		return
	}
	t.h.Begin()
	t.supers.Mut(t.super).Cut = 0
	if in := t.inodes.Get(r); did && in != nil && in.Flags&FlagObject != 0 {
		if o, ok := t.object(r); ok && o.Truncate(int64(size)) == 0 {
			in := t.inodes.Mut(r)
			if in.Size = size; at != (fs.Time{}) {
				in.Mtime, in.Ctime = at, at
			}
			t.reaccount(r, o)
		}
	}
	t.h.Commit()
}

// Fallocate as fallocate(2) on Linux's tmpfs, with ZERO_RANGE on top.
// EOPNOTSUPP, EINVAL, EFBIG, ENOSPC, EIO.
func (t *Tree) Fallocate(r Ref, mode uint32, off, length uint64) abi.Errno {
	spare := uint64(1) // of that much room a part is enough
	if mode == fs.AllocReserve {
		mode, spare = 0, reserveSpare
	}
	switch mode {
	case 0, fallocKeepSize, fallocPunchHole | fallocKeepSize, fallocZeroRange, fallocZeroRange | fallocKeepSize:
	default:
		return abi.EOPNOTSUPP
	}
	if length == 0 || off > MaxFile || length > MaxFile {
		return abi.EINVAL
	}
	end := off + length
	if end > MaxFile {
		return abi.EFBIG
	}
	in := t.inodes.Mut(r)
	grow := mode&fallocKeepSize == 0 && end > in.Size
	if in.Flags&FlagObject == 0 && mode&fallocPunchHole == 0 && end > SmallMax {
		if err := t.Objectify(r); err != 0 {
			return err
		}
	}
	if in.Flags&FlagObject != 0 {
		o, ok := t.object(r)
		if !ok {
			return abi.EIO
		}
		if mode&fallocPunchHole == 0 {
			need := uint64(0)
			if from := max(off, in.Size) / pageSize; (end+pageSize-1)/pageSize > from {
				need = (end+pageSize-1)/pageSize - from
			}
			if need > t.freePages()/spare {
				return abi.ENOSPC
			}
		}
		if mode&fallocZeroRange != 0 {
			if err := o.Allocate(fallocPunchHole|fallocKeepSize, int64(off), int64(length)); err != 0 {
				return err
			}
		}
		if err := o.Allocate(mode&^fallocZeroRange, int64(off), int64(length)); err != 0 {
			return err
		}
		if grow {
			in.Size = end
		}
		return t.reaccount(r, o)
	}
	if mode&(fallocPunchHole|fallocZeroRange) != 0 {
		t.zeroRange(in, off, min(end, SmallMax))
	}
	if mode&fallocPunchHole != 0 {
		return 0
	}
	m := mask(off, end)
	if popcount(m&^in.Pages) > t.freePages() {
		return abi.ENOSPC
	}
	t.account(int64(popcount(m &^ in.Pages)))
	// Linux shows a page that was fallocated as a hole, but as data once it is
	// fallocated again (mm/shmem.c, shmem_get_folio_gfp).
	for p, again := uint64(0), m&in.Pages&^in.Valid; again>>p != 0; p++ {
		if a, b := p<<pageShift, min((p+1)<<pageShift, uint64(in.Data.Cap)); again>>p&1 != 0 && a < b {
			clear(t.h.Unlogged(in.Data, int(a), int(b-a)))
		}
	}
	in.Valid |= m & in.Pages
	in.Pages |= m
	if grow {
		t.zeroGap(in, end)
		in.Size = end
	}
	return 0
}

// zeroRange makes bytes of a small file read as zero and frees whole pages.
func (t *Tree) zeroRange(in *Inode, off, end uint64) {
	if off >= end {
		return
	}
	first, last := (off+pageSize-1)>>pageShift, end>>pageShift
	if first < last {
		whole := upto(last) &^ upto(first)
		t.account(-int64(popcount(in.Pages & whole)))
		in.Pages &^= whole
		in.Valid &^= whole
	}
	clearPart := func(a, b uint64) {
		p := a >> pageShift
		if a >= b || p >= 64 || in.Valid>>p&1 == 0 {
			return
		}
		if b = min(b, uint64(in.Data.Cap)); a < b {
			clear(t.h.MutBytes(in.Data, int(a), int(b-a)))
		}
	}
	if first > last { // inside one page
		clearPart(off, end)
		return
	}
	clearPart(off, first<<pageShift)
	clearPart(last<<pageShift, end)
}

// Seek finds data (whence 3) or a hole (4). ENXIO, EINVAL, EIO.
func (t *Tree) Seek(r Ref, off uint64, whence uint32) (uint64, abi.Errno) {
	in := t.inodes.Get(r)
	if whence != 3 && whence != 4 {
		return 0, abi.EINVAL
	}
	if off >= in.Size {
		return 0, abi.ENXIO
	}
	if in.Flags&FlagObject != 0 {
		o, ok := t.object(r)
		if !ok {
			return 0, abi.EIO
		}
		at, err := o.Find(int64(off), whence)
		switch {
		case err != 0:
			return 0, err
		case uint64(at) < in.Size:
			return uint64(at), 0
		case whence == 3: // the object may be longer than the file
			return 0, abi.ENXIO
		}
		return in.Size, 0
	}
	want := uint64(0)
	if whence == 3 {
		want = 1
	}
	for p := off >> pageShift; p<<pageShift < in.Size; p++ {
		have := uint64(0)
		if p < 64 {
			have = in.Valid >> p & 1
		} else if want == 1 {
			return 0, abi.ENXIO
		}
		if have == want {
			return max(off, p<<pageShift), 0
		}
	}
	if whence == 3 {
		return 0, abi.ENXIO
	}
	return in.Size, 0
}

// SetLink stores a symlink's target.
func (t *Tree) SetLink(r Ref, target string) abi.Errno {
	b, err := t.putBytes([]byte(target))
	if err != 0 {
		return err
	}
	in := t.inodes.Mut(r)
	in.Data, in.Size = b, uint64(len(target))
	if len(target) >= shortLink {
		if t.freePages() == 0 {
			return abi.ENOSPC
		}
		in.Pages = 1
		t.account(1)
	}
	return 0
}

// Target is a symlink's target.
func (t *Tree) Target(r Ref) string {
	in := t.inodes.Get(r)
	return string(t.h.Bytes(in.Data)[:in.Size])
}
