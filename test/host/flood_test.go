package host

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/linux"
)

// flood is a hostile guest: it says hello and then writes as much as it can.
func flood() {
	b := make([]byte, abi.CallHeaderSize)
	binary.LittleEndian.PutUint32(b, abi.CallHello)
	if _, err := unix.Write(3, b); err != nil {
		fmt.Println("hello:", err)
		os.Exit(1)
	}
	_ = unix.SetNonblock(3, true)
	one := make([]byte, 64<<10)
	n := 0
	for ; n < 1_000_000; n++ {
		if _, err := unix.Write(3, one); err != nil {
			break
		}
	}
	fmt.Println(n)
	for {
		_ = unix.Pause() // the runtime ends a program whose goroutines all wait
	}
}

type floodSink struct {
	n    atomic.Int64
	exit chan machine.Exit
}

func (s *floodSink) Datagram(machine.Datagram) { s.n.Add(1) }
func (s *floodSink) Exited(e machine.Exit)     { s.exit <- e }

// What a guest writes after its hello costs the nucleus nothing.
func TestFlood(t *testing.T) {
	m, err := linux.New(linux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := &floodSink{exit: make(chan machine.Exit, 1)}
	ctx, far, err := m.NewChannel(s)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := linux.TakeFD(far)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "far")
	cmd := exec.Command(os.Args[0], "flood")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if n := s.n.Load(); n > 2 || line == "1000000\n" {
		t.Errorf("%d datagrams were read, %q written", n, line)
	}
	// Back-pressure towards a guest that does not read.
	posted := 0
	for posted < 100_000 && ctx.Post(machine.Datagram{Bytes: make([]byte, 1000)}) {
		posted++
	}
	if posted == 100_000 {
		t.Error("a guest that does not read has no limit")
	}
	ctx.Kill("test")
	if e := <-s.exit; e.Reason != "test" {
		t.Errorf("%+v", e)
	}
	_ = cmd.Wait()
}
