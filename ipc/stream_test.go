package ipc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// serveOn serves a binding by a Poller until the test is over.
func serveOn(t *testing.T, sb *ipc.ServerBinding, take func(slot int)) {
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.Add(sb)
		for {
			switch r := p.Wait(-1); r.Kind {
			case ipc.ReadySlot:
				take(r.Slot)
			case ipc.ReadyClosed:
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.Close()
		<-over
		sb.Close()
	})
}

// Messages of all sizes arrive whole, once, in order, whatever the number of slots.
func TestStream(t *testing.T) {
	for _, slots := range []int{1, 4} {
		raw := ipctest.NewRaw(t, slots)
		sb := raw.Server()
		in := sb.Inflow()
		var mu sync.Mutex // for the race detector, which does not see what orders memory here
		var got []uint32
		sum := 0
		serveOn(t, sb, func(slot int) {
			in.Serve(slot, func(m []byte) {
				mu.Lock()
				defer mu.Unlock()
				sum += len(m)
				if len(m) >= 4 {
					got = append(got, binary.LittleEndian.Uint32(m))
				}
			})
		})
		c := raw.Client()
		s := c.Stream(1)
		want := 0
		var n uint32
		send := func(size int) {
			m := make([]byte, size)
			if size >= 4 {
				binary.LittleEndian.PutUint32(m, n)
				n++
			}
			want += size
			if err := s.Send(m); err != 0 {
				t.Fatal(err)
			}
		}
		for i := range 50_000 {
			send(i % 40)
			if i%7000 == 0 {
				if err := s.Flush(); err != 0 {
					t.Fatal(err)
				}
			}
		}
		send(ipc.MaxStreamMessage)
		send(0)
		if err := s.Send(make([]byte, ipc.MaxStreamMessage+1)); err != abi.EMSGSIZE {
			t.Errorf("too long: %v", err)
		}
		if err := s.Wait(); err != 0 {
			t.Fatal(err)
		}
		mu.Lock()
		if sum != want || len(got) != int(n) || !slices.IsSorted(got) || got[n-1] != n-1 {
			t.Errorf("%d slots: %d bytes of %d, %d messages of %d", slots, sum, want, len(got), n)
		}
		mu.Unlock()
		if err := s.Wait(); err != 0 { // nothing
			t.Error(err)
		}
		c.Close()
	}
}

// taken is all slots that have a request, in the order of their numbers.
func taken(sb *ipc.ServerBinding) (l []int) {
	for {
		i, ok := sb.Take()
		if !ok {
			return l
		}
		l = append(l, i)
	}
}

// A server that takes slots in another order than they were sent in, and dies between
// them: nothing is lost, and what was answered for does not come again.
func TestStreamOrder(t *testing.T) {
	raw := ipctest.NewRaw(t, 4)
	sb := raw.Server()
	c := raw.Client()
	defer c.Close()
	s := c.Stream(1)
	for i := range byte(4) {
		s.Send([]byte{i, 0})
		s.Send([]byte{i, 1})
		if err := s.Flush(); err != 0 {
			t.Fatal(err)
		}
	}
	var got []byte
	note := func(m []byte) { got = append(got, m...) }
	in := sb.Inflow()
	l := taken(sb)
	slices.Reverse(l)
	for _, slot := range l[:3] {
		in.Serve(slot, note)
	}
	first := slices.Clone(got)
	sb.Close() // it dies before it has all
	sb = raw.Server()
	defer sb.Close()
	got = nil
	in = sb.Inflow()
	for _, slot := range taken(sb) {
		in.Serve(slot, note)
	}
	all := append(first, got...)
	if !bytes.Equal(all, []byte{0, 0, 0, 1, 1, 0, 1, 1, 2, 0, 2, 1, 3, 0, 3, 1}) {
		t.Errorf("% x, then % x", first, got)
	}
	if err := s.Wait(); err != 0 {
		t.Fatal(err)
	}
}

