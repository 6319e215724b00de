// Package wasi tries WebAssembly modules as programs of a machine: the same sources are
// built for wasip1 and for linux, and what they do must be the same.
package wasi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hythe"
	"hythe/test/subject"
)

// m is the machine of all tests; work is the host's directory that it has at /w.
var (
	m    *hythe.Machine
	work string
)

func TestMain(t *testing.M) {
	hythe.Main()
	os.Exit(run(t))
}

func run(t *testing.M) int {
	dir, done, err := subject.Scratch()
	if err == nil {
		defer done()
		work = dir
		var engine string
		if engine, err = filepath.Abs("../../bin/hythe-wasi"); err == nil {
			m, err = hythe.New(context.Background(), hythe.Config{WASI: engine, Mounts: []hythe.Mount{{Source: work, Target: "/w"}}})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, "(run make build)")
		return 1
	}
	defer m.Close()
	return t.Run()
}

// limit bounds one program.
const limit = 60 * time.Second

// result is what a program wrote and how it ended.
type result struct {
	out, errs string
	status    int
}

// guest runs a program on the machine.
func guest(t *testing.T, in string, c *hythe.Cmd) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return guestIn(ctx, t, in, c)
}

func guestIn(ctx context.Context, t *testing.T, in string, c *hythe.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if in != "" {
		c.Stdin = bytes.NewReader([]byte(in))
	}
	if len(c.Args) > 0 && c.Path == "" {
		c.Path = c.Args[0]
	}
	err := m.Run(ctx, c)
	r := result{out.String(), errs.String(), 0}
	var x *hythe.ExitError
	switch {
	case errors.As(err, &x) && x.Signal != 0:
		r.status = 128 + x.Signal
	case errors.As(err, &x):
		r.status = x.Code
	case err != nil:
		t.Fatalf("%q: %v; out %q, err %q", c.Args, err, r.out, r.errs)
	}
	return r
}

// build builds a program of testdata for an operating system and answers its name below
// work.
func build(t *testing.T, name, goos string) string {
	t.Helper()
	out := name + "." + goos
	if _, err := os.Stat(filepath.Join(work, out)); err == nil {
		return out
	}
	subject.Build(t, filepath.Join(work, out), goos, "build", "-ldflags=-s -w", "./testdata/"+name)
	return out
}

// tool is a module and the same program for Linux, below work.
func tool(t *testing.T) (module, native string) {
	return build(t, "tool", "wasip1"), build(t, "tool", "linux")
}

