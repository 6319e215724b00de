package ipc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
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

// echo answers every request with its operation + 1 and its bytes, until stop
// is closed.
type echo struct {
	p      *ipc.Poller
	served atomic.Int64
	done   chan struct{}
	quit   atomic.Bool
}

func newEcho(t testing.TB, spin time.Duration, bs ...*ipc.ServerBinding) *echo {
	t.Helper()
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	p.SetSpin(spin)
	e := &echo{p: p, done: make(chan struct{})}
	for _, b := range bs {
		p.Add(b)
	}
	go func() {
		defer close(e.done)
		for !e.quit.Load() {
			if r := p.Wait(-1); r.Kind == ipc.ReadySlot {
				e.serve(r)
			}
		}
	}()
	return e
}

func (e *echo) serve(r ipc.Ready) {
	var q ipc.Request
	if !r.Binding.Load(r.Slot, &q) {
		r.Binding.Drop(r.Slot)
		return
	}
	n := copy(r.Binding.Out(r.Slot), r.Binding.In(r.Slot)[:q.InLen])
	r.Binding.Answer(r.Slot, q.Seq, q.Nr+1, 0, n)
	e.served.Add(1)
	r.Binding.Complete(r.Slot)
}

func (e *echo) stop() {
	e.quit.Store(true)
	e.p.Wake()
	<-e.done
	e.p.Close()
}

func call(t testing.TB, c *ipc.ClientBinding, nr uint64, data string) {
	t.Helper()
	err := c.Call(nr, 7, nr, [6]uint64{}, []byte(data), func(res uint64, out []byte) {
		if res != nr+1 || string(out) != data {
			t.Errorf("call %d: result %d, %q", nr, res, out)
		}
	})
	if err != 0 {
		t.Errorf("call %d: %v", nr, err)
	}
}

func TestCalls(t *testing.T) {
	raw := ipctest.NewRaw(t, 70)
	raw2 := ipctest.NewRaw(t, 2)
	e := newEcho(t, 20*time.Microsecond, raw.Server(), raw2.Server())
	defer e.stop()
	c, c2 := raw.Client(), raw2.Client()
	var wg sync.WaitGroup
	for g := range 80 { // more flows than slots
		wg.Go(func() {
			for i := range 50 {
				call(t, c, uint64(g*1000+i), "some bytes")
				call(t, c2, uint64(g*1000+i), "")
			}
		})
	}
	wg.Wait()
	if n := e.served.Load(); n != 8000 {
		t.Errorf("served %d of 8000", n)
	}
	if err := c.Call(1, 0, 0, [6]uint64{}, make([]byte, abi.SlotInSize+1), nil); err != abi.E2BIG {
		t.Errorf("too long: %v", err)
	}
}

// TestWakeups goes to sleep between any two calls on both sides, so that every
// call needs two wake-ups; a lost one hangs the test.
func TestWakeups(t *testing.T) {
	raw := ipctest.NewRaw(t, 4)
	e := newEcho(t, 0, raw.Server())
	defer e.stop()
	c := raw.Client()
	n := 4000
	if testing.Short() {
		n = 500
	}
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range n {
				call(t, c, uint64(i), "x")
				for range rnd.IntN(3000) { // moves the calls against each other
				}
			}
		})
	}
	wg.Wait()
}

func TestStart(t *testing.T) {
	raw := ipctest.NewRaw(t, 8)
	e := newEcho(t, 10*time.Microsecond, raw.Server())
	defer e.stop()
	c := raw.Client()
	var wg sync.WaitGroup
	for range 300 {
		k := c.Begin()
		wg.Add(1)
		copy(k.In(), "abc")
		if err := k.Start(5, 3, func() {
			if k.Result() != 6 || string(k.Out()) != "abc" {
				t.Error(k.Result(), k.Out())
			}
			k.End()
			wg.Done()
		}); err != nil {
			t.Fatal(err)
		}
		call(t, c, 1, "sync between")
	}
	wg.Wait()
	c.Close()
	if c.Begin() != nil {
		t.Error("Begin on a closed binding")
	}
}

