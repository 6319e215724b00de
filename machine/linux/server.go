package linux

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"hythe/confine"
	"hythe/machine"
)

// The parent-death signal follows the thread that made the process, not the
// process (prctl(2), PR_SET_PDEATHSIG). So threads that never end make them all:
// two, because a start mostly waits for the host. What they are, their children
// inherit: no_new_privs, a timer slack, and, where root started us, a network
// name space, which costs the host more than all else of a start.
var (
	startOnce sync.Once
	startWork chan func()
	startNet  bool // the threads' network is not the host's; set before startWork is served
)

// serverSlack is by how many nanoseconds a sleep in a server may be late
// (prctl(2), PR_SET_TIMERSLACK). The Go runtime watches itself by sleeps of 20 us
// for as long as anything runs; with the host's usual 50 us of slack that is
// a seventh of a busy server's time. Whoever has to be on time uses a timer of
// the host's that has no slack (timerfd_create(2)).
const serverSlack = 1_000_000

// startThreads makes the threads that make processes.
func startThreads() {
	startOnce.Do(func() {
		startWork = make(chan func())
		net := make(chan int) // the first thread's name space, or -1
		for i := range 2 {
			ownThread(func() {
				startThread()
				if os.Geteuid() == 0 {
					if i == 0 {
						net <- ownNetwork()
					} else {
						fd := <-net
						startNet = fd >= 0 && unix.Setns(fd, unix.CLONE_NEWNET) == nil
						_ = unix.Close(fd)
						close(net)
					}
					<-net
				}
				for g := range startWork {
					g()
				}
			})
		}
	})
}

// The thread that makes processes in the host's network where the others have left
// it; made when it is needed.
var (
	outOnce sync.Once
	outWork chan func()
)

// onOutsideThread is onStartThread for a server that is in the host's network.
func onOutsideThread(f func()) {
	startThreads()
	outOnce.Do(func() {
		outWork = make(chan func())
		ownThread(func() {
			startThread()
			for g := range outWork {
				g()
			}
		})
	})
	done := make(chan struct{})
	outWork <- func() {
		defer close(done)
		f()
	}
	<-done
}

// ownThread runs f on a thread that is nobody else's and ends with it. It is not the
// process's first one: what that is the host says of the process (/proc/PID/net, status).
func ownThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// As long as this one is held, another goroutine has another thread.
		begun := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(begun)
			f()
		}()
		<-begun
		runtime.UnlockOSThread()
	}()
}

// startThread makes this thread what its children are to be.
func startThread() {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic("machine: no_new_privs: " + err.Error()) // every Linux since 3.5 has it
	}
	narrow()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, serverSlack, 0, 0, 0) // the usual one costs time, no more
}

// narrow takes from what this thread will start all capabilities but confine.FileCaps: an
// execution gives none that is not in the bounding set. Who is not root has
// nothing to give, and may not.
func narrow() {
	for c := uintptr(0); c < 64; c++ {
		if confine.FileCaps>>c&1 == 0 && unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
			return // not root, or no such capability
		}
	}
}

// onStartThread runs f on a thread that makes processes and waits for it.
func onStartThread(f func()) {
	startThreads()
	done := make(chan struct{})
	startWork <- func() {
		defer close(done)
		f()
	}
	<-done
}

// ownNetwork moves this thread to a network name space of its own and answers a
// descriptor of it, -1 where the host refuses.
func ownNetwork() int {
	if unix.Unshare(unix.CLONE_NEWNET) != nil {
		return -1
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// Nobody is the user that servers run as when root started the machine.
const Nobody = 65534

// isRoot says whether root started us: one who can make processes of Nobody's. The
// root of a user name space that holds nobody else is an ordinary user.
var isRoot = sync.OnceValue(func() bool {
	if os.Geteuid() != 0 {
		return false
	}
	_, users := outside("/proc/self/uid_map", Nobody)
	_, groups := outside("/proc/self/gid_map", Nobody)
	return users && groups
})

// errRootInside: guests would be processes of the root outside.
var errRootInside = errors.New("this user name space holds nobody but the root outside, as whom guests must not run: give it more users, or start as an ordinary user")

// rootInside says whether we are the root outside our user name space and cannot
// make processes of anybody else's.
func rootInside() bool {
	id, ok := outside("/proc/self/uid_map", int64(os.Geteuid()))
	return ok && id == 0 && !isRoot()
}

// outside answers what a number of our user name space is outside, by its map of
// users or groups (user_namespaces(7)); false if it is not in the map. A host
// without the file has one name space only.
func outside(file string, id int64) (int64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return id, true
	}
	for l := range strings.Lines(string(b)) {
		var first, outer, n int64
		if _, err := fmt.Sscan(l, &first, &outer, &n); err == nil && first <= id && id < first+n {
			return outer + id - first, true
		}
	}
	return 0, false
}

// attributes say how a server's process is made; called on a start thread.
func attributes(spec *machine.ServerSpec) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, n := range []struct {
		is   machine.Isolation
		flag uintptr
	}{
		{machine.IsolateMount, unix.CLONE_NEWNS},
		{machine.IsolateIPC, unix.CLONE_NEWIPC},
		{machine.IsolateUTS, unix.CLONE_NEWUTS},
		{machine.IsolateNet, unix.CLONE_NEWNET},
		{machine.IsolatePID, unix.CLONE_NEWPID},
	} {
		if spec.Isolation&n.is != 0 && !(n.is == machine.IsolateNet && startNet) {
			a.Cloneflags |= n.flag
		}
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if uid != 0 && spec.Isolation&machine.IsolateUser == 0 {
		a.Cloneflags = 0 // without a user namespace the host makes no other for him
		return a
	}
	if uid == 0 && spec.KeepUser {
		return a // root's rights on host files end at a user namespace
	}
	if isRoot() {
		// Nobody without capabilities has no more power in the host's user name
		// space than in one of its own; and to make that one, Go copies the whole
		// process where it otherwise shares the memory until the execve.
		a.Credential = &syscall.Credential{Uid: Nobody, Gid: Nobody}
		return a
	}
	if spec.Isolation&machine.IsolateUser != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		in, inGroup := uid, gid
		if uid == 0 { // who would have capabilities there
			in, inGroup = Nobody, Nobody
		}
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: in, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: inGroup, HostID: gid, Size: 1}}
	}
	return a
}

