package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/emul"
	"hythe/machine"
)

// GuestConfig is what all guest tasks of a machine share.
type GuestConfig struct {
	// Tables are the personalities' call tables (TableBytes), each
	// abi.CallTableSize descriptors; a task picks one with abi.TaskTable.
	Tables [][]byte
	// Conv says for each table how calls are passed (emul.Conv...); those
	// that are missing are ConvLinux.
	Conv []uint8
	// Spin is how many turns (some 10 to 40 ns each) a thread waits for a
	// reply before it sleeps; 0 sleeps at once.
	Spin uint32
	// Processes limits the host threads of all guests, the reaper and the
	// zygote included; 0 leaves the invoking user's limit. It holds whatever a
	// guest does. A hostile guest may fork without asking its server.
	Processes uint64
	// Processors are those on which guests run; none: where the caller may.
	Processors machine.Processors
	// NoPatch leaves the guests' text alone: every call is a trap
	// (docs/patching.md).
	NoPatch bool
}

// SpinDefault is the Spin that suits a machine with two or more processors:
// about 2 us.
const SpinDefault = 100

// guestID is the user and group id of guests inside their namespace, and
// outside when the invoking user is the host's root (HAZARDS A6).
const guestID = 65534

// Zygote is the handle of a machine's guest side: its reaper (pid 1 of the
// machine) and zygote. Its methods may be called from any goroutine.
type Zygote struct {
	window uintptr
	pid    int // the reaper, in the host's numbering
	ctl    int // our end of the zygote's channel
	img    int // the boot image, of which all tasks have the call tables mapped
	tables int // how many
	once   sync.Once
	quit   chan struct{}
	ended  chan struct{}
	ready  chan struct{}
	err    error // set when ready is closed: why the start failed
	lost   chan struct{}
	heard  chan struct{} // closed when nobody reads from ctl any more

	mu     sync.Mutex
	closed bool
	child  int          // the zygote's number on the host
	strays map[int]bool // unknown at the last KillStrays
}

// errZygoteGone is what Spawn answers when the machine has ended.
var errZygoteGone = errors.New("the machine's zygote is gone")

// StartZygote makes a machine's namespaces and starts its reaper and zygote.
// It returns as soon as the host has accepted the start, so that other things
// can start meanwhile; failures of the rest come out of Wait and Spawn.
//
// The reaper dies with the host thread that made it, so that thread is kept.
func StartZygote(cfg GuestConfig) (*Zygote, error) {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("guest start: %w", err)
	}
	defer exe.Close()
	segs, err := readImage(exe)
	if err != nil {
		return nil, fmt.Errorf("guest start: %w", err)
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &own); err == nil && cfg.Processes > own.Max {
		cfg.Processes = own.Max // a limit can be lowered only
	}
	z := &Zygote{window: randomWindow(), quit: make(chan struct{}), ended: make(chan struct{}), ready: make(chan struct{}), lost: make(chan struct{}), heard: make(chan struct{})}
	img, err := bootImage(&cfg, segs, z.window)
	if err != nil {
		return nil, fmt.Errorf("guest start: %w", err)
	}
	z.img, z.tables = img, len(cfg.Tables)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		unix.Close(img)
		return nil, fmt.Errorf("guest start: socketpair: %w", err)
	}
	defer unix.Close(pair[1])
	z.ctl = pair[0]
	if err := unix.SetsockoptInt(z.ctl, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		unix.Close(z.ctl)
		unix.Close(img)
		return nil, fmt.Errorf("guest start: SO_PASSCRED: %w", err)
	}

	started := make(chan error)
	ownThread(func() { // for good: see above
		if (cfg.Processors != machine.Processors{}) {
			if err := setProcessors(0, cfg.Processors); err != nil {
				started <- fmt.Errorf("processors: %w", err)
				return
			}
		}
		pid, err := forkReaper(int(exe.Fd()), img, pair[1])
		z.pid = pid
		started <- err
		if err != nil {
			return
		}
		z.reap()
	})
	if err := <-started; err != nil {
		unix.Close(z.ctl)
		unix.Close(img)
		return nil, fmt.Errorf("guest start: namespaces (user, pid, mount, net, ipc, uts): %w", err)
	}
	go z.hear()
	return z, nil
}

