package trap

import (
	"testing"

	"hythe/abi"
)

// TestHello runs a hand-made program through the whole path: zygote, KindStart,
// trap with a prefetched argument, result, exit.
func TestHello(t *testing.T) {
	w := newWorld(t, map[int]abi.CallDesc{
		1: {Pre: [3]abi.Pre{{Kind: abi.PreBuf, Arg: 1, Size: 2}}},
	})
	code := assemble(t, `
	mov $1, %edi
	lea msg(%rip), %rsi
	mov $6, %edx
	mov $1, %eax
	syscall
	mov %eax, %edi
	mov $60, %eax
	syscall
	ud2
msg:	.ascii "hello\n"
`)
	said := make(chan string, 1)
	status := make(chan uint64, 1)
	task := w.spawn(func(c *call) {
		switch {
		case c.s.Kind == abi.KindStart:
			if c.s.Args[0] == 0 || c.s.Args[1] == 0 || c.s.Args[4] != 100 {
				t.Errorf("start arguments %#x", c.s.Args)
			}
			c.program(code)
		case c.s.Kind == abi.KindTrap && c.s.Nr == 1:
			said <- string(c.in(0))
			c.reply(c.s.Args[2])
		case c.s.Kind == abi.KindTrap && c.s.Nr == 60:
			status <- c.s.Args[0]
			c.act(abi.ActExitTask, 0)
			c.reply(0)
		default:
			t.Errorf("kind %d nr %d args %#x ip %#x", c.s.Kind, c.s.Nr, c.s.Args, c.s.Regs.IP)
			c.fail(abi.ENOSYS)
		}
	})
	if got := waitFor(t, "write", said); got != "hello\n" {
		t.Errorf("wrote %q", got)
	}
	if got := waitFor(t, "exit", status); got != 6 {
		t.Errorf("exit status %d", got)
	}
	waitFor(t, "death", task.dead)
}