// StartServer implements machine.Machine: the program executes itself, or
// spec.Program, as "server NAME ARG...", with the channel at descriptor 3 and the spec's files
// from 4 on, standard input and output at /dev/null, and standard error read
// line by line. It runs as Nobody if root started the machine (unless the spec
// keeps the user), with no_new_privs, and dies with the nucleus.
func (m *Machine) StartServer(ctx machine.Context, far machine.Handle, spec machine.ServerSpec) error {
	c, ok := ctx.(*channel)
	if !ok {
		return errors.New("machine: the channel is another machine's")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("server %s: %w", spec.Name, err)
	}
	files := []uintptr{m.null.Fd(), m.null.Fd(), w.Fd(), uintptr(FD(far))}
	for _, f := range append(spec.Files[:len(spec.Files):len(spec.Files)], spec.Channels...) {
		files = append(files, uintptr(FD(f)))
	}
	attr := &syscall.ProcAttr{
		Dir: "/",
		// One thread at a time runs Go code: a server is a loop that serves what
		// comes and parks whom it has to wait for, and to wake another thread
		// for the half of it costs more than it gains (docs/performance.md).
		Env:   []string{"PATH=/", "GOTRACEBACK=single", "GOMAXPROCS=1"},
		Files: files,
	}
	exe := m.opts.Exe
	if spec.Program != nil {
		// Above all numbers that the process gets its own descriptors under.
		fd, err := unix.FcntlInt(uintptr(FD(spec.Program)), unix.F_DUPFD_CLOEXEC, 64)
		if err != nil {
			_ = r.Close()
			_ = w.Close()
			return fmt.Errorf("server %s: %w", spec.Name, err)
		}
		defer unix.Close(fd)
		exe = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	argv := append([]string{"hythe-" + spec.Name, "server", spec.Name}, spec.Args...)
	if m.opts.scheduling() {
		argv = append(argv, ScheduledArg)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		_ = r.Close()
		_ = w.Close()
		return ErrClosed
	}
	m.servers[c] = true // Close waits for it from here on
	m.mu.Unlock()
	c.served()
	for _, f := range spec.Channels {
		f.(*file).near.served()
	}

	var pid int
	pidfd := -1
	on := onStartThread
	if spec.Isolation&machine.IsolateNet == 0 && os.Geteuid() == 0 {
		on = onOutsideThread
	}
	on(func() {
		defer m.runHere()()
		attr.Sys = attributes(&spec)
		attr.Sys.PidFD = &pidfd
		pid, _, err = syscall.StartProcess(exe, argv, attr)
		if isolationError(err) && spec.Lenient && attr.Sys.Cloneflags != 0 {
			m.log("server %s: the host refuses its namespaces (%v): it runs without", spec.Name, err)
			attr.Sys.Cloneflags, attr.Sys.UidMappings, attr.Sys.GidMappings = 0, nil, nil
			attr.Sys.GidMappingsEnableSetgroups = false
			pid, _, err = syscall.StartProcess(exe, argv, attr)
		}
	})
	_ = w.Close()
	if err == nil && pidfd < 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		err = errors.New("the host has no pidfds (Linux 5.4 is needed)")
	}
	if err != nil {
		_ = r.Close()
		m.forget(c)
		if isolationError(err) {
			return fmt.Errorf("server %s: the host refuses its namespaces: %w", spec.Name, err)
		}
		return fmt.Errorf("server %s: %w", spec.Name, err)
	}
	killed := false
	for _, f := range spec.Channels {
		killed = f.(*file).near.shares(pid, pidfd) || killed
	}
	c.mu.Lock()
	c.child = true
	c.process(pid, pidfd)
	killed = killed || c.killed
	c.mu.Unlock()
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if killed || closed {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	}
	go readLines(r, spec.Log)
	return nil
}

func isolationError(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) ||
		errors.Is(err, syscall.EUSERS) || errors.Is(err, syscall.EINVAL)
}

// forget ends the machine's wait for a server.
func (m *Machine) forget(c *channel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.servers, c)
	if m.closed && len(m.servers) == 0 {
		close(m.idle)
	}
}

// readLines hands over what a server writes to its standard error. A line that
// is too long is cut into pieces.
func readLines(r *os.File, log func(string)) {
	defer r.Close()
	b := bufio.NewReaderSize(r, 8192)
	for {
		line, _, err := b.ReadLine()
		if err != nil {
			return
		}
		if log != nil {
			log(string(line))
		}
	}
}
