// Command tracer does to a process what a debugger should not, and what it may. It
// prints a line for each surprise.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"hythe/abi"
	"hythe/idl/debug"
	"hythe/ipc"
)

func want(what string, got, expect any) {
	if got != expect {
		fmt.Printf("%s: %v, want %v\n", what, got, expect)
	}
}

func check(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func errno(what string, e abi.Errno) {
	if e != 0 {
		check(what, e)
	}
}

var conn *ipc.Conn

func process(pid int) debug.Process {
	port, e := conn.ProcessPort(pid)
	errno("right to the process", e)
	return debug.Process{C: conn, Port: port}
}

func port() abi.Name {
	n, e := conn.MakePort("")
	errno("port", e)
	return n
}

// gated starts this program again, to become another one when the gate is closed.
func gated(program string) (*exec.Cmd, *os.File) {
	r, w, err := os.Pipe()
	check("pipe", err)
	cmd := exec.Command("/proc/self/exe", "child", program)
	cmd.Stdout, cmd.ExtraFiles = os.Stdout, []*os.File{r}
	check("child", cmd.Start())
	return cmd, w
}

func main() {
	if os.Args[1] == "child" {
		_, err := io.ReadAll(os.NewFile(3, "gate"))
		check("gate", err)
		check("exec", syscall.Exec(os.Args[2], os.Args[2:], nil))
	}
	var err error
	conn, err = ipc.Guest()
	check("guest", err)
	switch os.Args[1] {
	case "leave":
		leave(os.Args[2])
	case "left":
		left(os.Args[2])
	case "odd":
		odd(os.Args[2])
	case "stop":
		stop(os.Args[2])
	case "foreign":
		pid, _ := strconv.Atoi(os.Args[2])
		_, e := conn.ProcessPort(pid)
		want("another's process", e, abi.EPERM)
		_, e = conn.ProcessPort(os.Getpid())
		want("its own", e, abi.EPERM)
		_, e = conn.ProcessPort(99999)
		want("nobody's", e, abi.ESRCH)
	}
	fmt.Println("done")
}

// leave has another process debug a program and end before it has answered.
func leave(program string) {
	cmd, gate := gated(program)
	inner := exec.Command("/proc/self/exe", "left", strconv.Itoa(cmd.Process.Pid))
	inner.Stdout, inner.ExtraFiles = os.Stdout, []*os.File{gate}
	check("debugger", inner.Start())
	gate.Close()
	check("debugger's end", inner.Wait())
	_ = cmd.Wait()
	want("the program's end", cmd.ProcessState.ExitCode(), 3)
}

func left(pid string) {
	n, _ := strconv.Atoi(pid)
	at := port()
	errno("exceptions", process(n).Exceptions(at, debug.AtExec))
	os.NewFile(3, "gate").Close()
	m, x, e := debug.Next(conn, at)
	errno("exception", e)
	want("kind", m.ID, uint32(debug.MsgExec))
	want("process", int(x.Pid), n)
}

// odd asks for nonsense.
func odd(program string) {
	cmd, gate := gated(program)
	p := process(cmd.Process.Pid)
	ask := func(what string, expect abi.Errno, m *ipc.Message) {
		a, e := conn.AskWith(p.Port, m)
		errno(what, e)
		want(what, abi.Errno(binary.LittleEndian.Uint32(a.Body)), expect)
	}
	for id := range uint32(9) {
		for _, n := range []int{0, 1, 3, 7, 15, 17, 30000} {
			// What follows the last argument is a newer debugger's, and ignored.
			if id == debug.MsgWrite && n > 8 && n < 30000 || id == debug.MsgStop || id == debug.MsgExceptions && n >= 4 {
				continue
			}
			expect := abi.EINVAL
			if debug.ProcessKind(id) == "" {
				expect = abi.ENOSYS
			}
			ask(fmt.Sprintf("request %d of %d bytes", id, n), expect, &ipc.Message{ID: id, Body: make([]byte, n)})
		}
	}
	for _, addr := range []uint64{0, 8, 1 << 47, 0xffffffff81000000, ^uint64(0)} {
		_, e := p.Read(addr, 16)
		want(fmt.Sprintf("read at %#x", addr), e, abi.EFAULT)
		want(fmt.Sprintf("write at %#x", addr), p.Write(addr, []byte{1}), abi.EFAULT)
	}
	_, e := p.Read(4096, 1<<30)
	want("read much", e, abi.EINVAL)
	once := port()
	ask("a right that is no send right", abi.EINVAL, &ipc.Message{ID: debug.MsgExceptions, Body: make([]byte, 4),
		Rights: []abi.RightDesc{{Name: once, Disp: abi.MakeSendOnce}}})
	at, other := port(), port()
	errno("exceptions", p.Exceptions(at, debug.AtExec))
	errno("exceptions again", p.Exceptions(at, debug.AtExec))
	want("another debugger", p.Exceptions(other, 0), abi.EBUSY)
	gate.Close()
	m, x, e := debug.Next(conn, at)
	errno("exception", e)
	want("kind", m.ID, uint32(debug.MsgExec))
	// An answer that is none: as if there were no debugger.
	errno("no answer", conn.Answer(m, []byte("yes")))
	_ = cmd.Wait()
	want("the program's end", cmd.ProcessState.ExitCode(), 3)
	_, e = p.Read(x.Regs.IP, 1)
	want("a process that is gone", e, abi.ESRCH)

	// A state that no processor has ends the program, as its own doing would.
	cmd, gate = gated(program)
	p = process(cmd.Process.Pid)
	at = port()
	errno("exceptions", p.Exceptions(at, debug.AtExec))
	gate.Close()
	m, x, e = debug.Next(conn, at)
	errno("exception", e)
	r := x.Regs
	r.IP, r.SP, r.Flags, r.CsGsFs, r.FSBase = 1<<62, 1<<63, ^uint64(0)&^0x100, ^uint64(0), 1<<63
	errno("no state", debug.Continue(conn, m, &r))
	m, x, e = debug.Next(conn, at)
	errno("its fault", e)
	want("signal", syscall.Signal(x.Signal), syscall.SIGSEGV)
	errno("not ours", debug.Continue(conn, m, nil))
	_ = cmd.Wait()
	want("end", cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), syscall.SIGSEGV)
}

