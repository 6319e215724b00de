package linux

import (
	"bytes"
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
	"hythe/store"
)

// ELF constants (include/uapi/linux/elf.h, elf-em.h).
const (
	elfHeaderSize = 64
	elfPhdrSize   = 56
	etExec        = 2
	etDyn         = 3
	emX8664       = 62
	ptLoad        = 1
	ptInterp      = 3
	ptPhdr        = 6
	ptGnuStack    = 0x6474e551
	pfX           = 1
	pfW           = 2
	maxPhdrs      = 65536 / elfPhdrSize
)

// Auxiliary vector types (include/uapi/linux/auxvec.h, asm/auxvec.h).
const (
	atNull        = 0
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPagesz      = 6
	atBase        = 7
	atFlags       = 8
	atEntry       = 9
	atUID         = 11
	atEUID        = 12
	atGID         = 13
	atEGID        = 14
	atPlatform    = 15
	atHwcap       = 16
	atClktck      = 17
	atSecure      = 23
	atRandom      = 25
	atHwcap2      = 26
	atExecfn      = 31
	atSysinfoEhdr = 33
	atMinsigstksz = 51
)

// Places of a program. The library's window lies at 0x7eb0_0000_0000 or above,
// and what the host places for the guest grows down from there, so everything
// that the server places is below that. Program, stack and interpreter are where
// the sanitizers' fixed lay-outs expect them (ThreadSanitizer's "mid" and "high"
// program memory).
const (
	stackTop   = 0x7eae_0000_0000
	interpBase = 0x7ea8_0000_0000
	pieBase    = 0x5555_5555_4000
	guestEnd   = 0x7eaf_0000_0000
	userEnd    = 0x7fff_ffff_f000 // of all addresses
	maxStack   = 1 << 30
	maxImage   = 1 << 44 // of a program that can lie anywhere
	minAddr    = 0x10000
)

// Host mmap constants (asm-generic/mman*.h).
const (
	protRead     = 1
	protWrite    = 2
	protExec     = 4
	mapShared    = 1
	mapPrivate   = 2
	mapSharedVal = 3
	mapFixed     = 0x10
	mapAnonymous = 0x20
	mapGrowsdown = 0x100
	mapNoreserve = 0x4000
	mapFixedNR   = 0x100000
)

type elfSeg struct {
	typ, flags                       uint32
	off, vaddr, filesz, memsz, align uint64
}

type elfFile struct {
	dyn    bool
	entry  uint64
	phoff  uint64
	segs   []elfSeg
	interp string
	execSt bool // PT_GNU_STACK asks for an executable stack
	lo, hi uint64
}

// Probe implements core.Personality: ELF64 for x86-64 with the System V or the
// Linux OS ABI, which is also how other systems' static programs may be
// marked; those with a note of their own are their personalities' (asked first).
func (p *Personality) Probe(head []byte) bool {
	if len(head) < elfHeaderSize || !bytes.Equal(head[:4], []byte("\x7fELF")) {
		return false
	}
	le := binary.LittleEndian
	t := le.Uint16(head[16:])
	return head[4] == 2 && head[5] == 1 && (head[7] == 0 || head[7] == 3) &&
		le.Uint16(head[18:]) == emX8664 && (t == etExec || t == etDyn)
}

// parseELF reads the headers of a program. ENOEXEC when they make no sense.
func parseELF(c *core.Call, v store.Ref[core.Vnode]) (*elfFile, abi.Errno) {
	return readELF(func(off int64, n int) ([]byte, abi.Errno) { return c.ReadVnode(v, off, n) })
}

