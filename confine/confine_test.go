package confine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// This test executes itself as a server that confines itself and then tries
// things; what it is to do is in these variables.
const (
	envProfile = "HYTHE_CONFINE_PROFILE"
	envDir     = "HYTHE_CONFINE_DIR"
	envKill    = "HYTHE_CONFINE_KILL"
	envMemory  = "HYTHE_CONFINE_MEMORY"
)

func TestMain(m *testing.M) {
	if p := os.Getenv(envProfile); p != "" {
		child(p)
	}
	os.Exit(m.Run())
}

// findings are what the child tells.
type findings struct {
	Landlock int
	Apply    time.Duration
	Errors   []string
}

func child(profile string) {
	var f findings
	bad := func(format string, args ...any) { f.Errors = append(f.Errors, fmt.Sprintf(format, args...)) }
	var dirs []Dir
	dir := os.Getenv(envDir)
	if dir != "" {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			bad("open: %v", err)
		}
		dirs = append(dirs, Dir{fd, true})
	}
	// Threads that exist before must be confined as well: one waits here.
	before := make(chan func())
	go func() {
		runtime.LockOSThread()
		for g := range before {
			g()
		}
	}()
	before <- func() {}
	memfd, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		bad("memfd: %v", err)
	}
	unix.Ftruncate(memfd, 1<<20)

	t := time.Now()
	r, err := Apply(profile, false, dirs...)
	f.Apply, f.Landlock = time.Since(t), r.Landlock
	if err != nil {
		bad("Apply: %v", err)
		report(&f)
	}
	if m := os.Getenv(envMemory); m != "" {
		var n uint64
		fmt.Sscan(m, &n)
		if got := debug.SetMemoryLimit(-1); got != int64(n/3*2) {
			bad("the collector is told of %d bytes", got)
		}
		const chunk = 64 << 20
		var keep [][]byte
		for have := uint64(0); have < n/3*2; have += chunk { // what its bounds need is there
			keep = append(keep, make([]byte, chunk))
		}
		fmt.Fprintln(os.Stderr, "most of it")
		for range n / chunk {
			keep = append(keep, make([]byte, chunk))
		}
		runtime.KeepAlive(keep)
		bad("it has more than %d bytes", n)
		report(&f)
	}
	if nr := os.Getenv(envKill); nr != "" {
		var n uintptr
		fmt.Sscan(nr, &n)
		unix.RawSyscall6(n, 0, 0, 0, 0, 0, 0)
		bad("call %d: the process lives", n)
		report(&f)
	}
	if _, err := Apply(profile, false, dirs...); err == nil {
		bad("confined twice")
	}
	work(bad)
	forbidden(bad)
	done := make(chan bool)
	before <- func() {
		forbidden(func(s string, a ...any) { bad("in a thread that was there before: "+s, a...) })
		close(done)
	}
	<-done
	objects(memfd, bad)
	p, _ := Lookup(profile)
	if p.Files && dir != "" {
		files(dirs[0].FD, dir, bad)
	}
	if profile == "console" {
		console(bad)
	}
	report(&f)
}

func report(f *findings) {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(b)
	os.Exit(0)
}

