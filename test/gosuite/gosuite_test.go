// Package gosuite runs Go's own tests of its standard library under Hythe, built for
// each system that a machine hosts. packages.tsv names the packages, skips.tsv the tests
// that are not expected to pass, with the reason. Linux's are run natively too, and what
// passes natively must pass in the guest; for the other systems, whose machines are not
// here to compare with, whatever runs must pass.
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

// systems are those whose tests are run, by their GOOS, as packages.tsv has columns.
var systems = []string{"linux", "freebsd", "netbsd", "dragonfly", "plan9", "wasip1"}

// suite is one row of packages.tsv.
type suite struct {
	pkg   string
	limit time.Duration     // of one run: a hang is what it catches, not slowness
	when  map[string]string // by system: always, long (only in HYTHE_LONG runs) or no
}

func suites(t *testing.T) []suite {
	t.Helper()
	var all []suite
	for _, f := range subject.Rows(t, "packages.tsv", 2+len(systems)) {
		sec, err := strconv.Atoi(f[1])
		s := suite{f[0], time.Duration(sec) * time.Second, map[string]string{}}
		for i, when := range f[2:] {
			if s.when[systems[i]] = when; err != nil || when != "always" && when != "long" && when != "no" {
				t.Fatalf("packages.tsv: %s: want seconds, and always, long or no", s.pkg)
			}
		}
		all = append(all, s)
	}
	return all
}

// row is one of skips.tsv.
type row struct {
	test, reason string // a subtest's name has its test's before it
}

// rowsOf reads the rows of one package on one system.
func rowsOf(t *testing.T, system, pkg string) []row {
	t.Helper()
	var rows []row
	for _, f := range subject.Rows(t, "skips.tsv", 4) {
		if f[0] == pkg && slices.Contains(strings.Split(f[2], ","), system) {
			rows = append(rows, row{f[1], f[3]})
		}
	}
	return rows
}

// pattern is what -test.run and -test.skip take for the row's test alone.
func (r row) pattern() string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(r.test), "/", "$/^") + "$"
}

// verdict is how package testing tells how a test ended, with the mark that what a test
// prints has not (-test.v=test2json).
var verdict = regexp.MustCompile(`\x16--- (PASS|FAIL|SKIP): (\S+) \(`)

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

// before is what was printed last when a test failed.
func (o outcome) before(test string) string {
	text, _, found := strings.Cut(o.text, "\x16--- FAIL: "+test+" (")
	if !found {
		return ""
	}
	return tail(text[max(0, len(text)-1500):])
}

