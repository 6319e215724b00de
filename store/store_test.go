package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

type node struct {
	ID    uint64
	Link  Link[node]
	Kids  List[node]
	Name  Block
	Pad   [3]uint16
	Other Ref[node]
}

func newHeap(t testing.TB, size int) *Heap {
	t.Helper()
	h, err := Format(make([]byte, size), 7)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		r := recover()
		if r == nil || !strings.Contains(fmt.Sprint(r), want) {
			t.Fatalf("panic %v, want one with %q", r, want)
		}
	}()
	f()
}

func TestBasics(t *testing.T) {
	mem := make([]byte, 4<<20)
	if _, err := Open(mem, 7); !errors.Is(err, ErrUnformatted) {
		t.Fatalf("Open of zero memory: %v", err)
	}
	h, err := Format(mem, 7)
	if err != nil {
		t.Fatal(err)
	}
	h.SetCheck(true)
	tab := NewTable[node](h, 3, 100)
	mustPanic(t, "outside", func() { tab.New() })
	mustPanic(t, "outside", func() { h.Alloc(1) })
	h.Begin()
	mustPanic(t, "inside", h.Begin)
	r, p := tab.New()
	p.ID = 42
	p.Name = PutString(h, "hythe")
	h.Commit()
	mustPanic(t, "outside", func() { tab.Mut(r) })
	g := tab.Gen(r)

	h.Begin()
	tab.Mut(r).ID = 43
	r2, _ := tab.New()
	tab.Free(r)
	if tab.Get(r) != nil || tab.Len() != 1 {
		t.Fatal("freed record is still there")
	}
	if r3, _ := tab.New(); r3 == r {
		t.Fatal("a freed record was given out in the same transaction")
	}
	h.Abort()
	if tab.Get(r2) != nil || tab.Len() != 1 || tab.Get(r).ID != 42 || tab.Gen(r) != g {
		t.Fatal("Abort did not restore")
	}
	if String(h, tab.Get(r).Name) != "hythe" {
		t.Fatal("string lost")
	}

	// The next incarnation, after a death inside a transaction.
	h.Begin()
	tab.Mut(r).ID = 99
	h2, err := Open(mem, 7)
	if err != nil {
		t.Fatal(err)
	}
	tab2 := NewTable[node](h2, 3, 100)
	if tab2.Get(r).ID != 42 || String(h2, tab2.Get(r).Name) != "hythe" || tab2.Len() != 1 {
		t.Fatal("reopened heap differs")
	}
	h2.Begin()
	tab2.Free(r)
	h2.FreeBlock(tab2.meta2name(r))
	h2.Commit()
	h2.Begin()
	if r4, _ := tab2.New(); r4 == r && tab2.Gen(r4) == g {
		t.Fatal("generation did not change")
	}
	mustPanic(t, "free", func() { tab2.Free(r + 50) })
	mustPanic(t, "free", func() { tab2.Mut(0) })
	h2.Commit()
	if _, err := Open(mem, 8); !errors.Is(err, ErrVersion) {
		t.Fatalf("other version: %v", err)
	}
}

// meta2name reads the block of a record although it is free (its bytes stay).
func (t *Table[T]) meta2name(r Ref[T]) Block {
	return any(at[T](t.h.mem, t.rec+uint64(r-1)*t.size)).(*node).Name
}

