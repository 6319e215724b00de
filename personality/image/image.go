// Package image builds the address space of an ELF program: what the personalities
// whose programs are ELF files share. Headers are checked here, once.
package image

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
	"hythe/store"
)

// ELF constants (System V gABI; include/uapi/linux/elf.h, elf-em.h).
const (
	HeaderSize = 64
	PhdrSize   = 56
	ETExec     = 2
	ETDyn      = 3
	EMX8664    = 62
	PTLoad     = 1
	PTInterp   = 3
	PTNote     = 4
	PTGnuStack = 0x6474e551
	pfX        = 1
	pfW        = 2
	maxPhdrs   = 65536 / PhdrSize
)

// Places of a program. The library's window lies at 0x7eb0_0000_0000 or above,
// and what the host places for the guest grows down from there, so everything
// that the server places is below that. Program, stack and interpreter are where
// the sanitizers' fixed lay-outs expect them (ThreadSanitizer's "mid" and "high"
// program memory).
const (
	StackTop   = 0x7eae_0000_0000
	InterpBase = 0x7ea8_0000_0000
	PIEBase    = 0x5555_5555_4000
	GuestEnd   = 0x7eaf_0000_0000
	UserEnd    = 0x7fff_ffff_f000 // of all addresses
	MaxImage   = 1 << 44          // of a program that can lie anywhere
	maxStack   = 1 << 30
	minAddr    = 0x10000
)

// Protection and flags of the host's mmap (asm-generic/mman*.h), as
// abi.ActMapAnon and its like take them.
const (
	ProtRead     = 1
	ProtWrite    = 2
	ProtExec     = 4
	MapShared    = 1
	MapPrivate   = 2
	MapFixed     = 0x10
	MapAnonymous = 0x20
	MapNoreserve = 0x4000
	MapStack     = 0x20000
	MapFixedNR   = 0x100000 // only where nothing is
)

// Segment is a program header.
type Segment struct {
	Type, Flags                      uint32
	Off, Vaddr, Filesz, Memsz, Align uint64
}

// ELF is what the headers of a program say, checked.
type ELF struct {
	Dyn       bool // it can lie anywhere
	Entry     uint64
	Phoff     uint64
	Phnum     int
	Segs      []Segment
	Interp    string
	ExecStack bool // PT_GNU_STACK asks for an executable stack
	Lo, Hi    uint64
	engine    bool // OpenEngine
}

// OpenELF reads the headers of a program. ENOEXEC when they make no sense.
func OpenELF(c *core.Call, v store.Ref[core.Vnode]) (*ELF, abi.Errno) {
	return ReadELF(func(off int64, n int) ([]byte, abi.Errno) { return c.ReadVnode(v, off, n) })
}

// OpenEngine is OpenELF for the program that runs WebAssembly modules, which is no
// file: Map maps it whatever vnode it is given. ENOEXEC when the machine has none.
func OpenEngine(c *core.Call) (*ELF, abi.Errno) {
	f, e := ReadELF(c.K.ReadEngine)
	if e == 0 {
		f.engine = true
	}
	return f, e
}

// object is the memory object of file v; ENODEV when its server cannot map.
func (f *ELF) object(c *core.Call, v store.Ref[core.Vnode]) (core.ObjectName, abi.Errno) {
	if f.engine {
		o, _ := c.K.Engine()
		return o, 0
	}
	return c.MapVnode(v, fs.MapToShow)
}

// ReadELF is OpenELF over any file; read answers what there is, up to n bytes.
func ReadELF(read func(off int64, n int) ([]byte, abi.Errno)) (*ELF, abi.Errno) {
	head, e := read(0, 4096)
	if e != 0 {
		return nil, e
	}
	le := binary.LittleEndian
	if len(head) < HeaderSize || string(head[:4]) != "\x7fELF" || head[4] != 2 || le.Uint16(head[18:]) != EMX8664 {
		return nil, abi.ENOEXEC
	}
	f := &ELF{Entry: le.Uint64(head[24:]), Phoff: le.Uint64(head[32:]), Lo: ^uint64(0)}
	switch le.Uint16(head[16:]) {
	case ETExec:
	case ETDyn:
		f.Dyn = true
	default:
		return nil, abi.ENOEXEC
	}
	n := int(le.Uint16(head[56:]))
	if le.Uint16(head[54:]) != PhdrSize || n < 1 || n > maxPhdrs || f.Phoff > 1<<62 {
		return nil, abi.ENOEXEC
	}
	f.Phnum = n
	tab := head
	if f.Phoff+uint64(n*PhdrSize) > uint64(len(head)) {
		if tab, e = read(int64(f.Phoff), n*PhdrSize); e != 0 {
			return nil, e
		}
		if len(tab) < n*PhdrSize {
			return nil, abi.ENOEXEC
		}
	} else {
		tab = tab[f.Phoff:]
	}
	for i := range n {
		b := tab[i*PhdrSize:]
		s := Segment{le.Uint32(b), le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])}
		switch s.Type {
		case PTLoad:
			end := s.Vaddr + s.Memsz
			if s.Filesz > s.Memsz || end < s.Vaddr || end > GuestEnd || s.Off&4095 != s.Vaddr&4095 || s.Off > 1<<62 {
				return nil, abi.ENOEXEC
			}
			if s.Memsz == 0 {
				continue
			}
			f.Lo = min(f.Lo, s.Vaddr&^4095)
			f.Hi = max(f.Hi, (end+4095)&^4095)
		case PTInterp:
			if s.Filesz < 2 || s.Filesz > 4096 || s.Off > 1<<62 {
				return nil, abi.ENOEXEC
			}
			b, e := read(int64(s.Off), int(s.Filesz))
			if e != 0 {
				return nil, e
			}
			if uint64(len(b)) < s.Filesz || b[s.Filesz-1] != 0 {
				return nil, abi.ENOEXEC
			}
			f.Interp = string(b[:bytes.IndexByte(b, 0)])
		case PTGnuStack:
			f.ExecStack = s.Flags&pfX != 0
		}
		f.Segs = append(f.Segs, s)
	}
	if f.Hi == 0 || !f.Dyn && f.Lo < minAddr || f.Dyn && f.Hi-f.Lo > MaxImage {
		return nil, abi.ENOEXEC
	}
	return f, 0
}

