package trap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// assemble makes a flat binary that runs at codeBase of GNU assembler text.
func assemble(t testing.TB, src string) []byte {
	t.Helper()
	if _, err := exec.LookPath("as"); err != nil {
		t.Skip("needs binutils: ", err)
	}
	dir := t.TempDir()
	obj, elf, bin := filepath.Join(dir, "a.o"), filepath.Join(dir, "a.elf"), filepath.Join(dir, "a.bin")
	run := func(in []byte, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Stdin = bytes.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run([]byte(".globl _start\n_start:\n"+src), "as", "--64", "-o", obj, "-")
	run(nil, "ld", "-Ttext=0x10000000", "-o", elf, obj)
	run(nil, "objcopy", "-O", "binary", "-j", ".text", elf, bin)
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
