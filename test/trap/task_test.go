package trap

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/emul"
)

// Linux numbers of the calls that the tests let the library serve.
var localCalls = map[int]abi.CallDesc{
	9:   {Local: abi.LocalMmap},
	10:  {Local: abi.LocalMprotect},
	11:  {Local: abi.LocalMunmap},
	12:  {Local: abi.LocalBrk},
	24:  {Local: abi.LocalYield},
	25:  {Local: abi.LocalMremap},
	26:  {Local: abi.LocalMsync},
	27:  {Local: abi.LocalMincore},
	28:  {Local: abi.LocalMadvise},
	39:  {Local: abi.LocalWord, Pre: [3]abi.Pre{{Arg: abi.TaskPid}}},
	149: {Local: abi.LocalMlock},
	158: {Local: abi.LocalArchPrctl},
	186: {Local: abi.LocalTid},
	202: {Local: abi.LocalFutex},
	228: {Local: abi.LocalClock},
	309: {Local: abi.LocalGetcpu},
	324: {Local: abi.LocalMembarrier},
}

// forker answers nr 57 with a fork; children are served by the same harness.
func (h *harness) forker(children chan *task) func(c *call) bool {
	tag := uint64(0)
	return func(c *call) bool {
		switch {
		case c.s.Kind == abi.KindTrap && c.s.Nr == 57:
			tag++
			child, e := h.w.newTask(h.handle)
			if err := c.t.send(abi.EventChannel, tag, e.control, e.area, e.doorbell); err != nil {
				h.w.t.Error(err)
			}
			e.close()
			children <- child
			c.act(abi.ActFork, 0, tag, 1000+tag, 0)
			c.reply(4242)
		case c.s.Kind == abi.KindFork:
			if c.s.Args[0] < 1000 || c.s.Seq != 1 {
				h.w.t.Errorf("KindFork: token %d, seq %d", c.s.Args[0], c.s.Seq)
			}
			c.reply(0)
		default:
			return false
		}
		return true
	}
}

// TestFork forks twice deep: results, private memory, vectors, own channels.
func TestFork(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $0x1357, %eax
	movd %eax, %xmm9
	movl $1, 0x20000000
	sys 57
	mov %rax, %rsi
	test %eax, %eax
	jnz 1f
	movl $2, 0x20000000
	sys 57
	mov %rax, %rsi
	test %eax, %eax
	jnz 1f
	movl $3, 0x20000000
1:	mov 0x20000000, %edi
	movd %xmm9, %edx
	mov $900, %eax
	syscall
	done`)
	children := make(chan *task, 2)
	h.extra = h.forker(children)
	parent := h.run()
	seen := map[uint64]report{}
	for range 3 {
		r := waitFor(t, "report", h.reports)
		seen[r.args[0]] = r
		if r.args[2] != 0x1357 {
			t.Errorf("xmm9 is %#x", r.args[2])
		}
	}
	if seen[1].args[1] != 4242 || seen[2].args[1] != 4242 || seen[3].args[1] != 0 || len(seen) != 3 {
		t.Errorf("results %d %d %d", seen[1].args[1], seen[2].args[1], seen[3].args[1])
	}
	if seen[1].t == seen[2].t || seen[2].t == seen[3].t || seen[1].t != parent {
		t.Error("tasks speak on each other's channels")
	}
	a, b := waitFor(t, "child", children), waitFor(t, "child", children)
	for _, k := range []*task{parent, a, b} {
		h.end(k)
		if k.pid == 0 {
			t.Error("no CallHello")
		}
	}
	if a.pid == b.pid || a.pid == parent.pid {
		t.Errorf("host processes %d %d %d", parent.pid, a.pid, b.pid)
	}
}

// TestForkGrants forks a task that holds a grant: the child must not inherit
// the descriptor, and its own grants work.
func TestForkGrants(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	sys 902
	sys 57
	test %eax, %eax
	jnz 1f
	sys 902
	report 0x40000000
	done
1:	report 0x40000000
	done`)
	children := make(chan *task, 1)
	forker := h.forker(children)
	n := 0
	h.extra = func(c *call) bool {
		if c.s.Nr != 902 || c.s.Kind != abi.KindTrap {
			return forker(c)
		}
		n++
		fd := memfd(t, bytes.Repeat([]byte{byte(n)}, 4096))
		if err := c.t.grant(5, fd); err != nil {
			t.Error(err)
		}
		unix.Close(fd)
		c.act(abi.ActMapObject, 5<<8, 0x40000000, 4096, 1, unix.MAP_SHARED|unix.MAP_FIXED, 0)
		c.reply(0)
		return true
	}
	parent := h.run()
	got := map[uint64]bool{}
	got[waitFor(t, "one", h.reports).args[0]] = true
	got[waitFor(t, "other", h.reports).args[0]] = true
	if !got[0x0101010101010101] || !got[0x0202020202020202] {
		t.Errorf("mapped %v", got)
	}
	h.end(parent)
	h.end(waitFor(t, "child", children))
}