// TestServerDeath kills the server at each step of a call. The client sees one
// answer.
func TestServerDeath(t *testing.T) {
	for step := range 4 {
		raw := ipctest.NewRaw(t, 2)
		s1 := raw.Server()
		c := raw.Client()
		k := c.Begin()
		copy(k.In(), "xyz")
		got := make(chan struct{})
		var once atomic.Int32
		go func() {
			if err := k.Do(9, 3); err != 0 || k.Result() != 10 || string(k.Out()) != "xyz" {
				t.Errorf("step %d: %v %d %q", step, err, k.Result(), k.Out())
			}
			once.Add(1)
			close(got)
		}()
		slot, ok := s1.Take()
		for !ok { // until the call is there
			slot, ok = s1.Take()
		}
		var q ipc.Request
		switch {
		case step == 0: // taken, not looked at
		case step >= 1:
			if !s1.Load(slot, &q) {
				t.Fatal("no request")
			}
			s1.Out(slot)[0] = 'w' // half a reply
		}
		if step == 2 {
			s1.Answer(slot, q.Seq, 77, 0, 1) // all but State
		}
		if step == 3 { // State only: the waiter is not woken
			n := copy(s1.Out(slot), "xyz")
			s1.Answer(slot, q.Seq, 10, 0, n)
			atomic.StoreUint32(&s1.Slot(slot).State, abi.SlotReply)
		}
		e := newEcho(t, 0, raw.Server())
		<-got
		e.stop()
		if want := int64(1); step < 3 && e.served.Load() != want {
			t.Errorf("step %d: served %d times", step, e.served.Load())
		}
	}
}

// TestClientDeath leaves slots in every state; the next incarnation of the
// client uses them all again, and the server serves no request twice.
func TestClientDeath(t *testing.T) {
	raw := ipctest.NewRaw(t, 4)
	s := raw.Server()
	old := raw.Client()
	for i := range 4 {
		k := old.Begin()
		copy(k.In(), "old")
		if i == 3 {
			break // begun, not sent
		}
		if err := k.Start(uint64(i), 3, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	// One is answered and not seen, one is in work, one was not taken.
	var q ipc.Request
	a, _ := s.Take()
	if !s.Load(a, &q) {
		t.Fatal("no request")
	}
	s.Answer(a, q.Seq, 1, 0, 0)
	s.Complete(a)
	b, _ := s.Take()
	if !s.Load(b, &q) {
		t.Fatal("no request")
	}
	c := raw.Client()
	if n := c.Orphans(); n != 2 {
		t.Fatalf("%d orphans, want 2", n)
	}
	if again, ok := s.Take(); !ok || again == b {
		t.Fatalf("slot %d %v: the request in work was given out again, or the third never", again, ok)
	} else {
		s.Answer(again, 1, 1, 0, 0)
		s.Complete(again)
	}
	if _, ok := s.Take(); ok {
		t.Fatal("a request came from nowhere")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Quiesce(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	quiet := make(chan error)
	go func() { quiet <- c.Quiesce(context.Background()) }()
	s.Answer(b, q.Seq, 1, 0, 0)
	s.Complete(b)
	if err := <-quiet; err != nil {
		t.Fatal(err)
	}
	e := newEcho(t, 0, s)
	defer e.stop()
	var ks []*ipc.Call
	for range 4 { // all four are usable at once
		ks = append(ks, c.Begin())
	}
	for _, k := range ks {
		copy(k.In(), "new")
		if err := k.Do(1, 3); err != 0 || string(k.Out()) != "new" {
			t.Error(err, k.Out())
		}
		k.End()
	}
}

// TestAllOrphans: a client whose slots are all still with the server waits for
// the server, not for its own End.
func TestAllOrphans(t *testing.T) {
	raw := ipctest.NewRaw(t, 1)
	s := raw.Server()
	if err := raw.Client().Begin().Start(3, 0, func() {}); err != nil {
		t.Fatal(err)
	}
	c := raw.Client()
	got := make(chan struct{})
	go func() { call(t, c, 4, "late"); close(got) }()
	e := newEcho(t, 0, s)
	<-got
	e.stop()
}

func TestBreak(t *testing.T) {
	raw := ipctest.NewRaw(t, 2)
	c := raw.Client()
	got := make(chan abi.Errno)
	go func() { got <- c.Call(1, 0, 0, [6]uint64{}, nil, nil) }()
	take(raw.Server())
	c.Break()
	if err := <-got; err != abi.EIO {
		t.Error(err)
	}
	if err := c.Call(1, 0, 0, [6]uint64{}, nil, nil); err != abi.EPIPE {
		t.Error(err)
	}
}

// TestPolledClient: a Poller sees to the replies of many callers, whether it
// looks or sleeps when they come; calls that were begun before it had the
// binding, and calls of a server that will not come back, end too.
func TestPolledClient(t *testing.T) {
	for _, spin := range []time.Duration{0, 20 * time.Microsecond} {
		raw, raw2, early := ipctest.NewRaw(t, 5), ipctest.NewRaw(t, 70), ipctest.NewRaw(t, 1)
		e := newEcho(t, spin, raw.Server(), raw2.Server())
		defer e.stop()
		idle := newEcho(t, spin) // its Poller is the one of the client
		defer idle.stop()
		c, c2, c3 := raw.Client(), raw2.Client(), early.Client()

		s3 := early.Server()
		begun := make(chan abi.Errno)
		go func() { begun <- c3.Call(1, 0, 0, [6]uint64{}, nil, nil) }()
		slot := take(s3)
		for _, b := range []*ipc.ClientBinding{c, c2, c3} {
			idle.p.AddClient(b)
		}
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(g), 2))
				for i := range 200 {
					call(t, c, uint64(g*1000+i), "some bytes")
					for range rnd.IntN(2000) { // moves the calls against each other
					}
					call(t, c2, uint64(g*1000+i), "")
				}
			})
		}
		wg.Wait()
		if n := e.served.Load(); n != 8000 {
			t.Errorf("served %d of 8000", n)
		}
		var q ipc.Request
		s3.Load(slot, &q)
		s3.Answer(slot, q.Seq, 0, 0, 0)
		s3.Complete(slot)
		if err := <-begun; err != 0 {
			t.Error(err)
		}
		go func() { begun <- c3.Call(1, 0, 0, [6]uint64{}, nil, nil) }()
		take(s3)
		c3.Break()
		if err := <-begun; err != abi.EIO {
			t.Error(err)
		}
	}
}