// readELF is parseELF over any file; read answers what there is, up to n bytes.
func readELF(read func(off int64, n int) ([]byte, abi.Errno)) (*elfFile, abi.Errno) {
	head, e := read(0, 4096)
	if e != 0 {
		return nil, e
	}
	le := binary.LittleEndian
	if len(head) < elfHeaderSize || string(head[:4]) != "\x7fELF" || head[4] != 2 || le.Uint16(head[18:]) != emX8664 {
		return nil, abi.ENOEXEC
	}
	f := &elfFile{entry: le.Uint64(head[24:]), phoff: le.Uint64(head[32:]), lo: ^uint64(0)}
	switch le.Uint16(head[16:]) {
	case etExec:
	case etDyn:
		f.dyn = true
	default:
		return nil, abi.ENOEXEC
	}
	n := int(le.Uint16(head[56:]))
	if le.Uint16(head[54:]) != elfPhdrSize || n < 1 || n > maxPhdrs || f.phoff > 1<<62 {
		return nil, abi.ENOEXEC
	}
	tab := head
	if f.phoff+uint64(n*elfPhdrSize) > uint64(len(head)) {
		if tab, e = read(int64(f.phoff), n*elfPhdrSize); e != 0 {
			return nil, e
		}
		if len(tab) < n*elfPhdrSize {
			return nil, abi.ENOEXEC
		}
	} else {
		tab = tab[f.phoff:]
	}
	for i := range n {
		b := tab[i*elfPhdrSize:]
		s := elfSeg{le.Uint32(b), le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])}
		switch s.typ {
		case ptLoad:
			end := s.vaddr + s.memsz
			if s.filesz > s.memsz || end < s.vaddr || end > guestEnd || s.off&4095 != s.vaddr&4095 || s.off > 1<<62 {
				return nil, abi.ENOEXEC
			}
			if s.memsz == 0 {
				continue
			}
			f.lo = min(f.lo, s.vaddr&^4095)
			f.hi = max(f.hi, (end+4095)&^4095)
		case ptInterp:
			if s.filesz < 2 || s.filesz > 4096 || s.off > 1<<62 {
				return nil, abi.ENOEXEC
			}
			b, e := read(int64(s.off), int(s.filesz))
			if e != 0 {
				return nil, e
			}
			if uint64(len(b)) < s.filesz || b[s.filesz-1] != 0 {
				return nil, abi.ENOEXEC
			}
			f.interp = string(b[:bytes.IndexByte(b, 0)])
		case ptGnuStack:
			f.execSt = s.flags&pfX != 0
		}
		f.segs = append(f.segs, s)
	}
	if f.hi == 0 || !f.dyn && f.lo < minAddr || f.dyn && f.hi-f.lo > maxImage {
		return nil, abi.ENOEXEC
	}
	return f, 0
}

// Prepare implements core.Preparer.
func (p *Personality) Prepare(c *core.Call, v store.Ref[core.Vnode], head []byte) abi.Errno {
	f, e := parseELF(c, v)
	if e != 0 {
		return e
	}
	if f.interp == "" {
		return 0
	}
	iv, _, e := c.OpenExec(core.AtCwd, f.interp, core.WalkFollow)
	if e != 0 {
		return e
	}
	_, e = parseELF(c, iv)
	c.K.DropVnode(iv)
	if e == abi.ENOEXEC {
		e = abi.ELIBBAD
	}
	return e
}

// rng is a small generator whose seed is in the thread's record, so that a
// repetition after a crash chooses the same addresses.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// pages is a random multiple of the page size below n.
func (r *rng) pages(n uint64) uint64 { return r.next() % (n / 4096) * 4096 }

