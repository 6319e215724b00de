package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The prototype of docs/decisions/0002-state-of-record.md: descriptors and
// pipes, kept in the two ways that are known to survive a death. Both have the
// same operations: dup, close, write and read of 64 bytes on a pipe.

const (
	protoProcs = 1000
	protoFiles = 20
	protoPipes = 200
	protoRing  = 4096
)

type proto interface {
	dup(proc, fd int) int // lowest free descriptor
	close(proc, fd int)
	write(proc, fd int, data []byte) int
	read(proc, fd int, data []byte) int
	dump() string
}

// Way 1: tables with an undo log.

type pDesc struct {
	Proc, FD uint32
	Pipe     Ref[pPipe]
}

type pPipe struct {
	Ring       Block
	Head, Tail uint64
	Refs       uint32
}

type undoWay struct {
	h     *Heap
	descs *Table[pDesc]
	pipes *Table[pPipe]
	index [protoProcs][]Ref[pDesc] // derived
}

func openUndo(h *Heap) *undoWay {
	u := &undoWay{h: h, descs: NewTable[pDesc](h, 0, 100000), pipes: NewTable[pPipe](h, 1, 1000)}
	u.descs.Each(func(r Ref[pDesc], d *pDesc) bool {
		l := &u.index[d.Proc]
		for len(*l) <= int(d.FD) {
			*l = append(*l, 0)
		}
		(*l)[d.FD] = r
		return true
	})
	return u
}

func (u *undoWay) fill() {
	var pipes []Ref[pPipe]
	u.h.Begin()
	for range protoPipes {
		r, p := u.pipes.New()
		p.Ring = u.h.Alloc(protoRing)
		pipes = append(pipes, r)
	}
	u.h.Commit()
	for proc := range protoProcs {
		u.h.Begin()
		for fd := range protoFiles {
			pipe := pipes[(proc*protoFiles+fd)%protoPipes]
			r, d := u.descs.New()
			*d = pDesc{uint32(proc), uint32(fd), pipe}
			u.pipes.Mut(pipe).Refs++
			u.index[proc] = append(u.index[proc], r)
		}
		u.h.Commit()
	}
}

func (u *undoWay) dup(proc, fd int) int {
	l := u.index[proc]
	old := u.descs.Get(l[fd])
	n := slices.Index(l, 0)
	if n < 0 {
		n = len(l)
		u.index[proc] = append(l, 0)
	}
	u.h.Begin()
	r, d := u.descs.New()
	*d = pDesc{uint32(proc), uint32(n), old.Pipe}
	u.pipes.Mut(old.Pipe).Refs++
	u.index[proc][n] = r
	u.h.Commit()
	return n
}

func (u *undoWay) close(proc, fd int) {
	u.h.Begin()
	r := u.index[proc][fd]
	u.pipes.Mut(u.descs.Get(r).Pipe).Refs--
	u.descs.Free(r)
	u.index[proc][fd] = 0
	u.h.Commit()
}

func (u *undoWay) write(proc, fd int, data []byte) int {
	u.h.Begin()
	defer u.h.Commit()
	pipe := u.descs.Get(u.index[proc][fd]).Pipe
	p := u.pipes.Mut(pipe)
	n := min(len(data), protoRing-int(p.Head-p.Tail))
	at := int(p.Head % protoRing)
	k := min(n, protoRing-at)
	copy(u.h.Unlogged(p.Ring, at, k), data) // nothing committed refers to it yet
	copy(u.h.Unlogged(p.Ring, 0, n-k), data[k:])
	p.Head += uint64(n)
	return n
}

func (u *undoWay) read(proc, fd int, data []byte) int {
	u.h.Begin()
	defer u.h.Commit()
	pipe := u.descs.Get(u.index[proc][fd]).Pipe
	p := u.pipes.Mut(pipe)
	n := min(len(data), int(p.Head-p.Tail))
	ring := u.h.Bytes(p.Ring)
	at := int(p.Tail % protoRing)
	k := copy(data[:n], ring[at:])
	copy(data[k:n], ring)
	p.Tail += uint64(n)
	return n
}

func (u *undoWay) dump() string {
	var b strings.Builder
	for proc := range protoProcs {
		for fd, r := range u.index[proc] {
			if r != 0 {
				fmt.Fprintf(&b, "%d %d %d\n", proc, fd, u.descs.Get(r).Pipe)
			}
		}
	}
	u.pipes.Each(func(r Ref[pPipe], p *pPipe) bool {
		fmt.Fprintf(&b, "pipe %d refs %d:", r, p.Refs)
		for i := p.Tail; i < p.Head; i++ {
			fmt.Fprintf(&b, "%x", u.h.Bytes(p.Ring)[i%protoRing])
		}
		b.WriteByte('\n')
		return true
	})
	return b.String()
}

// Way 2: a deterministic core on the Go heap; every input is journaled before it
// takes effect; snapshots bound the replay.

type jPipe struct {
	ring       [protoRing]byte
	head, tail uint64
	refs       uint32
}

