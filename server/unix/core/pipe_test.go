package core

import (
	"strings"
	"testing"

	"hythe/abi"
	"hythe/store"
)

func (th *ioThread) pipe(flags uint32) (r, w int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) { r, w, e = c.NewPipe(flags) })
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	return r, w
}

func TestPipe(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(0)
	if n, e := a.write(w, "hello"); n != 5 || e != 0 {
		t.Fatal(n, e)
	}
	if s, e := a.read(r, 3); s != "hel" || e != 0 {
		t.Fatal(s, e)
	}
	tk.restart()
	if s, e := a.read(r, 100); s != "lo" || e != 0 {
		t.Fatalf("after a restart: %q %v", s, e)
	}
	a.nonblock(r, true)
	if _, e := a.read(r, 1); e != abi.EAGAIN {
		t.Fatal(e)
	}
	if m := a.poll(w); m&PollOut == 0 {
		t.Fatalf("%#x", m)
	}
	a.close(w)
	if m := a.poll(r); m != PollHup {
		t.Fatalf("%#x", m)
	}
	if s, e := a.read(r, 1); s != "" || e != 0 {
		t.Fatal(s, e)
	}
	// Bad use.
	if _, e := a.write(r, "x"); e != abi.EBADF {
		t.Fatal(e)
	}
	if _, e := a.write(77, "x"); e != abi.EBADF {
		t.Fatal(e)
	}
}

func TestPipeBroken(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(0)
	a.close(r)
	if m := a.poll(w); m&PollErr == 0 {
		t.Fatalf("%#x", m)
	}
	if _, e := a.write(w, "x"); e != abi.EPIPE {
		t.Fatal(e)
	}
	if !tk.Threads.Get(a.t).Pending.Has(SIGPIPE) {
		t.Fatal("no SIGPIPE")
	}
}

func TestPipeFullAndAtomic(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(OpenNonblock)
	big := strings.Repeat("x", 60000)
	if n, e := a.write(w, big); n != 60000 || e != 0 {
		t.Fatal(n, e)
	}
	if n, e := a.write(w, big); n != 65536-60000 || e != 0 {
		t.Fatal(n, e)
	}
	if _, e := a.write(w, "y"); e != abi.EAGAIN {
		t.Fatal(e)
	}
	a.read(r, 100)
	if _, e := a.write(w, big[:101]); e != abi.EAGAIN {
		t.Fatal("a small write was cut", e)
	}
	if n, _ := a.write(w, big[:100]); n != 100 {
		t.Fatal(n)
	}
	if a.poll(w)&PollOut != 0 {
		t.Fatal("writable although less than PIPE_BUF is free")
	}
	if v, e := a.ioctl(r, ioFIONREAD, ioBase); v != 0 || e != 0 || le32(a.mem) != 65536 {
		t.Fatal(v, e, le32(a.mem))
	}
}

// share gives another process a descriptor of the same open file.
func (th *ioThread) share(to *ioThread, fd int32) (n int32) {
	var f store.Ref[File]
	th.do(func(c *Call) { f, _, _ = c.File(fd) })
	to.do(func(c *Call) { n, _ = c.InstallFD(f, 0, 0) })
	return n
}

func TestPipeBlockingWriter(t *testing.T) {
	tk := newIOKernel(t)
	a, b := tk.proc(nil), tk.proc(nil)
	r, w := a.pipe(0)
	br := a.share(b, r)
	for i := range a.mem {
		a.mem[i] = byte(i % 251)
	}
	const size = 300000
	var n uint64
	var e abi.Errno
	done := a.start(func(c *Call) { n, e = c.WriteFD(w, ioBase, size, -1) })
	got := 0
	for got < size {
		s, e := b.read(br, 7777)
		if e != 0 || s == "" {
			t.Fatal(got, e)
		}
		for i := range s {
			if s[i] != byte((got+i)%251) {
				t.Fatalf("byte %d is wrong", got+i)
			}
		}
		got += len(s)
	}
	a.wait(done)
	if n != size || e != 0 {
		t.Fatal(n, e)
	}
}

// A writer that has put part of its data when the server dies puts only the
// rest when its call is run again.
func TestPipeWriterAgain(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(0)
	for i := range a.mem {
		a.mem[i] = byte(i % 251)
	}
	const size = 70000
	// What the call of the dead server had committed.
	a.do(func(c *Call) {
		f, _, _ := c.File(w)
		k := c.K
		if !k.pipePut(pipeOf(k.Files.Get(f)), a.mem[:65536], false) {
			t.Fatal("no room")
		}
		c.MutThread().Progress = 65536
	})
	tk.restart()
	s, _ := a.readAgainLater(r, 5000)
	var n uint64
	var e abi.Errno
	a.again(func(c *Call) {
		c.MutThread().Progress = 65536
		n, e = c.WriteFD(w, ioBase, size, -1)
	})
	if n != size || e != 0 {
		t.Fatal(n, e)
	}
	for len(s) < size {
		x, e := a.readAgainLater(r, 50000)
		if e != 0 {
			t.Fatal(e)
		}
		s += x
	}
	for i := range s {
		if s[i] != byte(i%251) {
			t.Fatalf("byte %d is wrong", i)
		}
	}
}

