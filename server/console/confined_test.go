package console

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/confine"
)

// TestConfined lets the server work inside its profile. A process cannot be
// freed again, so the test executes itself.
func TestConfined(t *testing.T) {
	const env = "HYTHE_CONSOLE_CONFINED"
	if os.Getenv(env) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestConfined$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), env+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	master, slave := terminal(t)
	var in [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	resized := make(chan struct{}, 1)
	r, c, _ := boot(t, Config{FDs: [3]int{in[0], slave, -1}, Termios: Termios(slave)}, func() { resized <- struct{}{} })
	// The far side of the terminal is this test's, and works with calls that
	// the server has not; so what it does comes first.
	if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: 7, Col: 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := confine.Apply("console", false); errors.Is(err, confine.ErrC) {
		t.Skip("the race detector brings C code, which cannot be confined")
	} else if err != nil {
		t.Fatal(err)
	}
	r.winch <- unix.SIGWINCH
	<-resized
	if rows, cols, _, _ := c.Size(); rows != 7 || cols != 9 {
		t.Errorf("size: %d %d", rows, cols)
	}
	got := make(chan result, 1)
	c.Read(0, 1, 100, func(data []byte, e abi.Errno) { got <- result{data: string(data), e: e} })
	unix.Write(in[1], []byte("hello"))
	if g := <-got; g.data != "hello" || g.e != 0 {
		t.Errorf("read: %+v", g)
	}
	if g := write(c, 1, 1, "out"); g.n != 3 || g.e != 0 {
		t.Errorf("write: %+v", g)
	}
	buf := make([]byte, 10)
	if n, _ := unix.Read(master, buf); string(buf[:max(n, 0)]) != "out" {
		t.Errorf("the terminal shows %q", buf[:max(n, 0)])
	}
	c.SetRaw(true)
	for !isRaw(slave) {
		write(c, 1, 0, "")
	}
	r.task.Stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if isRaw(slave) {
		t.Error("the terminal was left raw")
	}
}
