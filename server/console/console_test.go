package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	proto "hythe/idl/console"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// terminal makes a host terminal: the far side and the one a program has.
func terminal(t *testing.T) (master, slave int) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("the host gives no terminal: %v", err)
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(master); unix.Close(slave) })
	return master, slave
}

// rig is a console server under a stand-in nucleus.
type rig struct {
	t      *testing.T
	n      *ipctest.Nucleus
	task   *ipctest.Task
	winch  chan os.Signal
	ended  chan error
	config string
}

func (r *rig) start() {
	r.t.Helper()
	r.task = r.n.Start("console", r.config)
	r.winch = make(chan os.Signal, 1)
	r.ended = make(chan error, 1)
	task, winch, ended := r.task, r.winch, r.ended
	go func() { ended <- run(task.Conn, task.In, nil, winch) }()
	select {
	case <-r.task.Ready:
	case err := <-r.ended:
		r.t.Fatalf("console: %v", err)
	}
}

// boot starts a console server and answers a client of it.
func boot(t *testing.T, conf Config, resized func()) (*rig, *proto.Client, [proto.Streams]proto.Info) {
	t.Helper()
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, n: ipctest.New(t), config: string(b)}
	r.start()
	unixServer := r.n.Start("unix", "", "console")
	cb, err := unixServer.In.Client(unixServer.Conn, "console", "console", proto.Slots)
	if err != nil {
		t.Fatal(err)
	}
	c := proto.NewClient(func() (*ipc.ClientBinding, error) { return cb, nil })
	var info [proto.Streams]proto.Info
	terminal := false
	for i, fd := range conf.FDs {
		info[i] = Inspect(fd)
		terminal = terminal || info[i].Flags&proto.InfoTerminal != 0
	}
	if terminal {
		if e := c.WatchTerminal(resized); e != 0 {
			t.Fatal(e)
		}
	}
	return r, c, info
}

type result struct {
	data string
	n    int
	e    abi.Errno
}

func read(c *proto.Client, stream int, seq uint64, n int) result {
	ch := make(chan result, 1)
	c.Read(stream, seq, n, func(data []byte, e abi.Errno) { ch <- result{data: string(data), e: e} })
	return <-ch
}

func write(c *proto.Client, stream int, seq uint64, data string) result {
	ch := make(chan result, 1)
	c.Write(stream, seq, []byte(data), func(n int, e abi.Errno) { ch <- result{n: n, e: e} })
	return <-ch
}