func TestBadInput(t *testing.T) {
	if _, err := Format(make([]byte, 100), 1); err == nil {
		t.Error("Format of 100 bytes")
	}
	if _, err := Open(nil, 1); err == nil {
		t.Error("Open of nothing")
	}
	h := newHeap(t, MinSize)
	type withPtr struct {
		A int
		B struct{ C [2]string }
	}
	mustPanic(t, "withPtr.B.C[]", func() { NewTable[withPtr](h, 0, 1) })
	mustPanic(t, "does not fit", func() { NewTable[node](h, 0, 1<<20) })
	mustPanic(t, "range", func() { NewTable[node](h, 128, 1) })
	NewTable[node](h, 0, 10)
	mustPanic(t, "twice", func() { NewTable[node](h, 0, 10) })
	mustPanic(t, "layout", func() { NewTable[uint64](h, 0, 10) })
	h2, err := Open(h.mem, 7)
	if err != nil {
		t.Fatal(err)
	}
	mustPanic(t, "layout", func() { NewTable[node](h2, 0, 11) })

	// A full table and a full heap answer, they do not panic.
	tab := NewTable[node](h2, 0, 10)
	h2.Begin()
	for range 10 {
		if r, _ := tab.New(); r == 0 {
			t.Fatal("full too early")
		}
	}
	if r, p := tab.New(); r != 0 || p != nil {
		t.Error("eleventh record of ten")
	}
	if b := h2.Alloc(2 << 20); !b.Nil() {
		t.Error("block larger than the heap")
	}
	if b := h2.Alloc(-1); !b.Nil() {
		t.Error("negative block")
	}
	n := 0
	for ; !h2.Alloc(100).Nil(); n++ {
		h2.Commit()
		h2.Begin()
	}
	h2.Commit()
	if n < 1000 {
		t.Errorf("only %d blocks of 100 bytes", n)
	}
	mustPanic(t, "no block", func() { h2.Begin(); h2.FreeBlock(Block{Off: 12345}) })
	h2.Abort()

	// Random damage to the header and the log gives errors, not faults.
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		h := newHeap(t, MinSize)
		tab := NewTable[node](h, 0, 10)
		h.Begin()
		r, _ := tab.New()
		tab.Mut(r)
		for range 1 + rnd.IntN(4) {
			h.mem[rnd.IntN(200)] = byte(rnd.Uint32())
		}
		h.mem[hdrSize+rnd.IntN(64)] ^= byte(rnd.Uint32())
		_, _ = Open(h.mem, 7)
	}
	h3 := newHeap(t, MinSize)
	h3.hdr.LogLen = 24
	h3.log[8] = 0xff
	if _, err := Open(h3.mem, 7); !errors.Is(err, ErrCorrupt) {
		t.Errorf("log entry that is too long: %v", err)
	}
}

func TestCheckMode(t *testing.T) {
	h := newHeap(t, 4<<20)
	tab := NewTable[node](h, 0, 100)
	h.Begin()
	r, _ := tab.New()
	b := h.Alloc(100)
	h.Commit()
	h.SetCheck(true)
	h.Begin()
	tab.Get(r).ID = 5
	mustPanic(t, "record 1, byte 0 (ID)", h.Commit)
	tab.Get(r).ID = 0
	h.Bytes(b)[3] = 1
	mustPanic(t, "block memory", h.Commit)
	h.Unlogged(b, 3, 1)[0] = 7
	h.Commit()
	tab.Get(r).ID = 5
	mustPanic(t, "between transactions", h.Begin)
}

func TestLists(t *testing.T) {
	h := newHeap(t, 4<<20)
	h.SetCheck(true)
	tab := NewTable[node](h, 0, 100)
	l := Lists[node]{tab, func(n *node) *Link[node] { return &n.Link }}
	h.Begin()
	root, _ := tab.New()
	var rs []Ref[node]
	for i := range 10 {
		r, p := tab.New()
		p.ID = uint64(i)
		l.PushBack(&tab.Mut(root).Kids, r)
		rs = append(rs, r)
	}
	h.Commit()
	h.Begin()
	kids := &tab.Mut(root).Kids
	l.Remove(kids, rs[3])
	l.Remove(kids, rs[0])
	l.Remove(kids, rs[9])
	l.PushFront(kids, rs[9])
	h.Commit()
	var got []uint64
	l.Each(&tab.Get(root).Kids, func(_ Ref[node], n *node) bool { got = append(got, n.ID); return true })
	if fmt.Sprint(got) != "[9 1 2 4 5 6 7 8]" || tab.Get(root).Kids.N != 8 {
		t.Fatal(got, tab.Get(root).Kids.N)
	}
	h.Begin()
	for l.PopFront(&tab.Mut(root).Kids) != 0 {
	}
	h.Abort()
	if tab.Get(root).Kids.N != 8 {
		t.Fatal("Abort of PopFront")
	}
}

// world is a random workload with a model: what the heap must hold.
type world struct {
	h   *Heap
	tab *Table[node]
	big *Table[[40]uint64]
}

func openWorld(h *Heap) world {
	return world{h, NewTable[node](h, 1, 200), NewTable[[40]uint64](h, 2, 50)}
}

// dump is everything that a user of the heap can see.
func (w world) dump() string {
	var b strings.Builder
	w.tab.Each(func(r Ref[node], n *node) bool {
		fmt.Fprintf(&b, "%d.%d: %d %x %d\n", r, w.tab.Gen(r), n.ID, w.h.Bytes(n.Name), n.Other)
		return true
	})
	w.big.Each(func(r Ref[[40]uint64], n *[40]uint64) bool {
		fmt.Fprintf(&b, "%d: %v\n", r, *n)
		return true
	})
	return b.String()
}

