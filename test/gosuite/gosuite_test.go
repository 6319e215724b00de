// Package gosuite runs Go's own tests of its standard library natively and
// under Hythe: a test that passes natively must pass in the guest.
// packages.tsv names the packages, skips.tsv the tests that are not expected
// to pass yet, with the reason.
package gosuite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// suite is one row of packages.tsv.
type suite struct {
	pkg   string
	long  bool          // only in HYTHE_LONG runs
	limit time.Duration // of one side: a hang is what it catches, not slowness
}

func suites(t *testing.T) []suite {
	t.Helper()
	var all []suite
	for _, f := range subject.Rows(t, "packages.tsv", 3) {
		sec, err := strconv.Atoi(f[2])
		if err != nil || f[1] != "always" && f[1] != "long" {
			t.Fatalf("packages.tsv: %s: want always or long, and seconds", f[0])
		}
		all = append(all, suite{f[0], f[1] == "long", time.Duration(sec) * time.Second})
	}
	return all
}

// maxSkips bounds skips.tsv.
const maxSkips = 20

// skips are the rows of skips.tsv: PACKAGE/TEST to the reason.
func skips(t *testing.T) map[string]string {
	t.Helper()
	m := subject.Skips(t)
	if len(m) > maxSkips {
		t.Fatalf("skips.tsv: %d rows, at most %d", len(m), maxSkips)
	}
	return m
}

// verdict is a line by which package testing tells how a test ended.
var verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

type outcome struct {
	code  int // of the process; -1: its time ran out
	tests map[string]string
	text  string
}

// panics says whether the test's own code ended the process, as examples do that
// cannot report an error; what the runtime finds wrong is a crash.
func (o outcome) panics() bool {
	return o.code == 2 && strings.Contains(o.text, "\npanic: ") &&
		!strings.Contains(o.text, "\nfatal error: ") && !strings.Contains(o.text, "\n[signal ")
}

// run runs argv in dir and reads the verdicts.
func run(t *testing.T, dir string, limit time.Duration, argv ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as the guest's program: whoever runs the tests shall not matter
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	o := outcome{cmd.ProcessState.ExitCode(), map[string]string{}, out.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		o.code = 128 + int(ws.Signal())
	}
	if ctx.Err() != nil {
		o.code = -1
	}
	for _, m := range verdict.FindAllStringSubmatch(o.text, -1) {
		o.tests[m[2]] = m[1]
	}
	return o
}

// tail is the end of a text, for a report.
func tail(s string) string {
	const most = 6000
	if len(s) > most {
		s = "...\n" + s[len(s)-most:]
	}
	return s
}

// rowsOf are the rows of one package, by the test's name: a package's name ends
// before the first part that begins with a capital letter.
func rowsOf(rows map[string]string, pkg string) map[string]string {
	m := map[string]string{}
	for k, why := range rows {
		if name, ok := strings.CutPrefix(k, pkg+"/"); ok && name[0] >= 'A' && name[0] <= 'Z' {
			m[name] = why
		}
	}
	return m
}

// skipped says whether a row covers the test or one that it is part of.
func skipped(rows map[string]string, pkg, test string) (string, bool) {
	for {
		if why, ok := rows[pkg+"/"+test]; ok {
			return why, true
		}
		i := strings.LastIndexByte(test, '/')
		if i < 0 {
			return "", false
		}
		test = test[:i]
	}
}

// asMe is who runs the tests, for the guest to be the same.
func asMe() string { return fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()) }

// goEnv is a variable of the go command.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	v, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(v))
}

// TestMain gives the native side the signals that its starter ignores (a shell's
// background job), as the guest has them: tests send themselves SIGINT.
func TestMain(m *testing.M) {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}

func TestGoSuite(t *testing.T) {
	long := subject.Long()
	bin := subject.Binary(t)
	goroot := goEnv(t, "GOROOT")
	skip := skips(t)
	all := suites(t)
	for k := range skip {
		if !slices.ContainsFunc(all, func(s suite) bool { return len(rowsOf(map[string]string{k: ""}, s.pkg)) > 0 }) {
			t.Errorf("skips.tsv: %s is in no package of packages.tsv", k)
		}
	}
	for _, s := range all {
		t.Run(s.pkg, func(t *testing.T) {
			if s.long && !long {
				t.Skip("only with HYTHE_LONG=1")
			}
			prog := filepath.Join(t.TempDir(), "a.test")
			build := exec.Command("go", "test", "-c", "-o", prog, s.pkg)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("go test -c: %v\n%s", err, out)
			}
			// The tests read testdata of their package, and their sources.
			dir := filepath.Join(goroot, "src", filepath.FromSlash(s.pkg))
			args := []string{prog, "-test.v", "-test.short", "-test.timeout=" + s.limit.String()}
			covered := rowsOf(skip, s.pkg)
			// Names that a row covers do not run in the guest: one that ends
			// the process would take the others' verdicts along.
			not := []string{"^$"}
			for name := range covered {
				if !strings.Contains(name, "/") {
					not = append(not, "^"+regexp.QuoteMeta(name)+"$")
				}
			}
			slices.Sort(not)
			native := run(t, dir, s.limit+10*time.Second, args...)
			inGuest := func(more ...string) outcome {
				argv := append([]string{bin, "run", "-u", asMe(), "-w", dir, "-e", "PATH", "-e", "HOME", "--"}, args...)
				return run(t, dir, s.limit+10*time.Second, append(argv, more...)...)
			}
			guest := inGuest("-test.skip=" + strings.Join(not, "|"))
			// They run alone: a row that is needed no more is an error, and
			// so is one for a crash or a hang.
			for name := range covered {
				g := guest
				if top, _, sub := strings.Cut(name, "/"); !sub {
					g = inGuest("-test.run=^" + regexp.QuoteMeta(top) + "$")
				}
				switch {
				case native.tests[name] == "":
					t.Errorf("skips.tsv: %s/%s is no test any more", s.pkg, name)
				case g.tests[name] == "PASS":
					t.Errorf("skips.tsv: %s/%s passes: the row is needed no more", s.pkg, name)
				case g.code != 0 && g.code != 1 && !g.panics():
					t.Errorf("skips.tsv: %s/%s: exit %d in the guest (-1: its time ran out), which no row may be for:\n%s", s.pkg, name, g.code, tail(g.text))
				}
			}
			passed := 0
			for name, v := range native.tests {
				if v != "PASS" {
					continue
				}
				passed++
				if _, ok := skipped(skip, s.pkg, name); ok {
					continue
				}
				if g := guest.tests[name]; g != "PASS" {
					if g == "" {
						g = "no verdict"
					}
					t.Errorf("%s/%s: passes natively, in the guest: %s", s.pkg, name, g)
				}
			}
			if passed == 0 {
				t.Errorf("no test passes natively:\n%s", tail(native.text))
			}
			// Exit 1 is that of failed tests, which have been compared; any
			// other is a crash or a hang.
			if guest.code != native.code && guest.code != 0 && guest.code != 1 {
				t.Errorf("native exit %d, guest exit %d (-1: time ran out)", native.code, guest.code)
			}
			if t.Failed() {
				t.Logf("guest:\n%s", tail(guest.text))
			}
			t.Logf("%d tests pass natively", passed)
		})
	}
}
