package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Answers about names that the library keeps (docs/lending.md, *Names*): what stat(2),
// access(2), readlink(2) and their like were told of a path, which holds until the server says
// that it may not (abi.ToldNames, abi.ToldAttrs).

// Thread.Wants.
const (
	nameAsked  = 1 // asked for once before
	nameWanted = 2 // and the server knows
	nameFirst  = 3 // not asked for before, or not lately
	nameNear   = 4 // and the server knows: others may come along
)

// nameKept answers a call about a name if that is known.
func (t *Thread) nameKept(uc *Ucontext, d *abi.CallDesc) (uintptr, bool) {
	e, seq := t.findName(uc, d)
	if e == nil {
		return 0, false
	}
	names, attrs := atomic.LoadUint64(&e.Names), atomic.LoadUint64(&e.Attrs)
	if size := uintptr(e.Len); size != 0 {
		to := register(uc, uintptr(d.Name&15)-1)
		if size > abi.NameData || !t.inGuest(to, size) {
			return 0, false
		}
		if t.copyMem(to, uintptr(unsafe.Pointer(&e.Data)), size) != 0 {
			// It held when it was found. What is stored may be over the path, so nobody can be asked any more;
			// but a page may only be missing.
			return errno(eFAULT), t.task().Paged == 0
		}
	}
	r := uintptr(e.Result)
	// Did it hold all the while? What was copied otherwise the server copies again.
	if atomic.LoadUint32(&e.Seq) != seq || !t.nameHolds(names, attrs) || !t.dirHolds() {
		return 0, false
	}
	e.Used = 1
	t.Wants = 0
	return r, true
}

// dirWord is what the server has told of a directory's descriptor; 0: nothing, or it is no such descriptor, or
// closed.
func (t *Thread) dirWord(fd uintptr) uint64 {
	v := t.toldOpen(fd)
	if v&(abi.LentOpen|abi.LentDir) != abi.LentDir || atomic.LoadUint64(t.closeWord(fd))&abi.Closed != 0 {
		return 0
	}
	return v
}

// dirHolds says whether the descriptor from which the name in t.Key is looked for is the one that it was. Who looks
// before the server is asked and after that knows whose directory the answer is about: numbers do not come again.
func (t *Thread) dirHolds() bool {
	return t.Key.Dir == 0 || t.dirWord(uintptr(t.Key.Nr>>nameDirFD)) == t.Key.Dir
}

// nameHolds says whether an answer with these numbers holds.
func (t *Thread) nameHolds(names, attrs uint64) bool {
	told := &t.area().Told
	return names != 0 && names == atomic.LoadUint64(&told[abi.ToldNames]) && (attrs == 0 || attrs == atomic.LoadUint64(&told[abi.ToldAttrs]))
}

// findName finds the answer to a call about a name, which holds; nil: there is none. It is what was found as long as
// its Seq is seq.
func (t *Thread) findName(uc *Ucontext, d *abi.CallDesc) (found *Name, seq uint32) {
	t.Wants = 0
	if d.Pre[0].Kind != abi.PreStr || t.Words[abi.ThreadVfork] != 0 {
		return nil, 0
	}
	k := &t.Key
	path := uintptr(unsafe.Pointer(&k.Path))
	n, end := t.copyStr(path, register(uc, uintptr(d.Pre[0].Arg)), abi.NameMax)
	if end != strEnd || n == 0 {
		return nil, 0
	}
	k.Nr, k.Dir = uc.Regs.AX, 0
	if d.Pre[0].Arg == 1 && uint8(k.Path[0]) != '/' && int32(uint32(uc.Regs.DI)) != -100 {
		fd := uintptr(uint32(uc.Regs.DI))
		if k.Dir = t.dirWord(fd); k.Dir == 0 {
			return nil, 0
		}
		k.Nr |= uint64(fd) << nameDirFD
	}
	k.A = uint64(register(uc, uintptr(d.Name>>4&15)-1))
	k.B = uint64(register(uc, uintptr(d.Name>>8&15)-1))
	h := t.hashKey(n)
	t.Wants = nameFirst
	e := t.name(h)
	seq = atomic.LoadUint32(&e.Seq)
	if seq&1 != 0 {
		return nil, 0
	}
	holds := t.nameHolds(atomic.LoadUint64(&e.Names), atomic.LoadUint64(&e.Attrs))
	if e.Hash != h {
		// Another one's place: who was of use since somebody else wanted it keeps it once.
		if holds && e.Used != 0 {
			e.Used = 0
			return nil, 0
		}
		if atomic.CompareAndSwapUint32(&e.Seq, seq, seq+1) {
			e.Hash, e.Names, e.Used = h, 0, 0
			atomic.StoreUint32(&e.Seq, seq+2)
		}
		return nil, 0
	}
	if !holds {
		t.Wants = nameAsked
		return nil, 0
	}
	for i := uintptr(0); i < unsafe.Sizeof(nameKey{}); i += 8 {
		if *(*uint64)(unsafe.Add(unsafe.Pointer(&e.Key), i)) != *(*uint64)(unsafe.Add(unsafe.Pointer(k), i)) {
			return nil, 0
		}
	}
	return e, seq
}

// hashKey completes and hashes t.Key, whose path has n bytes.
func (t *Thread) hashKey(n uintptr) uint64 {
	k := &t.Key
	path := uintptr(unsafe.Pointer(&k.Path))
	h := (k.Nr ^ k.A<<16 ^ k.B<<40 ^ k.Dir<<20) * nameMul
	last := n / 8
	word(path+last*8, n&7)
	for i := uintptr(0); i < abi.NameMax/8; i++ {
		p := (*uint64)(at(path + i*8))
		if i > last {
			*p = 0
			continue
		}
		h = (h ^ *p) * nameMul
		h ^= h >> 29
	}
	t.KeyHash = h
	return h
}

