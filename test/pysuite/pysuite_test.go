// Package pysuite runs modules of Python's own test suite natively and under
// Hythe and compares the results test by test: what passes natively passes, or
// stands in skips.tsv with a reason. Only with HYTHE_LONG=1.
package pysuite

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

var modules = []string{
	"test_os", "test_posix", "test_subprocess", "test_signal", "test_threading", "test_mmap",
	"test_select", "test_epoll", "test_tempfile", "test_shutil", "test_sqlite3",
	"test_socket", "test_ssl", "test_asyncio", "test_asyncore", "test_socketserver", "test_ftplib", "test_smtplib",
	"test_httplib", "test_httpservers", "test_urllib2_localnet", "test_xmlrpc",
}

// flags of regrtest that a module needs.
var flags = map[string][]string{
	// Where the host has sockets of this kind their tests may wait for ever; a machine has none.
	"test_socket":       {"-i", "*VSOCK*"},
	"test_socketserver": {"-u", "network"},
}

// moduleTime bounds one side of a module; its end is a failure.
const moduleTime = 10 * time.Minute

// outcome of one test: ok, skipped, FAIL or ERROR.
type outcome string

// report is what regrtest --junit-xml writes.
type report struct {
	Suites []struct {
		Cases []struct {
			Name    string    `xml:"name,attr"`
			Status  string    `xml:"status,attr"`
			Result  string    `xml:"result,attr"`
			Skipped *struct{} `xml:"skipped"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// results reads a report: the outcome of each test that ran.
func results(name string) (map[string]outcome, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r report
	if err := xml.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	m := map[string]outcome{}
	for _, s := range r.Suites {
		for _, c := range s.Cases {
			o := outcome("ok")
			switch {
			case c.Error != nil:
				o = "ERROR"
			case c.Failure != nil:
				o = "FAIL"
			case c.Skipped != nil || c.Result == "skipped" || c.Status == "notrun":
				o = "skipped"
			}
			m[strings.TrimPrefix(c.Name, "test.")] = o
		}
	}
	return m, nil
}

// python answers an interpreter that has the module: the system's, else the
// first one in PATH.
func python(module string) string {
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		out, err := exec.Command(p, "-c", "import sys, importlib.util as u; print(sys.executable if u.find_spec('test."+module+"') else '')").Output()
		if p := strings.TrimSpace(string(out)); err == nil && p != "" {
			return p
		}
	}
	return ""
}

// run runs argv to its end, at most moduleTime long, and answers the end of what it wrote.
func run(argv []string, dir string, env []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), moduleTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as the guest's program: whoever runs the tests shall not matter
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	tail := out.String()
	tail = tail[max(0, len(tail)-4000):]
	var ee *exec.ExitError
	if ctx.Err() != nil {
		return tail, fmt.Errorf("it did not end within %v", moduleTime)
	}
	if errors.As(err, &ee) && ee.Exited() {
		return tail, nil // the report says which tests failed
	}
	return tail, err
}

func TestModules(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1")
	}
	bin := subject.Binary(t)
	skips := readSkips(t)
	for _, m := range modules {
		t.Run(m, func(t *testing.T) {
			py := python(m)
			if py == "" {
				t.Fatalf("no python3 here has test.%s: make deps installs one", m)
			}
			// What the host's files say of its name shall be true in the machine.
			host, err := os.Hostname()
			if err != nil {
				t.Fatal(err)
			}
			base := t.TempDir()
			side := func(name string, prefix ...string) (map[string]outcome, string) {
				dir := filepath.Join(base, name)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8", "TERM=dumb", "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1"}
				argv := append([]string{py, "-m", "test", "-v", "--junit-xml", filepath.Join(dir, "r.xml")}, append(flags[m], m)...)
				if len(prefix) > 0 {
					argv0 := append(prefix, "-v", dir+":"+dir, "-w", dir, "--env-clear", "--hostname", host, "-u", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()))
					for _, e := range env {
						argv0 = append(argv0, "-e", e)
					}
					argv, env = append(append(argv0, "--"), argv...), os.Environ()
				}
				out, err := run(argv, dir, env)
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, out)
				}
				r, err := results(filepath.Join(dir, "r.xml"))
				if err != nil {
					t.Fatalf("%s: it left no results: %v\n%s", name, err, out)
				}
				return r, out
			}
			native, _ := side("native")
			guest, out := side("guest", bin, "run")
			compare(t, m, native, guest, skips, out)
		})
	}
}

func compare(t *testing.T, module string, native, guest map[string]outcome, skips []skip, out string) {
	var names []string
	passed := 0
	for n, o := range native {
		if o == "ok" {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	used := map[string]bool{}
	for _, n := range names {
		g := guest[n]
		if g == "ok" {
			passed++
			continue
		}
		if g == "" {
			g = "not run"
		}
		why := ""
		for _, s := range skips {
			if s.matches(n) {
				why, used[s.name] = s.why, true
			}
		}
		if why == "" {
			t.Errorf("%s: native ok, guest %s", n, g)
		}
	}
	if t.Failed() {
		t.Logf("the guest's last lines:\n%s", out)
	}
	for _, s := range skips {
		if strings.HasPrefix(s.name, module+".") && !used[s.name] {
			t.Errorf("skips.tsv: %s passes, or is no test that passes natively: take the row out", s.name)
		}
	}
	t.Logf("%s: %d tests pass natively, %d of them under Hythe", module, len(names), passed)
}

type skip struct{ name, why string }

func (s skip) matches(test string) bool {
	if p, ok := strings.CutSuffix(s.name, "*"); ok {
		return strings.HasPrefix(test, p)
	}
	return s.name == test
}

// readSkips reads skips.tsv: test (a last * stands for the rest) and reason.
func readSkips(t *testing.T) []skip {
	var all []skip
	for name, why := range subject.Skips(t) {
		all = append(all, skip{name, why})
	}
	return all
}