// TestPost: calls that are posted come to the server with one doorbell, and their functions
// are called by who has the role of the Poller; they may post more.
func TestPost(t *testing.T) {
	for _, spin := range []time.Duration{0, 20 * time.Microsecond} {
		raw := ipctest.NewRaw(t, 5)
		c, s := raw.Client(), raw.Server() // it is not in a Poller: its doorbell counts
		k := c.TryBegin()
		if k.Post(1, 0, func() {}) {
			t.Fatal("posted without a Poller")
		}
		k.End()
		p, err := ipc.NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		p.SetSpin(spin)
		p.AddClient(c)
		p.Wait(0)
		var got []uint64
		post := func(nr uint64, more func()) {
			k := c.TryBegin()
			if k == nil {
				t.Fatal("no slot")
			}
			if !k.Post(nr, copy(k.In(), "bytes"), func() {
				got = append(got, k.Result())
				k.End()
				if more != nil {
					more()
				}
			}) {
				t.Fatal("not posted")
			}
		}
		again := false
		for i := range 5 {
			post(uint64(i), func() {
				if i == 0 {
					again = true
					post(10, nil)
				}
			})
		}
		if c.TryBegin() != nil {
			t.Error("a sixth slot")
		}
		if n := raw.Rung(); n != 0 {
			t.Errorf("rung %d times at once", n)
		}
		p.Wait(0)
		if n := raw.Rung(); n != 1 {
			t.Errorf("rung %d times, want once", n)
		}
		answer := func() {
			var q ipc.Request
			slot := take(s)
			s.Load(slot, &q)
			s.Answer(slot, q.Seq, q.Nr+1, 0, 0)
			s.Complete(slot)
		}
		for range 5 {
			answer()
		}
		for len(got) < 5 {
			p.Wait(0)
		}
		if !again {
			t.Error("the function of the first call was not called")
		}
		answer()
		for len(got) < 6 {
			p.Wait(0)
		}
		slices.Sort(got)
		if want := []uint64{1, 2, 3, 4, 5, 11}; !slices.Equal(got, want) {
			t.Errorf("answers %v, want %v", got, want)
		}
		// While the Poller sleeps nobody else would ring.
		raw.Rung()
		wake := make(chan int)
		go func() { wake <- p.Wait(-1).Kind }()
		rung := uint64(0)
		for rung == 0 { // at the latest when it sleeps, or was about to
			k := c.TryBegin()
			if k == nil {
				t.Fatal("no slot")
			}
			k.Post(20, 0, func() { k.End() })
			for range 1000 {
				if rung += raw.Rung(); rung > 0 {
					break
				}
				runtime.Gosched()
			}
			answer()
			for !idle(c) {
				runtime.Gosched()
			}
		}
		// The server will never come back.
		broken := make(chan abi.Errno, 1)
		k = c.TryBegin()
		k.Post(30, 0, func() { broken <- k.Err(); k.End() })
		c.Break()
		if e := <-broken; e != abi.EIO {
			t.Errorf("broken: %v", e)
		}
		if c.TryBegin() != nil {
			t.Error("a slot of a broken binding")
		}
		p.Wake()
		if k := <-wake; k != ipc.ReadyWake {
			t.Errorf("woke with %d", k)
		}
		p.Close()
	}
}

// idle says whether all slots of a binding of five are free.
func idle(c *ipc.ClientBinding) bool {
	var l []*ipc.Call
	for range 5 {
		if k := c.TryBegin(); k != nil {
			l = append(l, k)
		}
	}
	for _, k := range l {
		k.End()
	}
	return len(l) == 5
}