func memfd(t *testing.T, data []byte) int {
	fd, err := unix.MemfdCreate("object", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, data); err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestObjects maps granted objects: tags out of order, offsets, a grant that
// comes after the reply, a shared write, a dropped grant.
func TestObjects(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	sys 902
	report 0x40000000
	report 0x40010000
	movl $0x99, 0x40010004
	sys 903
	report 0x40020000
	sys 904
	report %rax
	done`)
	obj := memfd(t, append(bytes.Repeat([]byte{7}, 4096), bytes.Repeat([]byte{8}, 4096)...))
	other := memfd(t, bytes.Repeat([]byte{9}, 4096))
	h.extra = func(c *call) bool {
		const shared = unix.MAP_SHARED | unix.MAP_FIXED
		switch c.s.Nr {
		case 902:
			c.t.grant(2, other)
			c.t.grant(1, obj)
			c.act(abi.ActMapObject, 1<<8, 0x40000000, 4096, 1, shared, 4096)
			c.act(abi.ActMapObject, 1<<8, 0x40010000, 4096, 3, shared, 0)
			c.reply(0)
		case 903:
			c.act(abi.ActDropGrant, 0, 1)
			c.act(abi.ActMapObject, 2<<8, 0x40020000, 4096, 3, unix.MAP_PRIVATE|unix.MAP_FIXED, 0)
			c.reply(0)
		case 904:
			// The reply before the grant: the library waits for it. Above
			// the window nothing is ever mapped.
			w := uint64(h.w.z.Window())
			c.act(abi.ActMapObject, abi.ActResult|2<<8, w, 4096, 3, shared, 0)
			c.reply(0)
		default:
			return false
		}
		return true
	}
	task := h.run()
	h.expect("offset", 0x0808080808080808)
	h.expect("start", 0x0707070707070707)
	h.expect("other", 0x0909090909090909)
	h.expect("in the window", err(abi.ENOMEM))
	h.end(task)
	var b [4]byte
	unix.Pread(obj, b[:], 4)
	if binary.LittleEndian.Uint32(b[:]) != 0x99 {
		t.Errorf("shared write: %x", b)
	}
}

// TestLateGrant answers before the object is granted.
func TestLateGrant(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	sys 902
	report 0x40000000
	done`)
	obj := memfd(t, bytes.Repeat([]byte{3}, 4096))
	h.extra = func(c *call) bool {
		c.act(abi.ActMapObject, 77<<8, 0x40000000, 4096, 1, unix.MAP_SHARED|unix.MAP_FIXED, 0)
		c.reply(0)
		if err := c.t.grant(76, obj); err != nil {
			t.Error(err)
		}
		if err := c.t.grant(77, obj); err != nil {
			t.Error(err)
		}
		return true
	}
	task := h.run()
	h.expect("late grant", 0x0303030303030303)
	h.end(task)
}

