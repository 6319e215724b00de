package trap

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"hythe/abi"
)

// assemble makes a flat binary that runs at codeBase of GNU assembler text.
func assemble(t testing.TB, src string) []byte {
	t.Helper()
	elf := link(t, src)
	bin := elf + ".bin"
	tool(t, nil, "objcopy", "-O", "binary", "-j", ".text", elf, bin)
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// link makes a static executable, its text at codeBase, and gives its path.
func link(t testing.TB, src string) string {
	t.Helper()
	if _, err := exec.LookPath("as"); err != nil {
		t.Skip("needs binutils: ", err)
	}
	dir := t.TempDir()
	obj, elf := filepath.Join(dir, "a.o"), filepath.Join(dir, "a.elf")
	tool(t, []byte(".globl _start\n_start:\n"+src), "as", "--64", "-o", obj, "-")
	tool(t, nil, "ld", "-Ttext=0x10000000", "-o", elf, obj)
	return elf
}

func tool(t testing.TB, in []byte, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// hostFaults says whether code, which ends with exit_group(0) when nothing
// stops it, gets SIGSEGV from the host itself. Hosts differ: some have no
// int 0x80, and on some a SYSCALL with a stack pointer that is no address
// faults. There a guest gets the fault that a native program gets.
func hostFaults(t testing.TB, code string) bool {
	t.Helper()
	err := exec.Command(link(t, code+"\n\tmov $231, %eax\n\txor %edi, %edi\n\tsyscall\n")).Run()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		if ws := ee.Sys().(syscall.WaitStatus); ws.Signaled() && ws.Signal() == syscall.SIGSEGV {
			return true
		}
	}
	if err != nil {
		t.Fatalf("the host's answer: %v", err)
	}
	return false
}

// protection takes what a guest gets on such a host: a SIGSEGV of a general
// protection fault, answered by going on at R15 with a good stack and -EFAULT in
// RAX. Anything else goes to other.
func protection(other func(*call) bool) func(*call) bool {
	return func(c *call) bool {
		if c.s.Kind != abi.KindFault || syscall.Signal(c.s.Nr) != syscall.SIGSEGV || c.s.Args[2] != 13 {
			return other != nil && other(c)
		}
		r := c.s.Regs
		r.IP, r.SP, r.AX = r.R15, stackTop-64, err(abi.EFAULT)
		c.regs(r, 0)
		c.reply(0)
		return true
	}
}