// TestSame runs the same program as a module and natively.
func TestSame(t *testing.T) {
	mod, native := tool(t)
	for _, c := range []struct {
		in   string
		args []string
	}{
		{"", []string{"hello"}},
		{"", []string{"hello", "a", "", "b c"}},
		{"", []string{"exit", "0"}},
		{"", []string{"exit", "77"}},
		{"", []string{"exit", "255"}},
		{"one\ntwo\nthree", []string{"upper"}},
		{strings.Repeat("a long line of text\n", 20000), []string{"upper"}},
		{"", []string{"many"}},
		{"", []string{"timers"}},
		{"", []string{"files", "scratch"}},
		{"", []string{"cat", "given", "/w/given", "./given", "none", "/proc/version"}},
	} {
		t.Run(strings.Join(c.args[:min(len(c.args), 2)], "-"), func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(work, "given"), []byte("given\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			args := slices.Clone(c.args)
			env := []string{"GREETING=hey", "HOME=/root"}
			got := guest(t, c.in, &hythe.Cmd{Path: "/w/" + mod, Args: append([]string{"x"}, args...), Env: append(env, "GODEBUG=inittrace=1"), Dir: "/w"})
			for i, a := range args {
				args[i] = strings.Replace(a, "/w/", work+"/", 1)
			}
			n := exec.Command(filepath.Join(work, native), args...)
			n.Env, n.Dir = env, work
			if c.in != "" {
				n.Stdin = strings.NewReader(c.in)
			}
			out, _, status := subject.Run(t, limit, n)
			if slices.Contains(args, "/proc/version") { // the machine's own
				out, got.out = out[:strings.LastIndex(out, "Linux")], got.out[:max(strings.LastIndex(got.out, "Linux"), 0)]
			}
			if got.out != out || got.status != status {
				t.Errorf("status %d, out %s\nnatively %d, %s\nerr %q", got.status, tail(got.out), status, tail(out), got.errs)
			}
		})
	}
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// TestEnvironment: a module has its program's environment, and PWD besides.
func TestEnvironment(t *testing.T) {
	mod, _ := tool(t)
	got := guest(t, "", &hythe.Cmd{Path: "/w/" + mod, Args: []string{"x", "env"}, Env: []string{"A=1", "PWD=/nowhere", "GOGC=off"}, Dir: "/w"})
	if want := "A=1\nGOGC=off\nPWD=/w\n/w <nil>\n"; got.out != want || got.errs != "" {
		t.Errorf("out %q, want %q; err %q", got.out, want, got.errs)
	}
}

// TestShell: programs of Linux and modules in each other's company.
func TestShell(t *testing.T) {
	mod, _ := tool(t)
	for _, c := range []struct{ script, out string }{
		{`printf 'b\na\nc\n' | ./MOD upper | sort`, "A\nB\nC\n"},
		{`./MOD many | tail -n 2`, "line 99999\n<nil>\n"},
		{`./MOD many | ./MOD upper | grep -c LINE`, "100000\n"},
		{`yes | ./MOD upper | head -n 2`, "Y\nY\n"},
		{`./MOD exit 3; echo $?; ./MOD exit 0 && echo yes`, "3\nyes\n"},
		{`PATH=/w; MOD hello`, "hello [] \n"},
		{`echo data >given; exec ./MOD cat given`, "data\n<nil>\n"},
		{`./MOD cat /dev/stdin <given`, "data\n<nil>\n"},
		{`./MOD errors 2>&1 >/dev/null | head -n 1`, "to stderr\n"},
		{`./MOD sleep & read -t 0; kill -9 $!; wait $!; echo $?`, "137\n"},
		{`ln -sf MOD link; ./link exit 5; echo $?; rm link`, "5\n"},
		{`cp MOD noexec; chmod 644 noexec; ./noexec 2>/dev/null; echo $?; rm noexec`, "126\n"},
		{`(ulimit -v 2000000; ./MOD hello)`, "hello [] \n"},
		{`cat /proc/self/comm; ./MOD cat /proc/self/comm`, "cat\nMOD\n<nil>\n"},
	} {
		fill := strings.NewReplacer("MOD", mod)
		got := guest(t, "", &hythe.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", fill.Replace(c.script)}, Dir: "/w"})
		if got.out != fill.Replace(c.out) {
			t.Errorf("%s: out %q, want %q; status %d, err %q", c.script, got.out, c.out, got.status, got.errs)
		}
	}
}

// TestSignals: what ends a Linux program ends a module, in a call and in a loop.
func TestSignals(t *testing.T) {
	mod, _ := tool(t)
	for _, c := range []struct {
		what string
		sig  int
	}{{"sleep", 15}, {"sleep", 3}, {"loop", 2}, {"loop", 9}, {"loop", 6}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Start(context.Background(), &hythe.Cmd{Path: "/w/" + mod, Args: []string{mod, c.what}, Stdout: w})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(r).ReadString('\n')
		if line != "ready\n" {
			t.Errorf("%s: %q, %v", c.what, line, err)
		}
		list, err := m.Processes(context.Background())
		if !slices.ContainsFunc(list, func(i hythe.ProcessInfo) bool {
			return i.PID == p.PID() && i.Personality == "wasi" && slices.Equal(i.Args, []string{mod, c.what})
		}) {
			t.Errorf("%s is not in %+v (%v)", c.what, list, err)
		}
		if err := p.Signal(c.sig); err != nil {
			t.Error(err)
		}
		var x *hythe.ExitError
		if err := p.Wait(); !errors.As(err, &x) || x.Signal != c.sig {
			t.Errorf("%s, signal %d: %v", c.what, c.sig, err)
		}
		r.Close()
	}
}