// TestThreads starts threads, one after another on the same slot and several
// at once, which add to a counter under a futex.
func TestThreads(t *testing.T) {
	h := newHarness(t, localCalls, asmHead+`
	mov $0x5aa5, %ebx
	movd %ebx, %xmm5
	# one after another on slot 1
	mov $20, %r12d
1:	mov $1, %edi
	lea 0x2f000000+0x8000, %rsi
	mov $0x20000200, %edx
	movl $0, 0x20000000
	mov $56, %eax
	syscall
	test %eax, %eax
	jz child
2:	mov 0x20000000, %eax
	cmp $1, %eax
	je 3f
	mov $0x20000000, %edi
	mov $0, %esi
	mov $0, %edx
	xor %r10d, %r10d
	mov $202, %eax
	syscall
	jmp 2b
3:	dec %r12d
	jnz 1b
	report $100
	report 0x20000008
	# eight at once on slots 1..8
	movq $0, 0x20000008
	mov $8, %r12d
4:	mov %r12d, %edi
	mov %r12, %rsi
	shl $14, %rsi
	add $0x2f000000, %rsi
	xor %edx, %edx
	mov $56, %eax
	syscall
	test %eax, %eax
	jz many
	dec %r12d
	jnz 4b
5:	mov 0x20000008, %eax
	cmp $80000, %eax
	je 6f
	mov $24, %eax
	syscall
	jmp 5b
6:	report %rax
	done
child:	mov %fs:0, %rdi
	movd %xmm5, %esi
	mov %rsp, %rdx
	mov $900, %eax
	syscall
	lock incq 0x20000008
	movl $1, 0x20000000
	mov $0x20000000, %edi
	mov $1, %esi
	mov $1, %edx
	mov $202, %eax
	syscall
	mov $60, %eax
	syscall
	ud2
many:	mov $10000, %ecx
7:	lock incq 0x20000008
	dec %ecx
	jnz 7b
	mov $60, %eax
	syscall
	ud2`)
	h.extra = func(c *call) bool {
		switch {
		case c.s.Kind == abi.KindThread:
			if c.s.Args[0] != 500+uint64(c.slot) {
				t.Errorf("token %d on slot %d", c.s.Args[0], c.slot)
			}
			c.act(abi.ActThreadWord, 0, abi.ThreadTid, 1000+uint64(c.slot))
			c.reply(0)
		case c.s.Kind == abi.KindTrap && c.s.Nr == 56:
			set := uint64(0)
			if c.s.Args[2] != 0 {
				set = 1
				c.act(abi.ActStore32, 0, c.s.Args[2], 0xfeed)
			}
			c.act(abi.ActThread, 0, c.s.Args[0], 500+c.s.Args[0], c.s.Args[1], c.s.Args[2], set)
			c.reply(1000 + c.s.Args[0])
		case c.s.Kind == abi.KindTrap && c.s.Nr == 60:
			c.act(abi.ActExitThread, 0)
			c.reply(0)
		default:
			return false
		}
		return true
	}
	task := h.run()
	for range 20 {
		r := h.expect("thread", 0xfeed, 0x5aa5, 0x2f008000)
		if r.slot != 1 || r.regs.FSBase != 0x20000200 {
			t.Errorf("slot %d, fs %#x", r.slot, r.regs.FSBase)
		}
	}
	h.expect("all done", 100)
	h.expect("count", 20)
	h.expect("sum", 80000)
	h.end(task)
}

// TestLeaderExit ends the first thread; the others go on.
func TestLeaderExit(t *testing.T) {
	h := newHarness(t, localCalls, asmHead+`
	mov $56, %eax
	syscall
	test %eax, %eax
	jz 1f
	mov $60, %eax
	syscall
	ud2
1:	report $1
	sys 902
	report $2
	done`)
	exited := make(chan bool, 1)
	held := make(chan *call, 1)
	h.extra = func(c *call) bool {
		switch {
		case c.s.Kind == abi.KindThread:
			c.reply(0)
		case c.s.Nr == 56:
			c.act(abi.ActThread, 0, 1, 0, 0x2f008000, 0, 0)
			c.reply(1)
		case c.s.Nr == 60:
			c.act(abi.ActExitThread, 0)
			c.reply(0)
			exited <- true
		case c.s.Nr == 902:
			held <- c
		default:
			return false
		}
		return true
	}
	task := h.run()
	h.expect("thread", 1)
	c := waitFor(t, "call", held)
	waitFor(t, "exit of the leader", exited)
	waitSleep(t, task.pid)
	if len(procFile(t, task.pid, "maps")) == 0 {
		t.Error("the task shows as dead")
	}
	c.reply(0)
	h.expect("after the leader", 2)
	h.end(task)
}