// Rand is a small generator whose seed is in the thread's record, so that a
// repetition after a crash chooses the same addresses.
type Rand uint64

// Next is the next number.
func (r *Rand) Next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Pages is a random multiple of the page size below n.
func (r *Rand) Pages(n uint64) uint64 { return r.Next() % (n / 4096) * 4096 }

// StackSize is how much the first thread's stack has, in bytes.
func StackSize(pr *core.Proc) uint64 {
	size := min(max(pr.Rlimits[core.RlimitStack].Cur, 256<<10), maxStack)
	if size == maxStack {
		size = 64 << 20 // no limit: as much as programs may expect
	}
	return (size + 4095) &^ 4095
}

func segProt(flags uint32) uint64 {
	var p uint64
	if flags&4 != 0 {
		p |= ProtRead
	}
	if flags&pfW != 0 {
		p |= ProtWrite
	}
	if flags&pfX != 0 {
		p |= ProtExec
	}
	return p
}

// Map maps the loadable segments of file v, privately. patch is abi.ActPatch where
// call sites may be patched (docs/patching.md), else 0.
func (f *ELF) Map(c *core.Call, v store.Ref[core.Vnode], bias uint64, patch uint32) abi.Errno {
	k := c.K
	obj, e := f.object(c, v)
	tag := uint64(0)
	if e == 0 {
		tag = k.NextGrant()
		k.Host.Grant(c.Task, obj, true, tag)
	} else if e != abi.ENODEV {
		return e
	}
	for _, s := range f.Segs {
		if s.Type != PTLoad || s.Memsz == 0 {
			continue
		}
		start := (s.Vaddr + bias) &^ 4095
		fileEnd := s.Vaddr + bias + s.Filesz
		memEnd := (s.Vaddr + bias + s.Memsz + 4095) &^ 4095
		mapEnd := (fileEnd + 4095) &^ 4095
		if s.Filesz == 0 {
			mapEnd = start
		}
		prot := segProt(s.Flags)
		if mapEnd > start {
			off := s.Off &^ 4095
			if tag != 0 {
				c.Act(abi.ActMapObject, uint32(tag)<<8|patch, start, mapEnd-start, prot, MapPrivate|MapFixed, off)
				if s.Memsz > s.Filesz && prot&ProtWrite != 0 && mapEnd > fileEnd {
					c.Act(abi.ActZero, 0, fileEnd, mapEnd-fileEnd)
				}
			} else if e := loadBytes(c, v, start, mapEnd-start, int64(off), fileEnd-start, prot); e != 0 {
				return e
			}
		}
		if memEnd > mapEnd {
			c.Act(abi.ActMapAnon, 0, mapEnd, memEnd-mapEnd, prot, MapPrivate|MapFixed)
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
	c.Act(abi.ActMapAnon, 0, addr, size, ProtRead|ProtWrite, MapPrivate|MapFixed)
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

// Stack builds the start-up stack from its top down.
type Stack struct {
	SP   uint64 // where the last thing that was put on it is
	Prot uint64 // of its memory
	rev  [][]byte

	low, high                  uint64 // its memory
	argStart, envStart, envEnd uint64 // the strings
}

// NewStack begins at top.
func NewStack(top uint64) *Stack { return &Stack{SP: top} }

// Bytes puts bytes on the stack and answers where they are.
func (s *Stack) Bytes(b []byte) uint64 {
	s.SP -= uint64(len(b))
	s.rev = append(s.rev, b)
	return s.SP
}

// Str puts a string with its NUL.
func (s *Stack) Str(v string) uint64 { return s.Bytes(append([]byte(v), 0)) }

// Align makes the stack pointer a multiple of 16.
func (s *Stack) Align() {
	if n := s.SP & 15; n != 0 {
		s.Bytes(make([]byte, n))
	}
}

// Words puts 64-bit words.
func (s *Stack) Words(w []uint64) uint64 {
	b := make([]byte, 0, 8*len(w))
	for _, x := range w {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return s.Bytes(b)
}

// Data is everything from the stack pointer up.
func (s *Stack) Data() []byte {
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

// Args answers the argument and environment strings of an exec call whose arrays are
// its arguments argvArg and envpArg (negative: there is none). EFAULT, E2BIG. A program gets at least one, empty, argument.
func Args(c *core.Call, argvArg, envpArg int) (argv, envp []string, e abi.Errno) {
	lim := execLimit(c)
	argv, e1, ok1 := c.StrsArg(argvArg, lim)
	envpAt, e2, ok2 := uint64(0), abi.Errno(0), true
	if envpArg >= 0 {
		envpAt = c.Args[envpArg]
		envp, e2, ok2 = c.StrsArg(envpArg, lim)
	}
	if !ok1 || !ok2 {
		return fetchArgs(c, c.Args[argvArg], envpAt, lim)
	}
	if e = cmp.Or(e1, e2); e != 0 {
		return nil, nil, e
	}
	if len(argv) == 0 {
		argv = []string{""}
	}
	return argv, envp, 0
}

// fetchArgs is Args of arrays that the library has not sent along.
func fetchArgs(c *core.Call, argvAt, envpAt, lim uint64) (argv, envp []string, e abi.Errno) {
	av, e := pointers(c, argvAt, lim)
	if e != 0 {
		return nil, nil, e
	}
	ev, e := pointers(c, envpAt, lim)
	if e != 0 {
		return nil, nil, e
	}
	if argv, e = c.CopyInStrs(av, lim); e != 0 {
		return nil, nil, e
	}
	if envp, e = c.CopyInStrs(ev, lim); e != 0 {
		return nil, nil, e
	}
	if len(argv) == 0 {
		argv = []string{""}
	}
	return argv, envp, 0
}

// PhdrAt answers where the program finds its headers, 0 if they are not mapped.
func (f *ELF) PhdrAt(bias uint64) uint64 {
	for _, s := range f.Segs {
		if s.Type == PTLoad && f.Phoff >= s.Off && f.Phoff < s.Off+s.Filesz {
			return f.Phoff - s.Off + s.Vaddr + bias
		}
	}
	return 0
}

// Seed answers the generator of the caller's start, the same one when it is repeated.
func Seed(c *core.Call) Rand {
	if c.Thread().Aux == 0 {
		var seed [8]byte
		c.K.Random(seed[:])
		c.MutThread().Aux = binary.LittleEndian.Uint64(seed[:]) | 1
	}
	return Rand(c.Thread().Aux)
}

// IsELF says whether head, the first bytes of a file, is the header of a program for
// this processor.
func IsELF(head []byte) bool {
	if len(head) < HeaderSize || string(head[:4]) != "\x7fELF" || head[4] != 2 || head[5] != 1 {
		return false
	}
	t := binary.LittleEndian.Uint16(head[16:])
	return binary.LittleEndian.Uint16(head[18:]) == EMX8664 && (t == ETExec || t == ETDyn)
}

// HasSegment says whether the first bytes of an ELF file have a program header of a type.
func HasSegment(head []byte, typ uint32) bool {
	le := binary.LittleEndian
	if len(head) < HeaderSize {
		return false
	}
	off, n := le.Uint64(head[32:]), int(le.Uint16(head[56:]))
	for i := range n {
		at := off + uint64(i)*PhdrSize
		if at < off || at+PhdrSize < at || at+PhdrSize > uint64(len(head)) {
			return false
		}
		if le.Uint32(head[at:]) == typ {
			return true
		}
	}
	return false
}

// Note looks in the first bytes of an ELF file for the note with this name and type and
// answers its first word: by it the programs of some systems are known.
func Note(head []byte, name string, typ uint32) (uint32, bool) {
	le := binary.LittleEndian
	if len(head) < HeaderSize {
		return 0, false
	}
	off, n := le.Uint64(head[32:]), int(le.Uint16(head[56:]))
	for i := range n {
		at := off + uint64(i)*PhdrSize
		if at < off || at+PhdrSize > uint64(len(head)) {
			return 0, false
		}
		ph := head[at:]
		from, size := le.Uint64(ph[8:]), le.Uint64(ph[32:])
		if le.Uint32(ph) != PTNote || from > uint64(len(head)) || size > uint64(len(head))-from {
			continue
		}
		for b := head[from : from+size]; len(b) >= 12; {
			ns, ds := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
			text, data := 12+(ns+3)&^3, 12+(ns+3)&^3+(ds+3)&^3
			if data > uint64(len(b)) || ns > data || ds > data {
				break
			}
			if le.Uint32(b[8:]) == typ && string(b[12:12+ns]) == name+"\x00" && ds >= 4 {
				return le.Uint32(b[text:]), true
			}
			b = b[data:]
		}
	}
	return 0, false
}
