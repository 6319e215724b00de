package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestPrograms runs the programs of testdata/programs, each of which prints what
// many variants of the calls of one area answer, natively and as guests; those on
// mapped files in a directory of the host, too.
func TestPrograms(t *testing.T) {
	bin := subject.Binary(t)
	subject.Need(t, "/usr/bin/gcc")
	sources, err := filepath.Glob("testdata/programs/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal("no programs", err)
	}
	made := t.TempDir()
	for _, src := range sources {
		name := strings.TrimSuffix(filepath.Base(src), ".c")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prog := filepath.Join(made, name)
			if out, err := exec.Command("gcc", "-O1", "-w", "-static", "-pthread", "-o", prog, src).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			nd, gd := t.TempDir(), t.TempDir()
			native := run(t, []string{prog}, nd, env(nd))
			if native.out == "" {
				t.Errorf("native: nothing printed, exit %d, %s", native.code, native.err)
			}
			native.out = strings.ReplaceAll(native.out, nd, gd)
			argv := []string{bin, "run", "-u", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "-w", gd}
			ways := [][]string{nil}
			if name == "truncate" || name == "cutting" || name == "overwrite" {
				ways = append(ways, []string{"-v", gd + ":" + gd})
			}
			for _, way := range ways {
				guest := run(t, slices.Concat(argv, way, []string{"--", prog}), nd, env(nd))
				// A program whose file is cut while it is started is a line of the log.
				guest.err = regexp.MustCompile(`(?m)^hythe: unix: start of program: .*\n`).ReplaceAllString(guest.err, "")
				if native != guest {
					t.Errorf("native and guest differ %v: exit %d and %d\n%s%s%s", way, native.code, guest.code, differ(native.out, guest.out), native.err, guest.err)
				}
			}
		})
	}
}

// differ shows the lines of a and b that are not the same.
func differ(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var s strings.Builder
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(x) > 0 && len(y) > 0 && x[0] == y[0]:
			x, y = x[1:], y[1:]
			continue
		case len(y) > 0 && (len(x) == 0 || find(x, y[0]) > find(y, x[0])):
			fmt.Fprintf(&s, "guest:  %s\n", y[0])
			y = y[1:]
		default:
			fmt.Fprintf(&s, "native: %s\n", x[0])
			x = x[1:]
		}
	}
	return s.String()
}

// find answers how far line is from the beginning.
func find(lines []string, line string) int {
	for i, l := range lines {
		if l == line {
			return i
		}
	}
	return len(lines)
}
