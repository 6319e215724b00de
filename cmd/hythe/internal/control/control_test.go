package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"hythe"
)

// fake is a machine whose one program copies its input to its output.
type fake struct {
	Machine
	restarted atomic.Value // the last one, a string
	sigs      chan int
	got       chan int // when set: signals that ended a program
	kill      func(pid, sig int) error
}

func (f *fake) Processes(context.Context) ([]hythe.ProcessInfo, error) {
	return []hythe.ProcessInfo{{PID: 1, Args: []string{"a", "b c\n"}}}, nil
}
func (f *fake) Services(context.Context) ([]hythe.ServiceInfo, error) {
	return nil, errors.New("failed on purpose")
}
func (f *fake) Ports(context.Context) ([]hythe.PortInfo, error) { return []hythe.PortInfo{}, nil }
func (f *fake) Counters(context.Context) ([]hythe.CounterInfo, error) {
	return []hythe.CounterInfo{{Name: "sockets", Value: 1 << 63}}, nil
}

func (f *fake) Sockets(context.Context) ([]hythe.SocketInfo, error) {
	return []hythe.SocketInfo{{Proto: "tcp", Local: "127.0.0.1:80", PIDs: []int{1, 2}}}, nil
}
func (f *fake) Calls(context.Context) ([]hythe.CallInfo, error) {
	return []hythe.CallInfo{{Name: "read", Count: 1 << 60}}, nil
}
func (f *fake) Kill(_ context.Context, pid, sig int) error { return f.kill(pid, sig) }
func (f *fake) Replace(_ context.Context, s string, v hythe.Version) error {
	f.restarted.Store(s + " by " + v.Program)
	return nil
}
func (f *fake) Restart(_ context.Context, s string) error {
	f.restarted.Store(s)
	return nil
}
func (f *fake) Start(_ context.Context, c *hythe.Cmd) (Process, error) {
	if c.Path != "cat" {
		return nil, &hythe.StartError{Path: c.Path, Err: fs.ErrNotExist}
	}
	p := &cat{sigs: f.sigs, end: make(chan error, 1)}
	in, out := c.Stdin, c.Stdout
	go func() {
		if len(c.Args) > 1 {
			if sig := <-f.sigs; sig != 0 {
				if f.got != nil {
					f.got <- sig
				}
				p.end <- &hythe.ExitError{Signal: sig}
				return
			}
		}
		io.Copy(out, in)
		p.end <- &hythe.ExitError{Code: 5}
	}()
	return p, nil
}

type cat struct {
	sigs chan int
	end  chan error
}

func (p *cat) PID() int { return 42 }
func (p *cat) Signal(s int) error {
	select {
	case p.sigs <- s:
	default:
	}
	return nil
}
func (p *cat) Resized()    { p.Signal(28) }
func (p *cat) Wait() error { return <-p.end }

func start(t *testing.T, f *fake) *Client {
	t.Helper()
	id := fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name())
	s, err := Listen(f, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &Client{ID: id}
}