// TestLead: who has the role of a Poller goes on with it when a call is answered soon, and
// passes it on, once, before it waits for one that is not, or for a free slot.
func TestLead(t *testing.T) {
	raw := ipctest.NewRaw(t, 2)
	s, c := raw.Server(), raw.Client()
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	over := make(chan struct{})
	defer func() { close(over); p.Wake(); others.Wait(); p.Close() }()
	p.AddClient(c)
	p.Wait(0)
	passed := 0
	l := &ipc.Lead{Poller: p, Pass: func() {
		passed++
		others.Go(func() {
			for {
				p.Wait(-1)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}}
	answer := func(slot int) {
		var q ipc.Request
		s.Load(slot, &q)
		s.Answer(slot, q.Seq, 0, 0, 0)
		s.Complete(slot)
	}
	// With the answer there, nobody has to look.
	soon := make(chan struct{})
	go func() { answer(take(s)); close(soon) }()
	k := c.BeginLead(l)
	for passed == 0 {
		if err := k.Do(1, 0); err != 0 {
			t.Fatal(err)
		}
		k.End()
		<-soon
		if passed > 0 {
			break // it was not soon
		}
		soon = make(chan struct{})
		late := time.After(2 * time.Millisecond)
		go func() {
			slot := take(s)
			<-late
			answer(slot)
			close(soon)
		}()
		k = c.BeginLead(l)
	}
	if passed != 1 {
		t.Fatalf("passed on %d times", passed)
	}
	// Somebody else has the role; it is taken back for what follows.
	close(over)
	p.Wake()
	others.Wait()
	over = make(chan struct{})
	passed = 0
	a, b := c.Begin(), c.Begin()
	l.Pass = func() { passed++; go a.End() }
	k = c.BeginLead(l)
	if passed != 1 {
		t.Errorf("without a free slot the role was passed on %d times", passed)
	}
	k.End()
	b.End()
}

// take waits for a request.
func take(s *ipc.ServerBinding) int {
	for {
		if slot, ok := s.Take(); ok {
			return slot
		}
		runtime.Gosched()
	}
}

// TestHostileClient rewrites a slot and the header at random while the server
// serves: what Load answers is within bounds, and other clients are served.
func TestHostileClient(t *testing.T) {
	evil, good := ipctest.NewRaw(t, 3), ipctest.NewRaw(t, 2)
	mem, err := unix.Mmap(evil.FDs[0], 0, abi.BindHeaderSize+3*abi.SlotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	e := newEcho(t, 10*time.Microsecond, evil.Server(), good.Server())
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(3, 3))
		bell := make([]byte, 8)
		binary.LittleEndian.PutUint64(bell, 1)
		for !stop.Load() {
			for i := abi.BindHeaderSize; i < len(mem); i += abi.SlotSize {
				mem[i] = byte(1 + 3*rnd.IntN(2)) // Request, Resumed
				for range 4 {
					mem[i+4+rnd.IntN(300)] = byte(rnd.Uint32())
				}
			}
			for i := 64; i < 1024; i += 8 {
				binary.LittleEndian.PutUint64(mem[i:], rnd.Uint64())
			}
			_, _ = unix.Write(evil.FDs[1], bell)
		}
	})
	c := good.Client()
	for i := range 3000 {
		call(t, c, uint64(i), "good")
	}
	stop.Store(true)
	wg.Wait()
	e.stop()

	s := evil.Server()
	var q ipc.Request
	sl := s.Slot(0)
	for _, bad := range []func(){
		func() { sl.State = abi.SlotIdle },
		func() { sl.InLen = abi.SlotInSize + 1 },
		func() { sl.NIn = 7 },
		func() { sl.NIn = 1; sl.In[0] = abi.Extent{Off: abi.SlotOutOff - 1, Len: 2} },
		func() { sl.NIn = 1; sl.In[0] = abi.Extent{Off: abi.SlotInOff - 1, Len: 1} },
		func() { sl.NIn = 1; sl.In[0] = abi.Extent{Off: 0xfffffff0, Len: 0x20} },
	} {
		*sl = abi.Slot{State: abi.SlotRequest}
		bad()
		if s.Load(0, &q) {
			t.Errorf("Load took %+v", q.In[0])
		}
	}
}

// pending is where the Pending bits are in a message area.
var pending = func() uintptr {
	f, _ := reflect.TypeFor[abi.BindHeader]().FieldByName("Pending")
	return f.Offset
}()

// TestResumed: the bit of a slot whose client was asked for something says nothing before it has come back.
func TestResumed(t *testing.T) {
	raw := ipctest.NewRaw(t, 1)
	mem, err := unix.Mmap(raw.FDs[0], 0, abi.BindHeaderSize+abi.SlotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	s := raw.Server()
	says := func(state byte) int {
		t.Helper()
		if state != 0 {
			mem[abi.BindHeaderSize] = state
		}
		mem[pending] = 1
		slot, ok := s.Take()
		if !ok {
			t.Fatal("no slot is given")
		}
		return slot
	}
	var q ipc.Request
	if !s.Load(says(abi.SlotRequest), &q) || s.Resumed(0) {
		t.Error("a request is another thing")
	}
	s.Ask(0)
	for range 3 { // each time it is given again
		if s.Resumed(says(0)) {
			t.Error("it has not come back")
		}
		s.Drop(0)
	}
	if !s.Resumed(says(abi.SlotResumed)) {
		t.Error("it has come back")
	}
}

// TestForgedPending: a client that says again and again that there is a request in a slot
// that is being served keeps the server from nothing else.
func TestForgedPending(t *testing.T) {
	raw := ipctest.NewRaw(t, 1)
	mem, err := unix.Mmap(raw.FDs[0], 0, abi.BindHeaderSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, c := raw.Server(), raw.Client()
	var wg sync.WaitGroup
	wg.Go(func() { call(t, c, 1, "") })
	for until := time.Now().Add(10 * time.Second); mem[pending] == 0; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatal("the request's bit is elsewhere")
		}
	}
	p.Add(s)
	taken := p.Wait(-1)
	if taken.Kind != ipc.ReadySlot {
		t.Fatal(taken)
	}
	p.SetGlances(1 << 24) // until the bit is there, also where the two have one processor
	var stop, late atomic.Bool
	wg.Go(func() {
		for !stop.Load() {
			mem[pending] = 1
		}
	})
	watch := time.AfterFunc(20*time.Second, func() { late.Store(true); stop.Store(true) })
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddFD(fd, unix.EPOLLIN, 7); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r := p.Wait(-1); r.Kind != ipc.ReadyFD || r.Token != 7 {
			t.Errorf("got %+v", r)
		}
	}
	if r := p.Wait(0); r.Kind != ipc.ReadyFD && r.Kind != ipc.ReadyTimeout {
		t.Errorf("got %+v", r)
	}
	watch.Stop()
	stop.Store(true)
	if late.Load() {
		t.Error("nothing else was served")
	}
	(&echo{p: p}).serve(taken)
	wg.Wait()
	p.Remove(s)
	s.Close()
	c.Close()
	_ = unix.Close(fd)
}

