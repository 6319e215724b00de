package plan9

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// The file format (a.out(6)): eight words, most significant byte first, and, since the
// magic number says that the header is extended, the entry in 64 bits.
const (
	magic      = 0x8000 | 4*26*26 + 7 // HDR_MAGIC | _MAGIC of amd64, as 6l writes it
	headerSize = 40
	textAt     = 0x200000
	segAlign   = 0x200000
	maxText    = 1 << 30
	maxData    = 1 << 40
)

// The stack: its top, where the words lie that the kernel keeps for a program (tos.h),
// and its size (USTKSIZE).
const (
	stackTop  = image.StackTop
	stackSize = 16 << 20
	tosSize   = 72
	tosAt     = stackTop - tosSize
	tosPid    = tosAt + 64
	// Below the stack, memory that is private to each process too: for the state of the
	// floating point unit while a handler runs, of which a program's stack knows nothing
	// (a goroutine's has no room for it). The second half is for a handler within another.
	fpSize = 64 << 10
	fpAt   = stackTop - stackSize - fpSize
)

// onStack says whether the arguments of a call may reach the end of the memory behind a
// stack pointer because there the stack ends.
func onStack(sp uint64) bool { return sp >= stackTop-stackSize && sp < stackTop }

// header is what a program's header says, checked.
type header struct {
	text, data, bss, entry uint64
}

// dataAt is where data begin in memory.
func (h *header) dataAt() uint64 {
	return (textAt + headerSize + h.text + segAlign - 1) &^ (segAlign - 1)
}

// readHeader decodes the start of a file; false: it is no program.
func readHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize || be.Uint32(b) != magic {
		return h, false
	}
	h = header{uint64(be.Uint32(b[4:])), uint64(be.Uint32(b[8:])), uint64(be.Uint32(b[12:])), be.Uint64(b[32:])}
	ok = h.text > 0 && h.text <= maxText && h.data <= maxText && h.entry >= textAt+headerSize && h.entry < textAt+headerSize+h.text
	return h, ok
}

// Probe implements core.Personality.
func (p *Personality) Probe(head []byte) bool {
	return len(head) >= headerSize && be.Uint32(head) == magic
}

// Prepare implements core.Preparer.
func (p *Personality) Prepare(c *core.Call, v store.Ref[core.Vnode], head []byte) abi.Errno {
	_, e := open(c, v)
	return e
}

// open reads a program's header; its text and data must be in the file.
func open(c *core.Call, v store.Ref[core.Vnode]) (header, abi.Errno) {
	b, e := c.ReadVnode(v, 0, headerSize)
	if e != 0 {
		return header{}, e
	}
	h, ok := readHeader(b)
	if !ok {
		return h, abi.ENOEXEC
	}
	b, e = c.ReadVnode(v, int64(headerSize+h.text+h.data-1), 1)
	if e == 0 && len(b) == 0 {
		e = abi.ENOEXEC
	}
	return h, e
}

// heapSize is how much memory data, bss and heap of a program may take: what the machine
// has, but for what else there is in an address space. It is reserved, not used.
func heapSize(c *core.Call) uint64 {
	n := c.K.Use().Total
	if l := c.Proc().Rlimits[core.RlimitAS].Cur; l < n {
		n = l
	}
	return min(n/4*3, 64<<30) &^ (abi.PageSize - 1)
}