// readAgainLater reads into the far end of the memory.
func (th *ioThread) readAgainLater(fd int32, n int) (string, abi.Errno) {
	const at = 512 << 10
	var m uint64
	var e abi.Errno
	th.do(func(c *Call) { m, e = c.ReadFD(fd, ioBase+at, uint64(n), -1) })
	return string(th.mem[at : at+m]), e
}

func TestPipePackets(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(OpenDirect | OpenNonblock)
	a.write(w, "first")
	a.write(w, "second")
	if s, _ := a.read(r, 3); s != "fir" {
		t.Fatal(s)
	}
	tk.restart()
	if s, _ := a.read(r, 100); s != "second" {
		t.Fatalf("%q", s)
	}
	if _, e := a.read(r, 1); e != abi.EAGAIN {
		t.Fatal(e)
	}
}

func TestPipeSize(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r, w := a.pipe(OpenNonblock)
	a.write(w, strings.Repeat("x", 5000))
	a.do(func(c *Call) {
		f, _, _ := c.File(r)
		if n, e := c.K.PipeSize(f); n != 65536 || e != 0 {
			t.Error(n, e)
		}
		if _, e := c.K.SetPipeSize(f, 4096); e != abi.EBUSY {
			t.Error(e)
		}
		if n, e := c.K.SetPipeSize(f, 5000); n != 8192 || e != 0 {
			t.Error(n, e)
		}
		if _, e := c.K.SetPipeSize(f, 0); e != abi.EBUSY { // a page
			t.Error(e)
		}
		if _, e := c.K.SetPipeSize(f, 1<<32); e != abi.EINVAL {
			t.Error(e)
		}
		if _, e := c.K.SetPipeSize(f, 2<<20); e != abi.EPERM {
			t.Error(e)
		}
	})
	if n, _ := a.write(w, strings.Repeat("x", 9000)); n != 8192-5000 {
		t.Fatal(n)
	}
}

func TestPollTimeoutAndWake(t *testing.T) {
	tk := newIOKernel(t)
	a, b := tk.proc(nil), tk.proc(nil)
	r, w := a.pipe(0)
	bw := a.share(b, w)
	var n int
	var e abi.Errno
	fds := []PollFD{{FD: r, Events: PollIn}, {FD: -1}}
	ask := func(c *Call) { n, e = c.Poll(fds, c.DeadlineIn(5e9)) }
	done := a.start(ask)
	tk.clock.advance(6e9)
	a.wait(done)
	if n != 0 || e != 0 {
		t.Fatal(n, e)
	}
	done = a.start(ask)
	b.write(bw, "x")
	a.wait(done)
	if n != 1 || e != 0 || fds[0].Revents != PollIn {
		t.Fatal(n, e, fds)
	}
	fds = []PollFD{{FD: 99, Events: PollIn}}
	a.do(func(c *Call) { n, e = c.Poll(fds, 0) })
	if n != 1 || fds[0].Revents != PollNval {
		t.Fatal(n, fds)
	}
}

func TestSpliceAndTee(t *testing.T) {
	tk := newIOKernel(t)
	a := tk.proc(nil)
	r1, w1 := a.pipe(OpenNonblock)
	r2, w2 := a.pipe(OpenNonblock)
	a.write(w1, "some bytes")
	var n int
	var e abi.Errno
	a.do(func(c *Call) { n, e = c.Tee(r1, w2, 4, true) })
	if n != 4 || e != 0 {
		t.Fatal(n, e)
	}
	a.do(func(c *Call) { n, e = c.Splice(r1, -1, w2, -1, 100, true) })
	if n != 10 || e != 0 {
		t.Fatal(n, e)
	}
	if s, _ := a.read(r2, 100); s != "somesome bytes" {
		t.Fatal(s)
	}
	a.do(func(c *Call) { n, e = c.Splice(r1, -1, w2, -1, 100, true) })
	if e != abi.EAGAIN {
		t.Fatal(n, e)
	}
	a.do(func(c *Call) { n, e = c.Splice(r1, -1, w1, -1, 100, true) })
	if e != abi.EINVAL {
		t.Fatal(n, e)
	}
	a.do(func(c *Call) { n, e = c.Splice(w1, -1, r1, -1, 100, true) })
	if e != abi.EBADF {
		t.Fatal(n, e)
	}
}
