package trap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"hythe/abi"
)

// TestRegisters checks that a trap keeps everything but RAX, RCX and R11, in
// which it leaves what SYSCALL leaves.
func TestRegisters(t *testing.T) {
	avx := strings.Contains(cpuinfo(t), " avx ")
	var src strings.Builder
	src.WriteString(asmHead + "lea 1f(%rip), %r15\n jmp 2f\n .balign 32\n1: .fill 512, 1, 0x5a\n2:\n")
	// Vector patterns: 16 registers of 32 bytes, made in the data area.
	src.WriteString("mov $0x20001000, %rdi\n xor %ecx, %ecx\n3: mov %cl, %al\n xor $0xa5, %al\n mov %al, (%rdi,%rcx)\n inc %ecx\n cmp $512, %ecx\n jne 3b\n")
	for i := range 16 {
		if avx {
			fmt.Fprintf(&src, "vmovdqu 0x%x, %%ymm%d\n", 0x20001000+32*i, i)
		} else {
			fmt.Fprintf(&src, "movdqu 0x%x, %%xmm%d\n", 0x20001000+32*i, i)
		}
	}
	src.WriteString("movl $0x3f80, 0x20000800\n ldmxcsr 0x20000800\n") // rounding down
	src.WriteString("fninit\n fldpi\n")
	for i := 1; i <= 16; i++ {
		fmt.Fprintf(&src, "movq $%d, -%d(%%rsp)\n", 0x1111*i, 8*i)
	}
	names := []string{"rbx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r12", "r13", "r14", "r15"}
	for i, n := range names {
		fmt.Fprintf(&src, "movabs $0x%x, %%%s\n", 0x8123456789ab0000+uint64(i), n)
	}
	src.WriteString("movl $900, %eax\n std\n stc\n syscall\nafter:\n")
	for i, n := range append(names, "rcx", "r11", "rsp", "rax") {
		fmt.Fprintf(&src, "mov %%%s, 0x%x\n", n, 0x20000000+8*i)
	}
	src.WriteString("lea after(%rip), %rax\n mov %rax, 0x200000f8\n")
	for i := 1; i <= 16; i++ {
		fmt.Fprintf(&src, "mov -%d(%%rsp), %%rax\n mov %%rax, 0x%x\n", 8*i, 0x20000100+8*(i-1))
	}
	src.WriteString("lea -256(%rsp), %rsp\n pushfq\n pop %rax\n mov %rax, 0x200000f0\n cld\n")
	src.WriteString("stmxcsr 0x200000e8\n fstpl 0x200000e0\n")
	for i := range 16 {
		if avx {
			fmt.Fprintf(&src, "vmovdqu %%ymm%d, 0x%x\n", i, 0x20002000+32*i)
		} else {
			fmt.Fprintf(&src, "movdqu %%xmm%d, 0x%x\n", i, 0x20002000+32*i)
		}
	}
	src.WriteString("sys 902\n done\n")

	h := newHarness(t, nil, src.String())
	got := make(chan []byte, 1)
	h.extra = func(c *call) bool {
		if c.s.Nr != 902 {
			return false
		}
		if c.s.NAct == 0 && c.s.State == abi.SlotRequest {
			c.act(abi.ActCopyIn, 0, dataBase, abi.SlotInOff, 0x3000)
			c.more()
			return true
		}
		got <- bytes.Clone(c.bytes(abi.SlotInOff, 0x3000))
		c.reply(0)
		return true
	}
	task := h.run()
	h.expect("report")
	b := waitFor(t, "dump", got)
	word := func(off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
	for i, n := range names {
		if v, want := word(8*i), 0x8123456789ab0000+uint64(i); v != want {
			t.Errorf("%s is %#x, want %#x", n, v, want)
		}
	}
	n := len(names)
	if v, want := word(8*n), word(0xf8); v != want {
		t.Errorf("rcx is %#x, want the return address %#x", v, want)
	}
	const df, cf = 0x400, 1
	if v := word(8 * (n + 1)); v&(df|cf) != df|cf {
		t.Errorf("r11 is %#x, want the flags with DF and CF", v)
	}
	if v := word(0xf0); v&(df|cf) != df|cf || v&^0x40 != word(8*(n+1))&^0x40 && v != word(8*(n+1)) {
		t.Errorf("flags are %#x, r11 %#x", v, word(8*(n+1)))
	}
	if v := word(8 * (n + 2)); v != stackTop-64 {
		t.Errorf("rsp is %#x", v)
	}
	if v := word(8 * (n + 3)); v != 0 {
		t.Errorf("rax is %#x", v)
	}
	for i := 1; i <= 16; i++ {
		if v := word(0x100 + 8*(i-1)); v != uint64(0x1111*i) {
			t.Errorf("red zone at -%d is %#x", 8*i, v)
		}
	}
	if v := uint32(word(0xe8)); v != 0x3f80 {
		t.Errorf("MXCSR is %#x", v)
	}
	if v := word(0xe0); v != 0x400921fb54442d18 {
		t.Errorf("the x87 top is %#x, not pi", v)
	}
	size := 32
	if !avx {
		size = 16
	}
	for i := range 16 {
		x, y := b[0x1000+32*i:][:size], b[0x2000+32*i:][:size]
		if !bytes.Equal(x, y) {
			t.Errorf("vector register %d is %x, want %x", i, y, x)
		}
	}
	h.end(task)
}

func cpuinfo(t *testing.T) string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestNumbers sends odd call numbers and calls by odd ways.
func TestNumbers(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $-1, %rax
	syscall
	report %rax
	mov $0x12345678, %eax
	syscall
	report %rax
	movabs $0xdeadbeef00000388, %rax
	syscall
	report %rax
	mov $0x40000001, %eax
	syscall
	report %rax
	mov $after, %r15
	mov $900, %eax
	int $0x80
after:	report %rax
	done`)
	h.extra = func(c *call) bool {
		if c.s.Kind != abi.KindTrap {
			return false
		}
		c.reply(c.s.Nr + 1)
		return true
	}
	int80 := abi.ENOSYS
	if hostFaults(t, "mov $20, %eax; int $0x80") {
		int80 = abi.EFAULT
		h.extra = protection(h.extra)
	}
	task := h.run()
	h.expect("number -1", 0)
	h.expect("number 0x12345678", 0x12345679)
	h.expect("upper half is garbage", 0x389)
	h.expect("x32 number", 0x40000002)
	h.expect("int 0x80", err(int80))
	h.end(task)
}

// TestVsyscall calls the three entries of the vsyscall page, where the host
// has one.
func TestVsyscall(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $dead, %r15
	mov $0x20000000, %rdi
	mov $0x20000100, %rsi
	mov $0x1234, %ebx
	mov $0xffffffffff600000, %rax
	call *%rax
	report %rax
	mov $0xffffffffff600400, %rax
	call *%rax
	report %rax
	mov $0xffffffffff600800, %rax
	call *%rax
	report %rax
	done
dead:	report $0
	done`)
	missing := make(chan bool, 1)
	h.extra = func(c *call) bool {
		if c.s.Kind == abi.KindFault {
			missing <- true
			r := c.s.Regs
			r.IP = r.R15
			c.regs(r, 0)
			c.reply(0)
			return true
		}
		c.reply(c.s.Nr * 1000)
		return true
	}
	task := h.run()
	r := waitFor(t, "vsyscall", h.reports)
	select {
	case <-missing:
		h.end(task)
		t.Skip("the host has no vsyscall page")
	default:
	}
	if r.args[0] != 96000 {
		t.Errorf("gettimeofday answers %d", r.args[0])
	}
	if r.regs.SP != stackTop-64 || r.regs.BX != 0x1234 {
		t.Errorf("after vsyscall: sp %#x bx %#x", r.regs.SP, r.regs.BX)
	}
	h.expect("time", 201000)
	h.expect("getcpu", 309000)
	h.end(task)
}