// TestKick interrupts a loop in guest code, and a futex wait in the library,
// with the server's three kinds of answer.
func TestKick(t *testing.T) {
	h := newHarness(t, localCalls, asmHead+`
	report $1
1:	jmp 1b
after:	report $2
	mov $0x20000000, %edi
	xor %esi, %esi
	xor %edx, %edx
	xor %r10d, %r10d
	mov $202, %eax
	syscall
	report %rax
	done`)
	polls := make(chan [2]uint64, 10)
	answer := func(c *call) {}
	h.extra = func(c *call) bool {
		if c.s.Kind != abi.KindPoll {
			return false
		}
		polls <- [2]uint64{c.s.Args[0], c.s.Nr}
		answer(c)
		return true
	}
	kick := func(t *task) {
		if err := unix.Tgkill(t.pid, t.pid, emul.KickSignal); err != nil {
			h.w.t.Error(err)
		}
	}
	answer = func(c *call) {
		r := c.s.Regs
		r.IP += 2 // behind the loop
		c.regs(r, 0)
		c.reply(0)
	}
	task := h.run()
	h.expect("start", 1)
	kick(task)
	if p := waitFor(t, "poll", polls); p[0] != 0 {
		t.Errorf("poll %d", p)
	}
	h.expect("moved", 2)
	// In the futex wait: run again once, then EINTR. A kick may also find
	// the guest on its way to the wait: then the poll is of kind 0.
	again := make(chan bool, 1)
	answer = func(c *call) {
		if c.s.Args[0] == 1 {
			select {
			case again <- true:
				c.act(abi.ActAgain, 0)
				c.reply(0)
			default:
				c.fail(abi.EINTR)
			}
			return
		}
		c.reply(0)
	}
	for n := 0; n < 2; {
		waitSleep(t, task.pid)
		kick(task)
		if p := waitFor(t, "poll", polls); p[0] == 1 {
			n++
			if p[1] != 202 {
				t.Errorf("poll for call %d", p[1])
			}
		}
	}
	h.expect("futex", err(abi.EINTR))
	h.end(task)
}

// waitSleep returns when the host process sleeps.
func waitSleep(t *testing.T, pid int) {
	for range 1_000_000 {
		b := procFile(t, pid, "stat")
		i := bytes.LastIndexByte(b, ')')
		if b[i+2] == 'S' {
			return
		}
	}
	t.Fatal("the task does not sleep")
}

// TestKickStorm kicks a task all the time while it makes local and remote
// calls and waits with a timeout: nothing may be lost or wrong.
func TestKickStorm(t *testing.T) {
	h := newHarness(t, localCalls, asmHead+`
	movq $0, 0x20000100
	movq $1000000, 0x20000108
	mov $300, %ebx
1:	mov $0x20000000, %edi
	xor %esi, %esi
	xor %edx, %edx
	mov $0x20000100, %r10d
	mov $202, %eax
	syscall
	cmp $-110, %rax
	jne bad
	mov $902, %eax
	mov %rbx, %rdi
	syscall
	test %rax, %rax
	jz 2f
	cmp %rbx, %rax
	jne bad
	mov $39, %eax
	syscall
	inc %ebx
	jmp 1b
2:	report $0
	done
bad:	report %rax
	done`)
	polls, runs := make(chan bool, 1), make(chan bool, 1)
	var enough atomic.Bool
	h.extra = func(c *call) bool {
		switch {
		case c.s.Kind == abi.KindPoll:
			if c.s.Args[0] == 1 {
				c.act(abi.ActAgain, 0)
			}
			c.reply(0)
			polls <- true
		case c.s.Nr == 902 && enough.Load():
			c.reply(0)
		case c.s.Nr == 902:
			select {
			case runs <- true:
			default:
			}
			c.reply(c.s.Args[0])
		default:
			return false
		}
		return true
	}
	task := h.run()
	// A kick before the guest's first instruction asks nothing: the start does.
	waitFor(t, "call", runs)
	waitFor(t, "hello", task.hello)
	for n := range 300 {
		// Each kick brings one poll.
		unix.Tgkill(task.pid, task.pid, emul.KickSignal)
		select {
		case <-polls:
		case r := <-h.reports:
			t.Fatalf("after kick %d a call answered %#x", n, r.args[0])
		case <-time.After(20 * time.Second):
			t.Fatalf("kick %d was lost", n)
		}
	}
	enough.Store(true)
	h.expect("end", 0)
	h.end(task)
}

