package console

import (
	"encoding/json"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/console"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// TestCrashingRequest: a request that makes the console panic is run by two
// incarnations and answered EIO by the third, which serves the others.
func TestCrashingRequest(t *testing.T) {
	asked := make(chan string, 4)
	f := func(r *proto.Request) {
		asked <- string(r.In)
		if string(r.In) == "poison" {
			panic("failpoint")
		}
	}
	failpoint.Store(&f)
	defer failpoint.Store(nil)
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(out[0])
	conf, err := json.Marshal(Config{FDs: [proto.Streams]int{-1, out[1], -1}})
	if err != nil {
		t.Fatal(err)
	}
	n := ipctest.New(t)
	start := func() (*ipctest.Task, chan any) {
		task := n.Start("console", string(conf))
		died := make(chan any, 1)
		go func() {
			defer func() { died <- recover() }()
			_ = run(task.Conn, task.In, nil, nil)
		}()
		<-task.Ready
		return task, died
	}
	task, died := start()
	us := n.Start("unix", "", "console")
	b, err := us.In.Client(us.Conn, "console", "console", proto.Slots)
	if err != nil {
		t.Fatal(err)
	}
	go us.Conn.Run(&ipc.Handlers{})
	c := proto.NewClient(func() (*ipc.ClientBinding, error) { return b, nil })
	answer := make(chan result, 1)
	send := func(seq uint64, data string) {
		c.Write(1, seq, []byte(data), func(n int, e abi.Errno) { answer <- result{n: n, e: e} })
	}
	for round := range uint64(2) {
		send(2*round+1, "poison")
		for i := range ipc.MaxCrashes {
			if got := <-asked; got != "poison" {
				t.Fatalf("asked for %q", got)
			}
			if v := <-died; v != "failpoint" {
				t.Fatalf("run %d: %v", i, v)
			}
			task.Kill()
			task, died = start()
		}
		if r := <-answer; r.e != abi.EIO {
			t.Fatalf("after %d crashes: %+v, want EIO", ipc.MaxCrashes, r)
		}
		send(2*round+2, "fine")
		if r := <-answer; r.e != 0 || r.n != 4 || <-asked != "fine" {
			t.Fatalf("the console does not serve any more: %+v", r)
		}
	}
	var buf [16]byte
	if n, _ := unix.Read(out[0], buf[:]); string(buf[:n]) != "finefine" {
		t.Errorf("the host got %q", buf[:n])
	}
}
