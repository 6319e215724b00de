package hythe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hythe/confine"
)

// hostEngine stands for a machine: its programs are functions of this test.
type hostEngine struct {
	engine
	prog   func(c *Cmd, stdio [3]*os.File, sig <-chan int) error
	closed int
	killed [2]int
}

type hostProcess struct {
	sig  chan int
	done chan error
}

func (p *hostProcess) pid() int { return 1 }
func (p *hostProcess) signal(sig int) error {
	select {
	case p.sig <- sig:
		return nil
	default:
		return ErrNoProcess
	}
}
func (p *hostProcess) resized()    {}
func (p *hostProcess) wait() error { return <-p.done }
func (p *hostProcess) end()        {}

func (e *hostEngine) start(_ context.Context, c *Cmd, stdio [3]*os.File) (process, error) {
	if e.prog == nil {
		return nil, &StartError{Path: c.Path, Err: fs.ErrNotExist}
	}
	var own [3]*os.File
	for i, f := range stdio {
		own[i] = dup(f)
	}
	p := &hostProcess{sig: make(chan int, 8), done: make(chan error, 1)}
	go func() {
		err := e.prog(c, own, p.sig)
		for _, f := range own {
			f.Close()
		}
		p.done <- err
	}()
	return p, nil
}
func (e *hostEngine) kill(_ context.Context, pid, sig int) error {
	e.killed = [2]int{pid, sig}
	return nil
}
func (e *hostEngine) close() error { e.closed++; return nil }