func TestPollerDescriptors(t *testing.T) {
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if r := p.Wait(0); r.Kind != ipc.ReadyTimeout {
		t.Fatal(r)
	}
	if r := p.Wait(300 * time.Microsecond); r.Kind != ipc.ReadyTimeout {
		t.Fatal(r)
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.AddFD(fd, unix.EPOLLIN, 99)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddFD(-1, unix.EPOLLIN, 1); err == nil {
		t.Error("AddFD(-1)")
	}
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	go func() { _, _ = unix.Write(fd, one) }()
	if r := p.Wait(-1); r.Kind != ipc.ReadyFD || r.Token != 99 || r.Events&unix.EPOLLIN == 0 {
		t.Fatal(r)
	}
	if r := p.Wait(-1); r.Kind != ipc.ReadyFD { // level-triggered
		t.Fatal(r)
	}
	p.RemoveFD(id)
	go p.Wake()
	if r := p.Wait(-1); r.Kind != ipc.ReadyWake {
		t.Fatal(r)
	}
	p.Wake()
	if r := p.Wait(-1); r.Kind != ipc.ReadyWake {
		t.Fatal(r)
	}

	// A busy binding does not starve a descriptor, nor an idle one.
	raw, raw2 := ipctest.NewRaw(t, 1), ipctest.NewRaw(t, 1)
	s, s2 := raw.Server(), raw2.Server()
	p.Add(s)
	p.Add(s2)
	if _, err := p.AddFD(fd, unix.EPOLLIN, 98); err != nil {
		t.Fatal(err)
	}
	c := raw.Client()
	var quit atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !quit.Load() {
			call(t, c, 1, "")
		}
	})
	e := &echo{p: p}
	sawFD := false
	wg.Go(func() { call(t, raw2.Client(), 1, "") })
	for saw2 := false; !sawFD || !saw2; {
		switch r := p.Wait(-1); r.Kind {
		case ipc.ReadySlot:
			saw2 = saw2 || r.Binding == s2
			e.serve(r)
		case ipc.ReadyFD:
			sawFD = true
		}
	}
	quit.Store(true)
	go func() { wg.Wait(); p.Wake() }()
	for r := p.Wait(-1); r.Kind != ipc.ReadyWake; r = p.Wait(-1) {
		if r.Kind == ipc.ReadySlot {
			e.serve(r)
		}
	}
	p.Remove(s)
	p.Remove(s2)
	s.Close()
	s2.Close()
	_ = unix.Close(fd)
}

