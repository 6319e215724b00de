package host

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
)

// victim is a process with a whole machine: two servers, the reaper, the zygote
// and a guest task. It prints their pids and waits for its end.
func victim() error {
	m, err := linux.New(linux.Options{})
	if err != nil {
		return err
	}
	ready := make(chan struct{}, 2)
	k := nucleus.New(m, nucleus.Limits{}, nucleus.Hooks{Ready: func(*nucleus.Server) { ready <- struct{}{} }})
	var pids []string
	for range 2 {
		s := k.NewServer(nucleus.ServerSpec{Name: "a", Process: machine.ServerSpec{Name: "a", Isolation: machine.IsolateDefault, Lenient: true}})
		if _, err := s.MakePort("svc"); err != nil {
			return err
		}
		if err := s.Start(nil); err != nil {
			return err
		}
		<-ready
		i, _ := s.Info()
		pids = append(pids, fmt.Sprint(i.Pid))
	}
	var table [abi.CallTableSize]abi.CallDesc
	z, err := linux.StartZygote(linux.GuestConfig{Tables: [][]byte{linux.TableBytes(&table)}})
	if err != nil {
		return err
	}
	m.SetSpawner(z)
	pids = append(pids, fmt.Sprint(z.Pid()))
	u := k.NewServer(nucleus.ServerSpec{Name: "unix", Powers: nucleus.PowerTasks})
	h, err := u.Attach(nil)
	if err != nil {
		return err
	}
	conn, err := ipc.Dial(linux.FD(h))
	if err != nil {
		return err
	}
	if _, err := ipc.Startup(conn); err != nil {
		return err
	}
	task, b, e := conn.TaskCreate(0, 1, 0)
	if e != 0 {
		return e
	}
	p, err := ipc.NewPoller()
	if err != nil {
		return err
	}
	p.Add(b)
	p.Wait(-1) // KindStart: it said hello before
	i, e := conn.TaskInfo(task)
	// Its slot may be seen before the nucleus has read who it is on another channel.
	for n := 0; e == abi.ESRCH && n < 10000; n++ {
		i, e = conn.TaskInfo(task)
	}
	if e != 0 {
		return e
	}
	pids = append(pids, fmt.Sprint(i.HostPID))
	fmt.Println(strings.Join(pids, " "))
	select {}
}

// SIGKILL of the nucleus's process ends everything that it had started.
func TestKilled(t *testing.T) {
	if raceEnabled {
		t.Skip("see TestGuests")
	}
	cmd := exec.Command(os.Args[0], "machine")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var fds []unix.PollFd
	for _, f := range strings.Fields(line) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("pid %d: %v", pid, err)
		}
		defer unix.Close(fd)
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if len(fds) != 4 {
		t.Fatalf("%q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for i := range fds {
		if n, err := unix.Poll(fds[i:i+1], 10_000); n != 1 {
			t.Errorf("process %d of %q lives: %v", i, strings.TrimSpace(line), err)
		}
	}
}
