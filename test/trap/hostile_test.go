package trap

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/emul"
	hostlinux "hythe/machine/linux"
)

// forged lists host calls that no task may make from anywhere: every number
// that is not in the authority table, and those in it with arguments out of
// their rules. Each must answer ENOSYS (the library's answer to a refusal).
func forged() (rows [][7]uint64) {
	listed := map[uint32]bool{}
	for _, c := range hostlinux.GuestCalls {
		listed[c.Nr] = true
	}
	for nr := range uint32(480) {
		// uprobe and uretprobe bypass every filter since Linux 6.14 and raise
		// SIGILL unless a tracer on the host planted them.
		if !listed[nr] && nr != 335 && nr != 336 {
			rows = append(rows, [7]uint64{uint64(nr)}, [7]uint64{uint64(nr | 0x40000000)})
		}
	}
	return append(rows, [][7]uint64{
		{0xffffffff}, {0x12345678}, {1 << 20},
		{1, 1, 0, 1}, {1, 0, 0, 1}, {1, 6, 0, 1}, {1, 16, 0, 1}, {1, 1<<32 | 3, 0, 1},
		{9, 0, 4096, 3, 0x22 | 0x2000, ^uint64(0)}, {9, 0, 4096, 3, 0x22 | 0x40000, ^uint64(0)},
		{25, 0, 0, 0, 8}, {25, 0, 0, 0, 1 << 32},
		{28, codeBase, 4096, 12}, {28, codeBase, 4096, 100}, {28, codeBase, 4096, 101}, {28, codeBase, 4096, 13}, {28, codeBase, 4096, 25},
		{33, 3, 4}, {33, 16, 6}, {33, 16, 15}, {33, 5, 3}, {33, 16, 0},
		{3, 3}, {3, 4}, {3, 5}, {3, 0}, {3, 15},
		{47, 4, 0, 0}, {47, 0, 0, 0}, {47, 16, 0, 0}, {47, 6, 0, 0}, {47, 3, 0, 0x40}, {47, 5, 0, 0x40},
		{44, 3, 0, 0, 0x4040}, {44, 5, 0, 0, 0x4040}, {44, 16, 0, 0, 0}, {44, 16, 0, 0, 0x40}, {44, 16, 0, 0, 0x4001}, {44, 16, 0, 0, 0x24004040}, {44, 16, 0, 0, 0x24004000}, {44, 16, 0, 0, 0x4000, 4096}, {44, 16, 0, 0, 0x4040, 4096}, {44, 16, 0, 0, 0x4040, 1 << 32}, {44, 1<<32 | 16, 0, 0, 0x4040},
		{45, 3, 0, 0, 0x40}, {45, 4, 0, 0, 0x40}, {45, 3, 0, 0, 0}, {45, 16, 0, 0, 0x2000}, {45, 16, 0, 0, 0x2040}, {45, 16, 0, 0, 0, 4096}, {45, 16, 0, 0, 0x40, 4096}, {45, 15, 0, 0, 0x40},
		{56, 0}, {56, 17}, {56, 0x8000 | 17}, {56, 0x8000 | 0x400}, {56, 0x8000 | 0x100}, {56, 0x10000000 | 17}, {56, 0x4000 | 0x100 | 17}, {56, emul.CloneThread | 0x80000}, {56, emul.CloneThread &^ 0x10000}, {56, emul.CloneFork | 1<<32},
		{158, 0x1005}, {158, 0x5001}, {158, 0x1011}, {158, 0x1021}, {158, 0x1012, 0},
		{202, 0, 6}, {202, 0, 7}, {202, 0, 8}, {202, 0, 11}, {202, 0, 12}, {202, 0, 13}, {202, 0, 2}, {202, 0, 6 | 128}, {202, 0, 1 << 16},
		{228, 0xfffffffe, 0}, {228, 16, 0},
		{323, 0}, {323, 1}, {323, 0x80000}, {323, 0x80800}, {323, 0x800 | 1}, {323, 0x80801 | 2}, {323, 1<<32 | 0x80801},
		{324, 1, 0}, {324, 2}, {324, 4}, {324, 8, 1}, {324, 128}, {324, 256},
	}...)
}