// Start implements core.Personality: it builds the image that exec asked for.
func (p *Personality) Start(c *core.Call) abi.Errno {
	k := c.K
	if c.Thread().Aux == 0 {
		var seed [8]byte
		k.Random(seed[:])
		c.MutThread().Aux = binary.LittleEndian.Uint64(seed[:]) | 1
	}
	r := rng(c.Thread().Aux)
	argv, envp, name := c.ExecArgs()
	if len(argv) == 0 {
		argv = []string{""}
	}
	exe := c.Proc().Exe
	f, e := parseELF(c, exe)
	if e != 0 {
		return e
	}
	bias := uint64(0)
	if f.dyn {
		bias = pieBase + r.pages(1<<40) - f.lo
	}
	patch := uint32(0)
	if f.interp == "" {
		patch = abi.ActPatch // its library is in it
	}
	if e := mapELF(c, exe, f, bias, patch); e != 0 {
		return e
	}
	entry, base := f.entry+bias, uint64(0)
	if f.interp != "" {
		iv, _, e := c.OpenExec(core.AtCwd, f.interp, core.WalkFollow)
		if e != 0 {
			return e
		}
		defer k.DropVnode(iv)
		g, e := parseELF(c, iv)
		if e != 0 {
			return e
		}
		if g.dyn {
			base = interpBase + r.pages(1<<32) - g.lo
		}
		if e := mapELF(c, iv, g, base, abi.ActPatch); e != 0 {
			return e
		}
		entry = g.entry + base
	}

	pr := c.Proc()
	brk := f.hi + bias + r.pages(32<<20)
	size := stackSize(pr)
	top := stackTop - r.pages(1<<32)
	prot := uint64(protRead | protWrite)
	if f.execSt {
		prot |= protExec
	}
	c.Act(abi.ActMapAnon, 0, top-size, size, prot, mapPrivate|mapFixed|mapNoreserve)

	// The strings, from the top down.
	cr := *c.Cred()
	st := newStack(top)
	st.bytes(make([]byte, 8))
	execfn := st.str(name)
	envEnd := st.sp
	envPtr := make([]uint64, len(envp))
	for i := len(envp) - 1; i >= 0; i-- {
		envPtr[i] = st.str(envp[i])
	}
	envStart := st.sp
	argPtr := make([]uint64, len(argv))
	for i := len(argv) - 1; i >= 0; i-- {
		argPtr[i] = st.str(argv[i])
	}
	argStart := st.sp
	platform := st.str("x86_64")
	var rnd [16]byte
	k.Random(rnd[:])
	random := st.bytes(rnd[:])
	st.align()
	phdr := uint64(0)
	for _, s := range f.segs {
		if s.typ == ptLoad && f.phoff >= s.off && f.phoff < s.off+s.filesz {
			phdr = f.phoff - s.off + s.vaddr + bias
			break
		}
	}
	clk := c.Args[4]
	if clk == 0 {
		clk = 100
	}
	secure := uint64(pr.ExecSecure)
	aux := []uint64{}
	if c.Args[0] != 0 {
		aux = append(aux, atSysinfoEhdr, c.Args[0])
	}
	aux = append(aux, atHwcap, c.Args[1], atPagesz, abi.PageSize, atClktck, clk,
		atPhdr, phdr, atPhent, elfPhdrSize, atPhnum, uint64(countPhdrs(c, exe)),
		atBase, base, atFlags, 0, atEntry, f.entry+bias,
		atUID, uint64(c.ShowUID(cr.UID)), atEUID, uint64(c.ShowUID(cr.EUID)), atGID, uint64(c.ShowGID(cr.GID)), atEGID, uint64(c.ShowGID(cr.EGID)),
		atSecure, secure, atRandom, random, atHwcap2, c.Args[2], atExecfn, execfn, atPlatform, platform)
	if c.Args[3] != 0 {
		aux = append(aux, atMinsigstksz, c.Args[3])
	}
	aux = append(aux, atNull, 0)
	words := make([]uint64, 0, 3+len(argv)+len(envp)+len(aux))
	words = append(words, uint64(len(argv)))
	words = append(words, argPtr...)
	words = append(words, 0)
	words = append(words, envPtr...)
	words = append(words, 0)
	auxAt := len(words)
	words = append(words, aux...)
	if len(words)&1 != 0 {
		st.words([]uint64{0}) // keeps the stack pointer 16-byte aligned
	}
	sp := st.words(words)
	c.CopyOut(sp, st.data())

	m := c.MutProc()
	m.ArgStart, m.ArgEnd = argStart, envStart
	m.EnvStart, m.EnvEnd = envStart, envEnd
	m.MapNext = 0
	m.AuxvStart, m.AuxvLen = sp+uint64(auxAt)*8, uint64(len(aux))*8
	m.BrkStart = brk
	m.FPSize = uint32(min(max(c.Args[5], 512), 1<<20))
	m.StackTop = sp
	m.StackProt, m.StackLow, m.StackHigh = uint32(prot), top-size, top
	c.Act(abi.ActTask, 0, abi.TaskBrkStart, brk)
	c.Act(abi.ActTask, 0, abi.TaskBrk, brk)
	c.Act(abi.ActTask, 0, abi.TaskTable, uint64(p.Index()))
	for _, n := range [...]int{core.RlimitAS, core.RlimitData, core.RlimitCPU} {
		if m.Rlimits[n].Cur != core.RlimInfinity {
			p.Limit(c, n)
		}
	}
	c.SetHostITimers()
	c.TaskWords()
	c.Act(abi.ActLoadFP, 0, 0)
	c.Act(abi.ActSetFS, 0, 0)
	regs := abi.Regs{IP: entry, SP: sp, Flags: 0x202}
	c.SetRegs(&regs, false)
	return 0
}

