package core

import (
	"sync"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// hostStreams is a console backend whose answers the test gives.
type hostStreams struct {
	mu    sync.Mutex
	in    func(data []byte, e abi.Errno)
	inSeq uint64
	inN   int
	watch func()
	out   [3][]byte
	seq   [3]uint64
	calls chan func() // completions to run
	raw   bool
}

func (h *hostStreams) Read(stream int, seq uint64, n int, done func([]byte, abi.Errno)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in, h.inSeq, h.inN = done, seq, n
}

func (h *hostStreams) Write(stream int, seq uint64, data []byte, done func(int, abi.Errno)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq != h.seq[stream] { // a repetition does nothing
		h.seq[stream] = seq
		h.out[stream] = append(h.out[stream], data...)
	}
	h.calls <- func() { done(len(data), 0) }
}

func (h *hostStreams) Watch(stream int, done func())     { h.watch = done }
func (h *hostStreams) Size() (rows, cols, xp, yp uint16) { return 24, 80, 0, 0 }
func (h *hostStreams) SetRaw(on bool)                    { h.raw = on }

func newConsoleKernel(t *testing.T) (*ioKernel, *hostStreams) {
	h := &hostStreams{calls: make(chan func(), 100)}
	tk := newIOKernelWith(t, func(k *Kernel) { k.SetConsole(1, h) })
	tk.Enter()
	tk.MakeConsole(1, 7, [3]ConsoleInfo{{Mode: fs.TypeFifo | 0o600}, {Mode: fs.TypeFifo | 0o600}, {Closed: true}})
	tk.Leave()
	return tk, h
}

func (th *ioThread) console(stream int) (fd int32, e abi.Errno) {
	th.do(func(c *Call) {
		f, err := c.K.ConsoleFile(1, stream)
		if e = err; e == 0 {
			fd, e = c.InstallFD(f, 0, 0)
		}
	})
	return fd, e
}

func TestConsoleStreams(t *testing.T) {
	tk, h := newConsoleKernel(t)
	p := tk.proc(nil)
	in, _ := p.console(0)
	out, _ := p.console(1)
	if _, e := p.console(2); e != abi.EBADF {
		t.Fatal(e)
	}
	// Output: the call ends when the host has it.
	var n uint64
	copy(p.mem, "hello")
	done := p.start(func(c *Call) { n, _ = c.WriteFD(out, ioBase, 5, -1) })
	(<-h.calls)()
	p.wait(done)
	if n != 5 || string(h.out[1]) != "hello" {
		t.Fatal(n, h.out)
	}
	if !tk.ConsoleIdle(1, nil) {
		t.Fatal("something is left")
	}
	// The server dies while the host has a write: it is repeated and not doubled.
	p.nonblock(out, true)
	p.write(out, "again")
	<-h.calls
	tk.restart()
	(<-h.calls)()
	if string(h.out[1]) != "helloagain" || !tk.ConsoleIdle(1, nil) {
		t.Fatalf("%q", h.out[1])
	}
	// Input.
	done = p.start(func(c *Call) { n, _ = c.ReadFD(in, ioBase, 100, -1) })
	if h.inN != 100 {
		t.Fatal(h.inN)
	}
	h.in([]byte("line"), 0)
	p.wait(done)
	if n != 4 || string(p.mem[:4]) != "line" {
		t.Fatal(n)
	}
	if p.poll(in) != 0 {
		t.Fatal("readable")
	}
	h.watch()
	if p.poll(in)&PollIn == 0 {
		t.Fatal("not readable")
	}
	done = p.start(func(c *Call) { n, _ = c.ReadFD(in, ioBase, 100, -1) })
	h.in(nil, 0)
	p.wait(done)
	if n != 0 {
		t.Fatal(n)
	}
	if s, e := p.read(in, 1); s != "" || e != 0 {
		t.Fatal("the end lasts", s, e)
	}
}

func TestConsoleTTY(t *testing.T) {
	tk, h := newConsoleKernel(t)
	p := tk.proc(nil)
	var fd int32
	p.do(func(c *Call) {
		f, e := c.OpenConsoleTTY(1)
		if e != 0 {
			t.Fatal(e)
		}
		fd, _ = c.InstallFD(f, 0, 0)
	})
	if !h.raw {
		t.Fatal("the host's terminal is not raw")
	}
	p.nonblock(fd, true)
	p.write(fd, "$ ")
	(<-h.calls)()
	h.in([]byte("ls\r"), 0)
	(<-h.calls)()
	if s, e := p.read(fd, 100); s != "ls\n" || e != 0 {
		t.Fatal(s, e)
	}
	if string(h.out[1]) != "$ ls\r\n" {
		t.Fatalf("%q", h.out[1])
	}
	p.ioctl(fd, ioTIOCGWINSZ, ioBase)
	if p.mem[0] != 24 || p.mem[2] != 80 {
		t.Fatal(p.mem[:8])
	}
	if tk.Procs.Get(p.p).CTTY == 0 {
		t.Fatal("not the controlling terminal")
	}
	tk.restart()
	h.in([]byte("\x03"), 0)
	if !tk.Procs.Get(p.p).Pending.Has(SIGINT) {
		t.Fatal("no SIGINT")
	}
}