// work makes the runtime do all it does in a server: goroutines, new threads,
// timers, preemption of loops, collection, a growing and shrinking heap, pollers.
func work(bad func(string, ...any)) {
	stop := make(chan struct{})
	var spin, wg sync.WaitGroup
	for range 4 { // preempted only by signals
		spin.Go(func() {
			for i := 0; ; i++ {
				if i&0xfffff == 0 {
					select {
					case <-stop:
						return
					default:
					}
				}
			}
		})
	}
	for range 50 {
		wg.Go(func() {
			runtime.LockOSThread() // a thread each, which ends with it
			var keep [][]byte
			for i := range 50 {
				keep = append(keep, make([]byte, 1<<(i%16)))
			}
			<-time.After(time.Millisecond)
			runtime.KeepAlive(keep)
		})
	}
	wg.Wait()
	big := make([]byte, 64<<20)
	for i := range big {
		big[i] = 1
	}
	runtime.KeepAlive(big)
	big = nil
	runtime.GC()
	runtime.GC()
	close(stop)
	spin.Wait()
	// The runtime's poller.
	r, w, err := os.Pipe()
	if err != nil {
		bad("pipe: %v", err)
		return
	}
	go w.Write([]byte("x"))
	if _, err := r.Read(make([]byte, 1)); err != nil {
		bad("read: %v", err)
	}
	r.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		bad("deadline: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				bad("a nil pointer did no harm")
			}
		}()
		var p *int
		*p = 1
	}()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		bad("eventfd: %v", err)
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		bad("epoll: %v", err)
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		bad("epoll_ctl: %v", err)
	}
	unix.Close(fd)
	unix.Close(ep)
}

// forbidden tries what no server may do but lives after.
func forbidden(bad func(string, ...any)) {
	eperm := func(what string, err error) {
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			bad("%s: %v, want EPERM or EACCES", what, err)
		}
	}
	call := func(what string, nr uintptr, a ...uintptr) {
		a = append(a, make([]uintptr, 6)...)
		_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e == 0 {
			bad("%s: it was done", what)
			return
		}
		eperm(what, e)
	}
	_, err := os.ReadFile("/etc/passwd")
	eperm("open", err)
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	eperm("memory with code", err)
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		bad("mmap: %v", err)
	} else {
		eperm("memory made code", unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC))
		eperm("poisoned memory", unix.Madvise(mem, unix.MADV_HWPOISON))
		unix.Munmap(mem)
	}
	call("signal to another process", unix.SYS_KILL, 1, 0)
	call("signal to all", unix.SYS_KILL, ^uintptr(0), 0)
	call("signal to the group", unix.SYS_KILL, 0, 0)
	call("a process", unix.SYS_CLONE, uintptr(unix.SIGCHLD))
	call("a thread in new namespaces", unix.SYS_CLONE, threadFlags|unix.CLONE_NEWUSER)
	call("setuid", unix.SYS_SETUID, 0)
	call("personality", unix.SYS_PERSONALITY, 0xffffffff)
	call("another filter", unix.SYS_SECCOMP, 1, 0, 0)
	call("dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)
	call("a socket pair", unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, 0)
	call("priority inheritance", unix.SYS_FUTEX, 0, 6, 0)
	call("a fixed priority", unix.SYS_SCHED_SETATTR, 0, 0, 0)
	call("a fixed priority by the old call", unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_RR, 0)
	call("a nice value", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, 0)
	call("a lock of a file", unix.SYS_FLOCK, 0, unix.LOCK_EX)
	call("signals of a descriptor", unix.SYS_FCNTL, 0, unix.F_SETOWN, 1)
	call("a pidfd", unix.SYS_PIDFD_OPEN, 1, 0)
	call("typing into the terminal", unix.SYS_IOCTL, 0, unix.TIOCSTI, 0)
	if _, _, e := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); e != unix.ENOSYS {
		bad("clone3: %v, want ENOSYS", e)
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &lim); err == nil && lim.Max > 1 {
		bad("core limit %d", lim.Max)
	}
}

