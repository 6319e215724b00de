package fs

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// poisoned is a Server that panics on one name, and says when it is asked.
type poisoned struct {
	Server
	asked chan string
}

func (p poisoned) Lookup(_ Req, _ NodeID, name string) (Entry, abi.Errno) {
	p.asked <- name
	switch name {
	case "poison":
		panic("failpoint")
	case "slow":
		select {}
	}
	return Entry{Node: 7}, 0
}

// TestCrashingRequest: a request that makes its server panic is run by two
// incarnations and answered EIO by the third, which serves the others. A server
// that is killed counts nothing.
func TestCrashingRequest(t *testing.T) {
	n := ipctest.New(t)
	impl := poisoned{asked: make(chan string, 1)}
	start := func() (*ipctest.Task, chan any) {
		task := n.Start("server", "{}")
		died := make(chan any, 1)
		go func() {
			defer func() { died <- recover() }()
			if err := Serve(task.Conn, task.In, impl); err != nil {
				t.Error(err)
			}
		}()
		<-task.Ready
		return task, died
	}
	task, died := start()
	ct := n.Start("client", "{}", "server")
	b, err := ct.In.Client(ct.Conn, "c", "server", 4)
	if err != nil {
		t.Fatal(err)
	}
	go ct.Conn.Run(&ipc.Handlers{})
	c := NewClient(b)

	answer := make(chan abi.Errno, 1)
	lookup := func(name string) {
		_, e := c.Lookup(Req{}, 1, name)
		answer <- e
	}
	for range 2 {
		go lookup("poison")
		for i := range ipc.MaxCrashes {
			if name := <-impl.asked; name != "poison" {
				t.Fatalf("asked for %q", name)
			}
			if v := <-died; v != "failpoint" {
				t.Fatalf("run %d: %v", i, v)
			}
			task.Kill()
			task, died = start()
		}
		select {
		case e := <-answer:
			if e != abi.EIO {
				t.Fatalf("after %d crashes: %v, want EIO", ipc.MaxCrashes, e)
			}
		case <-impl.asked:
			t.Fatal("the request was not refused")
		}
	}
	go lookup("fine")
	if <-impl.asked; <-answer != 0 {
		t.Fatal("the server does not serve any more")
	}
	go lookup("slow")
	for range ipc.MaxCrashes + 2 {
		if name := <-impl.asked; name != "slow" {
			t.Fatalf("asked for %q", name)
		}
		task.Kill() // its goroutine stays, and has nothing to answer with
		task, _ = start()
	}
	<-impl.asked
	select {
	case e := <-answer:
		t.Fatalf("killed from outside: answered %v", e)
	default:
	}
}
