package trap

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
	hostlinux "hythe/machine/linux"
)

// A world is one machine with a test server in the place of the nucleus and
// the unix server: it owns the areas, the doorbells and the control channels.
type world struct {
	t    testing.TB
	z    *hostlinux.Zygote
	desc [abi.CallTableSize]abi.CallDesc
}

// A task is the server's side of one guest task.
type task struct {
	w        *world
	control  int // our end
	area     []byte
	areaFD   int
	doorbell int
	pid      int           // on the host, from the credentials of CallHello
	hello    chan struct{} // closed when pid is known, or the task is dead
	dead     chan struct{} // closed when the control channel ends
	handle   func(c *call)
}

// A call is a request in a slot, and how it is answered.
type call struct {
	t    *task
	slot int
	s    *abi.Slot
}

func newWorld(t testing.TB, desc map[int]abi.CallDesc) *world {
	t.Helper()
	return newWorldConfig(t, desc, hostlinux.GuestConfig{Spin: hostlinux.SpinDefault})
}

func newWorldConfig(t testing.TB, desc map[int]abi.CallDesc, cfg hostlinux.GuestConfig) *world {
	t.Helper()
	w := &world{t: t}
	for nr, d := range desc {
		w.desc[nr] = d
	}
	cfg.Tables = [][]byte{hostlinux.TableBytes(&w.desc)}
	z, err := hostlinux.StartZygote(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.z = z
	t.Cleanup(z.Stop)
	if err := z.Wait(); err != nil {
		t.Fatal(err)
	}
	return w
}

// ends are the three descriptors of a task that is not started yet.
type ends struct{ control, area, doorbell int }

func (e ends) close() { unix.Close(e.control); unix.Close(e.area); unix.Close(e.doorbell) }

// newTask makes the server's side and the ends to give away.
func (w *world) newTask(handle func(c *call)) (*task, ends) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		w.t.Fatal(err)
	}
	area, err := unix.MemfdCreate("area", unix.MFD_CLOEXEC)
	if err != nil {
		w.t.Fatal(err)
	}
	size := abi.BindHeaderSize + 16*abi.SlotSize
	if err := unix.Ftruncate(area, int64(size)); err != nil {
		w.t.Fatal(err)
	}
	m, err := unix.Mmap(area, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		w.t.Fatal(err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		w.t.Fatal(err)
	}
	t := &task{w: w, control: pair[0], area: m, areaFD: area, hello: make(chan struct{}), dead: make(chan struct{}), handle: handle}
	t.doorbell, err = unix.Dup(bell)
	if err != nil {
		w.t.Fatal(err)
	}
	h := t.header()
	h.Magic = abi.BindMagic
	h.NumSlots = 16
	atomic.StoreUint32(&h.Armed, 1)
	go t.listen()
	go func() {
		<-t.hello
		t.serve()
	}()
	w.t.Cleanup(func() { unix.Shutdown(t.control, unix.SHUT_RDWR) })
	return t, ends{pair[1], area, bell}
}

// spawn starts a fresh task.
func (w *world) spawn(handle func(c *call)) *task {
	w.t.Helper()
	t, e := w.newTask(handle)
	if err := w.z.Spawn(e.control, e.area, e.doorbell); err != nil {
		w.t.Fatal(err)
	}
	e.close()
	return t
}