func objects(fd int, bad func(string, ...any)) {
	mem, err := unix.Mmap(fd, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		bad("map of an object: %v", err)
		return
	}
	mem[5] = 7
	if err := unix.Madvise(mem, unix.MADV_REMOVE); err != nil || mem[5] != 0 {
		bad("MADV_REMOVE: %v", err)
	}
	var b [1]byte
	if _, err := unix.Pread(fd, b[:], 5); err != nil {
		bad("pread: %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		bad("seal: %v", err)
	}
}

// files checks what the host profile may do, below the directory and not elsewhere.
func files(fd int, dir string, bad func(string, ...any)) {
	open := func(name string, flags uint64) error {
		f, err := unix.Openat2(fd, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Mode: 0o600 * (flags & unix.O_CREAT / unix.O_CREAT), Resolve: unix.RESOLVE_BENEATH})
		if err == nil {
			unix.Close(f)
		}
		return err
	}
	if err := open("file", unix.O_RDONLY); err != nil {
		bad("open below: %v", err)
	}
	if err := open("new", unix.O_RDWR|unix.O_CREAT); err != nil {
		bad("create below: %v", err)
	}
	if err := unix.Renameat2(fd, "new", fd, "newer", 0); err != nil {
		bad("rename below: %v", err)
	}
	if err := unix.Unlinkat(fd, "newer", 0); err != nil {
		bad("unlink below: %v", err)
	}
	if _, err := os.ReadFile("/etc/passwd"); err == nil {
		bad("a file elsewhere was read")
	}
	if _, err := os.ReadFile(filepath.Join(dir, "file")); err != nil {
		bad("read by name below: %v", err)
	}
	if err := unix.Mknodat(fd, "device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); !errors.Is(err, unix.EPERM) {
		bad("a device node: %v", err)
	}
	if err := unix.Mknodat(fd, "fifo", unix.S_IFIFO|0o600, 0); err != nil {
		bad("a fifo: %v", err)
	}
}

func console(bad func(string, ...any)) {
	if _, err := unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, 0); err != nil {
		bad("poll: %v", err)
	}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); !errors.Is(err, unix.ENOTTY) {
		bad("TCGETS of no terminal: %v", err)
	}
}

func run(t *testing.T, env ...string) (*findings, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%.2000s", err, errs.String())
	}
	f := new(findings)
	if err := json.Unmarshal(out.Bytes(), f); err != nil {
		return nil, fmt.Errorf("%w: %q %s", err, out.String(), errs.String())
	}
	return f, nil
}

// TestConfined runs a Go program under each profile.
func TestConfined(t *testing.T) {
	for _, p := range Profiles {
		t.Run(p.Name, func(t *testing.T) {
			env := []string{envProfile + "=" + p.Name}
			if p.Files {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				env = append(env, envDir+"="+dir)
			}
			f, err := run(t, env...)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range f.Errors {
				t.Error(e)
			}
			t.Logf("applied in %v; Landlock %d", f.Apply, f.Landlock)
		})
	}
}

// TestKilled: each deadly call ends the process.
func TestKilled(t *testing.T) {
	for _, c := range Killed {
		_, err := run(t, envProfile+"=unix", fmt.Sprintf("%s=%d", envKill, c.Nr))
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGSYS {
			t.Errorf("%s: %v, want SIGSYS", c.Name, err)
		}
	}
	// Numbers of the x32 ABI.
	if _, err := run(t, envProfile+"=unix", fmt.Sprintf("%s=%d", envKill, x32Bit|39)); err == nil || !strings.Contains(err.Error(), "bad system call") {
		t.Errorf("x32: %v", err)
	}
}