func (w world) step(rnd *rand.Rand, point func(string)) {
	pick := func() (out Ref[node]) {
		k := rnd.IntN(max(1, w.tab.Len()))
		w.tab.Each(func(r Ref[node], _ *node) bool { out = r; k--; return k >= 0 })
		return out
	}
	switch r := pick(); rnd.IntN(9) {
	case 0, 1:
		if _, p := w.tab.New(); p != nil {
			p.ID = rnd.Uint64()
			p.Name = w.h.Alloc(rnd.IntN(200))
			for i := range w.h.Bytes(p.Name) {
				w.h.Bytes(p.Name)[i] = byte(rnd.Uint32())
			}
		}
	case 2:
		if r != 0 {
			w.h.FreeBlock(w.tab.Get(r).Name)
			w.tab.Free(r)
		}
	case 3:
		if r != 0 {
			p := w.tab.Mut(r)
			point("half a record")
			p.ID++
			point("half a record")
			p.Other = r
		}
	case 4:
		if r != 0 && w.tab.Get(r).Name.Len > 0 {
			b := w.tab.Get(r).Name
			off := rnd.IntN(int(b.Len))
			n := 1 + rnd.IntN(int(b.Len)-off)
			m := w.h.MutBytes(b, off, n)
			for i := range m {
				m[i] = byte(rnd.Uint32())
				if i == n/2 {
					point("half a block")
				}
			}
		}
	case 5:
		if _, p := w.big.New(); p != nil {
			p[rnd.IntN(40)] = 1
		}
	case 6:
		w.big.Each(func(r Ref[[40]uint64], p *[40]uint64) bool {
			if rnd.IntN(3) == 0 {
				w.big.Free(r)
			} else if rnd.IntN(3) == 0 {
				w.big.Mut(r)[rnd.IntN(40)]++
			}
			return true
		})
	case 7: // a large block replaces a small one
		if r != 0 && rnd.IntN(4) == 0 {
			p := w.tab.Mut(r)
			w.h.FreeBlock(p.Name)
			p.Name = w.h.Alloc(rnd.IntN(200 << 10))
			if b := w.h.Bytes(p.Name); len(b) > 0 {
				b[len(b)-1] = 1
			}
		}
	case 8:
		if r != 0 { // shrink large ones again
			p := w.tab.Mut(r)
			w.h.FreeBlock(p.Name)
			p.Name = w.h.Alloc(rnd.IntN(3000))
		}
	}
}

// TestCrash kills the server at every store point of random transactions: each
// image opens to the state before or after the transaction.
func TestCrash(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	images := 0
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 9))
		h := newHeap(t, 2<<20)
		w := openWorld(h)
		h.SetCheck(true)
		var before string
		var shots [][]byte
		shoot := func(string) {
			if rnd.IntN(6) == 0 {
				shots = append(shots, bytes.Clone(h.mem))
			}
		}
		for range 25 {
			before = w.dump()
			shots = shots[:0]
			h.SetCrashHook(shoot)
			h.Begin()
			for range 1 + rnd.IntN(6) {
				w.step(rnd, shoot)
			}
			abort := rnd.IntN(4) == 0
			if abort {
				h.Abort()
			} else {
				h.Commit()
			}
			h.SetCrashHook(nil)
			after := w.dump()
			if abort && after != before {
				t.Fatalf("seed %d: Abort left\n%s\nnot\n%s", seed, after, before)
			}
			for i, img := range shots {
				images++
				h2, err := Open(img, 7)
				if err != nil {
					t.Fatal(err)
				}
				w2 := openWorld(h2)
				if d := w2.dump(); d != before && d != after {
					t.Fatalf("seed %d: image %d of %d opens to\n%s\nneither\n%s\nnor\n%s", seed, i, len(shots), d, before, after)
				}
				if i == 0 { // the next incarnation can go on
					h2.SetCheck(true)
					h2.Begin()
					w2.step(rnd, func(string) {})
					h2.Commit()
				}
			}
		}
	}
	t.Logf("%d images", images)
}