type journalWay struct {
	mem   []byte // header, two snapshots, journal
	pipes []*jPipe
	procs [protoProcs][]int32 // pipe number + 1
}

const (
	jSnap    = 4096
	jSnapMax = 2 << 20
	jLog     = jSnap + 2*jSnapMax
	jLogMax  = 8 << 20
)

func (j *journalWay) word(i int) *uint64 { return at[uint64](j.mem, uint64(i)*64) }

func (j *journalWay) fill() {
	for range protoPipes {
		j.pipes = append(j.pipes, &jPipe{})
	}
	for proc := range protoProcs {
		for fd := range protoFiles {
			n := (proc*protoFiles + fd) % protoPipes
			j.procs[proc] = append(j.procs[proc], int32(n+1))
			j.pipes[n].refs++
		}
	}
	j.snapshot()
}

// snapshot writes the whole state to the half that is not in use, and then
// switches to it and empties the journal with one store: word 0 is
// (length << 1 | half); word 1 is the journal's length with the generation of
// the snapshot above it.
func (j *journalWay) snapshot() {
	half := *j.word(0)&1 ^ 1
	b := j.mem[jSnap+half*jSnapMax:][:0:jSnapMax]
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(j.pipes)))
	for _, p := range j.pipes {
		b = le.AppendUint64(b, p.head)
		b = le.AppendUint64(b, p.tail)
		b = le.AppendUint32(b, p.refs)
		for i := p.tail; i < p.head; {
			at := i % protoRing
			k := min(p.head-i, protoRing-at)
			b = append(b, p.ring[at:at+k]...)
			i += k
		}
	}
	for _, l := range &j.procs {
		b = le.AppendUint32(b, uint32(len(l)))
		for _, d := range l {
			b = le.AppendUint32(b, uint32(d))
		}
	}
	gen := *j.word(0)>>32 + 1
	atomic.StoreUint64(j.word(0), gen<<32|uint64(len(b))<<1|half)
}

func openJournal(mem []byte) *journalWay {
	j := &journalWay{mem: mem}
	le := binary.LittleEndian
	w := *j.word(0)
	if w == 0 {
		return j
	}
	b := mem[jSnap+w&1*jSnapMax:]
	u32 := func() uint32 { v := le.Uint32(b); b = b[4:]; return v }
	u64 := func() uint64 { v := le.Uint64(b); b = b[8:]; return v }
	for range u32() {
		p := &jPipe{head: u64(), tail: u64()}
		p.refs = u32()
		for i := p.tail; i < p.head; {
			at := i % protoRing
			k := copy(p.ring[at:at+min(p.head-i, protoRing-at)], b)
			b = b[k:]
			i += uint64(k)
		}
		j.pipes = append(j.pipes, p)
	}
	for proc := range j.procs {
		j.procs[proc] = make([]int32, u32())
		for i := range j.procs[proc] {
			j.procs[proc][i] = int32(u32())
		}
	}
	if l := *j.word(1); l>>32 == w>>32 { // the journal belongs to this snapshot
		log := mem[jLog : jLog+l&0xffffffff]
		var buf [4096]byte
		for len(log) > 0 {
			op, proc, fd, n := log[0], int(le.Uint16(log[2:])), int(le.Uint16(log[4:])), int(le.Uint16(log[6:]))
			log = log[8:]
			switch op {
			case 1:
				j.doDup(proc, fd)
			case 2:
				j.doClose(proc, fd)
			case 3:
				j.doWrite(proc, fd, log[:n])
				log = log[(n+7)&^7:]
			case 4:
				j.doRead(proc, fd, buf[:n])
			}
		}
	}
	return j
}

// input journals one input: an 8-byte store makes it count.
func (j *journalWay) input(op byte, proc, fd, n int, data []byte) {
	gen := *j.word(0) >> 32
	l := uint64(0)
	if w := *j.word(1); w>>32 == gen {
		l = w & 0xffffffff
	}
	need := uint64(8 + (len(data)+7)&^7)
	if l+need > jLogMax {
		j.snapshot()
		gen, l = gen+1, 0
	}
	b := j.mem[jLog+l:]
	b[0] = op
	binary.LittleEndian.PutUint16(b[2:], uint16(proc))
	binary.LittleEndian.PutUint16(b[4:], uint16(fd))
	binary.LittleEndian.PutUint16(b[6:], uint16(n))
	copy(b[8:], data)
	atomic.StoreUint64(j.word(1), gen<<32|(l+need))
}

func (j *journalWay) doDup(proc, fd int) int {
	d := j.procs[proc][fd]
	n := slices.Index(j.procs[proc], 0)
	if n < 0 {
		n = len(j.procs[proc])
		j.procs[proc] = append(j.procs[proc], 0)
	}
	j.procs[proc][n] = d
	j.pipes[d-1].refs++
	return n
}

func (j *journalWay) doClose(proc, fd int) {
	j.pipes[j.procs[proc][fd]-1].refs--
	j.procs[proc][fd] = 0
}

