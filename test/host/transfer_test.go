package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine/linux"
	"hythe/nucleus"
)

// attach begins the next incarnation of a server in the test's own process.
func (w *world) attach(s *nucleus.Server) (*ipc.Conn, *ipc.Inheritance) {
	w.t.Helper()
	h, err := s.Attach(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	fd, err := linux.TakeFD(h)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := ipc.Dial(fd)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	in, err := ipc.Startup(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, in
}

// pair is a client and a server of its requests, both in the test's own process.
func (w *world) pair() (c *ipc.Conn, client *nucleus.Server, to abi.Name, s *nucleus.Server) {
	w.t.Helper()
	s = w.k.NewServer(nucleus.ServerSpec{Name: "s"})
	if _, err := s.MakePort("svc"); err != nil {
		w.t.Fatal(err)
	}
	client = w.k.NewServer(nucleus.ServerSpec{Name: "client"})
	if _, err := client.GiveSend("s", s, "svc"); err != nil {
		w.t.Fatal(err)
	}
	c, in := w.attach(client)
	return c, client, in.Send("s"), s
}

func kindsOf(l []abi.RightDesc) map[uint8]int {
	n := map[uint8]int{}
	for _, r := range l {
		n[r.Kind]++
	}
	return n
}

// A thousand rights of all kinds go with one request. They are in the sender's budget
// until they are taken, to the byte; who dies before it has answered finds them again
// under the same names; they do what such rights do.
func TestThousandRights(t *testing.T) {
	w := newWorld(t)
	c, client, to, s := w.pair()
	ports, err := c.MakePorts(950)
	if err != 0 {
		t.Fatal(err)
	}
	moved, err := c.MakePorts(50)
	if err != 0 {
		t.Fatal(err)
	}
	var rights []abi.RightDesc
	for i, n := range ports {
		d := abi.RightDesc{Name: n, Disp: abi.MakeSend}
		if i >= 900 {
			d.Disp = abi.MakeSendOnce
		}
		rights = append(rights, d)
	}
	for _, n := range moved {
		rights = append(rights, abi.RightDesc{Name: n, Disp: abi.MoveReceive})
	}
	back, err := c.MakePort("")
	if err != 0 {
		t.Fatal(err)
	}
	before, _ := client.Budget()
	m := &ipc.Message{ID: 1, Body: []byte("a thousand")}
	if err := c.PackRights(m, rights); err != 0 {
		t.Fatal(err)
	}
	if used, _ := client.Budget(); used < before+48*1000 {
		t.Errorf("a thousand rights on their way cost their sender %d bytes", used-before)
	}
	answered := make(chan abi.Errno, 1)
	go func() {
		_, err := c.Exchange(to, m, back)
		answered <- err
	}()

	var names [2][]abi.RightDesc
	for life := range 2 {
		sc, in := w.attach(s)
		q, err := sc.Receive(in.Find(abi.RightReceive, "svc").Name)
		if err != 0 {
			t.Fatal(err)
		}
		if q.Again != (life == 1) {
			t.Errorf("life %d: again %v", life, q.Again)
		}
		got, done, err := sc.UnpackRights(q, 1000)
		if err != 0 {
			t.Fatal(err)
		}
		names[life] = got
		if k := kindsOf(got); len(got) != 1000 || k[abi.RightSend] != 900 || k[abi.RightSendOnce] != 50 || k[abi.RightReceive] != 50 {
			t.Fatalf("life %d: %d rights, %v", life, len(got), k)
		}
		if life == 0 { // it dies with all of them
			sc.Close()
			<-w.dead
			continue
		}
		b := sc.Batch()
		for i, r := range got[:900] {
			b.Send(r.Name, &ipc.Message{ID: uint32(2000 + i)}, abi.NameNull, 0)
		}
		if err := b.Do(func(i int, _ ipc.Reply, err abi.Errno) {
			if err != 0 {
				t.Errorf("right %d: %v", i, err)
			}
		}); err != 0 {
			t.Fatal(err)
		}
		if err := sc.Answer(q, nil); err != 0 {
			t.Fatal(err)
		}
		done()
		sc.DropRights(got)
	}
	if err := <-answered; err != 0 {
		t.Fatal(err)
	}
	if !slices.Equal(names[0], names[1]) {
		t.Error("the second life has other names")
	}
	for _, i := range []int{0, 31, 32, 899} {
		if m, err := c.Receive(ports[i]); err != 0 || m.ID != uint32(2000+i) {
			t.Errorf("port %d: %v %+v", i, err, m)
		}
	}
	if m, err := c.Receive(ports[920]); err != 0 || m.ID != abi.MsgNotify+abi.NotifySendOnce {
		t.Errorf("a send-once right that was dropped: %v %+v", err, m)
	}
	// All is given back: only ports that the client has, and notifications in them.
	for _, n := range ports {
		c.DropReceive(n)
	}
	c.DropReceive(back)
	if used, _ := client.Budget(); used != 0 {
		t.Errorf("%d bytes of budget are left", used)
	}
}

// What packs rights and unpacks them is not at the mercy of the other side.
func TestRightsHostile(t *testing.T) {
	w := newWorld(t)
	c, client, to, s := w.pair()
	sc, in := w.attach(s)
	svc := in.Find(abi.RightReceive, "svc").Name
	own, err := c.MakePort("")
	if err != 0 {
		t.Fatal(err)
	}
	send := func(rights ...abi.RightDesc) *ipc.Message {
		t.Helper()
		if err := c.Send(to, &ipc.Message{ID: 1, Rights: rights}, abi.NameNull); err != 0 {
			t.Fatal(err)
		}
		m, err := sc.Receive(svc)
		if err != 0 {
			t.Fatal(err)
		}
		return m
	}
	refused := func(m *ipc.Message, max int, want abi.Errno) {
		t.Helper()
		had := len(s.Ports())
		if r, done, err := sc.UnpackRights(m, max); err != want || r != nil || done != nil {
			t.Errorf("%v %v, want %v", r, err, want)
		}
		// The port is gone, and what was in it.
		if n := len(s.Ports()); n > had-1 {
			t.Errorf("%v: %d names, then %d", want, had, n)
		}
	}
	copies := func(n int) (l []abi.RightDesc) {
		for range n {
			l = append(l, abi.RightDesc{Name: own, Disp: abi.MakeSend})
		}
		return l
	}
	pack := func(n int) abi.RightDesc {
		t.Helper()
		m := &ipc.Message{}
		if err := c.PackRights(m, copies(n)); err != 0 {
			t.Fatal(err)
		}
		return m.Rights[0]
	}
	refused(send(pack(100)), 99, abi.EMSGSIZE)
	if _, _, err := sc.UnpackRights(send(copies(3)...), 2); err != abi.EMSGSIZE {
		t.Errorf("three in the message: %v", err)
	}
	// Something else in the port.
	box := func(m *ipc.Message) abi.RightDesc {
		t.Helper()
		p, err := c.MakePort("")
		if err != 0 {
			t.Fatal(err)
		}
		c.MakeSend(p)
		if m != nil {
			if err := c.Send(p, m, p); err != 0 {
				t.Fatal(err)
			}
		}
		c.Deallocate(p)
		return abi.RightDesc{Name: p, Disp: abi.MoveReceive}
	}
	refused(send(box(&ipc.Message{ID: 7, Rights: copies(2)})), 10, abi.EPROTO)
	object, fd, err := c.CreateObject(4096, "")
	if err != 0 {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	refused(send(box(&ipc.Message{ID: abi.MsgRights, Objects: []abi.ObjectDesc{{Name: object, Len: 4096}}})), 10, abi.EPROTO)
	// Nothing in it is no rights.
	if r, done, err := sc.UnpackRights(send(box(nil)), 10); err != 0 || len(r) != 0 {
		t.Errorf("an empty port: %v %v", r, err)
	} else {
		done()
	}
	// One receive right is not taken for a port full of rights.
	m := &ipc.Message{}
	p, _ := c.MakePort("")
	if err := c.PackRights(m, []abi.RightDesc{{Name: p, Disp: abi.MoveReceive}}); err != 0 {
		t.Fatal(err)
	}
	if r, done, err := sc.UnpackRights(send(m.Rights...), 10); err != 0 || len(r) != 1 || r[0].Kind != abi.RightReceive {
		t.Errorf("one receive right: %v %v", r, err)
	} else {
		done()
		sc.DropRights(r)
	}
	// A right that is not there: what had been packed comes back.
	used, _ := client.Budget()
	moved, _ := c.MakePorts(40)
	var l []abi.RightDesc
	for _, n := range moved {
		l = append(l, abi.RightDesc{Name: n, Disp: abi.MoveReceive})
	}
	m = &ipc.Message{}
	if err := c.PackRights(m, append(l, abi.RightDesc{Name: 0x7777, Disp: abi.CopySend})); err != abi.EBADF {
		t.Fatalf("a name that is not there: %v", err)
	}
	r, done, err := c.UnpackRights(m, 100)
	if err != 0 || len(r) != 32 { // the second message was refused, and took nothing
		t.Fatalf("what comes back: %d, %v", len(r), err)
	}
	done()
	c.DropRights(r)
	for _, n := range moved[32:] {
		if err := c.DropReceive(n); err != 0 {
			t.Errorf("a right that was not taken: %v", err)
		}
	}
	if now, _ := client.Budget(); now != used {
		t.Errorf("budget %d, then %d", used, now)
	}
	if err := c.PackRights(&ipc.Message{}, make([]abi.RightDesc, 200_000)); err != abi.E2BIG {
		t.Errorf("200,000: %v", err)
	}
	// Nobody takes them: they go with the message, and the budget has them back.
	if err := c.Send(to, &ipc.Message{ID: 1, Rights: []abi.RightDesc{pack(1000)}}, abi.NameNull); err != 0 {
		t.Fatal(err)
	}
	sc.DropReceive(svc)
	if now, _ := client.Budget(); now != used {
		t.Errorf("after the receiver's end: budget %d, then %d", used, now)
	}
}

// What it says of names that a task chooses for a thousand ports or objects.
func TestMany(t *testing.T) {
	w := newWorld(t)
	c, client, _, _ := w.pair()
	ports, err := c.MakePorts(1000)
	if err != 0 {
		t.Fatal(err)
	}
	objects, err := c.CreateObjects(200, 4096)
	if err != 0 {
		t.Fatal(err)
	}
	names := map[abi.Name]bool{}
	for _, n := range slices.Concat(ports, objects) {
		names[n] = true
	}
	if len(names) != 1200 || len(client.Ports()) != 1201 {
		t.Errorf("%d names, %d in the nucleus", len(names), len(client.Ports()))
	}
	mem, err := c.MapObject(objects[199], 0, 4096, true)
	if err != 0 {
		t.Fatal(err)
	}
	mem[0] = 1
	ipc.UnmapObject(mem)
	// All or none.
	used, limit := client.Budget()
	if _, err := c.MakePorts((limit-used)/512 + 1); err != abi.EAGAIN && err != abi.ENOSPC {
		t.Errorf("more than there can be: %v", err)
	}
	if now, _ := client.Budget(); now != used || len(client.Ports()) != 1201 {
		t.Errorf("budget %d, then %d; %d names", used, now, len(client.Ports()))
	}
}

// anonymous is how much of a mapping is memory of its own, in bytes.
func anonymous(t *testing.T, mem []byte) int {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := strings.TrimPrefix(fmt.Sprintf("%p-", mem), "0x")
	here := false
	for s := bufio.NewScanner(f); s.Scan(); {
		l := s.Text()
		var kb int
		switch {
		case strings.HasPrefix(l, at):
			here = true
		case here && strings.HasPrefix(l, "Anonymous:"):
			if _, err := fmt.Sscanf(l, "Anonymous: %d kB", &kb); err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("not mapped")
	return 0
}

// A GiB whose writable mappings its sender gave up goes to another task without a copy,
// and takes less than a MiB of memory until it is written (HAZARDS.md, 15).
func TestMoveGiB(t *testing.T) {
	const size = 1 << 30
	w := newWorld(t)
	c, _, to, s := w.pair()
	sc, in := w.attach(s)
	object, fd, err := c.CreateObject(size, "large")
	if err != 0 {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := c.MapObject(object, 0, size, true)
	if err != 0 {
		t.Fatal(err)
	}
	for i, part := 0, make([]byte, 1<<20); i < size; i += len(part) {
		for j := 0; j < len(part); j += abi.PageSize {
			part[j], part[j+1] = byte((i+j)>>12), byte(i>>20)
		}
		if n, err := unix.Pwrite(fd, part, int64(i)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	m := &ipc.Message{ID: 1, Objects: []abi.ObjectDesc{{Name: object, Flags: 2, Len: size}}}
	// While it is mapped writable it cannot go, and is as it was.
	if err := c.Send(to, m, abi.NameNull); err != abi.EBUSY {
		t.Fatalf("mapped: %v", err)
	}
	mem[1] = 77
	mem[1] = 0
	ipc.UnmapObject(mem)
	held := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if held() < size {
		t.Fatalf("the object holds %d bytes", held())
	}
	if err := c.Send(to, m, abi.NameNull); err != 0 {
		t.Fatal(err)
	}
	q, err := sc.Receive(in.Find(abi.RightReceive, "svc").Name)
	if err != 0 || len(q.Objects) != 1 || q.Objects[0].Len != size {
		t.Fatalf("%v %+v", err, q)
	}
	for _, fd := range q.FDs {
		ipc.CloseFD(fd)
	}
	got, err := sc.MapCopy(q.Objects[0].Name, 0, size)
	if err != 0 {
		t.Fatal(err)
	}
	defer ipc.UnmapObject(got)
	sum := 0
	for i := 0; i < size; i += 16 * abi.PageSize { // read, as the host maps what is around
		if got[i] != byte(i>>12) || got[i+1] != byte(i>>20) {
			t.Fatalf("page %d holds %d %d", i>>12, got[i], got[i+1])
		}
		sum++
	}
	if n, h := anonymous(t, got), held(); n >= 1<<20 || h > size+1<<20 {
		t.Errorf("after %d pages were read it takes %d bytes of its own, the object holds %d", sum, n, h)
	} else {
		t.Logf("read: %d bytes of its own", n)
	}
	for i := range 10 {
		got[i*abi.PageSize] = 200
	}
	if n := anonymous(t, got); n != 10*abi.PageSize {
		t.Errorf("ten pages were written, and it takes %d bytes", n)
	}
	// The object is as it was, for all, and nobody writes it any more.
	old, err := c.MapObject(object, 0, size, false)
	if err != 0 {
		t.Fatal(err)
	}
	defer ipc.UnmapObject(old)
	if old[0] != 0 || old[abi.PageSize] != 1 {
		t.Errorf("the object holds %d %d", old[0], old[abi.PageSize])
	}
	if _, err := unix.Pwrite(fd, []byte("x"), 0); err == nil {
		t.Error("it can be written")
	}
	if _, err := c.MapObject(object, 0, size, true); err == 0 {
		t.Error("it can be mapped writable")
	}
}

// Calls that wait end with their context: nothing is lost, and what was not sent comes back.
func TestContext(t *testing.T) {
	w := newWorld(t)
	c, _, to, s := w.pair()
	sc, in := w.attach(s)
	svc := in.Find(abi.RightReceive, "svc").Name
	if _, err := sc.Call(abi.CallPortLimit, [6]uint64{uint64(svc), 1}, nil, nil); err != 0 {
		t.Fatal(err)
	}
	short := func() context.Context {
		ctx, stop := context.WithTimeout(context.Background(), time.Millisecond)
		t.Cleanup(stop)
		return ctx
	}
	if m, err := sc.ReceiveContext(short(), svc); err != abi.ETIMEDOUT || m != nil {
		t.Errorf("nothing comes: %v %v", err, m)
	}
	over, stop := context.WithCancel(context.Background())
	stop()
	if m, err := sc.ReceiveContext(over, svc); err != abi.ECANCELED || m != nil {
		t.Errorf("it was over before: %v %v", err, m)
	}
	if m, err := c.SendContext(context.Background(), to, &ipc.Message{ID: 1}, abi.NameNull); err != 0 || m != nil {
		t.Fatalf("room for one: %v %v", err, m)
	}
	moved, err := c.MakePort("")
	if err != 0 {
		t.Fatal(err)
	}
	m, err := c.SendContext(short(), to, &ipc.Message{ID: 2, Body: []byte("two"), Rights: []abi.RightDesc{{Name: moved, Disp: abi.MoveReceive}}}, abi.NameNull)
	if err != abi.ETIMEDOUT || m == nil || string(m.Body) != "two" || len(m.Rights) != 1 || m.Rights[0].Kind != abi.RightReceive {
		t.Fatalf("no room: %v %+v", err, m)
	}
	if err := c.DropReceive(m.Rights[0].Name); err != 0 {
		t.Errorf("the right that came back: %v", err)
	}
	back, err := c.MakePort("")
	if err != 0 {
		t.Fatal(err)
	}
	if m, err := c.ExchangeContext(short(), to, &ipc.Message{ID: 3}, back); err != abi.ETIMEDOUT || m == nil || m.ID != 3 {
		t.Errorf("not sent: %v %+v", err, m)
	}
	if m, err := sc.ReceiveContext(context.Background(), svc); err != 0 || m.ID != 1 {
		t.Fatalf("%v %+v", err, m)
	}
	if m, err := c.ExchangeContext(short(), to, &ipc.Message{ID: 4}, back); err != abi.ETIMEDOUT || m != nil {
		t.Errorf("sent, and not answered: %v %+v", err, m)
	}
	q, err := sc.Receive(svc)
	if err != 0 || q.ID != 4 {
		t.Fatalf("%v %+v", err, q)
	}
	if err := sc.Answer(q, []byte("late")); err != 0 {
		t.Fatal(err)
	}
	if m, err := c.ReceiveContext(context.Background(), back); err != 0 || string(m.Body) != "late" {
		t.Errorf("the answer: %v %+v", err, m)
	}
}
