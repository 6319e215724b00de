package bsd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// verdict is a line by which package testing tells how a test ended.
var verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

// TestGoSuite runs Go's own tests, built for each system: every test passes, or is skipped
// by itself, or has a row in skips.tsv. packages.tsv names the packages.
func TestGoSuite(t *testing.T) { each(t, goSuite) }

func goSuite(t *testing.T, goos string) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), "src")
	skip := subject.Skips(t)
	for _, f := range subject.Rows(t, "packages.tsv", 3) {
		pkg, when := f[0], f[1]
		sec, err := strconv.Atoi(f[2])
		if err != nil || when != "always" && when != "long" {
			t.Fatalf("packages.tsv: %s: want always or long, and seconds", pkg)
		}
		t.Run(pkg, func(t *testing.T) {
			// In short runs the first system stands for all: what they share is the most of it.
			if (when == "long" || goos != systems[0]) && !subject.Long() {
				t.Skip("only with HYTHE_LONG=1")
			}
			prog := filepath.Join(t.TempDir(), "a.test")
			build := exec.Command("go", "test", "-c", "-o", prog, pkg)
			build.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
			if b, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go test -c: %v\n%s", err, b)
			}
			not := []string{"^$"}
			for name := range skip {
				if rest, ok := strings.CutPrefix(name, goos+"/"+pkg+"/"); ok && rest[0] >= 'A' && rest[0] <= 'Z' {
					not = append(not, "^"+strings.ReplaceAll(regexp.QuoteMeta(rest), "/", "$/^")+"$")
				}
			}
			slices.Sort(not)
			dir := filepath.Join(src, filepath.FromSlash(pkg))
			own := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
			c := exec.Command(subject.Binary(t), "run", "-u", own, "-w", dir, "-e", "PATH", "-e", "HOME", "-e", "PWD="+dir,
				"-e", "GOOS="+goos, "-e", "CGO_ENABLED=0", "--", // some tests build programs
				prog, "-test.v", "-test.short", "-test.timeout="+f[2]+"s", "-test.skip="+strings.Join(not, "|"))
			text, errs, status := subject.Run(t, time.Duration(sec+10)*time.Second, c)
			n := map[string]int{}
			for _, m := range verdict.FindAllStringSubmatch(text, -1) {
				n[m[1]]++
				if m[1] == "FAIL" {
					t.Errorf("%s/%s fails", pkg, m[2])
				}
			}
			if status != 0 || n["PASS"] == 0 {
				t.Errorf("status %d, %d pass\n%s%s", status, n["PASS"], tail(text), tail(errs))
			}
			t.Logf("%d pass, %d skipped", n["PASS"], n["SKIP"])
		})
	}
}

// tail is the end of a text, for a report.
func tail(s string) string { return s[max(0, len(s)-3000):] }
