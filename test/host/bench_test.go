package host

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
)

func benchWorld(b *testing.B) *world {
	w := &world{dead: make(chan machine.Exit, 64), ready: make(chan *nucleus.Server, 64), logs: make(chan string, 1024)}
	var err error
	if w.m, err = linux.New(linux.Options{}); err != nil {
		b.Fatal(err)
	}
	w.k = nucleus.New(w.m, nucleus.Limits{}, nucleus.Hooks{
		Dead:  func(_ *nucleus.Server, e machine.Exit) { w.dead <- e },
		Ready: func(s *nucleus.Server) { w.ready <- s },
	})
	b.Cleanup(func() { w.k.Stop(); w.m.Close() })
	return w
}

func benchAttach(b *testing.B, s *nucleus.Server) (*ipc.Conn, *ipc.Inheritance) {
	h, err := s.Attach(nil)
	if err != nil {
		b.Fatal(err)
	}
	fd, err := linux.TakeFD(h)
	if err != nil {
		b.Fatal(err)
	}
	c, err := ipc.Dial(fd)
	if err != nil {
		b.Fatal(err)
	}
	in, err := ipc.Startup(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c, in
}

// A call of the nucleus that does next to nothing, and back.
func BenchmarkCall(b *testing.B) {
	w := benchWorld(b)
	c, _ := benchAttach(b, w.k.NewServer(nucleus.ServerSpec{Name: "c"}))
	for b.Loop() {
		if _, err := c.Call(abi.CallReady, [6]uint64{}, nil, nil); err != 0 {
			b.Fatal(err)
		}
	}
}

// A request and its answer as messages between two processes.
func BenchmarkMessage(b *testing.B) {
	w := benchWorld(b)
	s := w.k.NewServer(nucleus.ServerSpec{Name: "a", Process: machine.ServerSpec{Name: "a"}})
	if _, err := s.MakePort("svc"); err != nil {
		b.Fatal(err)
	}
	if err := s.Start(nil); err != nil {
		b.Fatal(err)
	}
	<-w.ready
	cs := w.k.NewServer(nucleus.ServerSpec{Name: "c"})
	if _, err := cs.GiveSend("a", s, "svc"); err != nil {
		b.Fatal(err)
	}
	c, in := benchAttach(b, cs)
	for b.Loop() {
		if _, err := request(c, in.Send("a"), askEcho, "x"); err != 0 {
			b.Fatal(err)
		}
	}
}

// A fresh guest task, from the call to its first request, and its end.
func BenchmarkTask(b *testing.B) {
	if raceEnabled {
		b.Skip("see TestGuests")
	}
	w := benchWorld(b)
	var table [abi.CallTableSize]abi.CallDesc
	z, err := linux.StartZygote(linux.GuestConfig{Tables: [][]byte{linux.TableBytes(&table)}})
	if err != nil {
		b.Fatal(err)
	}
	w.m.SetSpawner(z)
	c, _ := benchAttach(b, w.k.NewServer(nucleus.ServerSpec{Name: "u", Powers: nucleus.PowerTasks}))
	p, err := ipc.NewPoller()
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	dead := make(chan abi.Name, 1)
	go c.Run(&ipc.Handlers{TaskDead: func(n abi.Name) { dead <- n }})
	for b.Loop() {
		task, sb, e := c.TaskCreate(0, 16, 0)
		if e != 0 {
			b.Fatal(e)
		}
		p.Add(sb)
		p.Wait(-1)
		if e := c.TaskTerminate(task); e != 0 {
			b.Fatal(e)
		}
		<-dead
		p.Remove(sb)
		sb.Close()
		c.Deallocate(task)
	}
}

// A thousand ports in one round trip, and given up in another.
func BenchmarkThousandPorts(b *testing.B) {
	w := benchWorld(b)
	c, _ := benchAttach(b, w.k.NewServer(nucleus.ServerSpec{Name: "c"}))
	for b.Loop() {
		names, err := c.MakePorts(1000)
		if err != 0 {
			b.Fatal(err)
		}
		l := c.Batch()
		for _, n := range names {
			l.Add(abi.CallPortModRefs, [6]uint64{uint64(n), abi.RightReceive, ^uint64(0)}, nil)
		}
		if err := l.Do(func(int, ipc.Reply, abi.Errno) {}); err != 0 {
			b.Fatal(err)
		}
	}
}