// TestForgedCalls makes the forged calls by jumping into the library's own
// SYSCALL, and then from code that the guest mapped over the library.
func TestForgedCalls(t *testing.T) {
	w := newWorld(t, nil)
	var e emul.Entry
	emul.Entries(&e)
	hostCall := uint64(w.z.Window() + e.HostCall)
	rows := forged()
	code := assemble(t, asmHead+`
	mov $0x20010000, %rbp
	mov 0x20000000, %r12
	call walk
	report $1000
	# map a page of our own in the window, through the library
	mov $9, %eax
	mov 0x20000008, %rbx
	mov $4096, %ecx
	mov $7, %edi
	mov $0x32, %esi
	mov $-1, %r8
	xor %r9d, %r9d
	call *%r12
	cmp 0x20000008, %rax
	jne bad
	mov 0x20000008, %r12
	lea own(%rip), %rsi
	mov %r12, %rdi
	mov $64, %ecx
	rep movsb
	mov $0x20010000, %rbp
	call walk
	report $2000
	done
bad:	report %rax
	done
walk:	mov (%rbp), %rax
	cmp $-1, %rax
	je 2f
	mov 8(%rbp), %rbx
	mov 16(%rbp), %rcx
	mov 24(%rbp), %rdi
	mov 32(%rbp), %rsi
	mov 40(%rbp), %r8
	mov 48(%rbp), %r9
	call *%r12
	cmp $-38, %rax
	je 1f
	mov %rax, %rsi
	mov (%rbp), %rdi
	mov 8(%rbp), %rdx
	mov $900, %eax
	syscall
1:	add $56, %rbp
	jmp walk
2:	ret
own:	mov %rdi, %rdx
	mov %rsi, %r10
	mov %rbx, %rdi
	mov %rcx, %rsi
	syscall
	ret
	.fill 64, 1, 0xcc`)
	h := &harness{w: w, code: code, reports: make(chan report, 2000)}
	var table []byte
	for _, r := range rows {
		table = append(table, c8(r[:]...)...)
	}
	table = append(table, c8(^uint64(0))...)
	h.extra = func(c *call) bool { return false }
	task := w.spawn(func(c *call) {
		if c.s.Kind != abi.KindStart {
			h.handle(c)
			return
		}
		c.act(abi.ActMapAnon, 0, dataBase, dataSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
		c.act(abi.ActCopyOut, 0, dataBase, c.out(c8(hostCall, uint64(w.z.Window())+0x70000000)), 16)
		c.act(abi.ActCopyOut, 0, dataBase+0x10000, c.out(table), uint64(len(table)))
		c.act(abi.ActMapAnon, 0, codeBase, 4096, 7, unix.MAP_PRIVATE|unix.MAP_FIXED)
		c.act(abi.ActCopyOut, 0, codeBase, c.out(code), uint64(len(code)))
		c.regs(abi.Regs{IP: codeBase, SP: dataBase + dataSize - 64, Flags: 0x202}, 0)
		c.reply(0)
	})
	for end := uint64(1000); end <= 2000; {
		r := waitFor(t, "report", h.reports)
		if r.args[0] == end {
			end += 1000
			continue
		}
		t.Errorf("host call %d(%#x...) answered %d", r.args[0], r.args[2], int64(r.args[1]))
	}
	h.end(task)
}

// TestSpoil lets guests destroy the library in their own memory in many ways:
// each only harms itself, and the machine goes on.
func TestSpoil(t *testing.T) {
	w := newWorld(t, nil)
	win := uint64(w.z.Window())
	var e emul.Entry
	emul.Entries(&e)
	hostCall := win + uint64(e.HostCall)
	for _, c := range []struct{ what, code string }{
		{"munmap of the window", `
	mov $11, %eax
	mov 0x20000008, %rbx
	movabs $0x100000000, %rcx
	call *0x20000000
	sys 902
	ud2`},
		{"munmap of the signal stack", `
	mov $11, %eax
	mov 0x20000008, %rbx
	add $0x40000000, %rbx
	mov $0x10000, %ecx
	call *0x20000000
	sys 902
	ud2`},
		{"garbage in the control block", `
	mov 0x20000008, %rdi
	add $0x40000000, %rdi
	mov $4096, %ecx
	mov $0xa5, %al
	rep stosb
	sys 902
	ud2`},
		{"garbage in the task block", `
	mov 0x20000008, %rdi
	add $0x60000000, %rdi
	mov $65536, %ecx
	mov $0xff, %al
	rep stosb
	sys 902
	done`},
		{"garbage in the message area", `
	mov 0x20000008, %rdi
	mov $0x80000000, %eax
	add %rax, %rdi
	mov $0x40000, %ecx
	mov $0xff, %al
	rep stosb
	sys 902
	done`},
		{"write to the library's code", `
	mov 0x20000008, %rdi
	add $0x400000, %rdi
	movb $0, 0x1000(%rdi)
	done`},
		{"blocked signals", `
	movq $-1, 0x20000100
	mov $14, %eax
	mov $2, %ebx
	mov $0x20000100, %ecx
	xor %edi, %edi
	mov $8, %esi
	call *0x20000000
	sys 902
	ud2`},
		{"sigreturn of nothing", `
	mov $15, %eax
	call *0x20000000
	sys 902
	done`},
		{"no signal stack", `
	movq $0, 0x20000100
	movq $2, 0x20000108
	movq $0, 0x20000110
	mov $131, %eax
	mov $0x20000100, %ebx
	xor %ecx, %ecx
	call *0x20000000
	xor %esp, %esp
	sys 902
	ud2`},
		{"stack in the signal stack", `
	mov 0x20000008, %rsp
	add $0x40000000+0x10000, %rsp
	sys 902
	done`},
		{"stack at the end of another block", `
	mov 0x20000008, %rsp
	add $0x40000000+0x30000, %rsp
	sys 902
	done`},
		{"hello again", `
	mov $1, %eax
	mov $3, %ebx
	mov $0x20000100, %ecx
	mov $300, %edi
	call *0x20000000
	sys 902
	done`},
		{"fake channel", `
	mov $33, %eax
	mov $16, %ebx
	mov $3, %ecx
	call *0x20000000
	sys 902
	done`},
		{"start again", `
	call *0x20000010
	done`},
	} {
		code := assemble(t, asmHead+c.code)
		starts := 0
		task := w.spawn(func(k *call) {
			switch {
			case k.s.Kind == abi.KindStart:
				if starts++; starts > 1 {
					k.act(abi.ActExitTask, 0)
					k.reply(0)
					return
				}
				k.act(abi.ActMapAnon, 0, dataBase, dataSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
				k.act(abi.ActCopyOut, 0, dataBase, k.out(c8(hostCall, win, win+uint64(e.Start))), 24)
				k.act(abi.ActMapAnon, 0, stackTop-stackSize, stackSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
				k.act(abi.ActMapAnon, 0, codeBase, 4096, 7, unix.MAP_PRIVATE|unix.MAP_FIXED)
				k.act(abi.ActCopyOut, 0, codeBase, k.out(code), uint64(len(code)))
				k.regs(abi.Regs{IP: codeBase, SP: stackTop - 64, Flags: 0x202}, 0)
				k.reply(0)
			case k.s.Kind == abi.KindTrap && k.s.Nr == 902:
				k.reply(0)
			default: // a fault, or the end
				k.act(abi.ActExitTask, 0)
				k.reply(0)
			}
		})
		// What is not dead by itself when it has spoilt its channel is
		// killed, as the nucleus would.
		waitFor(t, c.what+": hello", task.hello)
		select {
		case <-task.dead:
		case <-settle(task):
			unix.Kill(task.pid, unix.SIGKILL)
		}
		waitFor(t, c.what, task.dead)
	}
	h := &harness{w: w, code: assemble(t, asmHead+"report $1\n done"), reports: make(chan report, 1)}
	task := h.run()
	h.expect("a task after all that", 1)
	h.end(task)
	if w.z.Pid() == 0 {
		t.Error("the machine is gone")
	}
}

// settle is closed when the task is gone, sleeps for good, or has run on and on.
func settle(t *task) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		asleep := 0
		for n := 0; n < 5000 && asleep < 1000; n++ {
			b, err := readProc(t.pid, "stat")
			if err != nil {
				return
			}
			asleep++
			if i := bytes.LastIndexByte(b, ')'); b[i+2] != 'S' {
				asleep = 0
			}
		}
	}()
	return ch
}

// TestCompatMode goes to the 32-bit code segment and makes its kinds of call.
func TestCompatMode(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $0x2ffff000, %rsp
	mov $fault, %r15
	pushq $0x23
	pushq $thirtytwo
	lretq
back:	report %rbx
	done
	.code32
thirtytwo:
	mov $900, %eax
	int $0x80
	mov %eax, %ebx
	ljmp $0x33, $back
	.code64
fault:	mov %eax, %ebx
	jmp back`)
	want := abi.ENOSYS
	if hostFaults(t, "mov $20, %eax; int $0x80") {
		want = abi.EFAULT
		h.extra = protection(nil)
	}
	task := h.run()
	h.expect("int 0x80 in 32-bit code", uint64(uint32(err(want))))
	h.end(task)
}

// TestOutside looks at what a task is to the host: its ids, namespaces,
// capabilities, root and descriptors.
func TestOutside(t *testing.T) {
	h := newHarness(t, nil, asmHead+"report $1\nsys 902\ndone")
	hold := make(chan *call, 1)
	h.extra = func(c *call) bool { hold <- c; return c.s.Nr == 902 }
	task := h.run()
	h.expect("start", 1)
	c := waitFor(t, "call", hold)
	status := string(procFile(t, task.pid, "status"))
	for _, want := range []string{
		"NoNewPrivs:\t1", "Seccomp:\t2", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "SigBlk:\t0000000006808000",
	} {
		if !bytes.Contains([]byte(status), []byte(want+"\n")) {
			t.Errorf("status has no line %q", want)
		}
	}
	uid := unix.Getuid()
	if uid == 0 {
		uid = 65534
	}
	var st unix.Stat_t
	if err := unix.Stat(procPath(task.pid, "task"), &st); err == nil && int(st.Uid) != uid && st.Uid != 0 {
		t.Errorf("host user %d", st.Uid)
	}
	for _, ns := range []string{"user", "pid", "mnt", "net", "ipc", "uts"} {
		var own [100]byte
		a, err1 := unix.Readlink(procPath(unix.Getpid(), "ns/"+ns), own[:])
		var its [100]byte
		b, err2 := unix.Readlink(procPath(task.pid, "ns/"+ns), its[:])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if string(own[:a]) == string(its[:b]) {
			t.Errorf("the task shares the %s namespace", ns)
		}
	}
	if m := string(procFile(t, task.pid, "mounts")); bytes.Count([]byte(m), []byte("\n")) != 1 {
		t.Errorf("mounts:\n%s", m)
	}
	if n := len(readDir(t, procPath(task.pid, "fd"))); n != emul.FirstFD {
		t.Errorf("%d descriptors, want %d", n, emul.FirstFD)
		for _, e := range readDir(t, procPath(task.pid, "fd")) {
			l := make([]byte, 100)
			n, _ := unix.Readlink(procPath(task.pid, "fd/"+e.Name()), l)
			t.Logf("%s %s", e.Name(), l[:max(n, 0)])
		}
	}
	if l := string(procFile(t, task.pid, "limits")); !bytes.Contains([]byte(l), []byte("Max core file size        1 ")) {
		t.Errorf("limits:\n%s", l)
	}
	c.reply(0)
	h.end(task)
}

// TestProcessLimit lets a guest fork behind its server's back until the host
// refuses.
func TestProcessLimit(t *testing.T) {
	const limit = 24
	w := newWorldConfig(t, nil, hostlinux.GuestConfig{Processes: limit})
	var e emul.Entry
	emul.Entries(&e)
	code := assemble(t, asmHead+`
	mov $900, %eax
	syscall
	mov %rax, %r12
	xor %r13d, %r13d
1:	mov $56, %eax
	mov $0x8000, %ebx
	xor %ecx, %ecx
	xor %edi, %edi
	xor %esi, %esi
	xor %r8d, %r8d
	xor %r9d, %r9d
	call *%r12
	test %rax, %rax
	jz 2f
	js 3f
	inc %r13d
	cmp $1000, %r13d
	jne 1b
3:	mov %rax, %rsi
	mov %r13, %rdi
	mov $900, %eax
	syscall
	done
2:	mov $202, %eax
	mov %rsp, %rbx
	xor %ecx, %ecx
	mov (%rsp), %edi
	xor %esi, %esi
	call *%r12
	jmp 2b`)
	h := &harness{w: w, code: code, reports: make(chan report, 10)}
	first := true
	task := w.spawn(func(c *call) {
		if c.s.Kind == abi.KindTrap && c.s.Nr == nrReport && first {
			first = false
			c.reply(uint64(w.z.Window() + e.HostCall))
			return
		}
		h.handle(c)
	})
	r := waitFor(t, "report", h.reports)
	if r.args[0] > limit || r.args[1] != err(abi.EAGAIN) {
		t.Errorf("%d forks, then %d", r.args[0], int64(r.args[1]))
	}
	// The children hold copies of the channel, so it does not end with the
	// task: they must be found.
	known := func(pid int) bool { return pid == task.pid }
	if n := w.z.KillStrays(known); n != 0 {
		t.Errorf("%d strays killed at first sight", n)
	}
	if n := w.z.KillStrays(known); n != int(r.args[0]) {
		t.Errorf("%d strays killed, want %d", n, r.args[0])
	}
	waitFor(t, "death", task.dead)
}