func procFile(t testing.TB, pid int, name string) []byte {
	b, err := readProc(pid, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func procPath(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

func readProc(pid int, name string) ([]byte, error) { return os.ReadFile(procPath(pid, name)) }

func readDir(t testing.TB, name string) []os.DirEntry {
	l, err := os.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (t *task) header() *abi.BindHeader { return (*abi.BindHeader)(unsafe.Pointer(&t.area[0])) }

func (t *task) slot(i int) *abi.Slot {
	return (*abi.Slot)(unsafe.Pointer(&t.area[abi.BindHeaderSize+i*abi.SlotSize]))
}

// listen takes CallHello and then waits for the end of the channel.
func (t *task) listen() {
	defer close(t.dead)
	defer func() {
		// Wakes serve, which then finds the task dead.
		var one [8]byte
		one[0] = 1
		unix.Write(t.doorbell, one[:])
	}()
	buf := make([]byte, 256)
	oob := make([]byte, 256)
	first := true
	for {
		n, on, _, _, err := unix.Recvmsg(t.control, buf, oob, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			if first {
				close(t.hello)
			}
			return
		}
		if first && n == abi.CallHeaderSize && binary.LittleEndian.Uint32(buf) == abi.CallHello {
			msgs, _ := unix.ParseSocketControlMessage(oob[:on])
			for _, m := range msgs {
				if c, err := unix.ParseUnixCredentials(&m); err == nil {
					t.pid = int(c.Pid)
				}
			}
			first = false
			close(t.hello)
		}
	}
}

// serve takes requests until the task is dead.
func (t *task) serve() {
	var b [8]byte
	h := t.header()
	for {
		if _, err := unix.Read(t.doorbell, b[:]); err != nil && err != unix.EINTR {
			return
		}
		select {
		case <-t.dead:
			return
		default:
		}
		for i := range h.Pending {
			p := atomic.SwapUint64(&h.Pending[i], 0)
			for j := 0; j < 64; j++ {
				if p&(1<<j) == 0 || i*64+j >= 16 { // forged bits
					continue
				}
				s := t.slot(i*64 + j)
				if st := atomic.LoadUint32(&s.State); st != abi.SlotRequest && st != abi.SlotResumed {
					continue
				}
				s.NAct, s.RFlags, s.Err, s.Result, s.OutLen = 0, 0, 0, 0, 0
				t.handle(&call{t: t, slot: i*64 + j, s: s})
			}
		}
	}
}

// act appends an action to the reply.
func (c *call) act(op, flags uint32, a ...uint64) *abi.Action {
	p := &c.s.Acts[c.s.NAct]
	*p = abi.Action{Op: op, Flags: flags}
	copy(p.A[:], a)
	c.s.NAct++
	return p
}

// out stores bytes in the Out area and answers their offset in the slot.
func (c *call) out(b []byte) uint64 {
	off := abi.SlotOutOff + int(c.s.OutLen)
	copy(c.t.area[abi.BindHeaderSize+c.slot*abi.SlotSize+off:], b)
	c.s.OutLen += uint32((len(b) + 63) &^ 63)
	return uint64(off)
}

// bytes answers n bytes at an offset of the slot.
func (c *call) bytes(off, n int) []byte {
	base := abi.BindHeaderSize + c.slot*abi.SlotSize + off
	return c.t.area[base : base+n]
}

// in answers the bytes of extent i.
func (c *call) in(i int) []byte {
	e := c.s.In[i]
	return c.bytes(int(e.Off), int(e.Len))
}

// regs makes the reply load registers.
func (c *call) regs(r abi.Regs, fs uint64) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	c.act(abi.ActRegs, 0, c.out(b), fs)
}

func (c *call) done(state uint32) {
	c.s.DoneSeq = c.s.Seq
	atomic.StoreUint32(&c.s.State, state)
	if atomic.LoadUint32(&c.s.Waiter) != 0 {
		futexWake(&c.s.State)
	}
}

// reply answers with a value, fail with an error, more asks for more.
func (c *call) reply(v uint64)   { c.s.Result = v; c.done(abi.SlotReply) }
func (c *call) fail(e abi.Errno) { c.s.Err = uint32(e); c.done(abi.SlotReply) }
func (c *call) more()            { c.done(abi.SlotMore) }

func futexWake(p *uint32) {
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p)), 1, 1<<30, 0, 0, 0)
}

// grant sends an object with a tag.
func (t *task) grant(tag uint64, fd int) error { return t.send(abi.EventGrant, tag, fd) }

