package core

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"hythe/abi"
	"hythe/idl/console"
	"hythe/store"
)

// host is scripted: input comes from a channel, output goes to a buffer.
type host struct {
	in [console.Streams]chan string // closed: the end of the input

	mu      sync.Mutex
	left    [console.Streams]string
	ended   [console.Streams]bool
	out     [console.Streams]bytes.Buffer
	gate    [console.Streams]chan struct{} // set: each write waits for one
	fail    abi.Errno
	seek    bool
	size    console.Size
	raw     []bool
	onWrite func()
	onRead  func() // the bytes are taken
	read    string // all that was
}

func newHost() *host {
	h := &host{size: console.Size{Rows: 24, Cols: 80}}
	for i := range h.in {
		h.in[i] = make(chan string, 8)
	}
	return h
}

func (h *host) Wait(i int, write bool) {
	if write {
		if g := h.gate[i]; g != nil {
			<-g
		}
		return
	}
	h.mu.Lock()
	ready := h.left[i] != "" || h.ended[i]
	h.mu.Unlock()
	if ready {
		return
	}
	s, ok := <-h.in[i]
	h.mu.Lock()
	h.left[i], h.ended[i] = s, !ok
	h.mu.Unlock()
}

func (h *host) Read(i int, buf []byte) (int, abi.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := copy(buf, h.left[i])
	h.read += h.left[i][:n]
	h.left[i] = h.left[i][n:]
	if h.onRead != nil {
		h.onRead()
	}
	return n, 0
}

func (h *host) ReadAt(i int, buf []byte, off int64) (int, abi.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return copy(buf, h.read[off:]), 0
}

func (h *host) Write(i int, data []byte) (int, abi.Errno) {
	h.mu.Lock()
	if h.fail != 0 {
		h.mu.Unlock()
		return 0, h.fail
	}
	h.out[i].Write(data)
	f := h.onWrite
	h.mu.Unlock()
	if f != nil {
		f()
	}
	return len(data), 0
}

func (h *host) Offset(i int) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.seek {
		return -1
	}
	return int64(h.out[i].Len() + len(h.read))
}

func (h *host) Info(i int) console.Info {
	if i == 2 {
		return console.Info{Flags: console.InfoClosed}
	}
	return console.Info{Mode: 0o10600, Flags: console.InfoTerminal, Size: 9}
}

func (h *host) Size() console.Size {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.size
}

func (h *host) SetRaw(on bool) abi.Errno {
	h.raw = append(h.raw, on)
	return 0
}

type answer struct {
	n    uint64
	data string
	e    abi.Errno
}

func ask(c *Core, nr uint64, stream, arg, seq uint64, in string) <-chan answer {
	ch := make(chan answer, 1)
	q := wireRequest(1, nr, stream, arg, seq, in, ch)
	c.Handle(q)
	return ch
}

// wireRequest is a request as it comes from a slot; ch gets its answer.
func wireRequest(binding, nr, stream, arg, seq uint64, in string, ch chan answer) *console.Request {
	out := make([]byte, console.MaxData)
	return &console.Request{Binding: binding, Nr: nr, Args: [8]uint64{stream, arg, 7: seq}, In: []byte(in), Out: out,
		Reply: func(w uint64, n int, e abi.Errno) {
			if nr == console.OpRead {
				w = uint64(n)
			}
			ch <- answer{w, string(out[:n]), e}
		}}
}

