package ipc_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// BenchmarkProcesses is a call and its answer between two processes, beside what
// the host itself offers for it, with both on one core, each on its own, and
// wherever the host puts them. Ratios matter, not figures.

func TestMain(m *testing.M) {
	if kind := os.Getenv("ROUNDTRIP_PEER"); kind != "" {
		peer(kind)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	futexWaitOp = 0
	futexWakeOp = 1
)

func load(w *uint32) uint32     { return atomic.LoadUint32(w) }
func store(w *uint32, v uint32) { atomic.StoreUint32(w, v) }

func futex(w *uint32, op int, v uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), uintptr(op), uintptr(v), 0, 0, 0)
}

// words maps the two words of a futex round trip.
//
// Safety: the mapping is a page and stays as long as the process, or until the
// benchmark ends.
func words(fd int) (mem []byte, w *[2]uint32, err error) {
	mem, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return mem, (*[2]uint32)(unsafe.Pointer(&mem[0])), nil
}

// wait sleeps until *w is not old, without looking first, as a sleeper does.
func wait(w *uint32, old uint32) uint32 {
	for {
		if v := load(w); v != old {
			return v
		}
		futex(w, futexWaitOp, old)
	}
}

// peer is the other process: it answers until its end of the means is closed.
func peer(kind string) {
	var b [64]byte
	switch kind {
	case "pipe", "unix":
		in, out := 3, 4
		if kind == "unix" {
			out = 3
		}
		for {
			n, err := unix.Read(in, b[:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return
			}
			_, _ = unix.Write(out, b[:n])
		}
	case "futex":
		_, w, err := words(3)
		if err != nil {
			panic(err)
		}
		for last := uint32(0); ; {
			last = wait(&w[0], last)
			if last == ^uint32(0) {
				return
			}
			store(&w[1], last)
			futex(&w[1], futexWakeOp, 1)
		}
	case "call":
		sb, err := ipc.NewServerBinding(&ipc.Bound{ID: 1, Role: abi.RoleServer, Slots: 4, FDs: []int{3, 4, 5}})
		if err != nil {
			panic(err)
		}
		p, err := ipc.NewPoller()
		if err != nil {
			panic(err)
		}
		p.Add(sb)
		for {
			r := p.Wait(-1)
			if r.Kind != ipc.ReadySlot {
				continue
			}
			var q ipc.Request
			if !r.Binding.Load(r.Slot, &q) {
				r.Binding.Drop(r.Slot)
				continue
			}
			n := copy(r.Binding.Out(r.Slot), r.Binding.In(r.Slot)[:q.InLen])
			r.Binding.Answer(r.Slot, q.Seq, 0, 0, n)
			r.Binding.Complete(r.Slot)
			if q.Nr == 99 {
				return
			}
		}
	}
}

// pin binds this thread, and so what it starts, to a core; -1 to all that the
// process may use. It answers how to undo that.
func pin(b *testing.B, core int) func() {
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		b.Skip(err)
	}
	if core < 0 {
		return func() {}
	}
	var one unix.CPUSet
	for i := range 1024 {
		if old.IsSet(i) {
			if core == 0 {
				one.Set(i)
				break
			}
			core--
		}
	}
	if one.Count() == 0 {
		b.Skip("too few cores")
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Skip(err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &old) }
}

// start starts the other process on a core, with the descriptors from 3 on.
func start(b *testing.B, kind string, core int, fds ...int) *exec.Cmd {
	undo := pin(b, core)
	defer undo()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "ROUNDTRIP_PEER="+kind)
	cmd.Stderr = os.Stderr
	for _, fd := range fds {
		f := os.NewFile(uintptr(dupFD(b, fd)), "end")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return cmd
}

func dupFD(b *testing.B, n int) int {
	n, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func BenchmarkProcesses(b *testing.B) {
	for _, place := range []struct {
		name      string
		here, far int
	}{{"same-core", 0, 0}, {"two-cores", 0, 1}, {"free", -1, -1}} {
		for _, kind := range []string{"futex", "pipe", "unix", "call"} {
			b.Run(fmt.Sprint(place.name, "/", kind), func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				roundTrip(b, kind, place.here, place.far)
			})
		}
	}
}

func roundTrip(b *testing.B, kind string, here, far int) {
	var buf [8]byte
	var turn, end func()
	var cmd *exec.Cmd
	switch kind {
	case "pipe":
		var to, from [2]int
		if unix.Pipe2(to[:], unix.O_CLOEXEC) != nil || unix.Pipe2(from[:], unix.O_CLOEXEC) != nil {
			b.Fatal("no pipe")
		}
		cmd = start(b, kind, far, to[0], from[1])
		_, _ = unix.Close(to[0]), unix.Close(from[1])
		turn = func() {
			_, _ = unix.Write(to[1], buf[:])
			_, _ = unix.Read(from[0], buf[:])
		}
		end = func() { _, _ = unix.Close(to[1]), unix.Close(from[0]) }
	case "unix":
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		cmd = start(b, kind, far, p[1])
		_ = unix.Close(p[1])
		turn = func() {
			_, _ = unix.Write(p[0], buf[:])
			_, _ = unix.Read(p[0], buf[:])
		}
		end = func() { _ = unix.Close(p[0]) }
	case "futex":
		fd := ipctest.Memfd(b, 4096)
		mem, w, err := words(fd)
		if err != nil {
			b.Fatal(err)
		}
		cmd = start(b, kind, far, fd)
		_ = unix.Close(fd)
		n := uint32(0)
		turn = func() {
			n++
			store(&w[0], n)
			futex(&w[0], futexWakeOp, 1)
			wait(&w[1], n-1)
		}
		end = func() {
			store(&w[0], ^uint32(0))
			futex(&w[0], futexWakeOp, 1)
			_ = cmd.Wait()
			_ = unix.Munmap(mem)
		}
	case "call":
		raw := ipctest.NewRaw(b, 4)
		cmd = start(b, kind, far, raw.FDs[:]...)
		c := raw.Client()
		call := func(nr uint64) {
			k := c.Begin()
			copy(k.In(), buf[:])
			if err := k.Do(nr, len(buf)); err != 0 {
				b.Fatal(err)
			}
			k.End()
		}
		turn = func() { call(1) }
		end = func() {
			call(99)
			c.Close()
		}
	}
	undo := pin(b, here)
	defer undo()
	turn() // the other one is there
	for b.Loop() {
		turn()
	}
	b.StopTimer()
	end()
	_ = cmd.Wait()
}