// TestMemory: a server whose memory is bounded ends when it wants more, and not sooner.
func TestMemory(t *testing.T) {
	bounded := 0
	for _, p := range Profiles {
		if p.Memory == 0 {
			continue
		}
		bounded++
		f, err := run(t, envProfile+"="+p.Name, fmt.Sprintf("%s=%d", envMemory, p.Memory))
		switch {
		case err == nil:
			t.Errorf("%s: it lives: %q", p.Name, f.Errors)
		case !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "most of it\n"),
			// The collector's own queues get no memory either, of which Go's runtime dies another death.
			!strings.Contains(err.Error(), "out of memory") && !strings.Contains(err.Error(), "runtime.(*spanQueue)"):
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if bounded == 0 {
		t.Error("no profile has a bound")
	}
}

func TestBadProfile(t *testing.T) {
	if _, err := Apply("none", false); err == nil {
		t.Error("a profile that does not exist was applied")
	}
	if _, err := Apply("unix", false, Dir{FD: 0}); err == nil {
		t.Error("a directory for a server without files was taken")
	}
	p := Profile{Name: "x", Calls: []Call{{"ptrace", 101, nil, ""}}}
	if _, err := p.Filter(1); err == nil {
		t.Error("an allowed deadly call was taken")
	}
	p.Calls = []Call{{"read", 0, nil, ""}}
	if _, err := p.Filter(1); err == nil {
		t.Error("a call that is in two rows was taken")
	}
	p.Calls = []Call{{"x", 500, []Arg{{Arg: 6, Deny: 1}}, ""}}
	if _, err := p.Filter(1); err == nil {
		t.Error("argument 6 was taken")
	}
	p.Calls = []Call{{"x", 500, []Arg{{Arg: 1}}, ""}}
	if _, err := p.Filter(1); err == nil {
		t.Error("a condition without content was taken")
	}
}

// interpret runs a filter as the host would.
func interpret(t *testing.T, prog []unix.SockFilter, data []byte) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		i := prog[pc]
		cond := false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.LittleEndian.Uint32(data[i.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			cond = a == i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			cond = a >= i.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			cond = a&i.K != 0
		default:
			t.Fatalf("instruction %d: code %#x", pc, i.Code)
		}
		if cond {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
	t.Fatal("the filter ends without an answer")
	return 0
}

// TestFilter compares the filter with the tables, for every number and for
// arguments on both sides of each condition.
func TestFilter(t *testing.T) {
	const pid = 4321
	for _, p := range Profiles {
		prog, err := p.Filter(pid)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(arch, nr uint32, args ...uint64) uint32 {
			data := make([]byte, 64)
			binary.LittleEndian.PutUint32(data, nr)
			binary.LittleEndian.PutUint32(data[4:], arch)
			for i, v := range args {
				binary.LittleEndian.PutUint64(data[16+8*i:], v)
			}
			return interpret(t, prog, data)
		}
		rows := map[uint32]Call{}
		for _, c := range slices.Concat(Base, p.Calls) {
			rows[c.Nr] = c
		}
		killed := map[uint32]bool{}
		for _, c := range Killed {
			killed[c.Nr] = !p.Network || !slices.Contains(socketCalls, c.Nr)
		}
		for nr := range uint32(600) {
			c, listed := rows[nr]
			want := retEPERM
			switch {
			case killed[nr]:
				want = retKill
			case nr == nrClone3:
				want = retENOSYS
			case listed && len(c.Args) == 0:
				want = retAllow
			case listed:
				continue
			}
			if got := ask(unix.AUDIT_ARCH_X86_64, nr, ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)); got != want {
				t.Errorf("%s: call %d: %#x, want %#x", p.Name, nr, got, want)
			}
		}
		for _, c := range rows {
			good := make([]uint64, 6)
			for _, a := range c.Args {
				if a.Self {
					good[a.Arg] = pid
				} else if len(a.Values) > 0 {
					good[a.Arg] = uint64(a.Values[0])
				}
			}
			if got := ask(unix.AUDIT_ARCH_X86_64, c.Nr, good...); got != retAllow {
				t.Errorf("%s: %s%v: %#x", p.Name, c.Name, good, got)
			}
			for _, a := range c.Args {
				for _, v := range a.Values {
					for _, w := range []uint64{uint64(v), uint64(v | a.Mask)} {
						args := slices.Clone(good)
						args[a.Arg] = w
						if got := ask(unix.AUDIT_ARCH_X86_64, c.Nr, args...); got != retAllow {
							t.Errorf("%s: %s%v: %#x", p.Name, c.Name, args, got)
						}
					}
				}
				wrong := []uint64{good[a.Arg] | 1<<32, good[a.Arg] | 1<<63, 0xfffffff7}
				if a.Deny != 0 {
					wrong = append(wrong, uint64(a.Deny), good[a.Arg]|uint64(a.Deny&-a.Deny))
				}
				for _, w := range wrong {
					args := slices.Clone(good)
					args[a.Arg] = w
					if got := ask(unix.AUDIT_ARCH_X86_64, c.Nr, args...); got != retEPERM {
						t.Errorf("%s: %s%v: %#x", p.Name, c.Name, args, got)
					}
				}
			}
		}
		if got := ask(unix.AUDIT_ARCH_I386, 1); got != retKill {
			t.Errorf("%s: a 32-bit call: %#x", p.Name, got)
		}
		if got := ask(unix.AUDIT_ARCH_X86_64, x32Bit|1); got != retKill {
			t.Errorf("%s: an x32 call: %#x", p.Name, got)
		}
	}
}

// TestNames compares the tables' numbers with those of the host's header, as
// x/sys/unix has them.
func TestNames(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_amd64.go"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]uint32{}
	for line := range strings.Lines(string(src)) {
		var name string
		var nr uint32
		if n, _ := fmt.Sscanf(line, "\tSYS_%s = %d", &name, &nr); n == 2 {
			numbers[strings.ToLower(name)] = nr
		}
	}
	if len(numbers) < 300 {
		t.Fatalf("found %d numbers", len(numbers))
	}
	all := slices.Concat(Base, Killed, []Call{{Name: "clone3", Nr: nrClone3}})
	for _, p := range Profiles {
		all = append(all, p.Calls...)
	}
	for _, c := range all {
		if nr, ok := numbers[c.Name]; !ok || nr != c.Nr {
			t.Errorf("%s: the table says %d, the header %d", c.Name, c.Nr, nr)
		}
		if c.Why == "" && c.Nr != nrClone3 {
			t.Errorf("%s: no reason", c.Name)
		}
	}
}

// TestPlacement: what runs in the unix server's process (docs/decisions/0017-placement.md) brings
// it no host call, no kind of descriptor and no power of its user that it has not by itself.
func TestPlacement(t *testing.T) {
	process := func(kind string) Process {
		i := slices.IndexFunc(Processes, func(p Process) bool { return p.Kind == kind })
		if i < 0 {
			t.Fatalf("no row for %s", kind)
		}
		return Processes[i]
	}
	house, hp := process("unix"), profile(t, "unix")
	for _, kind := range []string{"overlay", "tmpfs"} {
		p, pp := process(kind), profile(t, kind)
		for _, c := range pp.Calls {
			if !slices.ContainsFunc(hp.Calls, func(h Call) bool { return h.Nr == c.Nr && slices.EqualFunc(h.Args, c.Args, sameArg) }) {
				t.Errorf("%s may call %s, the unix server not, or not so", kind, c.Name)
			}
		}
		if pp.Files || pp.Network || p.Caps&^house.Caps != 0 || p.User != house.User || p.OwnUser != house.OwnUser || !slices.Equal(p.Own, house.Own) {
			t.Errorf("%s is more on the host than the unix server: %+v", kind, p)
		}
		for _, f := range p.FDs {
			if !slices.Contains(house.FDs, f) {
				t.Errorf("%s holds %s, the unix server not", kind, f.What)
			}
		}
	}
	// And what it has by them are control channels.
	more := 0
	for _, f := range house.FDs {
		if f.From > 3 && f.To > 0 && strings.HasPrefix(f.What, "socket") { // the others are lent, one by one
			more += f.To - f.From + 1
		}
	}
	if more != 2 {
		t.Errorf("the unix server may hold %d sockets more, want a control channel for each of two", more)
	}
}

func profile(t *testing.T, name string) Profile {
	p, ok := Lookup(name)
	if !ok {
		t.Fatalf("no profile %s", name)
	}
	return *p
}

func sameArg(a, b Arg) bool {
	return a.Arg == b.Arg && a.Mask == b.Mask && slices.Equal(a.Values, b.Values) && a.Deny == b.Deny && a.Self == b.Self && a.Wide == b.Wide
}