// A client that lies about lengths or numbers is told so, and nothing else happens.
func TestStreamHostile(t *testing.T) {
	raw := ipctest.NewRaw(t, 2)
	sb := raw.Server()
	in := sb.Inflow()
	var seen atomic.Int64 // the race detector does not see what orders memory here
	serveOn(t, sb, func(slot int) { in.Serve(slot, func(m []byte) { seen.Add(int64(len(m))) }) })
	c := raw.Client()
	defer c.Close()
	seq := uint64(0)
	do := func(b []byte, n uint64) abi.Errno {
		k := c.Begin()
		defer k.End()
		k.Args[0] = n
		return k.Do(1, copy(k.In(), b))
	}
	for _, b := range [][]byte{
		{1}, {0, 0, 0}, {1, 0, 0, 0}, {255, 255, 255, 255}, {255, 255, 255, 127, 1}, {0, 0, 0, 0, 9}, {1, 0, 0, 0, 'x', 2, 0, 0, 0, 'y'},
	} {
		seq++
		if err := do(b, seq); err != abi.EPROTO {
			t.Errorf("% x: %v", b, err)
		}
	}
	if n := seen.Load(); n != 1 {
		t.Errorf("%d bytes of messages", n)
	}
	if err := do([]byte{0, 0, 0, 0}, seq); err != abi.EPROTO { // once more
		t.Errorf("a number again: %v", err)
	}
	if err := do(nil, seq+1); err != 0 {
		t.Errorf("nothing: %v", err)
	}
	// What the server says is what the sender hears.
	s := c.Stream(1) // its numbers begin anew
	s.Send([]byte("x"))
	if err := s.Wait(); err != abi.EPROTO {
		t.Errorf("wait: %v", err)
	}
	if err := s.Send(make([]byte, ipc.MaxStreamMessage)); err != abi.EPROTO {
		t.Errorf("send: %v", err)
	}
}

// Many calls, one doorbell; what is done is told in the order in which it was done.
func TestQueue(t *testing.T) {
	const slots = 130
	raw := ipctest.NewRaw(t, slots)
	sb := raw.Server()
	defer sb.Close()
	c := raw.Client()
	defer c.Close()
	rung := func() uint64 {
		var b [8]byte
		if n, _ := unix.Read(raw.FDs[1], b[:]); n != 8 {
			return 0
		}
		return binary.NativeEndian.Uint64(b[:])
	}
	rung()
	for round := range 3 {
		done := make(chan int, slots)
		for i := range slots {
			k := c.Begin()
			if err := k.Queue(uint64(i), 0, func() {
				done <- i
				k.End()
			}); err != nil {
				t.Fatal(err)
			}
		}
		c.Ring()
		if n := rung(); n != 1 {
			t.Errorf("%d calls rang %d times", slots, n)
		}
		// Answered from the middle outwards, so that no order of slots is that.
		byNr := map[uint64]int{}
		for _, slot := range taken(sb) {
			var q ipc.Request
			if !sb.Load(slot, &q) {
				t.Fatal("no request")
			}
			byNr[q.Nr] = slot
		}
		var want, got []int
		for i := range slots {
			n := slots/2 + (i+1)/2*(1-i%2*2)
			if n == slots {
				n = 0
			}
			want = append(want, n)
			slot := byNr[uint64(n)]
			var q ipc.Request
			sb.Load(slot, &q)
			sb.Answer(slot, q.Seq, 0, 0, 0)
			sb.Complete(slot)
		}
		for range slots {
			got = append(got, <-done)
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: done %v, want %v", round, got, want)
		}
	}
}