// stackSize is how much the first thread's stack has, in bytes.
func stackSize(pr *core.Proc) uint64 {
	size := min(max(pr.Rlimits[core.RlimitStack].Cur, 256<<10), maxStack)
	if size == maxStack {
		size = 64 << 20 // no limit: as much as programs may expect
	}
	return (size + 4095) &^ 4095
}

func countPhdrs(c *core.Call, v store.Ref[core.Vnode]) int {
	b, e := c.ReadVnode(v, 56, 2)
	if e != 0 || len(b) < 2 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(b))
}

func segProt(flags uint32) uint64 {
	var p uint64
	if flags&4 != 0 {
		p |= protRead
	}
	if flags&pfW != 0 {
		p |= protWrite
	}
	if flags&pfX != 0 {
		p |= protExec
	}
	return p
}

// mapELF maps the loadable segments of a file, privately. patch is abi.ActPatch for an
// interpreter and for a program without one; one that has libraries makes few calls by
// itself, and may look at its own text.
func mapELF(c *core.Call, v store.Ref[core.Vnode], f *elfFile, bias uint64, patch uint32) abi.Errno {
	k := c.K
	obj, e := c.MapVnode(v, fs.MapToShow)
	tag := uint64(0)
	if e == 0 {
		tag = k.NextGrant()
		k.Host.Grant(c.Task, obj, true, tag)
	} else if e != abi.ENODEV {
		return e
	}
	for _, s := range f.segs {
		if s.typ != ptLoad || s.memsz == 0 {
			continue
		}
		start := (s.vaddr + bias) &^ 4095
		fileEnd := s.vaddr + bias + s.filesz
		memEnd := (s.vaddr + bias + s.memsz + 4095) &^ 4095
		mapEnd := (fileEnd + 4095) &^ 4095
		if s.filesz == 0 {
			mapEnd = start
		}
		prot := segProt(s.flags)
		if mapEnd > start {
			off := s.off &^ 4095
			if tag != 0 {
				c.Act(abi.ActMapObject, uint32(tag)<<8|patch, start, mapEnd-start, prot, mapPrivate|mapFixed, off)
				if s.memsz > s.filesz && prot&protWrite != 0 && mapEnd > fileEnd {
					c.Act(abi.ActZero, 0, fileEnd, mapEnd-fileEnd)
				}
			} else if e := loadBytes(c, v, start, mapEnd-start, int64(off), fileEnd-start, prot); e != 0 {
				return e
			}
		}
		if memEnd > mapEnd {
			c.Act(abi.ActMapAnon, 0, mapEnd, memEnd-mapEnd, prot, mapPrivate|mapFixed)
		}
	}
	if tag != 0 {
		c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	}
	return 0
}