// forkReaper forks and executes the boot image as pid 1 of new namespaces.
func forkReaper(exe, img, ctl int) (int, error) {
	uid, gid := os.Getuid(), os.Getgid()
	cred := &syscall.Credential{Uid: guestID, Gid: guestID, NoSetGroups: true}
	root := isRoot()
	if root {
		uid, gid = guestID, guestID
		cred.NoSetGroups = false
	}
	return syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", bootImgFD), []string{"hythe-reaper"}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{uintptr(exe), uintptr(exe), uintptr(exe), uintptr(ctl), uintptr(exe), uintptr(img)},
		Sys: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS |
				syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
			UidMappings:                []syscall.SysProcIDMap{{ContainerID: guestID, HostID: uid, Size: 1}},
			GidMappings:                []syscall.SysProcIDMap{{ContainerID: guestID, HostID: gid, Size: 1}},
			GidMappingsEnableSetgroups: root,
			Credential:                 cred,
			Setsid:                     true,
			Pdeathsig:                  syscall.SIGKILL,
			AmbientCaps:                []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP},
		},
	})
}

// reap waits for the reaper on the thread that is its parent.
func (z *Zygote) reap() {
	for unix.Waitid(unix.P_PID, z.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	// The number is taken back before the host may use it again.
	z.mu.Lock()
	unix.Wait4(z.pid, nil, unix.WNOHANG, nil)
	z.pid = 0
	z.mu.Unlock()
	close(z.ended)
	// The thread must not end before: nothing of ours is left that dies with it.
}

// hear takes the one datagram that the zygote sends: ready, or what failed; then it
// waits for the zygote's end.
func (z *Zygote) hear() {
	defer close(z.heard)
	if z.hearStart(); z.err != nil {
		return
	}
	buf := make([]byte, abi.CallHeaderSize)
	for {
		n, _, _, _, err := unix.Recvmsg(z.ctl, buf, nil, 0)
		if err != unix.EINTR && n <= 0 {
			break
		}
	}
	if z.reaperLives() {
		close(z.lost)
	}
}

// reaperLives says whether the reaper has not begun to end, with which all processes
// of its name space do (flags of /proc/PID/stat, proc(5); linux/sched.h).
func (z *Zygote) reaperLives() bool {
	const exiting = 4
	pid := z.Pid()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid == 0 || err != nil {
		return false
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return err == nil && flags&exiting == 0
}

// Lost is closed when the zygote ends and the reaper does not: somebody on the host
// has killed it. No fresh task can be made any more.
func (z *Zygote) Lost() <-chan struct{} { return z.lost }

func (z *Zygote) hearStart() {
	buf := make([]byte, abi.CallHeaderSize)
	oob := make([]byte, 64)
	var n, on int
	var err error
	for {
		n, on, _, _, err = unix.Recvmsg(z.ctl, buf, oob, 0)
		if err != unix.EINTR {
			break
		}
	}
	if msgs, err := unix.ParseSocketControlMessage(oob[:max(on, 0)]); err == nil {
		for _, m := range msgs {
			if c, err := unix.ParseUnixCredentials(&m); err == nil {
				z.mu.Lock()
				z.child = int(c.Pid)
				z.mu.Unlock()
			}
		}
	}
	le := binary.LittleEndian
	switch {
	case err != nil:
		z.err = fmt.Errorf("guest start: %w", err)
	case n < abi.CallHeaderSize:
		z.err = errZygoteGone
	case le.Uint32(buf) != emul.BootReady:
		z.err = fmt.Errorf("guest start: %s: %w", bootStep(le.Uint64(buf[24:])), syscall.Errno(le.Uint64(buf[32:])))
	}
	close(z.ready)
}

// bootStep says what emul.Boot was doing.
func bootStep(n uint64) string {
	steps := [...]string{
		emul.StepUnmap: "clear the address space", emul.StepReserve: "reserve what is above the window",
		emul.StepMount: "mount the empty root", emul.StepRoot: "change to the empty root",
		emul.StepFDs: "occupy descriptors", emul.StepCaps: "drop capabilities and set limits",
		emul.StepNoNewPrivs: "no_new_privs", emul.StepSignals: "signal handlers",
		emul.StepZygote: "fork the zygote", emul.StepFilter: "seccomp filter",
	}
	if n < uint64(len(steps)) && steps[n] != "" {
		return steps[n]
	}
	return fmt.Sprintf("step %d", n)
}

// Wait returns when the zygote serves, or says why it does not.
func (z *Zygote) Wait() error {
	<-z.ready
	return z.err
}

// Spawn asks the zygote to fork a fresh task that owns the three descriptors:
// its end of the control channel, its message area, the doorbell to its server.
// They stay the caller's to close. It does not wait for the task: that shows
// by its CallHello, or by the end of its channel.
func (z *Zygote) Spawn(control, area, doorbell int) error {
	select {
	case <-z.ready:
		if z.err != nil {
			return z.err
		}
	default:
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return errZygoteGone
	}
	var msg [abi.CallHeaderSize]byte
	binary.LittleEndian.PutUint32(msg[:], emul.SpawnOp)
	binary.LittleEndian.PutUint32(msg[4:], 3)
	for {
		err := unix.Sendmsg(z.ctl, msg[:], unix.UnixRights(control, area, doorbell), nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EPIPE || err == unix.ECONNRESET {
			return errZygoteGone
		}
		return err
	}
}

// SetTables changes the call tables of all tasks that there are and will be: they map, without
// the right to write, the pages that it writes to. tables are of the number and form of
// GuestConfig.Tables. A thread that serves a call meanwhile may find either table's bytes, each
// as it was or as it becomes, so two tables may differ in CallDesc.Local alone.
func (z *Zygote) SetTables(tables [][]byte) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return errZygoteGone
	}
	if len(tables) != z.tables {
		return fmt.Errorf("%d call tables, not %d", len(tables), z.tables)
	}
	for i, t := range tables {
		if len(t) != emul.TableSize {
			return fmt.Errorf("call table %d has %d bytes, not %d", i, len(t), emul.TableSize)
		}
		if n, err := unix.Pwrite(z.img, t, int64(imgTables+emul.TableSize*i)); err != nil || n != len(t) {
			return fmt.Errorf("call table %d: %d bytes written: %w", i, n, err)
		}
	}
	return nil
}

// children lists the processes of the machine, but for the reaper and the
// zygote, by their numbers on the host. All are children of the reaper.
func (z *Zygote) children() []int {
	if z.pid == 0 || z.child == 0 {
		return nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", z.pid, z.pid))
	if err != nil {
		return nil
	}
	var l []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil && n != z.child {
			l = append(l, n)
		}
	}
	return l
}

// KillStrays ends the processes that a guest forked without its server's
// knowledge: a hostile guest can, within GuestConfig.Processes, by jumping into
// its library. known says which host processes the caller has a task for. A
// process must be unknown in two calls, so that one whose CallHello is still on
// its way is left alone; the caller calls this now and then (10 s is good). It
// answers how many it killed, 0 where the host cannot list children.
func (z *Zygote) KillStrays(known func(pid int) bool) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	killed := 0
	now := map[int]bool{}
	for _, pid := range z.children() {
		if known(pid) {
			continue
		}
		if !z.strays[pid] {
			now[pid] = true
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// The number may have a new owner: it must still be the reaper's child.
		if slices.Contains(z.children(), pid) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
			killed++
		}
		unix.Close(fd)
	}
	z.strays = now
	return killed
}

// Stop ends the machine: the reaper's death kills all its processes. It
// returns when the reaper is gone and may be called more than once.
func (z *Zygote) Stop() {
	z.once.Do(func() {
		z.mu.Lock()
		if z.pid != 0 {
			unix.Kill(z.pid, unix.SIGKILL)
		}
		z.mu.Unlock()
		<-z.ended
		<-z.heard
		z.mu.Lock()
		z.closed = true
		unix.Close(z.ctl)
		unix.Close(z.img)
		z.mu.Unlock()
	})
}

// Window is the address of the library's window in every task of the machine.
func (z *Zygote) Window() uintptr { return z.window }

// Pid is the reaper's number on the host, 0 when it has ended.
func (z *Zygote) Pid() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.pid
}

var _ Spawner = (*Zygote)(nil)