// TestForkStorm forks from four threads at once while kicks come: channels
// arrive in any order, and every child must get its own.
func TestForkStorm(t *testing.T) {
	h := newHarness(t, localCalls, asmHead+`
	mov $3, %r12d
1:	mov %r12d, %edi
	mov $56, %eax
	syscall
	test %eax, %eax
	jz 2f
	dec %r12d
	jnz 1b
	mov $0, %edi
2:	mov %rdi, %r13
	mov $40, %r12d
3:	mov %r13, %rdi
	mov %r12, %rsi
	sys 57
	test %eax, %eax
	jz 4f
	dec %r12d
	jnz 3b
	report $1000
5:	mov $0x20000000, %edi
	xor %esi, %esi
	xor %edx, %edx
	xor %r10d, %r10d
	sys 202
	jmp 5b
4:	mov %r13, %rdi
	mov %r12, %rsi
	mov $900, %eax
	syscall
	done`)
	var tag uint64
	var mu sync.Mutex // the harness serves many tasks
	var children []*task
	want := map[*task][2]uint64{}
	h.extra = func(c *call) bool {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c.s.Kind == abi.KindTrap && c.s.Nr == 56:
			c.act(abi.ActThread, 0, c.s.Args[0], 0, 0x2f000000+c.s.Args[0]<<14, 0, 0)
			c.reply(1)
		case c.s.Kind == abi.KindTrap && c.s.Nr == 57:
			tag++
			child, e := h.w.newTask(h.handle)
			want[child] = [2]uint64{c.s.Args[0], c.s.Args[1]}
			children = append(children, child)
			if err := c.t.send(abi.EventChannel, tag, e.control, e.area, e.doorbell); err != nil {
				t.Error(err)
			}
			e.close()
			c.act(abi.ActFork, 0, tag, tag, 0)
			c.reply(1)
		case c.s.Kind == abi.KindPoll:
			if c.s.Args[0] == 1 {
				c.act(abi.ActAgain, 0)
			}
			c.reply(0)
		case c.s.Kind == abi.KindThread, c.s.Kind == abi.KindFork:
			c.reply(0)
		default:
			return false
		}
		return true
	}
	task := h.run()
	seen := map[[2]uint64]bool{}
	for ended := 0; ended < 4 || len(seen) < 160; {
		r := waitFor(t, "report", h.reports)
		if r.args[0] == 1000 {
			ended++
			continue
		}
		k := [2]uint64{r.args[0], r.args[1]}
		mu.Lock()
		if want[r.t] != k {
			t.Errorf("a child reports %d on the channel of %d", k, want[r.t])
		}
		mu.Unlock()
		if seen[k] {
			t.Errorf("child %d twice", k)
		}
		seen[k] = true
		unix.Tgkill(task.pid, task.pid, emul.KickSignal)
	}
	unix.Kill(task.pid, unix.SIGKILL)
	h.end(task)
	for _, c := range children {
		h.end(c)
	}
}

// TestFailedActions answers a call, a fault and a start with actions that fail.
func TestFailedActions(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	sys 902
	report %rax
	sys 903
	report %rax
	mov $1f, %r15
	ud2
1:	report $3
	done`)
	type failure struct{ kind, errno uint64 }
	failures := make(chan failure, 4)
	h.extra = func(c *call) bool {
		switch {
		case c.s.Kind == abi.KindPoll && c.s.Args[0] == abi.PollFailed:
			failures <- failure{c.s.Nr, c.s.Args[1]}
			r := c.s.Regs
			if c.s.Nr == abi.KindTrap {
				r.AX = 55
			} else {
				r.IP = r.R15
			}
			c.regs(r, 0)
		case c.s.Kind == abi.KindFault:
			c.act(abi.ActStore32, 0, 16, 1)
		case c.s.Nr == 903:
			c.act(abi.ActStore32, 0, 16, 1)
			c.s.RFlags = abi.ReplyMust | abi.ReplyKeepRegs
		case c.s.Nr == 902:
			c.act(abi.ActStore32, 0, 16, 1)
		}
		c.reply(0)
		return true
	}
	task := h.run()
	h.expect("call", err(abi.EFAULT))
	h.expect("call with ReplyMust", 55)
	h.expect("fault", 3)
	for _, want := range []failure{{abi.KindTrap, uint64(abi.EFAULT)}, {abi.KindFault, uint64(abi.EFAULT)}} {
		if got := waitFor(t, "failure", failures); got != want {
			t.Errorf("failure %v, want %v", got, want)
		}
	}
	h.end(task)
}