// loadBytes is a private mapping of a file whose server cannot map: anonymous
// memory with a copy of the bytes.
func loadBytes(c *core.Call, v store.Ref[core.Vnode], addr, size uint64, off int64, n, prot uint64) abi.Errno {
	c.Act(abi.ActMapAnon, 0, addr, size, protRead|protWrite, mapPrivate|mapFixed)
	for done := uint64(0); done < n; {
		b, e := c.ReadVnode(v, off+int64(done), int(min(n-done, 64<<10)))
		if e != 0 {
			return e
		}
		if len(b) == 0 {
			break
		}
		c.CopyOut(addr+done, b)
		done += uint64(len(b))
	}
	c.Act(abi.ActProtect, 0, addr, size, prot)
	return 0
}

// stack builds the start-up stack from its top down.
type stack struct {
	sp  uint64
	rev [][]byte
}

func newStack(top uint64) *stack { return &stack{sp: top} }

func (s *stack) bytes(b []byte) uint64 {
	s.sp -= uint64(len(b))
	s.rev = append(s.rev, b)
	return s.sp
}

func (s *stack) str(v string) uint64 { return s.bytes(append([]byte(v), 0)) }

func (s *stack) align() {
	if n := s.sp & 15; n != 0 {
		s.bytes(make([]byte, n))
	}
}

func (s *stack) words(w []uint64) uint64 {
	b := make([]byte, 0, 8*len(w))
	for _, x := range w {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return s.bytes(b)
}

// data is everything from the stack pointer up.
func (s *stack) data() []byte {
	var out []byte
	for i := len(s.rev) - 1; i >= 0; i-- {
		out = append(out, s.rev[i]...)
	}
	return out
}

// pointers fetches a NULL-terminated array of addresses. E2BIG above limit bytes.
func pointers(c *core.Call, addr, limit uint64) ([]uint64, abi.Errno) {
	var out []uint64
	if addr == 0 {
		return nil, 0
	}
	for {
		c.InReset()
		// To the end of the page, so that a fault behind the NULL is none.
		n := int(4096-addr&4095) &^ 7
		if n == 0 {
			n = 8
		}
		b, e := c.CopyIn(addr, n)
		if e != 0 {
			return nil, e
		}
		for i := 0; i < n; i += 8 {
			p := binary.LittleEndian.Uint64(b[i:])
			if p == 0 {
				return out, 0
			}
			if out = append(out, p); uint64(len(out))*8 > limit {
				return nil, abi.E2BIG
			}
		}
		addr += uint64(n)
	}
}

func execLimit(c *core.Call) uint64 {
	return max(min(c.Proc().Rlimits[core.RlimitStack].Cur/4, 6<<20), 128<<10)
}

func doExec(c *core.Call, dirfd int32, path string, flags uint32, argvAt, envpAt uint64) (uint64, abi.Errno) {
	lim := execLimit(c)
	av, e := pointers(c, argvAt, lim)
	if e != 0 {
		return 0, e
	}
	ev, e := pointers(c, envpAt, lim)
	if e != 0 {
		return 0, e
	}
	argv, e := c.CopyInStrs(av, lim)
	if e != 0 {
		return 0, e
	}
	envp, e := c.CopyInStrs(ev, lim)
	if e != 0 {
		return 0, e
	}
	if len(argv) == 0 {
		argv = []string{""}
	}
	return 0, c.Exec(dirfd, path, flags, argv, envp)
}

func sysExecve(p *Personality, c *core.Call) (uint64, abi.Errno) {
	path, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	return doExec(c, core.AtCwd, path, core.WalkFollow, c.Args[1], c.Args[2])
}

func sysExecveat(p *Personality, c *core.Call) (uint64, abi.Errno) {
	const atSymlinkNofollow, atEmptyPath = 0x100, 0x1000
	fl := uint32(c.Args[4])
	if fl&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, abi.EINVAL
	}
	path, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	walk := uint32(core.WalkFollow)
	if fl&atSymlinkNofollow != 0 {
		walk = 0
	}
	if fl&atEmptyPath != 0 {
		walk |= core.WalkEmpty
	}
	return doExec(c, int32(c.Args[0]), path, walk, c.Args[2], c.Args[3])
}