// nameDirFD is where the descriptor is in nameKey.Nr.
const nameDirFD = 32

// nameMul spreads hashes: 2 to the 64th by the golden ratio.
const nameMul = 0x9e3779b97f4a7c15

// word clears all but the first n bytes of the word at a.
func word(a, n uintptr) { *(*uint64)(at(a)) &= 1<<(8*n) - 1 }

// name is the place for a hash.
func (t *Thread) name(h uint64) *Name {
	return (*Name)(at(t.Window + NamesOff + uintptr(h>>(64-nameBits))*unsafe.Sizeof(Name{})))
}

// register answers argument i of a call, 0 if there is none.
func register(uc *Ucontext, i uintptr) uintptr {
	r := &uc.Regs
	if i == 0 {
		return uintptr(r.DI)
	}
	if i == 1 {
		return uintptr(r.SI)
	}
	if i == 2 {
		return uintptr(r.DX)
	}
	if i == 3 {
		return uintptr(r.R10)
	}
	return 0
}

// keepName carries out ActName: the call is the one whose name is in t.Key.
func (t *Thread) keepName(a *abi.Action) {
	p, n := uintptr(0), uintptr(a.A[4])
	if n != 0 {
		p = t.inSlot(uintptr(a.A[3]), n)
	}
	if t.Wants != nameWanted || a.A[0] == 0 || n > abi.NameData || n != 0 && p == 0 || !t.dirHolds() {
		return
	}
	t.Wants = nameNear
	t.storeName(a.A[0], a.A[1], a.A[2], p, n)
}

// alongside answers where the n answers are in the slot, each of so many bytes, that came along with one which the library asked
// for; 0: they are none that it wants now.
func (t *Thread) alongside(names, off uint64, n, most, size uintptr) uintptr {
	if t.Wants != nameWanted && t.Wants != nameNear || names == 0 || n > most {
		return 0
	}
	t.Wants = 0
	return t.inSlot(uintptr(off), n*size)
}

// keepNames carries out ActNames: the names are in the directory of the one that is in t.Key.
func (t *Thread) keepNames(a *abi.Action) {
	n := uintptr(a.A[2])
	p := t.alongside(a.A[0], a.A[3], n, abi.NearMost, abi.NearSize)
	if p == 0 || !t.dirHolds() {
		return
	}
	path := uintptr(unsafe.Pointer(&t.Key.Path))
	dir := uintptr(0) // the bytes before the name
	for i := uintptr(0); i < abi.NameMax; i++ {
		if *(*uint8)(at(path + i)) == '/' {
			dir = i + 1
		}
	}
	for i := uintptr(0); i < n; i++ {
		item := p + i*abi.NearSize
		size := uintptr(*(*uint64)(at(item)))
		if size == 0 || size > abi.NearName || dir+size >= abi.NameMax {
			continue
		}
		t.copyMem(path+dir, item+8, size)
		t.hashKey(dir + size)
		t.storeName(a.A[0], a.A[1], 0, item+8+abi.NearName, abi.NameData)
	}
}

// keepForeseen carries out ActForesee.
func (t *Thread) keepForeseen(a *abi.Action) {
	n := uintptr(a.A[1])
	p := t.alongside(a.A[0], a.A[2], n, abi.ForeseeMost, abi.ForeseeSize)
	if p == 0 {
		return
	}
	k := &t.Key
	for i := uintptr(0); i < unsafe.Sizeof(nameKey{}); i += 8 {
		*(*uint64)(unsafe.Add(unsafe.Pointer(k), i)) = 0 // they are absolute, or from the current directory
	}
	for i := uintptr(0); i < n; i++ {
		item := (*[abi.ForeseeHead / 8]uint64)(at(p + i*abi.ForeseeSize))
		path, size := uintptr(item[5]), uintptr(item[6])
		if path == 0 || path >= abi.NameMax || size > abi.NameData {
			continue
		}
		k.Nr, k.A, k.B = item[0], item[1], item[2]
		t.copyMem(uintptr(unsafe.Pointer(&k.Path)), uintptr(unsafe.Pointer(item))+abi.ForeseeHead, path)
		t.hashKey(path)
		t.storeName(a.A[0], item[4], item[3], uintptr(unsafe.Pointer(item))+abi.ForeseeHead+abi.NameMax, size)
	}
}

// storeName keeps the answer about what is in t.Key: a result with the n bytes at p.
func (t *Thread) storeName(names, attrs, result uint64, p, n uintptr) {
	e := t.name(t.KeyHash)
	seq := atomic.LoadUint32(&e.Seq)
	if seq&1 != 0 || !atomic.CompareAndSwapUint32(&e.Seq, seq, seq+1) {
		return
	}
	e.Hash, e.Names, e.Attrs, e.Result, e.Len, e.Used = t.KeyHash, names, attrs, result, uint64(n), 1
	t.copyMem(uintptr(unsafe.Pointer(&e.Key)), uintptr(unsafe.Pointer(&t.Key)), unsafe.Sizeof(nameKey{}))
	if n != 0 {
		t.copyMem(uintptr(unsafe.Pointer(&e.Data)), p, n)
	}
	atomic.StoreUint32(&e.Seq, seq+2)
}

// The answers fit.
const _ = uint(NamesSize - MaxNames*unsafe.Sizeof(Name{}))
