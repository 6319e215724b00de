// Package embed uses machines as a Go program does that embeds them: package
// hythe in this process, which is the servers' program too.
package embed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
)

func TestMain(m *testing.M) {
	hythe.Main(ledgers...)
	os.Exit(m.Run())
}

// limit of one test: it is for hangs.
const limit = time.Minute

func machine(t *testing.T) (context.Context, *hythe.Machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	m, err := hythe.New(ctx, hythe.Config{Pids: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, m
}

func sh(script string) *hythe.Cmd { return &hythe.Cmd{Path: "sh", Args: []string{"sh", "-c", script}} }

// run is a program's standard output, and its end.
func run(t *testing.T, m *hythe.Machine, c *hythe.Cmd) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout = &out
	err := m.Run(t.Context(), c)
	return out.String(), err
}

// TestRuns: programs come and go, see each other's files, and their streams are
// whatever reads and writes.
func TestRuns(t *testing.T) {
	ctx, m := machine(t)
	want := ""
	for range 3 {
		want += "hello\n"
		c := sh("echo hello >>/dev/shm/log; cat /dev/shm/log; cat; echo oops >&2; exit 3")
		var out, errs bytes.Buffer
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader("input\n"), &out, &errs
		err := m.Run(ctx, c)
		var exit *hythe.ExitError
		if !errors.As(err, &exit) || exit.Code != 3 || out.String() != want+"input\n" || errs.String() != "oops\n" {
			t.Errorf("%v, %q, %q", err, out.String(), errs.String())
		}
	}
	if err := m.Run(ctx, &hythe.Cmd{Path: "/no/such"}); hythe.ExitCode(err) != hythe.ExitNotFound {
		t.Errorf("no program: %v", err)
	}
}

// TestNoInit: what a program leaves behind goes on without it, belongs to nobody,
// and nobody has to bury it.
func TestNoInit(t *testing.T) {
	_, m := machine(t)
	out, err := run(t, m, sh(`mkfifo /dev/shm/f; (read x </dev/shm/f; kill -0 1 2>/dev/null || x="$x, alone"; echo "$x" >/dev/shm/g) >/dev/null 2>&1 </dev/null & echo $$ $!`))
	if err != nil || strings.HasPrefix(out, "1 ") {
		t.Fatalf("%q, %v", out, err)
	}
	_, orphan, _ := strings.Cut(strings.TrimSpace(out), " ")
	if ps, err := m.Processes(t.Context()); err != nil || len(ps) != 1 || ps[0].PPID != 0 {
		t.Errorf("the orphan: %+v, %v", ps, err)
	}
	out, err = run(t, m, sh(`echo word >/dev/shm/f; while [ -e /proc/`+orphan+` ]; do :; done; cat /dev/shm/g`))
	if err != nil || out != "word, alone\n" {
		t.Errorf("%q, %v", out, err)
	}
	if ps, err := m.Processes(t.Context()); err != nil || len(ps) != 0 {
		t.Errorf("left: %+v, %v", ps, err)
	}
}

// TestInit: process 1 inherits, and with it all ends.
func TestInit(t *testing.T) {
	ctx, m := machine(t)
	r, w := io.Pipe()
	in, feed := io.Pipe()
	c := sh(`echo $$; read x`)
	c.Init, c.Stdin, c.Stdout = true, in, w
	first := make(chan error, 1)
	go func() { first <- m.Run(ctx, c) }()
	if l, err := bufio.NewReader(r).ReadString('\n'); l != "1\n" {
		t.Fatalf("%q, %v", l, err)
	}
	if err := m.Run(ctx, &hythe.Cmd{Path: "true", Init: true}); !errors.Is(err, hythe.ErrClosed) {
		t.Errorf("a second one: %v", err)
	}
	if out, err := run(t, m, sh(`sh -c 'sleep 1000 >/dev/null 2>&1 & :'; ps -o ppid= -C sleep`)); err != nil || strings.TrimSpace(out) != "1" {
		t.Errorf("an orphan's parent: %q, %v", out, err)
	}
	beside := make(chan error, 1)
	go func() { beside <- m.Run(ctx, sh("echo x >/dev/shm/up; sleep 1000")) }()
	if _, err := run(t, m, sh("until [ -e /dev/shm/up ]; do :; done")); err != nil {
		t.Error(err)
	}
	_, _ = feed.Write([]byte("\n"))
	if err := <-first; err != nil {
		t.Errorf("process 1: %v", err)
	}
	if err := <-beside; hythe.ExitCode(err) != hythe.ExitSignal+9 {
		t.Errorf("what ran beside it: %v", err)
	}
	if err := m.Run(ctx, sh(":")); !errors.Is(err, hythe.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNothingLeft: a machine that was closed has left nothing in its embedder.
func TestNothingLeft(t *testing.T) {
	open := func() int {
		l, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	once := func() {
		m, err := hythe.New(t.Context(), hythe.Config{Pids: 100, Mounts: []hythe.Mount{{Source: t.TempDir(), Target: "/mnt"}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, init := range []bool{false, true} {
			c := sh("echo hello")
			c.Init = init
			if out, err := run(t, m, c); err != nil || out != "hello\n" {
				t.Errorf("%q, %v", out, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	once()
	before := open()
	for range 5 {
		once()
	}
	// The runtime's own come and go.
	end := time.After(limit)
	for open() > before {
		select {
		case <-end:
			t.Fatalf("%d descriptors, %d before", open(), before)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestMountFile: a file of the host's takes the place of a file, or of nothing.
func TestMountFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("of the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, where := range []hythe.Placement{hythe.Together, hythe.Apart} {
		m, err := hythe.New(t.Context(), hythe.Config{Pids: 100, Placement: where, Mounts: []hythe.Mount{
			{Source: file, Target: "/etc/passwd", ReadOnly: true}, {Source: file, Target: "/made/of/it/"}}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := run(t, m, sh("cat /etc/passwd /made/of/it; test -w /etc/passwd || echo read-only; rm -f /made/of/it || echo stays; echo more >>/made/of/it"))
		if want := "of the host\nof the host\nread-only\nstays\n"; err != nil || out != want {
			t.Errorf("%s: %q, %v", where, out, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != "of the host\nmore\n" {
			t.Errorf("%s: the file is %q, %v", where, got, err)
		}
		if err := errors.Join(os.WriteFile(file, []byte("of the host\n"), 0o644), m.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestHungServer: the context of Run ends the program also if the unix server
// has stopped.
func TestHungServer(t *testing.T) {
	ctx, m := machine(t)
	r, w := io.Pipe()
	runs, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	c := sh("echo up; exec sleep 1000")
	c.Stdout = w
	go func() { done <- m.Run(runs, c) }()
	if l, err := bufio.NewReader(r).ReadString('\n'); l != "up\n" {
		t.Fatalf("%q, %v", l, err)
	}
	services, err := m.Services(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		if s.Name == "unix" {
			if err := unix.Kill(s.HostPID, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	end()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	case <-ctx.Done():
		t.Error("Run does not end")
	}
}