// Start implements core.Personality: text, the shared region, the stack (exec(2)). A
// program begins with RAX at its Tos, RSP at the number of arguments.
func (p *Personality) Start(c *core.Call) abi.Errno {
	argv, envp, _ := c.ExecArgs()
	exe := c.Proc().Exe
	h, e := open(c, exe)
	if e != 0 {
		return e
	}
	used := (h.data + h.bss + abi.PageSize - 1) &^ (abi.PageSize - 1)
	size := max(heapSize(c), used+segAlign)
	if size > maxData {
		return abi.ENOMEM
	}
	p.takeEnv(c, envp)
	if e := mapText(c, exe, &h); e != 0 {
		return e
	}
	if e := c.NewRegion(h.dataAt(), size, used); e != 0 {
		return e
	}
	if e := fill(c, exe, h.dataAt(), int64(headerSize+h.text), h.data); e != 0 {
		return e
	}
	c.Act(abi.ActMapAnon, 0, fpAt, fpSize+stackSize, image.ProtRead|image.ProtWrite, image.MapPrivate|image.MapFixed|image.MapNoreserve)

	st := image.NewStack(stackTop)
	tos := make([]byte, tosSize)
	le.PutUint64(tos[32:], 1e9) // cyclefreq
	le.PutUint32(tos[64:], uint32(c.Proc().Pid))
	st.Bytes(tos)
	at := make([]uint64, len(argv))
	for i := len(argv) - 1; i >= 0; i-- {
		at[i] = st.Str(argv[i])
	}
	strs := st.SP
	words, _ := image.Vectors(at, nil, nil)
	words = words[:len(words)-1] // no environment
	sp := (strs - 8*uint64(len(words))) &^ 15
	for sp+8*uint64(len(words)) < strs&^7 {
		words = append(words, 0)
	}
	st.Bytes(make([]byte, strs&7))
	st.Words(words)
	if st.SP < stackTop-stackSize/2 {
		return abi.E2BIG
	}
	c.CopyOut(st.SP, st.Data())

	m := c.MutProc()
	m.ArgStart, m.ArgEnd = strs, tosAt
	m.EnvStart, m.EnvEnd = 0, 0
	m.MapNext, m.AuxvStart, m.AuxvLen = 0, 0, 0
	m.BrkStart = h.dataAt() + h.data + h.bss
	m.FPSize = uint32(min(max(c.Args[5], 512), 1<<20))
	m.StackTop = st.SP
	m.StackProt, m.StackLow, m.StackHigh = image.ProtRead|image.ProtWrite, stackTop-stackSize, stackTop
	m.ErrText, m.ExitText = core.Text{}, core.Text{}
	c.MutThread().Frame = 0
	c.Act(abi.ActTask, 0, abi.TaskTable, uint64(Index))
	for _, n := range [...]int{core.RlimitAS, core.RlimitData, core.RlimitCPU} {
		if m.Rlimits[n].Cur != core.RlimInfinity {
			p.Limit(c, n)
		}
	}
	c.SetHostITimers()
	c.TaskWords()
	c.Act(abi.ActLoadFP, 0, 0)
	c.Act(abi.ActSetFS, 0, 0)
	c.SetRegs(&abi.Regs{IP: h.entry, SP: st.SP, AX: tosAt, Flags: 0x202}, false)
	return 0
}

// Limit implements core.Limiter.
func (p *Personality) Limit(c *core.Call, n int) {
	l := c.Proc().Rlimits[n].Cur
	if l == core.RlimInfinity {
		l = 0
	} else if l == 0 {
		l = 1
	}
	switch n {
	case core.RlimitAS:
		c.Act(abi.ActTask, 0, abi.TaskASLimit, l)
	case core.RlimitData:
		c.Act(abi.ActTask, 0, abi.TaskDataLimit, l)
	case core.RlimitCPU:
		c.Act(abi.ActTask, 0, abi.TaskCPULimit, l)
	}
}

// mapText maps a program's text, header included, to be read and executed.
func mapText(c *core.Call, v store.Ref[core.Vnode], h *header) abi.Errno {
	const prot = image.ProtRead | image.ProtExec
	size := (headerSize + h.text + abi.PageSize - 1) &^ (abi.PageSize - 1)
	obj, e := c.MapVnode(v, fs.MapToShow)
	switch e {
	case 0:
		tag := c.K.NextGrant()
		c.K.Host.Grant(c.Task, obj, true, tag)
		c.Act(abi.ActMapObject, uint32(tag)<<8, textAt, size, prot, image.MapPrivate|image.MapFixed, 0)
		c.Act(abi.ActDropGrant, abi.ActIgnore, tag)
	case abi.ENODEV:
		c.Act(abi.ActMapAnon, 0, textAt, size, image.ProtRead|image.ProtWrite, image.MapPrivate|image.MapFixed)
		if e := fill(c, v, textAt, 0, headerSize+h.text); e != 0 {
			return e
		}
		c.Act(abi.ActProtect, 0, textAt, size, prot)
	default:
		return e
	}
	return 0
}

// fill copies n bytes of a file to memory.
func fill(c *core.Call, v store.Ref[core.Vnode], addr uint64, off int64, n uint64) abi.Errno {
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
	return 0
}