// TestReuse frees and makes blocks of every class; nothing may leak or overlap.
func TestReuse(t *testing.T) {
	h := newHeap(t, 8<<20)
	rnd := rand.New(rand.NewPCG(4, 4))
	live := map[Block]byte{}
	for i := range 400 {
		h.Begin()
		for range rnd.IntN(12) {
			n := rnd.IntN(1 << rnd.IntN(18))
			b := h.Alloc(n)
			if b.Nil() {
				continue
			}
			for k, x := range h.Bytes(b) {
				if x != 0 {
					t.Fatalf("byte %d of a new block is %d", k, x)
				}
				h.Bytes(b)[k] = byte(i)
			}
			live[b] = byte(i)
		}
		for b, x := range live {
			for k, y := range h.Bytes(b) {
				if x != y {
					t.Fatalf("byte %d of a block of %d is %d, not %d", k, b.Len, y, x)
				}
			}
			if rnd.IntN(8) == 0 {
				h.FreeBlock(b)
				delete(live, b)
			}
		}
		h.Commit()
		if i%50 == 49 {
			used := h.BlockBytes()
			var err error
			if h, err = Open(h.mem, 7); err != nil {
				t.Fatal(err)
			}
			if h.BlockBytes() != used {
				t.Fatalf("after reopening %d bytes are live, not %d", h.BlockBytes(), used)
			}
		}
	}
	h.Begin()
	for b := range live {
		h.FreeBlock(b)
	}
	h.Commit()
	if h.BlockBytes() != 0 {
		t.Fatalf("%d bytes leaked", h.BlockBytes())
	}
}

func mapped(t testing.TB, size int) (int, []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("store-test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	mem, err := Map(fd, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Unmap(mem); _ = unix.Close(fd) })
	return fd, mem
}

func TestSparseAndTrim(t *testing.T) {
	fd, mem := mapped(t, 4<<30)
	h, fresh, err := OpenOrFormat(mem, 1)
	if err != nil || !fresh {
		t.Fatal(err, fresh)
	}
	NewTable[node](h, 0, 4<<20)
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n := blocks(); n > 256<<10 {
		t.Errorf("an empty heap takes %d bytes", n)
	}
	h.Begin()
	b := h.Alloc(8 << 20)
	clear(h.Bytes(b))
	for i := range h.Bytes(b) {
		h.Bytes(b)[i] = 1
	}
	h.Commit()
	full := blocks()
	h.Begin()
	h.FreeBlock(b)
	h.Commit()
	h.Trim()
	if n := blocks(); n > full-(7<<20) {
		t.Errorf("Trim left %d bytes of %d", n, full)
	}
	if _, fresh, err := OpenOrFormat(mem, 1); err != nil || fresh {
		t.Fatal(err, fresh)
	}
	if h, err = Format(mem, 2); err != nil { // over an old heap
		t.Fatal(err)
	}
	if tab := NewTable[node](h, 0, 4<<20); tab.Len() != 0 {
		t.Error("Format left records")
	}
}

func TestEpochWrap(t *testing.T) {
	h := newHeap(t, 2<<20)
	h.SetCheck(true)
	tab := NewTable[node](h, 0, 10)
	h.Begin()
	r, _ := tab.New()
	h.Commit() // logged in transaction 1
	h.tx = ^uint32(0)
	h.Begin() // number 1 again
	tab.Mut(r).ID = 3
	h.Abort()
	if tab.Get(r).ID != 0 {
		t.Fatal("change of a record was not logged after the counter wrapped")
	}
}

func BenchmarkEmptyTx(b *testing.B) {
	h := newHeap(b, 4<<20)
	for b.Loop() {
		h.Begin()
		h.Commit()
	}
}

func BenchmarkTwoMuts(b *testing.B) {
	h := newHeap(b, 4<<20)
	tab := NewTable[node](h, 0, 100)
	h.Begin()
	r, _ := tab.New()
	s, _ := tab.New()
	h.Commit()
	for b.Loop() {
		h.Begin()
		tab.Mut(r).ID++
		tab.Mut(s).ID++
		h.Commit()
	}
}

func BenchmarkNewFree(b *testing.B) {
	h := newHeap(b, 4<<20)
	tab := NewTable[node](h, 0, 100)
	for b.Loop() {
		h.Begin()
		r, _ := tab.New()
		tab.Free(r)
		h.Commit()
	}
}

func BenchmarkAllocFree(b *testing.B) {
	h := newHeap(b, 4<<20)
	for b.Loop() {
		h.Begin()
		h.FreeBlock(h.Alloc(100))
		h.Commit()
	}
}

func BenchmarkReopen100k(b *testing.B) {
	_, mem := mapped(b, 1<<30)
	h, err := Format(mem, 1)
	if err != nil {
		b.Fatal(err)
	}
	tab := NewTable[node](h, 0, 200000)
	for range 100 {
		h.Begin()
		for range 1000 {
			_, p := tab.New()
			p.Name = h.Alloc(64)
		}
		h.Commit()
	}
	for b.Loop() {
		h, err := Open(mem, 1)
		if err != nil {
			b.Fatal(err)
		}
		if NewTable[node](h, 0, 200000).Len() != 100000 {
			b.Fatal("records lost")
		}
	}
}
