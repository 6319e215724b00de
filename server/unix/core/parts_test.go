package core

import (
	"bytes"
	"testing"

	"hythe/abi"
)

// A reply in parts arrives whole and once, and what is behind it stays, wherever on
// the way a server dies, and its next incarnation again.
func TestParts(t *testing.T) {
	pieces := func(n, each int) []IOVec {
		v := make([]IOVec, n)
		for i := range v {
			v[i] = IOVec{ioBase + uint64(i*(each+1)), uint64(each)}
		}
		return v
	}
	for _, x := range []struct {
		name string
		// open gives the two ends of what the bytes go through.
		open func(a *ioThread) (r, w int32)
		iov  []IOVec
		n    int // bytes that are there
		want int // of which so many are read
		read func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno)
	}{
		{"a pipe into many pieces", func(a *ioThread) (r, w int32) { return a.pipe(0) }, pieces(100, 500), 60000, 50000,
			func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno) { return c.ReadV(fd, iov, -1) }},
		{"all of a stream", func(a *ioThread) (r, w int32) { return a.pair(SockStream) }, pieces(3, 60000), 200000, 180000,
			func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno) {
				return c.RecvV(fd, iov, &SockRecv{Flags: MsgWaitAll})
			}},
		{"all of a stream into many pieces", func(a *ioThread) (r, w int32) { return a.pair(SockStream) }, pieces(60, 2500), 180000, 150000,
			func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno) {
				return c.RecvV(fd, iov, &SockRecv{Flags: MsgWaitAll})
			}},
		{"a long message", func(a *ioThread) (r, w int32) { return a.pair(SockSeqpacket) }, pieces(45, 4000), 180000, 180000,
			func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno) {
				return c.RecvV(fd, iov, &SockRecv{})
			}},
		{"messages", func(a *ioThread) (r, w int32) { return a.pair(SockDgram) }, pieces(3, 60000), 180000, 180000,
			func(c *Call, fd int32, iov []IOVec) (uint64, abi.Errno) {
				total := c.Thread().Aux
				for i := range iov[total/60000:] {
					if !c.Checkpoint() {
						t.Fatal("no task")
					}
					n, e := c.RecvV(fd, iov[i+int(total/60000):][:1], &SockRecv{})
					if e != 0 {
						return 0, e
					}
					c.MutThread().Aux += n
				}
				return c.Thread().Aux, 0
			}},
	} {
		t.Run(x.name, func(t *testing.T) {
			tk := newIOKernel(t)
			a := tk.proc(nil)
			data := make([]byte, x.n)
			for i := range data {
				data[i] = byte(i % 251)
			}
			step := x.n
			if x.name == "messages" {
				step = 60000
			}
			var first, second int
			bad := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("deaths at %d, %d: "+format, append([]any{first, second}, args...)...)
			}
			// once has the first server die at one moment and the second one at another,
			// and says whether they did.
			once := func() (died, twice bool) {
				r, w := x.open(a)
				for at := 0; at < x.n; at += step {
					if m, e := a.write(w, string(data[at:at+step])); m != step || e != 0 {
						t.Fatal(m, e)
					}
				}
				clear(a.mem)
				call := func(c *Call) {
					n, e := x.read(c, r, x.iov)
					c.Ret(n)
					if e != 0 {
						t.Error(e)
					}
				}
				a.ch.die = first
				if died = a.do(call); died {
					tk.restart()
					a.ch.die = second
					if twice = a.again(call); twice {
						tk.restart()
						a.again(call)
					}
				}
				a.ch.die = 0
				if a.result != uint64(x.want) {
					bad("%d bytes, want %d", a.result, x.want)
				}
				left := data
				for _, v := range x.iov {
					n := min(int(v.Len), len(left))
					if !bytes.Equal(a.ch.guest(v.Base, uint64(n)), left[:n]) {
						bad("wrong bytes at %#x", v.Base)
					}
					left = left[n:]
				}
				if x.want < x.n {
					if s, e := a.read(r, x.n); s != string(data[x.want:]) || e != 0 {
						bad("%d bytes are left, want %d (%v)", len(s), x.n-x.want, e)
					}
				} else if a.poll(r)&PollIn != 0 {
					bad("something is left")
				}
				a.close(r)
				a.close(w)
				return died, twice
			}
			used := func() uint64 {
				tk.Enter()
				defer tk.Leave()
				return tk.Heap.BlockBytes()
			}
			once() // unhurt
			before, deaths := used(), 0
			for died, twice := true, true; died; {
				first++
				second = 0
				for died, twice = true, true; twice; {
					second++
					if died, twice = once(); twice {
						deaths++
					}
				}
			}
			if deaths == 0 {
				t.Error("no second server has died")
			}
			if n := used(); n > before {
				t.Errorf("%d bytes in the heap, %d before", n, before)
			}
		})
	}
}