func heap(t *testing.T, mem []byte) *store.Heap {
	t.Helper()
	h, _, err := store.OpenOrFormat(mem, Version)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const heapSize = 3 << 20

func newCore(t *testing.T) (*Core, *host, []byte) {
	mem := make([]byte, heapSize)
	hs := newHost()
	h := heap(t, mem)
	h.SetCheck(true)
	return New(h, hs), hs, mem
}

func TestReadOnce(t *testing.T) {
	c, hs, mem := newCore(t)
	first := ask(c, console.OpRead, 0, 100, 1, "")
	// A repetition while the first waits takes its place.
	second := ask(c, console.OpRead, 0, 100, 1, "")
	if a := <-first; a.e != abi.ECANCELED {
		t.Errorf("superseded: %v", a)
	}
	hs.in[0] <- "hello"
	if a := <-second; a != (answer{5, "hello", 0}) {
		t.Errorf("read: %v", a)
	}
	// A repetition afterwards, also by a new incarnation, takes nothing.
	for _, c := range []*Core{c, New(heap(t, slices.Clone(mem)), hs)} {
		if a := <-ask(c, console.OpRead, 0, 100, 1, ""); a != (answer{5, "hello", 0}) {
			t.Errorf("repeated: %v", a)
		}
	}
	// An older number is refused, the next one takes the next input.
	next := ask(c, console.OpRead, 0, 3, 2, "")
	hs.in[0] <- "abcde"
	if a := <-next; a != (answer{3, "abc", 0}) {
		t.Errorf("next: %v", a)
	}
	if a := <-ask(c, console.OpRead, 0, 100, 1, ""); a.e != abi.ESTALE {
		t.Errorf("older: %v", a)
	}
	if a := <-ask(c, console.OpRead, 0, 100, 3, ""); a != (answer{2, "de", 0}) {
		t.Errorf("rest: %v", a)
	}
	// Watch takes nothing; the end is no bytes, again and again.
	w := ask(c, console.OpWatch, 0, 0, 0, "")
	close(hs.in[0])
	<-w
	for seq := range uint64(3) {
		if a := <-ask(c, console.OpRead, 0, 100, 4+seq, ""); a != (answer{0, "", 0}) {
			t.Errorf("end: %v", a)
		}
	}
}

// TestReadCrash stops a read when the host's file has given the bytes and the
// record does not have them, and before: a new incarnation answers the same.
func TestReadCrash(t *testing.T) {
	for _, taken := range []bool{true, false} {
		c, hs, mem := newCore(t)
		hs.seek = true
		hs.in[0] <- "first,second"
		if a := <-ask(c, console.OpRead, 0, 6, 1, ""); a != (answer{6, "first,", 0}) {
			t.Fatal(a)
		}
		var image []byte
		hs.onRead = func() { image = slices.Clone(mem) }
		if a := <-ask(c, console.OpRead, 0, 3, 2, ""); a != (answer{3, "sec", 0}) {
			t.Fatal(a)
		}
		hs2 := newHost()
		hs2.seek, hs2.read, hs2.left[0] = true, "first,sec", "ond"
		if !taken {
			hs2.read, hs2.left[0] = "first,", "second"
		}
		c2 := New(heap(t, image), hs2)
		if a := <-ask(c2, console.OpRead, 0, 3, 2, ""); a != (answer{3, "sec", 0}) {
			t.Errorf("taken %v: %v", taken, a)
		}
		if a := <-ask(c2, console.OpRead, 0, 9, 3, ""); a != (answer{3, "ond", 0}) {
			t.Errorf("taken %v: after it %v", taken, a)
		}
	}
}

func TestWriteOnce(t *testing.T) {
	c, hs, mem := newCore(t)
	long := string(bytes.Repeat([]byte("0123456789"), 1500))
	if a := <-ask(c, console.OpWrite, 1, 0, 1, long); a.n != uint64(len(long)) || a.e != 0 {
		t.Errorf("write: %v", a)
	}
	for _, c := range []*Core{c, New(heap(t, slices.Clone(mem)), hs)} {
		if a := <-ask(c, console.OpWrite, 1, 0, 1, long); a.n != uint64(len(long)) || a.e != 0 {
			t.Errorf("repeated: %v", a)
		}
	}
	if hs.out[1].String() != long {
		t.Errorf("the host got %d bytes, want %d", hs.out[1].Len(), len(long))
	}
	hs.fail = abi.EPIPE
	if a := <-ask(c, console.OpWrite, 1, 0, 2, "x"); a.e != abi.EPIPE || a.n != 0 {
		t.Errorf("broken pipe: %v", a)
	}
	hs.fail = 0
	if a := <-ask(c, console.OpWrite, 1, 0, 2, "x"); a.e != abi.EPIPE {
		t.Errorf("broken pipe again: %v", a)
	}
}

// TestWriteCrash stops a write at each chunk, before and after the host has
// it, and lets a new incarnation go on from the image of that moment.
func TestWriteCrash(t *testing.T) {
	data := ""
	for i := range 5 * console.WriteChunk / 8 {
		data += fmt.Sprintf("%07d\n", i)
	}
	for _, seek := range []bool{true, false} {
		for stop := 1; stop <= 5; stop++ {
			c, hs, mem := newCore(t)
			hs.seek = seek
			var image []byte
			writes := 0
			hs.onWrite = func() {
				if writes++; writes == stop {
					image = slices.Clone(mem) // the host has it, the record does not
				}
			}
			<-ask(c, console.OpWrite, 1, 0, 7, data)
			hs2 := newHost()
			hs2.seek = seek
			hs2.out[1].WriteString(data[:stop*console.WriteChunk])
			c2 := New(heap(t, image), hs2)
			if a := <-ask(c2, console.OpWrite, 1, 0, 7, data); a.n != uint64(len(data)) || a.e != 0 {
				t.Errorf("after chunk %d: %v", stop, a)
			}
			if hs2.out[1].String() != data {
				t.Errorf("after chunk %d (offsets: %v): %d bytes on the host, want %d", stop, seek, hs2.out[1].Len(), len(data))
			}
			if !seek {
				continue
			}
			// The host did not get it: the offset tells.
			hs3 := newHost()
			hs3.seek = true
			hs3.out[1].WriteString(data[:(stop-1)*console.WriteChunk])
			c3 := New(heap(t, slices.Clone(image)), hs3)
			if a := <-ask(c3, console.OpWrite, 1, 0, 7, data); a.n != uint64(len(data)) {
				t.Errorf("before chunk %d: %v", stop, a)
			}
		}
	}
}

func TestForget(t *testing.T) {
	c, hs, _ := newCore(t)
	hs.gate[1] = make(chan struct{})
	read := ask(c, console.OpRead, 0, 10, 1, "")
	write := ask(c, console.OpWrite, 1, 0, 1, "gone")
	size := ask(c, console.OpResize, hs.size.Word(), 0, 0, "")
	c.Forget(1)
	hs.in[0] <- "later"
	close(hs.gate[1])
	hs.size.Rows++
	c.Resized()
	// The next client gets the input that nobody took.
	got := make(chan answer, 1)
	c.Handle(wireRequest(2, console.OpRead, 0, 10, 1, "", got))
	if a := <-got; a != (answer{5, "later", 0}) {
		t.Errorf("next client: %v", a)
	}
	for _, ch := range []<-chan answer{read, write, size} {
		select {
		case a := <-ch:
			t.Errorf("a client that has gone was answered: %v", a)
		default:
		}
	}
}

func TestTerminal(t *testing.T) {
	c, hs, _ := newCore(t)
	a := <-ask(c, console.OpSize, 0, 0, 0, "")
	if console.SizeOf(a.n) != hs.size {
		t.Errorf("size: %v", a)
	}
	r := ask(c, console.OpResize, a.n, 0, 0, "")
	c.Resized() // nothing changed
	hs.mu.Lock()
	hs.size.Cols = 132
	hs.mu.Unlock()
	c.Resized()
	if a := <-r; console.SizeOf(a.n).Cols != 132 {
		t.Errorf("resize: %v", a)
	}
	// One that knows an old size is told at once.
	if a := <-ask(c, console.OpResize, 5, 0, 0, ""); console.SizeOf(a.n).Cols != 132 {
		t.Errorf("resize of the old: %v", a)
	}
	<-ask(c, console.OpSetRaw, 1, 0, 0, "")
	<-ask(c, console.OpSetRaw, 0, 0, 0, "")
	if !slices.Equal(hs.raw, []bool{true, false}) {
		t.Errorf("raw: %v", hs.raw)
	}
}

func TestBadRequests(t *testing.T) {
	c, _, _ := newCore(t)
	for _, v := range []struct {
		nr, stream, arg uint64
		in              string
		want            abi.Errno
	}{
		{99, 0, 0, "", abi.ENOSYS},
		{0, 0, 0, "", abi.ENOSYS},
		{console.OpRead, 3, 1, "", abi.EBADF},
		{console.OpRead, 1 << 60, 1, "", abi.EBADF},
		{console.OpRead, 2, 1, "", abi.EBADF}, // the host gave none
		{console.OpRead, 0, 0, "", abi.EINVAL},
		{console.OpRead, 0, console.MaxData + 1, "", abi.EINVAL},
		{console.OpRead, 0, 1 << 63, "", abi.EINVAL},
		{console.OpWrite, 2, 0, "x", abi.EBADF},
		{console.OpWrite, 1, 0, string(make([]byte, console.MaxData+1)), abi.EINVAL},
	} {
		if a := <-ask(c, v.nr, v.stream, v.arg, 1, v.in); a.e != v.want {
			t.Errorf("%+.60v: %v", v, a)
		}
	}
	// More clients than there is room for.
	for b := uint64(1); b < 100; b++ {
		ch := make(chan answer, 1)
		c.Handle(wireRequest(b, console.OpWrite, 1, 0, 1, "x", ch))
		if a := <-ch; a.e != 0 && a.e != abi.ENOMEM {
			t.Errorf("client %d: %v", b, a)
		}
	}
}

// TestCrashed: what panics while a request is under way, at the host too, is noted
// for that request.
func TestCrashed(t *testing.T) {
	for _, nr := range []uint64{console.OpRead, console.OpWrite} {
		c, h, _ := newCore(t)
		h.onWrite = func() { panic("failpoint") }
		h.onRead = h.onWrite
		h.in[1] <- "data"
		noted := make(chan bool)
		q := wireRequest(1, nr, 1, 10, 1, "data", nil)
		q.Reply = func(_ uint64, _ int, e abi.Errno) { t.Errorf("answered %v", e) }
		q.Crashed = func() {
			close(noted)
			select {} // the process would end now
		}
		c.Handle(q)
		<-noted
	}
}