// TestBadStack traps with stack pointers that cannot hold a frame.
func TestBadStack(t *testing.T) {
	for _, sp := range []uint64{0, 0x123456, 1 << 63, ^uint64(0), 0x20000003} {
		set := fmt.Sprintf("movabs $%#x, %%rsp\n", sp)
		h := newHarness(t, nil, asmHead+`
	mov %rsp, %rbx
	mov $after, %r15
	`+set+`
	report $1
after:	mov %rax, %r12
	mov %rbx, %rsp
	report %r12
	done`)
		after := abi.Errno(0)
		if hostFaults(t, set+"mov $39, %eax; syscall") { // the call is made, its return faults
			after = abi.EFAULT
			h.extra = protection(nil)
		}
		task := h.run()
		if r := h.expect("report", 1); r.regs.SP != sp {
			t.Errorf("sp %#x, want %#x", r.regs.SP, sp)
		}
		h.expect("after the call", err(after))
		h.end(task)
	}
}

// TestFaults sees each kind of exception with its place, and goes on where
// the server says.
func TestFaults(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $1f, %r15
	mov $0x4321, %rbx
	movb $1, (%rbx)
1:	mov $2f, %r15
	ud2
2:	mov $3f, %r15
	xor %ecx, %ecx
	xor %edx, %edx
	mov $5, %eax
	div %ecx
3:	mov $4f, %r15
	int3
4:	mov $5f, %r15
	movabs $0x8000000000000000, %rax
	movb (%rax), %al
5:	mov $6f, %r15
	mov $0x10000000, %eax
	sub $16, %eax
	jmp *%rax
6:	mov $7f, %r15
	xor %esp, %esp
	push %rax
7:	mov $8f, %r15
	movabs $0x8000000000000000, %rax
	jmp *%rax
8:	done`)
	type exc struct{ sig, code, addr, trap uint64 }
	seen := make(chan exc, 10)
	h.extra = func(c *call) bool {
		if c.s.Kind != abi.KindFault {
			return false
		}
		a := c.s.Args
		seen <- exc{c.s.Nr, a[0], a[1], a[2]}
		r := c.s.Regs
		r.IP = r.R15
		r.SP = stackTop - 64
		c.regs(r, 0)
		c.reply(0)
		return true
	}
	task := h.run()
	const (
		segv, ill, fpe, trap = 11, 4, 8, 5
		kernel               = 0x80
	)
	for i, want := range []exc{
		{segv, 1, 0x4321, 14},
		{ill, 2, 0, 6},
		{fpe, 1, 0, 0},
		{trap, kernel, 0, 3},
		{segv, kernel, 0, 13},
		{segv, 1, 0x10000000 - 16, 14},
		{segv, 1, ^uint64(7), 14},
		{segv, kernel, 0, 13},
	} {
		got := waitFor(t, "fault", seen)
		if want.addr == ^uint64(7) {
			// A push through a non-canonical... no: through zero minus 8,
			// which is not canonical for user code on every processor.
			if got.sig != segv && got.sig != 7 {
				t.Errorf("fault %d: %+v", i, got)
			}
			continue
		}
		if want.sig == ill || want.sig == fpe {
			got.addr = 0
		}
		if got != want {
			t.Errorf("fault %d: %+v, want %+v", i, got, want)
		}
	}
	h.end(task)
}

// TestSingleStep runs a system call with the trap flag set.
func TestSingleStep(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	pushfq
	orq $0x100, (%rsp)
	popfq
	nop
	mov $902, %eax
	syscall
	nop
	pushfq
	andq $~0x100, (%rsp)
	popfq
	report %rax
	done`)
	steps := make(chan uint64, 100)
	h.extra = func(c *call) bool {
		if c.s.Kind == abi.KindFault && c.s.Nr == 5 {
			steps <- c.s.Regs.IP
			c.reply(0)
			return true
		}
		if c.s.Nr == 902 {
			c.reply(77)
			return true
		}
		return false
	}
	task := h.run()
	h.expect("result under single step", 77)
	h.end(task)
	if n := len(steps); n < 6 || n > 10 {
		t.Errorf("%d steps", n)
	}
}

