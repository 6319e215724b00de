package linux

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/emul"
)

// The boot image is a memfd that is both the program that a machine's pid 1
// executes (its first page) and the first contents of the blocks that are
// mapped from it.
const (
	stubBase   = 0x200000
	stubEntry  = 0x100
	stubParams = 0x800

	imgTask   = 1 * abi.PageSize // first page of the task block
	imgThread = 2 * abi.PageSize // control block of thread block 0
	imgConfig = 3 * abi.PageSize // filters, one page each
	imgTables = 5 * abi.PageSize
)

// Descriptors of pid 1 when it starts.
const (
	bootExeFD = 4
	bootImgFD = 5
)

func bootStubPC() uintptr

// pointer makes a pointer of the address of code.
// (Inlined, it makes the compiler of Go 1.26 fail.)
//
//go:noinline
func pointer(a uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&a)) }

// memory answers the n bytes at p.
func memory(p unsafe.Pointer, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

// TableBytes makes the form in which GuestConfig takes a call table.
func TableBytes(t *[abi.CallTableSize]abi.CallDesc) []byte {
	return bytes.Clone(memory(unsafe.Pointer(t), unsafe.Sizeof(*t)))
}

// imageSegment is a loadable segment of the running binary.
type imageSegment struct {
	vaddr, filesz, memsz, off uint64
	prot                      uint64
}

// readImage reads the program headers of an ELF executable (System V ABI,
// AMD64 supplement). The segments must fit in the window's image part.
func readImage(r io.ReaderAt) ([]imageSegment, error) {
	var h [64]byte
	if _, err := r.ReadAt(h[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint16(h[16:]) == 3 { // ET_DYN
		return nil, errors.New("the running binary is position-independent (-buildmode=pie): guests need it at its link address")
	}
	if string(h[:6]) != "\x7fELF\x02\x01" || le.Uint16(h[54:]) != 56 {
		return nil, errors.New("the running binary is no 64-bit ELF file")
	}
	ph := make([]byte, 56*int(le.Uint16(h[56:])))
	if _, err := r.ReadAt(ph, int64(le.Uint64(h[32:]))); err != nil {
		return nil, err
	}
	var segs []imageSegment
	for ; len(ph) > 0; ph = ph[56:] {
		if le.Uint32(ph) != 1 { // PT_LOAD
			continue
		}
		f := le.Uint32(ph[4:])
		s := imageSegment{off: le.Uint64(ph[8:]), vaddr: le.Uint64(ph[16:]), filesz: le.Uint64(ph[32:]), memsz: le.Uint64(ph[40:])}
		if f&4 != 0 {
			s.prot |= unix.PROT_READ
		}
		if f&2 != 0 {
			s.prot |= unix.PROT_WRITE
		}
		if f&1 != 0 {
			s.prot |= unix.PROT_EXEC
		}
		if s.vaddr+s.memsz > emul.ThreadsOff || s.vaddr%abi.PageSize != s.off%abi.PageSize {
			return nil, fmt.Errorf("segment at %#x of the running binary does not fit the guests' window", s.vaddr)
		}
		segs = append(segs, s)
	}
	return segs, nil
}

// entries are the addresses of the library's code in the running binary. They
// are found once: nothing of them depends on the machine.
var entries = sync.OnceValues(func() (emul.Entry, error) {
	var e emul.Entry
	emul.Entries(&e)
	e.HandleGo = reflect.ValueOf(emul.Handle).Pointer()
	e.ThreadGo = reflect.ValueOf(emul.ThreadStart).Pointer()
	e.BootGo = reflect.ValueOf(emul.Boot).Pointer()
	e.SiteGo = reflect.ValueOf(emul.SiteCall).Pointer()
	// The SYSCALL of waitCall and what follows its RET.
	code := memory(pointer(e.Wait), 64)
	i := bytes.Index(code, []byte{0x0f, 0x05, 0xc3})
	if i < 0 || !bytes.HasPrefix(memory(pointer(e.Copy), 2), []byte{0xf3, 0xa4}) ||
		!bytes.HasPrefix(memory(pointer(e.Zero), 2), []byte{0xf3, 0xaa}) {
		return e, errors.New("the emulation library is not built as expected")
	}
	e.WaitSys = e.Wait + uintptr(i)
	e.WaitAbort = e.WaitSys + 3
	// The jump back to the guest, the INT3 of a promotion, and the last stub.
	out := bytes.Index(memory(pointer(e.SiteExit), 1024), []byte{0xff, 0xe1, 0x0f, 0x0b})
	raise := bytes.Index(memory(pointer(e.SitePromote), 512), []byte{0xcc, 0x0f, 0x0b})
	stub := memory(pointer(e.SiteStubs+(emul.MaxSites-1)*emul.StubBytes), emul.StubBytes)
	store := memory(pointer(e.StoreStubs+(emul.MaxSites-1)*emul.StoreBytes), emul.StoreBytes)
	if !bytes.HasPrefix(store, []byte{0xb9, 0xff, 0x03, 0, 0, 0xe9}) || out < 0 || raise < 0 || !bytes.HasPrefix(stub, []byte{0x41, 0xbb, 0xff, 0x03, 0, 0, 0xe9}) {
		return e, errors.New("the emulation library's call sites are not built as expected")
	}
	quick := bytes.Index(memory(pointer(e.SiteQuick), 256), []byte{0xff, 0xe1, 0x0f, 0x0b})
	if quick < 0 {
		return e, errors.New("the emulation library's quick answers are not built as expected")
	}
	e.QuickOver = e.SiteQuick + uintptr(quick) + 2
	e.SiteOver = e.SiteExit + uintptr(out) + 2
	e.SiteRaise = e.SitePromote + uintptr(raise)
	return e, nil
})

// relocate adds the distance to the window to every address.
func relocate(e emul.Entry, delta uintptr) emul.Entry {
	p := unsafe.Slice((*uintptr)(unsafe.Pointer(&e)), unsafe.Sizeof(e)/unsafe.Sizeof(uintptr(0)))
	for i := range p {
		p[i] += delta
	}
	return e
}

// randomWindow picks a window: 0x7eNN_0000_0000 with NN from 0xb0 to 0xef.
// Everything that the host places by itself at the start of a program is above
// it: within 1 TiB (mmap_rnd_bits) and the stack's 16 GiB of the end of user
// addresses, which is 0x7efb or more. And below it there is room enough above
// 0x7e80_0000_0000, where ThreadSanitizer (and with it Go's race detector)
// expects libraries and stacks (kHiAppMemBeg of its tsan_platform.h); for
// AddressSanitizer and MemorySanitizer all of 0x70... up is the program's.
func randomWindow() uintptr {
	var b [1]byte
	rand.Read(b[:])
	return 0x7eb0_0000_0000 + uintptr(b[0]&0x3f)<<32
}

// bootImage makes the boot image for one machine, ready to be executed.
func bootImage(cfg *GuestConfig, segs []imageSegment, w uintptr) (fd int, err error) {
	if len(cfg.Tables) > emul.MaxTables || len(cfg.Conv) > len(cfg.Tables) {
		return -1, fmt.Errorf("%d call tables, %d conventions: at most %d and no more conventions than tables", len(cfg.Tables), len(cfg.Conv), emul.MaxTables)
	}
	for i, t := range cfg.Tables {
		if len(t) != emul.TableSize {
			return -1, fmt.Errorf("call table %d has %d bytes, not %d", i, len(t), emul.TableSize)
		}
	}
	e, err := entries()
	if err != nil {
		return -1, err
	}
	e = relocate(e, w)
	img := make([]byte, imgTables+emul.TableSize*len(cfg.Tables))

	guest := assembleFilter(GuestCalls, uint32(w>>32), retTrap)
	reaper := assembleFilter(ReaperCalls, uint32(w>>32), retKill)
	if len(guest) > abi.PageSize || len(reaper) > abi.PageSize {
		return -1, errors.New("a host filter is longer than a page")
	}
	copy(img[imgConfig:], guest)
	copy(img[imgConfig+abi.PageSize:], reaper)
	for i, t := range cfg.Tables {
		copy(img[imgTables+emul.TableSize*i:], t)
	}

	var task emul.Task
	copy(task.Conv[:], cfg.Conv)
	task.One = 1
	task.Spin = cfg.Spin
	if runtime.NumCPU() == 1 {
		task.Spin = 0 // whoever could answer waits for this processor
	}
	task.Processes = cfg.Processes
	if !cfg.NoPatch {
		task.Patch = 1
	}
	task.NTables = uint32(len(cfg.Tables))
	task.GuestProg = [2]uint64{uint64(guest.len()), uint64(w + emul.ConfigOff)}
	task.ReapProg = [2]uint64{uint64(reaper.len()), uint64(w + emul.ConfigOff + abi.PageSize)}
	copy(img[imgTask:imgTask+abi.PageSize], memory(unsafe.Pointer(&task), unsafe.Sizeof(task)))

	var th emul.Thread
	base := w + emul.ThreadsOff
	th.G = [16]uintptr{base + emul.StackOff, base + emul.ThreadSize, base + emul.StackGuard, base + emul.StackGuard}
	th.PC = e
	th.Window = w
	th.Neg = -uint64(base)
	th.Self = base
	copy(img[imgThread:imgThread+abi.PageSize], memory(unsafe.Pointer(&th), unsafe.Sizeof(th)))

	maps := bootMaps(segs, uint64(w), uint64(emul.TableSize*len(cfg.Tables)))
	writeStub(img, maps, uint64(e.Boot), uint64(base+emul.ThreadSize))

	fd, err = unix.MemfdCreate("hythe-guest", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // Linux before 6.3: always executable
		fd, err = unix.MemfdCreate("hythe-guest", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create: %w", err)
	}
	if _, err = unix.Write(fd, img); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("boot image: %w", err)
	}
	return fd, nil
}

// bootMaps lists the arguments of the mmap calls that build the window.
func bootMaps(segs []imageSegment, w, tables uint64) [][6]uint64 {
	const (
		rw    = unix.PROT_READ | unix.PROT_WRITE
		anon  = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED
		first = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED_NOREPLACE
		file  = unix.MAP_PRIVATE | unix.MAP_FIXED
		none  = ^uint64(0)
		page  = abi.PageSize
	)
	up := func(n uint64) uint64 { return (n + page - 1) &^ (page - 1) }
	// The whole window first: a clash with anything of the host's shows here.
	m := [][6]uint64{{w, emul.WindowSize, unix.PROT_NONE, first, none, 0}}
	for _, s := range segs {
		lo := s.vaddr &^ (page - 1)
		if s.prot&unix.PROT_WRITE != 0 {
			// The library has no variables. What compiled code looks at
			// (the write barrier's flag, memmove's choice) is zero at start,
			// so read-only zeroes serve for all of data and bss.
			m = append(m, [6]uint64{w + lo, up(s.vaddr+s.memsz) - lo, unix.PROT_READ, anon, none, 0})
			continue
		}
		m = append(m, [6]uint64{w + lo, up(s.vaddr+s.filesz) - lo, s.prot, file, bootExeFD, s.off &^ (page - 1)})
	}
	m = append(m,
		[6]uint64{w + emul.ThreadsOff, emul.ThreadSize * abi.MaxSlots, rw, anon, none, 0},
		[6]uint64{w + emul.ThreadsOff, page, rw, file, bootImgFD, imgThread},
		[6]uint64{w + emul.TaskOff, emul.TaskSize, rw, anon, none, 0},
		[6]uint64{w + emul.TaskOff, page, rw, file, bootImgFD, imgTask},
		[6]uint64{w + emul.SitesOff, emul.SitesSize + emul.NamesSize, rw, anon, none, 0}, // one behind the other
		[6]uint64{w + emul.NearOff, abi.SitesSize, unix.PROT_READ, anon, none, 0},
		[6]uint64{w + emul.ConfigOff, 2 * page, unix.PROT_READ, file, bootImgFD, imgConfig})
	if tables != 0 {
		m = append(m, [6]uint64{w + emul.TablesOff, up(tables), unix.PROT_READ, file, bootImgFD, imgTables})
	}
	return m
}

// writeStub fills the first page: ELF headers, code, list.
func writeStub(img []byte, maps [][6]uint64, entry, stack uint64) {
	le := binary.LittleEndian
	h := img[:abi.PageSize]
	copy(h, "\x7fELF\x02\x01\x01")
	le.PutUint16(h[16:], 2)  // ET_EXEC
	le.PutUint16(h[18:], 62) // EM_X86_64
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[24:], stubBase+stubEntry)
	le.PutUint64(h[32:], 64) // program headers
	le.PutUint16(h[52:], 64)
	le.PutUint16(h[54:], 56)
	le.PutUint16(h[56:], 2)
	p := h[64:]
	le.PutUint32(p, 1)     // PT_LOAD
	le.PutUint32(p[4:], 5) // R X
	le.PutUint64(p[16:], stubBase)
	le.PutUint64(p[24:], stubBase)
	le.PutUint64(p[32:], abi.PageSize)
	le.PutUint64(p[40:], abi.PageSize)
	le.PutUint64(p[48:], abi.PageSize)
	p = p[56:]
	le.PutUint32(p, 0x6474e551) // PT_GNU_STACK
	le.PutUint32(p[4:], 6)      // R W
	copy(h[stubEntry:stubParams], memory(pointer(bootStubPC()), 256))
	q := h[stubParams:]
	le.PutUint64(q, uint64(len(maps)))
	le.PutUint64(q[8:], entry)
	le.PutUint64(q[16:], stack)
	q = q[24:]
	for _, m := range maps {
		for i, v := range m {
			le.PutUint64(q[8*i:], v)
		}
		q = q[48:]
	}
}