func (j *journalWay) doWrite(proc, fd int, data []byte) int {
	p := j.pipes[j.procs[proc][fd]-1]
	n := min(len(data), protoRing-int(p.head-p.tail))
	k := copy(p.ring[p.head%protoRing:], data[:n])
	copy(p.ring[:], data[k:n])
	p.head += uint64(n)
	return n
}

func (j *journalWay) doRead(proc, fd int, data []byte) int {
	p := j.pipes[j.procs[proc][fd]-1]
	n := min(len(data), int(p.head-p.tail))
	k := copy(data[:n], p.ring[p.tail%protoRing:])
	copy(data[k:n], p.ring[:])
	p.tail += uint64(n)
	return n
}

func (j *journalWay) dup(proc, fd int) int {
	j.input(1, proc, fd, 0, nil)
	return j.doDup(proc, fd)
}

func (j *journalWay) close(proc, fd int) {
	j.input(2, proc, fd, 0, nil)
	j.doClose(proc, fd)
}

func (j *journalWay) write(proc, fd int, data []byte) int {
	j.input(3, proc, fd, len(data), data)
	return j.doWrite(proc, fd, data)
}

func (j *journalWay) read(proc, fd int, data []byte) int {
	j.input(4, proc, fd, len(data), nil)
	return j.doRead(proc, fd, data)
}

func (j *journalWay) dump() string {
	var b strings.Builder
	for proc := range protoProcs {
		for fd, d := range j.procs[proc] {
			if d != 0 {
				fmt.Fprintf(&b, "%d %d %d\n", proc, fd, d)
			}
		}
	}
	for i, p := range j.pipes {
		fmt.Fprintf(&b, "pipe %d refs %d:", i+1, p.refs)
		for i := p.tail; i < p.head; i++ {
			fmt.Fprintf(&b, "%x", p.ring[i%protoRing])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func newProto(tb testing.TB, way string) (p proto, reopen func() proto) {
	_, mem := mapped(tb, 64<<20)
	if way == "undo" {
		h, err := Format(mem, 1)
		if err != nil {
			tb.Fatal(err)
		}
		u := openUndo(h)
		u.fill()
		return u, func() proto {
			h, err := Open(mem, 1)
			if err != nil {
				tb.Fatal(err)
			}
			return openUndo(h)
		}
	}
	j := openJournal(mem)
	j.fill()
	return j, func() proto { return openJournal(mem) }
}

func TestPrototypesAgree(t *testing.T) {
	a, reopenA := newProto(t, "undo")
	b, reopenB := newProto(t, "journal")
	rnd := rand.New(rand.NewPCG(5, 5))
	var buf [64]byte
	for i := range 20000 {
		proc, fd := rnd.IntN(protoProcs), rnd.IntN(protoFiles)
		var x, y int
		switch rnd.IntN(4) {
		case 0:
			x, y = a.dup(proc, fd), b.dup(proc, fd)
			if x != y {
				t.Fatal(i, x, y)
			}
			a.close(proc, x)
			b.close(proc, y)
		case 1, 2:
			for k := range buf {
				buf[k] = byte(rnd.Uint32())
			}
			x, y = a.write(proc, fd, buf[:]), b.write(proc, fd, buf[:])
		case 3:
			var other [64]byte
			x, y = a.read(proc, fd, buf[:]), b.read(proc, fd, other[:])
			if buf != other && x == 64 {
				t.Fatal(i, "data differ")
			}
		}
		if x != y {
			t.Fatal(i, x, y)
		}
	}
	want := a.dump()
	for i, got := range []string{b.dump(), reopenA().dump(), reopenB().dump()} {
		if got != want {
			t.Fatal("states differ", i)
		}
	}
}

func BenchmarkPrototype(b *testing.B) {
	for _, way := range []string{"undo", "journal"} {
		b.Run(way+"/dup+close", func(b *testing.B) {
			p, _ := newProto(b, way)
			i := 0
			for b.Loop() {
				i = (i + 1) % protoProcs
				p.close(i, p.dup(i, 3))
			}
		})
		b.Run(way+"/write64+read64", func(b *testing.B) {
			p, _ := newProto(b, way)
			var buf [64]byte
			i := 0
			for b.Loop() {
				i = (i + 1) % protoProcs
				p.write(i, 3, buf[:])
				p.read(i, 3, buf[:])
			}
		})
		b.Run(way+"/recover", func(b *testing.B) {
			p, reopen := newProto(b, way)
			rnd := rand.New(rand.NewPCG(5, 5))
			var buf [64]byte
			for range 400000 { // leaves 170,000 inputs in the journal
				proc, fd := rnd.IntN(protoProcs), rnd.IntN(protoFiles)
				p.write(proc, fd, buf[:])
				p.read(proc, fd, buf[:rnd.IntN(64)])
			}
			for b.Loop() {
				reopen()
			}
		})
	}
	b.Run("journal/snapshot", func(b *testing.B) {
		p, _ := newProto(b, "journal")
		for b.Loop() {
			p.(*journalWay).snapshot()
		}
	})
}