func TestConversation(t *testing.T) {
	f := &fake{kill: func(pid, sig int) error { return fmt.Errorf("process %d: %w", pid, hythe.ErrNoProcess) }}
	k := start(t, f)
	ctx := t.Context()
	ids, err := List()
	if err != nil || !strings.Contains(strings.Join(ids, " "), k.ID) {
		t.Errorf("List: %q, %v", ids, err)
	}
	ps, err := k.Processes(ctx)
	if err != nil || len(ps) != 1 || ps[0].Args[1] != "b c\n" {
		t.Errorf("Processes: %v, %v", ps, err)
	}
	if _, err := k.Services(ctx); err == nil || err.Error() != "failed on purpose" {
		t.Errorf("Services: %v", err)
	}
	if v, err := k.Ports(ctx); err != nil || len(v) != 0 {
		t.Errorf("Ports: %v, %v", v, err)
	}
	if v, err := k.Sockets(ctx); err != nil || len(v) != 1 || v[0].Local != "127.0.0.1:80" || len(v[0].PIDs) != 2 {
		t.Errorf("Sockets: %v, %v", v, err)
	}
	if v, err := k.Counters(ctx); err != nil || len(v) != 1 || v[0] != (hythe.CounterInfo{Name: "sockets", Value: 1 << 63}) {
		t.Errorf("Counters: %v, %v", v, err)
	}
	if v, err := k.Calls(ctx); err != nil || v[0].Count != 1<<60 {
		t.Errorf("Calls: %v, %v", v, err)
	}
	if err := k.Kill(ctx, 7, 9); !errors.Is(err, hythe.ErrNoProcess) || err.Error() != "process 7: no such process" {
		t.Errorf("Kill: %v", err)
	}
	if err := k.Restart(ctx, "unix", "/other/hythe"); err != nil || f.restarted.Load() != "unix by /other/hythe" {
		t.Errorf("Restart by another: %v", err)
	}
	if err := k.Restart(ctx, "overlay", ""); err != nil || f.restarted.Load() != "overlay" {
		t.Errorf("Restart: %v", err)
	}
	if _, err := Listen(f, k.ID); err == nil {
		t.Error("two machines of one id")
	}
	if err := (&Client{ID: "none-of-this-name"}).Restart(ctx, "x", ""); err == nil || !strings.Contains(err.Error(), "none-of-this-name") {
		t.Errorf("no machine: %v", err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestExec(t *testing.T) {
	f := &fake{sigs: make(chan int, 1)}
	k := start(t, f)
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	p, err := k.Start(t.Context(), &hythe.Cmd{Path: "cat"}, [3]*os.File{inR, outW, outW})
	if err != nil || p.PID() != 42 {
		t.Fatal(p, err)
	}
	inR.Close()
	outW.Close()
	fmt.Fprint(inW, "hello")
	inW.Close()
	got, err := io.ReadAll(outR)
	if err != nil || string(got) != "hello" {
		t.Errorf("output %q, %v", got, err)
	}
	if err := p.Wait(); hythe.ExitCode(err) != 5 {
		t.Errorf("wait: %v", err)
	}
	_, err = k.Start(t.Context(), &hythe.Cmd{Path: "dog"}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if hythe.ExitCode(err) != 127 {
		t.Errorf("not found: %v (%d)", err, hythe.ExitCode(err))
	}
}

func TestExecSignalAndHangup(t *testing.T) {
	f := &fake{sigs: make(chan int, 1)}
	k := start(t, f)
	p, err := k.Start(t.Context(), &hythe.Cmd{Path: "cat", Args: []string{"cat", "wait"}}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	p.Signal(10)
	if err := p.Wait(); hythe.ExitCode(err) != 138 {
		t.Errorf("wait: %v", err)
	}
	p, err = k.Start(t.Context(), &hythe.Cmd{Path: "cat", Args: []string{"cat", "wait"}}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	p.Resized() // this fake passes it on as SIGWINCH
	if err := p.Wait(); hythe.ExitCode(err) != 128+28 {
		t.Errorf("wait: %v", err)
	}
	// A client that ends takes its program with it.
	f.got = make(chan int, 1)
	p, err = k.Start(t.Context(), &hythe.Cmd{Path: "cat", Args: []string{"cat", "wait"}}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	p.(*remoteProcess).c.Close()
	if sig := <-f.got; sig != 9 {
		t.Errorf("after the client's end the program got signal %d", sig)
	}
}

func TestBadRequests(t *testing.T) {
	k := start(t, &fake{sigs: make(chan int, 1)})
	for _, line := range []string{
		"\n", "{}\n", "[]\n", `{"op":"nonsense"}` + "\n", `{"op":"exec"}` + "\n", `{"op":"exec","cmd":{"Path":"cat"}}` + "\n",
		"no json\n", `{"op":7}` + "\n", strings.Repeat("x", maxLine+2) + "\n",
	} {
		c, err := net.DialUnix("unix", nil, addr(os.Geteuid(), k.ID))
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(c, line)
		b, _ := io.ReadAll(c)
		var r response
		if err := json.Unmarshal(bytes.TrimSpace(b), &r); err != nil || r.Error == nil {
			t.Errorf("%.40q: answered %q", line, b)
		}
		c.Close()
	}
	// One that says nothing and goes.
	c, err := net.DialUnix("unix", nil, addr(os.Geteuid(), k.ID))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := k.Processes(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestParseList(t *testing.T) {
	const text = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 1 @hythe/5/b
0000000000000000: 00000002 00000000 00010000 0001 01 2 @hythe/5/a
0000000000000000: 00000003 00000000 00000000 0001 03 3 @hythe/5/a
0000000000000000: 00000002 00000000 00010000 0001 01 4 @hythe/55/c
0000000000000000: 00000002 00000000 00010000 0001 01 5 @hythe/5/
0000000000000000: 00000002 00000000 00010000 0001 01 6 /hythe/5/x
0000000000000000: 00000002 00000000 00010000 0001 01 7
0000000000000000: 00000002 00000000 00010000 0005 01 8 @hythe/5/network/lab
`
	if got := strings.Join(parseList(text, "hythe/5/"), " "); got != "a b" {
		t.Errorf("found %q", got)
	}
}