// tail is the end of a text, for a report.
func tail(s string) string {
	const most = 6000
	if len(s) > most {
		s = "...\n" + s[len(s)-most:]
	}
	return s
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
// background job), as the guest has them: tests send themselves SIGINT. What was found
// goes to the table.
func TestMain(m *testing.M) {
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	code := m.Run()
	if err := writeTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestGoSuite(t *testing.T) {
	bin, src := subject.Binary(t), filepath.Join(goEnv(t, "GOROOT"), "src")
	all := suites(t)
	for _, system := range systems {
		t.Run(system, func(t *testing.T) {
			for _, s := range all {
				if s.when[system] == "no" {
					continue
				}
				t.Run(s.pkg, func(t *testing.T) {
					if s.when[system] == "long" && !subject.Long() {
						t.Skip("only with HYTHE_LONG=1")
					}
					s.try(t, system, bin, src)
				})
			}
		})
	}
}

// build builds the package's tests for a system; "": it has none there.
func (s suite) build(t *testing.T, system string) string {
	t.Helper()
	dir, done, err := subject.Scratch() // another user runs it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	prog := filepath.Join(dir, "a.test")
	args := []string{"test", "-c"}
	if s.pkg != "runtime" { // as go test links what it runs itself
		args = append(args, "-ldflags=-s -w")
	}
	subject.Build(t, prog, system, append(args, s.pkg)...)
	if _, err := os.Stat(prog); err != nil {
		return ""
	}
	return prog
}

// try runs the tests of a package on a system.
func (s suite) try(t *testing.T, system, bin, src string) {
	prog := s.build(t, system)
	if prog == "" {
		t.Fatalf("packages.tsv: %s has no tests on %s", s.pkg, system)
	}
	// The tests read testdata of their package, and their sources.
	dir := filepath.Join(src, filepath.FromSlash(s.pkg))
	args := []string{prog, "-test.v=test2json", "-test.short", "-test.timeout=" + s.limit.String()}
	guest := func(more string) outcome {
		user, home := asMe(), "HOME"
		if system == "plan9" && os.Getuid() == 0 {
			user, home = "1000:1000", "HOME=/tmp" // permissions hold for all users there, and the tests know that
		}
		argv := []string{bin, "run", "-u", user, "-w", dir, "-e", "PATH", "-e", home, "-e", "PWD=" + dir}
		if system != "linux" { // some tests build programs
			argv = append(argv, "-e", "GOOS="+system, "-e", "CGO_ENABLED=0")
		}
		return run(t, dir, s.limit+10*time.Second, append(append(append(argv, "--"), args...), more)...)
	}
	// What a row covers runs alone: one that ends the process would take the
	// others' verdicts along.
	rows := rowsOf(t, system, s.pkg)
	not := []string{"^$"}
	for _, r := range rows {
		not = append(not, r.pattern())
	}
	got := guest("-test.skip=" + strings.Join(not, "|"))
	wrong := func(name, what string) {
		if !slices.ContainsFunc(rows, func(r row) bool { return strings.HasPrefix(name+"/", r.test+"/") }) {
			t.Errorf("%s/%s: %s", s.pkg, name, what)
		}
	}
	expected := 0 // the exit status
	if system == "linux" {
		native := run(t, dir, s.limit+10*time.Second, args...)
		expected = native.code
		for name, v := range native.tests {
			if g := got.tests[name]; v == "PASS" && g != "PASS" {
				wrong(name, "passes natively, in the guest: "+g+"\n"+got.before(name))
			}
		}
	} else {
		for name, v := range got.tests {
			if v == "FAIL" {
				wrong(name, "fails:\n"+got.before(name))
			}
		}
	}
	// Exit 1 is that of failed tests, of which each has been looked at; any other is a
	// crash or a hang.
	if got.code != expected && got.code != 0 && (got.code != 1 || expected == 0 && !t.Failed()) {
		t.Errorf("exit %d, want %d (-1: time ran out)", got.code, expected)
	}
	if t.Failed() {
		t.Logf("guest:\n%s", tail(got.text))
	}
	for _, r := range rows {
		alone := guest("-test.run=" + r.pattern())
		switch v := alone.tests[r.test]; {
		case v == "" && alone.code == 0:
			t.Errorf("skips.tsv: %s/%s is no test any more on %s", s.pkg, r.test, system)
		case v == "PASS" || v == "SKIP" && system != "linux": // where what passes natively has to pass
			t.Errorf("skips.tsv: %s/%s on %s: %s: the row is needed no more", s.pkg, r.test, system, v)
		case alone.code != 0 && alone.code != 1 && !alone.panics():
			t.Errorf("skips.tsv: %s/%s on %s: exit %d (-1: its time ran out), which no row may be for:\n%s", s.pkg, r.test, system, alone.code, tail(alone.text))
		}
	}
	passed, left := 0, 0
	for name, v := range got.tests {
		switch {
		case strings.Contains(name, "/"):
		case v == "PASS":
			passed++
		case v == "SKIP":
			left++
		}
	}
	if passed+left == 0 {
		t.Errorf("no test runs:\n%s", tail(got.text))
	}
	t.Logf("%d tests pass, %d leave themselves out, %d have rows", passed, left, len(rows))
	if !t.Failed() {
		note(result{system, s.pkg, passed, left, len(rows)})
	}
}