// A call that is given up: its caller goes on, the server can know, the slot is used again
// once it has answered.
func TestDoContext(t *testing.T) {
	for _, polled := range []bool{false, true} {
		raw := ipctest.NewRaw(t, 2)
		sb := raw.Server()
		type ask struct {
			slot int
			q    ipc.Request
		}
		asks := make(chan ask, 8)
		serveOn(t, sb, func(slot int) {
			a := ask{slot: slot}
			sb.Load(slot, &a.q)
			if a.q.Nr == 1 {
				sb.Answer(slot, a.q.Seq, 0, 0, 0)
				sb.Complete(slot)
				return
			}
			asks <- a
		})
		c := raw.Client()
		if polled {
			p, err := ipc.NewPoller()
			if err != nil {
				t.Fatal(err)
			}
			p.AddClient(c)
			over := make(chan struct{})
			go func() {
				defer close(over)
				for p.Wait(-1).Kind != ipc.ReadyClosed {
				}
			}()
			defer func() {
				p.Close()
				<-over
			}()
		}
		do := func(ctx context.Context, nr uint64) abi.Errno {
			k := c.Begin()
			defer k.End()
			return k.DoContext(ctx, nr, 0)
		}
		if err := do(context.Background(), 1); err != 0 {
			t.Fatal(err)
		}
		long, stop := context.WithTimeout(context.Background(), time.Hour)
		defer stop()
		if err := do(long, 1); err != 0 {
			t.Errorf("in time: %v", err)
		}
		short, stop := context.WithTimeout(context.Background(), time.Millisecond)
		defer stop()
		if err := do(short, 2); err != abi.ETIMEDOUT {
			t.Errorf("late: %v", err)
		}
		a := <-asks
		if !sb.Cancelled(a.slot, a.q.Seq) || sb.Cancelled(a.slot, a.q.Seq+1) {
			t.Error("the server does not know")
		}
		// The other slot serves meanwhile; a second one that is given up leaves none.
		if err := do(long, 1); err != 0 {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan abi.Errno)
		go func() { gone <- do(ctx, 2) }()
		b := <-asks
		if sb.Cancelled(b.slot, b.q.Seq) {
			t.Error("it is not cancelled yet")
		}
		cancel()
		if err := <-gone; err != abi.ECANCELED {
			t.Errorf("cancelled: %v", err)
		}
		if n := c.Orphans(); n != 2 {
			t.Errorf("%d slots are the server's", n)
		}
		next := make(chan abi.Errno)
		go func() { next <- do(long, 1) }()
		sb.Answer(b.slot, b.q.Seq, 0, 0, 0)
		sb.Complete(b.slot)
		if err := <-next; err != 0 {
			t.Error(err)
		}
		sb.Answer(a.slot, a.q.Seq, 0, 0, 0)
		sb.Complete(a.slot)
		if n := c.Orphans(); n != 0 {
			t.Errorf("%d slots are still the server's", n)
		}
		if !polled {
			c.Close()
		}
	}
}

// Who waits for a slot that is the server's, since its caller gave up, is told that the
// binding is closed.
func TestCloseOrphaned(t *testing.T) {
	for _, slots := range []int{1, 2} {
		raw := ipctest.NewRaw(t, 2)
		sb, c := raw.Server(), raw.Client()
		short, stop := context.WithTimeout(context.Background(), time.Millisecond)
		if slots == 1 {
			c.Begin() // somebody has the other
		}
		for range slots {
			k := c.Begin()
			if err := k.DoContext(short, 1, 0); err != abi.ETIMEDOUT {
				t.Fatal(err)
			}
			k.End()
		}
		stop()
		next := make(chan *ipc.Call)
		for range 2 {
			go func() { next <- c.Begin() }()
		}
		for w := sb.Slot(taken(sb)[0]); atomic.LoadUint32(&w.Waiter) == 0; { // one of them looks
			runtime.Gosched()
		}
		c.Close()
		for range 2 {
			if k := <-next; k != nil {
				t.Error("a call on a closed binding")
			}
		}
		if c.Begin() != nil || c.Orphans() != 0 {
			t.Error("a closed binding has slots")
		}
		c.Break()
		sb.Close()
	}
}

// Whatever a client writes into a slot of a stream: each message that the server sees lies
// within what the client said was there, and the slot is answered.
func FuzzInflow(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add([]byte{1, 0, 0, 0, 'x', 0, 0, 0, 0}, uint64(1))
	f.Add([]byte{255, 255, 255, 255, 1}, uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seq uint64) {
		if len(b) > abi.SlotInSize {
			return
		}
		raw := ipctest.NewRaw(t, 2)
		sb, c := raw.Server(), raw.Client()
		defer sb.Close()
		defer c.Close()
		var got []byte
		in := sb.Inflow()
		for range 2 { // the second time its turn is over
			k := c.Begin()
			k.Args[0] = seq
			done := false
			if err := k.Queue(1, copy(k.In(), b), func() {}); err != nil {
				t.Fatal(err)
			}
			got = got[:0]
			for _, slot := range taken(sb) {
				in.Serve(slot, func(m []byte) {
					got = binary.LittleEndian.AppendUint32(got, uint32(len(m)))
					got = append(got, m...)
				})
				done = true
			}
			if !done || !bytes.HasPrefix(b, got) {
				t.Fatalf("% x of % x", got, b)
			}
			if k.Err() == 0 && len(got) != len(b) {
				t.Fatalf("no error, and % x of % x", got, b)
			}
			if k.Err() != 0 && k.Err() != abi.EPROTO {
				t.Fatal(k.Err())
			}
		}
	})
}