// TestPollerClose: a Close ends the Wait that sleeps, or is on its way there, and
// all later ones; it may come twice, and a Wake after it touches nothing.
func TestPollerClose(t *testing.T) {
	for i := range 200 {
		raw := ipctest.NewRaw(t, 1)
		p, err := ipc.NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		p.Add(raw.Server())
		done := make(chan ipc.Ready)
		go func() { done <- p.Wait(-1) }()
		for range i * 20 {
			runtime.Gosched()
		}
		p.Close()
		if r := <-done; r.Kind != ipc.ReadyClosed {
			t.Fatalf("round %d: %+v", i, r)
		}
		p.Close()
		p.Wake()
		for _, d := range []time.Duration{-1, 0, time.Hour} {
			if r := p.Wait(d); r.Kind != ipc.ReadyClosed {
				t.Fatalf("round %d, later: %+v", i, r)
			}
		}
	}
}

// TestHandover passes the role of the waiter between goroutines at each request.
func TestHandover(t *testing.T) {
	raw := ipctest.NewRaw(t, 4)
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Add(raw.Server())
	e := &echo{p: p}
	role := make(chan bool, 1)
	role <- true
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for on := range role {
				if !on {
					role <- false
					return
				}
				r := p.Wait(-1)
				role <- r.Kind != ipc.ReadyWake
				if r.Kind == ipc.ReadySlot {
					e.serve(r) // outside the role
				}
			}
		})
	}
	c := raw.Client()
	for i := range 2000 {
		call(t, c, uint64(i), "h")
	}
	p.Wake()
	wg.Wait()
}

func TestConn(t *testing.T) {
	n := ipctest.New(t)
	srv := n.Start("srv", `{"size":5}`)
	var cfg struct{ Size int }
	if err := srv.In.Decode(&cfg); err != nil || cfg.Size != 5 || srv.In.Incarnation != 1 {
		t.Fatal(err, cfg)
	}
	h, fresh, err := srv.In.State(srv.Conn, 16<<20, 3)
	if err != nil || !fresh {
		t.Fatal(err, fresh)
	}
	h.Begin()
	b := h.Alloc(4)
	copy(h.Bytes(b), "kept")
	h.Commit()
	cl := n.Start("cl", "", "srv")
	if cl.In.Send("nobody") != 0 || cl.In.Send("srv") == 0 {
		t.Fatal("send rights")
	}
	bound := make(chan *ipc.Bound, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- srv.Conn.Run(&ipc.Handlers{Binding: func(b *ipc.Bound) { bound <- b }})
	}()
	cb, err := cl.In.Client(cl.Conn, "to srv", "srv", 2)
	if err != nil {
		t.Fatal(err)
	}
	sb, err := ipc.NewServerBinding(<-bound)
	if err != nil {
		t.Fatal(err)
	}
	if sb.Label != "to srv" || sb.ID != cb.ID {
		t.Fatal(sb.Label, sb.ID, cb.ID)
	}
	obj, fd, e := srv.Conn.CreateObject(4096, "data")
	if e != 0 {
		t.Fatal(e)
	}
	if _, err := unix.Pwrite(fd, []byte("granted"), 0); err != nil {
		t.Fatal(err)
	}
	if e := srv.Conn.Grant(sb.ID, obj, true, 77); e != 0 {
		t.Fatal(e)
	}
	g, e := cl.Conn.TakeGrant(cb.ID, 77, time.Minute)
	if e != 0 {
		t.Fatal(e)
	}
	buf := make([]byte, 7)
	if _, err := unix.Pread(g.FD, buf, 0); err != nil || string(buf) != "granted" {
		t.Fatal(err, buf)
	}
	if _, err := unix.Pwrite(g.FD, buf, 0); err == nil {
		t.Error("a read-only grant can be written")
	}
	if _, e := cl.Conn.TakeGrant(cb.ID, 78, time.Millisecond); e != abi.EIO {
		t.Error("grant that never comes:", e)
	}
	if e := srv.Conn.Grant(sb.ID+1, obj, true, 1); e != abi.EINVAL {
		t.Error(e)
	}
	if _, e := srv.Conn.Call(abi.CallLog, [6]uint64{}, make([]byte, abi.MaxInline+1), nil); e != abi.EMSGSIZE {
		t.Error(e)
	}
	if _, e := cl.Conn.Bind(12345, 1, ""); e != abi.EINVAL {
		t.Error(e)
	}
	if _, e := cl.Conn.Bind(1, 0, ""); e != abi.EINVAL {
		t.Error(e)
	}
	// The next incarnation.
	srv.Kill()
	if err := <-ended; err == nil {
		t.Error("Run ended without a reason")
	}
	if _, e := srv.Conn.MakePort(""); e != abi.EPIPE {
		t.Error("call on a dead channel:", e)
	}
	srv = n.Start("srv", "")
	h, fresh, err = srv.In.State(srv.Conn, 16<<20, 3)
	if err != nil || fresh || string(h.Bytes(b)) != "kept" {
		t.Fatal(err, fresh)
	}
	if srv.In.Incarnation != 2 || len(srv.In.Bindings) != 1 || !srv.In.Bindings[0].Redelivered || srv.In.Find(abi.RightObject, "data") == nil {
		t.Fatalf("%+v", srv.In)
	}
	sb, err = ipc.NewServerBinding(srv.In.Bindings[0])
	if err != nil {
		t.Fatal(err)
	}
	e2 := newEcho(t, 0, sb)
	call(t, cb, 3, "after")
	e2.stop()
}

