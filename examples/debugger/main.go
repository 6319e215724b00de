// Command debugger is a debugger for a program without position-independent code, as an
// ordinary guest:
//
//	hythe run -- ./debugger PROGRAM FUNCTION
//
// It runs the program, stops it where the function begins, shows registers and memory,
// takes three steps, and lets it go on to its end. All that it needs is the right to the
// process, which whoever may read /proc/PID/mem gets, and a port for the exceptions.
package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"hythe/abi"
	"hythe/idl/debug"
	"hythe/ipc"
)

const (
	breakpoint = 0xcc  // INT3
	trapFlag   = 0x100 // of RFLAGS: one instruction, then a trap
	sigTrap    = 5     // Linux's number
	steps      = 3
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3:
		err = run(os.Args[1], os.Args[2])
	default:
		err = errors.New("usage: debugger PROGRAM FUNCTION")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "debugger:", err)
		os.Exit(1)
	}
}

func run(program, function string) error {
	at, code, err := find(program, function)
	if err != nil {
		return err
	}
	c, err := ipc.Guest()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	// The shell becomes the program once it has a debugger.
	cmd := exec.Command("sh", "-c", `read x <&3; exec "$0" 3<&-`, program)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{r}
	if err := cmd.Start(); err != nil {
		return err
	}
	port, e := c.ProcessPort(cmd.Process.Pid)
	if e != 0 {
		return e
	}
	exceptions, e := c.MakePort("")
	if e != 0 {
		return e
	}
	p := debug.Process{C: c, Port: port}
	if e := p.Exceptions(exceptions, debug.AtExec); e != 0 {
		return e
	}
	w.Close()
	go func() {
		if e := follow(c, p, exceptions, function, at, code); e != 0 {
			fmt.Fprintln(os.Stderr, "debugger:", e)
			_ = cmd.Process.Kill()
		}
	}()
	err = cmd.Wait()
	fmt.Println("ended:", cmd.ProcessState)
	return err
}

// find answers where a function of the program begins, and with what bytes.
func find(program, function string) (uint64, []byte, error) {
	f, err := elf.Open(program)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	l, err := f.Symbols()
	if err != nil {
		return 0, nil, err
	}
	for _, s := range l {
		if s.Name == function && int(s.Section) < len(f.Sections) {
			text := f.Sections[s.Section]
			code := make([]byte, min(8, text.Addr+text.Size-s.Value))
			_, err := text.ReadAt(code, int64(s.Value-text.Addr))
			return s.Value, code, err
		}
	}
	return 0, nil, fmt.Errorf("%s has no function %s", program, function)
}

// follow answers the program's exceptions.
func follow(c *ipc.Conn, p debug.Process, port abi.Name, function string, at uint64, code []byte) abi.Errno {
	left := 0 // steps
	var last debug.Exception
	var answer *abi.Regs // to that
	var seq uint64
	for {
		m, x, e := debug.Next(c, port)
		if e != 0 {
			return e
		}
		r := &x.Regs
		if *x == last && m.Seq == seq {
			// The unix server died before it had our answer, and asks again.
			if e := debug.Continue(c, m, answer); e != 0 {
				return e
			}
			continue
		}
		last, seq = *x, m.Seq
		switch {
		case m.ID == debug.MsgExec:
			// The shell's own start may still be told, too.
			if b, _ := p.Read(at, uint64(len(code))); bytes.Equal(b, code) {
				e = p.Write(at, []byte{breakpoint})
			}
		case m.ID == debug.MsgFault && x.Signal == sigTrap && r.IP == at+1 && left == 0:
			r.IP = at
			e = p.Write(at, code[:1])
			show(p, function, r)
			r.Flags |= trapFlag
			left = steps
		case m.ID == debug.MsgFault && x.Signal == sigTrap && left > 0:
			left--
			fmt.Printf("step to %s+%d\n", function, r.IP-at)
			if left == 0 {
				r.Flags &^= trapFlag
			}
		default:
			r = nil // the program's own affair
		}
		answer = r
		if e == 0 {
			e = debug.Continue(c, m, r)
		}
		if e != 0 {
			return e
		}
	}
}

// show prints where the program is, and the string and number that it gave the function.
func show(p debug.Process, function string, r *abi.Regs) {
	s, e := p.Read(r.DI, 64)
	if e != 0 {
		fmt.Println(function, "was given what cannot be read:", e)
		return
	}
	s, _, _ = bytes.Cut(s, []byte{0})
	fmt.Printf("%s(%q, %d), stack %d bytes below the page's end\n", function, s, r.SI, -r.SP&(abi.PageSize-1))
}