func TestPipes(t *testing.T) {
	var in, out [2]int
	for _, p := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(p[0])
	}
	r, c, info := boot(t, Config{FDs: [3]int{in[0], out[1], -1}}, nil)
	if info[0].Mode&unix.S_IFMT != unix.S_IFIFO || info[0].Flags != 0 || info[2].Flags != proto.InfoClosed {
		t.Errorf("info: %+v", info)
	}
	unix.Write(in[1], []byte("hello"))
	if got := read(c, 0, 1, 100); got.data != "hello" || got.e != 0 {
		t.Errorf("read: %+v", got)
	}
	long := strings.Repeat("x", 60000) // less than a pipe holds
	if got := write(c, 1, 1, long); got.n != len(long) || got.e != 0 {
		t.Errorf("write: %+v", got)
	}
	buf := make([]byte, 1<<17)
	if n, _ := unix.Read(out[0], buf); string(buf[:n]) != long {
		t.Errorf("the host got %d bytes", n)
	}
	if got := write(c, 2, 1, "x"); got.e != abi.EBADF {
		t.Errorf("write to a stream that is not there: %+v", got)
	}

	// The server dies; its next incarnation knows what was done.
	r.task.Kill()
	if err := <-r.ended; err == nil {
		t.Error("the server did not notice that its channel is gone")
	}
	r.start()
	if got := read(c, 0, 1, 100); got.data != "hello" {
		t.Errorf("repeated read: %+v", got)
	}
	if got := write(c, 1, 1, long); got.n != len(long) {
		t.Errorf("repeated write: %+v", got)
	}
	unix.Write(in[1], []byte("more"))
	if got := read(c, 0, 2, 100); got.data != "more" {
		t.Errorf("read: %+v", got)
	}
	write(c, 1, 2, "end")
	if n, _ := unix.Read(out[0], buf); string(buf[:n]) != "end" {
		t.Errorf("the host got %q", buf[:min(n, 10)])
	}
	unix.Close(in[1])
	if got := read(c, 0, 3, 100); got.data != "" || got.e != 0 {
		t.Errorf("end: %+v", got)
	}
	r.task.Stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestTerminal(t *testing.T) {
	master, slave := terminal(t)
	before := Termios(slave)
	if len(before) == 0 || Termios(-1) != nil {
		t.Fatal("no settings of the terminal")
	}
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	resized := make(chan struct{}, 4)
	r, c, info := boot(t, Config{FDs: [3]int{slave, slave, slave}, Termios: before}, func() { resized <- struct{}{} })
	if info[0].Flags != proto.InfoTerminal {
		t.Errorf("info: %+v", info[0])
	}
	if rows, cols, _, _ := c.Size(); rows != 24 || cols != 80 {
		t.Errorf("size: %d %d", rows, cols)
	}
	unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 132})
	r.winch <- unix.SIGWINCH
	<-resized
	if rows, cols, _, _ := c.Size(); rows != 50 || cols != 132 {
		t.Errorf("new size: %d %d", rows, cols)
	}

	c.SetRaw(false)
	c.SetRaw(true)
	got := make(chan result, 1)
	c.Read(0, 1, 10, func(data []byte, e abi.Errno) { got <- result{data: string(data), e: e} })
	// In raw mode a single Ctrl-C is input. The mode may be set after this is
	// written, so it is asked for first: a request that follows in the queue.
	for !isRaw(slave) {
		write(c, 1, 0, "")
	}
	unix.Write(master, []byte("\x03"))
	if g := <-got; g.data != "\x03" {
		t.Errorf("read: %+v", g)
	}
	if g := write(c, 1, 1, "a\n"); g.n != 2 || g.e != 0 {
		t.Fatalf("write: %+v", g)
	}
	buf := make([]byte, 100)
	if n, _ := unix.Read(master, buf); string(buf[:n]) != "a\n" {
		t.Errorf("output %q", buf[:n])
	}

	// Killed in raw mode: the next incarnation still knows how it was.
	r.task.Kill()
	<-r.ended
	if !bytes.Equal(Termios(slave), before) {
		t.Error("the settings were not restored at the end")
	}
	makeRawNow(t, slave) // as SIGKILL would have left it
	r.start()
	r.task.Stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(Termios(slave), before) {
		t.Error("the next incarnation did not restore the settings")
	}
}

func isRaw(fd int) bool {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil && t.Lflag&unix.ICANON == 0
}

func makeRawNow(t *testing.T, fd int) {
	v, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	makeRaw(v)
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, v); err != nil {
		t.Fatal(err)
	}
}

func TestBadConfig(t *testing.T) {
	for _, conf := range []string{`{"fds":7}`, `{"fds":[0,1,2],"termios":"AAAA"}`, `nonsense`} {
		n := ipctest.New(t)
		task := n.Start("console", conf)
		if err := run(task.Conn, task.In, nil, nil); err == nil {
			t.Errorf("%s was taken", conf)
		}
	}
	// Descriptors that are not there are streams that are not there.
	_, _, info := boot(t, Config{FDs: [3]int{-1, 9999, 12345}}, nil)
	for i, v := range info {
		if v.Flags != proto.InfoClosed {
			t.Errorf("stream %d: %+v", i, v)
		}
	}
}

// A client that sends what is no request of this protocol is answered or left
// alone; the server lives.
func TestHostileClient(t *testing.T) {
	r, c, _ := boot(t, Config{FDs: [3]int{-1, -1, -1}}, nil)
	other := r.n.Start("other", "", "console")
	b, err := other.In.Client(other.Conn, "x", "console", 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, nr := range []uint64{0, 8, 1 << 40, ^uint64(0)} {
		if e := b.Call(nr, 9, 9, [6]uint64{1 << 50, 1 << 50}, []byte("x"), nil); e != abi.ENOSYS {
			t.Errorf("operation %d: %v", nr, e)
		}
	}
	for _, nr := range []uint64{proto.OpRead, proto.OpWrite, proto.OpWatch} {
		if e := b.Call(nr, 9, 9, [6]uint64{1 << 50, 1 << 50}, []byte("x"), nil); e != abi.EBADF {
			t.Errorf("operation %d on no stream: %v", nr, e)
		}
	}
	if got := write(c, 1, 1, "x"); got.e != abi.EBADF {
		t.Errorf("afterwards: %+v", got)
	}
	if e := other.Conn.Unbind(b.ID); e != 0 {
		t.Error(e)
	}
	if got := write(c, 1, 2, "x"); got.e != abi.EBADF {
		t.Errorf("after a client has gone: %+v", got)
	}
}