func (t *task) send(op uint32, tag uint64, fds ...int) error {
	var m [abi.CallHeaderSize]byte
	binary.LittleEndian.PutUint32(m[:], op)
	binary.LittleEndian.PutUint32(m[4:], uint32(len(fds)))
	binary.LittleEndian.PutUint64(m[24+3*8:], tag)
	return unix.Sendmsg(t.control, m[:], unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
}

// waitFor fails the test if the event does not come in time.
func waitFor[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing came", what)
	}
	return v
}

// Where the flat test programs are put.
const (
	codeBase  = 0x10000000
	dataBase  = 0x20000000
	dataSize  = 1 << 20
	stackTop  = 0x30000000
	stackSize = 1 << 20
)

// program answers KindStart with a flat image at codeBase, data at dataBase
// (readable, writable) and a stack.
func (c *call) program(code []byte) {
	n := (len(code) + 4095) &^ 4095
	c.act(abi.ActMapAnon, 0, codeBase, uint64(n), 7, unix.MAP_PRIVATE|unix.MAP_FIXED)
	c.act(abi.ActCopyOut, 0, codeBase, c.out(code), uint64(len(code)))
	c.act(abi.ActMapAnon, 0, dataBase, dataSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
	c.act(abi.ActMapAnon, 0, stackTop-stackSize, stackSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
	c.regs(abi.Regs{IP: codeBase, SP: stackTop - 64, Flags: 0x202}, 0)
	c.s.RFlags = abi.ReplyKeepRegs
	c.done(abi.SlotReply)
}

// Numbers of the test server's own calls.
const (
	nrReport = 900 // report(a, b, c, d, e): the test sees the arguments
	nrDone   = 901 // ends the task
)

// A report is one nrReport call.
type report struct {
	t    *task
	slot int
	args [5]uint64
	regs abi.Regs
}

// A harness is the usual test server: it starts code, collects reports, and
// gives everything else to extra, or to the test as an error.
type harness struct {
	w       *world
	code    []byte
	reports chan report
	extra   func(c *call) bool
}

func newHarness(t testing.TB, desc map[int]abi.CallDesc, src string) *harness {
	t.Helper()
	return &harness{w: newWorld(t, desc), code: assemble(t, src), reports: make(chan report, 1000)}
}

func (h *harness) handle(c *call) {
	switch {
	case c.s.Kind == abi.KindStart:
		c.program(h.code)
	case c.s.Kind == abi.KindTrap && c.s.Nr == nrReport:
		h.reports <- report{c.t, c.slot, [5]uint64(c.s.Args[:5]), c.s.Regs}
		c.reply(0)
	case c.s.Kind == abi.KindTrap && c.s.Nr == nrDone:
		c.act(abi.ActExitTask, 0)
		c.reply(0)
	case h.extra != nil && h.extra(c):
	default:
		h.w.t.Errorf("unexpected: kind %d nr %#x args %#x ip %#x sp %#x", c.s.Kind, c.s.Nr, c.s.Args, c.s.Regs.IP, c.s.Regs.SP)
		c.act(abi.ActExitTask, 0)
		c.reply(0)
	}
}

func (h *harness) run() *task { h.w.t.Helper(); return h.w.spawn(h.handle) }

// expect takes the next report and compares its first arguments.
func (h *harness) expect(what string, want ...uint64) report {
	h.w.t.Helper()
	r := waitFor(h.w.t, what, h.reports)
	for i, v := range want {
		if r.args[i] != v {
			h.w.t.Errorf("%s: argument %d is %#x, want %#x", what, i, r.args[i], v)
		}
	}
	return r
}

func (h *harness) end(t *task) {
	h.w.t.Helper()
	waitFor(h.w.t, "death of the task", t.dead)
}

// err is a negative errno as a register holds it.
func err(e abi.Errno) uint64 { return -uint64(e) }

// asmHead are macros for the test programs.
const asmHead = `
	.macro report a
	mov \a, %rdi
	mov $900, %eax
	syscall
	.endm
	.macro done
	mov $901, %eax
	syscall
	ud2
	.endm
	.macro sys nr
	mov $\nr, %eax
	syscall
	.endm
`