func TestBadBindings(t *testing.T) {
	fd := ipctest.Memfd(t, 100)
	for _, b := range []*ipc.Bound{
		{Slots: 1, FDs: []int{fd, -1, -1}},
		{Slots: 0, FDs: []int{ipctest.Memfd(t, 1<<20), -1, -1}},
		{Slots: abi.MaxSlots + 1, FDs: []int{ipctest.Memfd(t, 1<<20), -1, -1}},
		{Slots: 1, FDs: []int{ipctest.Memfd(t, 1<<20), -1, -1}}, // not formatted
		{Slots: 1, FDs: []int{ipctest.Memfd(t, 1<<20)}},
		{Slots: 1, FDs: []int{-1, -1, -1}},
	} {
		c := *b
		c.FDs = nil
		for _, fd := range b.FDs {
			if fd >= 0 {
				if d, err := unix.Dup(fd); err == nil {
					fd = d
				}
			}
			c.FDs = append(c.FDs, fd)
		}
		if _, err := ipc.NewServerBinding(b); err == nil {
			t.Errorf("server took %+v", b)
		}
		if _, err := ipc.NewClientBinding(&c); err == nil {
			t.Errorf("client took %+v", c)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	raw := ipctest.NewRaw(b, 1)
	e := newEcho(b, 50*time.Microsecond, raw.Server())
	defer e.stop()
	c := raw.Client()
	k := c.Begin()
	b.ReportAllocs()
	for b.Loop() {
		k.Do(1, 8)
	}
}

func BenchmarkRoundTripAsleep(b *testing.B) {
	raw := ipctest.NewRaw(b, 1)
	e := newEcho(b, 0, raw.Server())
	defer e.stop()
	c := raw.Client()
	k := c.Begin()
	for b.Loop() {
		k.Do(1, 8)
	}
}

// A new incarnation finds what was lent as it was, and nobody moves it any more; a pipe's ring
// begins anew behind its end.
func TestLentWords(t *testing.T) {
	r := ipctest.NewRaw(t, 1)
	s := r.Server()
	last := abi.LentFiles + abi.LentPipes - 1
	for i, at := range []int{0, 3, abi.LentFiles, last} {
		if !s.SetLentPos(at, 0, abi.LentPos|uint64(i+1)) || s.SetLentPos(at, 0, 1) {
			t.Fatal(at)
		}
	}
	ring := int64(abi.LentRingOff + (abi.LentPipes-1)*abi.LentRingSize)
	for at, b := range map[int64]string{ring: "cde", ring + abi.LentRingSize - 2: "ab", abi.BindHeaderSize: "\x00"} {
		if _, err := unix.Pwrite(r.FDs[0], []byte(b), at); err != nil {
			t.Fatal(err)
		}
	}
	for i := range abi.LentSets {
		s.LendSet(i, int32(i), make([]abi.LentItem, abi.LentSetItems), 5, 6)
		gen := s.SetGen(i)
		if next := s.UnlendSet(i); gen&1 == 0 || s.SetGen(i)&1 != 0 || next != 0 {
			t.Errorf("set %d: %d, then %d, %d", i, gen, s.SetGen(i), next)
		}
		if s.LendSet(i, int32(i), nil, 0, 0); s.SetGen(i)&1 == 0 || s.SetGen(i) == gen {
			t.Errorf("set %d: lent by number %d twice", i, gen)
		}
	}
	next := r.Server()
	for i := range abi.LentSets {
		if next.SetGen(i)&1 != 0 {
			t.Errorf("set %d is still lent", i)
		}
	}
	for i, at := range []int{0, 3, abi.LentFiles, last} {
		if next.SetLentPos(at, abi.LentPos|uint64(i+1), 0) {
			t.Errorf("%d: still lent", at)
		}
		if v := next.LentPos(at); v != uint64(i+1) {
			t.Errorf("%d: %x", at, v)
		}
	}
	b := make([]byte, 5)
	if next.LentRing(abi.LentPipes-1, 7*abi.LentRingSize-2, b); string(b) != "abcde" {
		t.Errorf("%q", b)
	}
	s.Close()
	next.Close()
}

// TestPollerExpects: who was answered may soon be back, and is looked out for until the
// server has slept; who waits for an answer is not.
func TestPollerExpects(t *testing.T) {
	p, err := ipc.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	raw := ipctest.NewRaw(t, 2)
	s, c := raw.Server(), raw.Client()
	p.Add(s)
	next := func() (slot int, q ipc.Request) {
		t.Helper()
		r := p.Wait(-1)
		if r.Kind != ipc.ReadySlot || !s.Load(r.Slot, &q) {
			t.Fatal(r)
		}
		return r.Slot, q
	}
	expects := func(want bool, when string) {
		t.Helper()
		if p.Expects() != want {
			t.Errorf("%s: expects more: %t", when, !want)
		}
	}
	calls := make(chan abi.Errno, 2)
	call := func() { go func() { calls <- c.Call(1, 0, 0, [6]uint64{}, nil, nil) }() }
	answer := func(slot int, q ipc.Request) {
		s.Answer(slot, q.Seq, 0, 0, 0)
		s.Complete(slot)
		if e := <-calls; e != 0 {
			t.Error(e)
		}
	}
	call()
	first, q1 := next()
	expects(false, "one request, not answered")
	call()
	second, q2 := next()
	answer(second, q2)
	expects(true, "the second answered")
	call()
	second, q2 = next()
	expects(false, "both wait")
	answer(second, q2)
	answer(first, q1)
	expects(true, "both answered")
	call()
	first, q1 = next()
	expects(true, "one of two is back")
	answer(first, q1)
	if r := p.Wait(0); r.Kind != ipc.ReadyTimeout {
		t.Fatal(r)
	}
	p.Wake()
	if r := p.Wait(-1); r.Kind != ipc.ReadyWake {
		t.Fatal(r)
	}
	expects(true, "not slept since")
	if r := p.Wait(20 * time.Millisecond); r.Kind != ipc.ReadyTimeout {
		t.Fatal(r)
	}
	expects(false, "slept since")
}

// TestSetChanges: a client changes items one after the other, in the steps in which a library does; at whatever step the set
// is taken back, the server finds what was done by then, each change whole, and what comes later changes nothing.
func TestSetChanges(t *testing.T) {
	items := []abi.LentItem{{FD: 3, Stream: 1, Events: 1}, {FD: 70, Stream: 2}, {FD: 5, Stream: 3, Data: 5}}
	type change struct {
		at int
		is abi.LentItem
	}
	changes := []change{{0, abi.LentItem{FD: 3, Stream: 1, Events: 4, Data: 1 << 40}}, {2, abi.LentItem{FD: 5, Stream: 3, Off: 1}},
		{0, abi.LentItem{FD: 3, Stream: 1, Off: 1}}, {0, abi.LentItem{FD: 3, Stream: 1, Events: 1, Data: 8}}}
	const steps = 5
	for when := range len(changes)*steps + 1 {
		s := ipctest.NewRaw(t, 1).Server()
		if !s.LendSet(1, 9, items, 0, 0) || s.SetChanged(1) {
			t.Fatal("not lent")
		}
		h, list, want, n := s.SetHeader(1), s.SetList(1), slices.Clone(items), 0
		if h.Index[3] != 1 || h.Index[5] != 3 || h.Index[4] != 0 {
			t.Fatal(h.Index)
		}
		back := func() {
			if n == when {
				s.UnlendSet(1)
			}
			n++
		}
		for _, c := range changes {
			ctl := h.Ctl
			if ctl&abi.SetTaken != 0 {
				break
			}
			back()
			h.Redo[(ctl+1)&1] = abi.LentRedo{Item: c.is, At: uint32(c.at)}
			back()
			if !atomic.CompareAndSwapUint64(&h.Ctl, ctl, ctl+1) {
				break
			}
			want[c.at] = c.is
			back()
			list[c.at].Off, list[c.at].Events = c.is.Off, c.is.Events
			back()
			list[c.at].Data = c.is.Data
			back()
		}
		back()
		fd, got := s.SetItems(1)
		if changed := !slices.Equal(want, items); s.SetChanged(1) != changed || changed && (fd != 9 || !slices.Equal(got, want)) {
			t.Errorf("taken back at step %d: %v %d %v, want %v", when, s.SetChanged(1), fd, got, want)
		}
		if s.SetChanged(1) && s.LendSet(1, 9, items, 0, 0) {
			t.Error("lent again before it is settled")
		}
		if s.SettleSet(1); s.SetChanged(1) || !s.LendSet(1, 9, items, 0, 0) {
			t.Error("settled, and not lent again")
		}
		// Forged: what there is is answered, whatever it says.
		s.UnlendSet(1)
		h.N, h.Ctl, h.Redo[1].At = 1<<31, 1, 1<<31
		if _, got := s.SetItems(1); len(got) != abi.LentSetItems {
			t.Error(len(got))
		}
	}
}
