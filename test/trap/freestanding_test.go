package trap

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the library may call outside itself: copies and fills (which look at
// nothing but flags that are zero in its image), the stubs of Go's stack and
// bounds checks (which end the task), and code addresses in registers, which
// are the hand-made closures.
var allowedCalls = regexp.MustCompile(`^(hythe/emul\.|runtime\.(memmove|memclrNoHeapPointers|memequal|morestack_noctxt|morestack|panicBounds|panicdivide|duffzero|duffcopy)(\.abi0)?\(SB\)|(AX|BX|CX|DX|SI|DI|BP|R8|R9|R10|R11|R12|R13)$)`)

// Host-side functions of package emul, which may do what Go code does.
var hostSide = regexp.MustCompile(`^hythe/emul\.Entries(\.abi0)?$`)

// routines are the library's assembly, whose names are local to the file.
var routines = []string{"sigEntry", "restorer", "hostCall", "waitCall", "copyBytes", "zeroBytes", "store32", "fixup", "spin", "getFS", "setFS", "cloneThread", "startTrap", "bootEntry",
	"getGS", "setGS", "siteStubs", "storeStubs", "siteStore", "siteEntry", "siteSelf", "siteLoad", "siteSlow", "siteExit", "sitePromote"}

// TestFreestanding disassembles the emulation library as the ordinary build
// makes it and fails on everything that cannot work in a guest's address
// space (DESIGN 4): calls that leave it, thread-local storage, jumps through
// tables, absolute addresses, vector extensions and the x87.
func TestFreestanding(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("go", "build", "-o", bin, "./testdata/image").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.Command("go", "tool", "objdump", "-s", `^(hythe/emul\.|`+strings.Join(routines, "$|")+`$)`, bin).Output()
	if err != nil {
		t.Fatalf("go tool objdump: %v", err)
	}
	funcs, ops := 0, 0
	seen := map[string]bool{}
	name := ""
	sc := bufio.NewScanner(bytes.NewReader(out))
	for sc.Scan() {
		line := sc.Text()
		if rest, ok := strings.CutPrefix(line, "TEXT "); ok {
			name, _, _ = strings.Cut(rest, "(SB)")
			seen[name] = true
			funcs++
			continue
		}
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) < 4 || hostSide.MatchString(name) {
			continue
		}
		var text []string
		for _, s := range f[3:] {
			if s = strings.TrimSpace(s); s != "" {
				text = append(text, s)
			}
		}
		ops++
		if bad := forbidden(name, strings.Join(text, " "), f[2]); bad != "" {
			t.Errorf("%s: %s: %s", name, bad, line)
		}
	}
	for _, n := range append(routines, "hythe/emul.Handle", "hythe/emul.Boot", "hythe/emul.ThreadStart", "hythe/emul.trap") {
		if !seen[n] {
			t.Errorf("%s is not in the binary: the test looks at the wrong thing", n)
		}
	}
	t.Logf("%d functions, %d instructions", funcs, ops)
}

// forbidden says what is wrong with an instruction of function name, given its bytes in hex.
func forbidden(name, ins, hex string) string {
	op, args, _ := strings.Cut(ins, " ")
	switch {
	case strings.Contains(ins, "FS:") || strings.Contains(ins, "GS:") && name != "siteSelf":
		return "thread-local storage"
	case op == "?" && hex != "f3480faec0" && hex != "f3480faed0" && hex != "f3480faec8" && hex != "f3480faed8": // RDFSBASE, WRFSBASE, RDGSBASE, WRGSBASE AX
		return "unknown instruction (VEX?)"
	case op == "CALL":
		if !allowedCalls.MatchString(args) {
			return "call that leaves the library"
		}
	case op == "JMP":
		if site := regexp.MustCompile(`^site(Entry|Store|Self|Load|Slow|Exit|Promote)\(SB\)$`); site.MatchString(args) {
			return ""
		}
		if name == "siteExit" && args == "CX" { // back to the guest
			return ""
		}
		if !regexp.MustCompile(`^(0x[0-9a-f]+|hythe/emul\.\S*\(SB\))$`).MatchString(args) {
			return "jump through a register or table"
		}
	case strings.HasPrefix(op, "V") && op != "VERR" && op != "VERW":
		return "vector extension"
	case strings.HasPrefix(op, "F") && op != "FWAIT":
		return "x87"
	}
	// An address of the link-time image as an immediate operand.
	if m := regexp.MustCompile(`\$0x([0-9a-f]{6,8})\b`).FindStringSubmatch(ins); m != nil && op == "LEAQ" {
		return "absolute address"
	}
	return ""
}