func TestRunCopies(t *testing.T) {
	eng := &hostEngine{prog: func(c *Cmd, f [3]*os.File, _ <-chan int) error {
		in, err := io.ReadAll(f[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(f[1], "out %s %v", in, c.Args)
		fmt.Fprintf(f[2], "err %v", c.Env)
		return &ExitError{Code: 3}
	}}
	m := &Machine{id: "x", eng: eng}
	var out, errs bytes.Buffer
	err := m.Run(t.Context(), &Cmd{
		Path: "/bin/x", Env: []string{"A=1", "B=2", "A=3"},
		Stdin: strings.NewReader(strings.Repeat("i", 200<<10)), Stdout: &out, Stderr: &errs,
	})
	if ExitCode(err) != 3 {
		t.Errorf("run: %v", err)
	}
	if want := "out " + strings.Repeat("i", 200<<10) + " [/bin/x]"; out.String() != want {
		t.Errorf("stdout: %d bytes, want %d", out.Len(), len(want))
	}
	if errs.String() != "err [A=3 B=2]" {
		t.Errorf("stderr: %q", errs.String())
	}
	// One writer for both keeps their order.
	out.Reset()
	eng.prog = func(_ *Cmd, f [3]*os.File, _ <-chan int) error {
		for i := range 20 {
			fmt.Fprint(f[1+i%2], i, ";")
		}
		return nil
	}
	if err := m.Run(t.Context(), &Cmd{Path: "x", Stdout: &out, Stderr: &out}); err != nil {
		t.Error(err)
	}
	if want := "0;1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;"; out.String() != want {
		t.Errorf("both: %q, want %q", out.String(), want)
	}
	m.Close()
	m.Close()
	if eng.closed != 1 {
		t.Errorf("closed %d times", eng.closed)
	}
}

// A program that ends without reading its input is not an error, and a reader
// that never ends does not hold up Wait.
func TestStdinLeft(t *testing.T) {
	eng := &hostEngine{prog: func(*Cmd, [3]*os.File, <-chan int) error { return nil }}
	m := &Machine{eng: eng}
	if err := m.Run(t.Context(), &Cmd{Path: "x", Stdin: strings.NewReader(strings.Repeat("x", 1<<20))}); err != nil {
		t.Error(err)
	}
	r, w := io.Pipe()
	defer w.Close()
	if err := m.Run(t.Context(), &Cmd{Path: "x", Stdin: r}); err != nil {
		t.Error(err)
	}
}

type failWriter struct{}

func (failWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestOutputFails(t *testing.T) {
	eng := &hostEngine{prog: func(_ *Cmd, f [3]*os.File, _ <-chan int) error {
		fmt.Fprint(f[1], "x")
		return nil
	}}
	m := &Machine{eng: eng}
	if err := m.Run(t.Context(), &Cmd{Path: "x", Stdout: failWriter{}}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("run: %v", err)
	}
}

func TestRunCancelled(t *testing.T) {
	started := make(chan bool)
	eng := &hostEngine{prog: func(_ *Cmd, _ [3]*os.File, sig <-chan int) error {
		close(started)
		return &ExitError{Signal: <-sig}
	}}
	m := &Machine{eng: eng}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if err := m.Run(ctx, &Cmd{Path: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}

func TestWaitTwice(t *testing.T) {
	eng := &hostEngine{prog: func(_ *Cmd, _ [3]*os.File, sig <-chan int) error { return &ExitError{Signal: <-sig} }}
	m := &Machine{eng: eng}
	p, err := m.Start(t.Context(), &Cmd{Path: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := p.Wait(); ExitCode(err) != 128+15 {
				t.Errorf("wait: %v", err)
			}
		})
	}
	if err := p.Signal(15); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := p.Signal(65); err == nil {
		t.Error("signal 65 was taken")
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{&ExitError{Code: 7}, 7},
		{fmt.Errorf("run: %w", &ExitError{Signal: 9}), 137},
		{&StartError{Path: "x", Err: fs.ErrNotExist}, 127},
		{&StartError{Path: "x", Err: fs.ErrPermission}, 126},
		{&StartError{Path: "x", Err: ErrFormat}, 126},
		{ErrClosed, 125},
		{fs.ErrNotExist, 125},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("ExitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(filepath.Join(dir, "d"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{ID: "a/b"}, {ID: strings.Repeat("x", 65)}, {ID: ".."}, {ID: "a b"},
		{Root: "relative"}, {Root: dir + "/none"}, {Root: os.Args[0]},
		{Mounts: []Mount{{dir, "x", false}}}, {Mounts: []Mount{{"x", "/x", false}}},
		{Mounts: []Mount{{dir + "/none", "/x", false}}}, {Mounts: []Mount{{dir, "/", false}}}, {Mounts: []Mount{{dir, "/a\x00", false}}},
		{Root: dir, Mounts: []Mount{{file, "/d", false}}}, {Root: dir, Mounts: []Mount{{dir, "/f", false}}},
		{Root: dir, ReadOnly: true, Mounts: []Mount{{file, "/d/none", false}}},
		{Hostname: strings.Repeat("h", 65)}, {Hostname: "a b"},
		{Memory: -1}, {Pids: -1},
	} {
		if err := c.complete(); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	for _, m := range [][]Mount{{{file, "/f", false}}, {{dir, "/d/", false}}, {{file, "/none", false}}, {{dir, "/d", false}, {file, "/d/d", false}}} {
		if c := (Config{Root: dir, Mounts: m}); c.complete() != nil {
			t.Errorf("%+v: %v", m, c.complete())
		}
	}
	c := Config{Root: dir}
	if err := c.complete(); err != nil || !validID(c.ID) || c.Hostname != c.ID {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBadCmd(t *testing.T) {
	m := &Machine{eng: &hostEngine{}}
	for _, c := range []Cmd{
		{}, {Path: "x", Dir: "y"}, {Path: "x", Env: []string{"A"}}, {Path: "x", Env: []string{"=b"}},
		{Path: "a\x00"}, {Path: "x", Args: []string{"x", "\x00"}}, {Path: "x", Env: []string{"A=\x00"}},
	} {
		if _, err := m.Start(t.Context(), &c); err == nil || ExitCode(err) != 125 {
			t.Errorf("%+v: %v", c, err)
		}
	}
	var b bytes.Buffer
	_, err := m.Start(t.Context(), &Cmd{Path: "x", Stdin: &b, Stdout: &b, Stderr: &b})
	if ExitCode(err) != 127 {
		t.Errorf("not found: %v", err)
	}
	if err := m.Kill(t.Context(), 0, 9); !errors.Is(err, ErrNoProcess) {
		t.Errorf("kill 0: %v", err)
	}
	if err := m.Kill(t.Context(), 5, 99); err == nil {
		t.Error("kill with signal 99 was taken")
	}
}

func TestRunServer(t *testing.T) {
	mains := []serverMain{
		{"good", func() error { return nil }},
		{"bad", func() error { return errors.New("failed on purpose") }},
		{"cgo", func() error { return fmt.Errorf("landlock: %w", confine.ErrC) }},
	}
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"good"}, 0}, {[]string{"bad"}, 1}, {[]string{"cgo"}, 3}, {[]string{"none"}, 2}, {nil, 2}, {[]string{"good", "x"}, 0}, {[]string{""}, 2}} {
		if got := runServer(c.args, mains); got != c.want {
			t.Errorf("runServer(%q) = %d, want %d", c.args, got, c.want)
		}
	}
}

func TestServersChecked(t *testing.T) {
	for _, c := range []struct {
		l  []Server
		ok bool
	}{
		{[]Server{{Name: "a", Uses: []string{"b"}}, {Name: "b", Uses: []string{"a", "b"}}}, true},
		{[]Server{{Name: ""}}, false},
		{[]Server{{Name: "a b"}}, false},
		{[]Server{{Name: "unix"}}, false},
		{[]Server{{Name: "net"}}, false},
		{[]Server{{Name: "supervisor"}}, false},
		{[]Server{{Name: "host-1"}}, false},
		{[]Server{{Name: "console-2"}}, false},
		{[]Server{{Name: "a"}, {Name: "a"}}, false},
		{[]Server{{Name: "a", Uses: []string{"unix"}}}, false},
	} {
		if err := checkServers(c.l); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.l, err)
		}
	}
}