// stop stops a program that runs and calls nothing, again and again.
func stop(program string) {
	cmd := exec.Command(program, "spin")
	check("program", cmd.Start())
	p, at := process(cmd.Process.Pid), port()
	errno("exceptions", p.Exceptions(at, 0))
	for range 5 {
		errno("stop", p.Stop())
		m, x, e := debug.Next(conn, at)
		errno("exception", e)
		want("kind", m.ID, uint32(debug.MsgStopped))
		want("it is somewhere", x.Regs.IP != 0, true)
		errno("go on", debug.Continue(conn, m, &x.Regs))
		errno("done with it", p.Exceptions(abi.NameNull, 0))
		errno("exceptions", p.Exceptions(at, 0))
	}
	check("kill", cmd.Process.Kill())
	_ = cmd.Wait()
	// One that is killed while it waits for its debugger is gone.
	cmd = exec.Command(program, "spin")
	check("program", cmd.Start())
	p = process(cmd.Process.Pid)
	errno("exceptions", p.Exceptions(at, 0))
	errno("stop", p.Stop())
	m, x, e := debug.Next(conn, at)
	errno("exception", e)
	check("kill", cmd.Process.Kill())
	_ = cmd.Wait()
	want("killed", cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), syscall.SIGKILL)
	if e := debug.Continue(conn, m, &x.Regs); e != 0 && e != abi.EPIPE {
		errno("late answer", e)
	}
}