// TestAlignmentCheck traps with the AC flag set: the library's accesses are
// not aligned.
func TestAlignmentCheck(t *testing.T) {
	h := newHarness(t, map[int]abi.CallDesc{1: {Pre: [3]abi.Pre{{Kind: abi.PreBuf, Arg: 1, Size: 2}}}}, asmHead+`
	pushfq
	orq $0x40000, (%rsp)
	popfq
	report $1
	mov $1, %eax
	mov $0x20000001, %esi
	mov $5, %edx
	syscall
	pushfq
	pop %rdi
	mov $900, %eax
	syscall
	done`)
	h.extra = func(c *call) bool { c.reply(0); return c.s.Kind == abi.KindTrap }
	task := h.run()
	h.expect("AC", 1)
	if r := waitFor(t, "flags", h.reports); r.args[0]&0x40000 == 0 {
		t.Errorf("the AC flag is lost: %#x", r.args[0])
	}
	h.end(task)
}

// TestVectorState saves the vector state to guest memory, loads it again, and
// loads what a hostile guest may put there.
func TestVectorState(t *testing.T) {
	h := newHarness(t, nil, asmHead+`
	mov $0x77777777, %eax
	movd %eax, %xmm3
	sys 902
	mov $0x11111111, %eax
	movd %eax, %xmm3
	sys 903
	movd %xmm3, %edi
	mov $900, %eax
	syscall
	sys 904
	report $1
	sys 905
	report %rax
	sys 906
	movd %xmm3, %edi
	mov $900, %eax
	syscall
	sys 907
	report $5
	done`)
	h.extra = func(c *call) bool {
		switch c.s.Nr {
		case 902:
			c.act(abi.ActSaveFP, abi.ActResult, dataBase+64, 16384)
		case 903:
			c.act(abi.ActLoadFP, 0, dataBase+64)
		case 904: // all ones, with a valid first magic word
			b := bytes.Repeat([]byte{0xff}, 12<<10)
			c.act(abi.ActCopyOut, 0, dataBase+0x10000, c.out(b[:464]), 464)
			c.act(abi.ActCopyOut, 0, dataBase+0x10000+512, c.out(b), uint64(len(b)))
			c.act(abi.ActLoadFP, 0, dataBase+0x10000)
		case 905:
			c.act(abi.ActLoadFP, 0, 0x10)
		case 906:
			c.act(abi.ActLoadFP, 0, 0)
		case 907: // the saved frame with every byte of its header spoilt
			b := bytes.Repeat([]byte{0xff}, 64)
			c.act(abi.ActCopyOut, 0, dataBase+64+512, c.out(b), 64)
			c.act(abi.ActCopyOut, 0, dataBase+64+24, c.out(b), 8)
			c.act(abi.ActLoadFP, 0, dataBase+64)
		default:
			return false
		}
		c.reply(0)
		return true
	}
	task := h.run()
	h.expect("after load", 0x77777777)
	h.expect("after garbage", 1)
	h.expect("bad pointer", err(abi.EFAULT))
	h.expect("fresh state", 0)
	h.expect("spoilt header", 5)
	h.end(task)
}
