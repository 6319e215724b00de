package confine

import (
	"errors"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onAllThreads makes a call on every thread of the process. Each time, the
// runtime stops the program and signals the threads one by one: a server's
// start has one such call (landlock). It refuses where C code may have made threads.
func onAllThreads(nr, a1, a2, a3, a4, a5, a6 uintptr) error {
	switch _, _, e := syscall.AllThreadsSyscall6(nr, a1, a2, a3, a4, a5, a6); e {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return ErrC
	default:
		return e
	}
}

// noNewPrivs sets the attribute on all threads. A thread has it from the one
// that made it, so where the machine started this process with it, as it does,
// all have it.
func noNewPrivs() error {
	if has, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && has == 1 {
		return nil
	}
	return onAllThreads(syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
}

// seccomp installs the filter on all threads at once (SECCOMP_FILTER_FLAG_TSYNC).
// The calling thread has no_new_privs.
func seccomp(filter []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	r, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return e
	}
	if r != 0 {
		return errors.New("a thread has a filter of its own")
	}
	return nil
}

// Accesses to files that each version of Landlock knows
// (Documentation/userspace-api/landlock.rst).
const (
	accessV1  = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
	accessRO  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	accessNet = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
)

// noDevices are the accesses that a server never has, also below its directories.
const noDevices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// LandlockVersion answers the host's version of Landlock, 0 if it has none or has
// it switched off.
func LandlockVersion() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */)
	if e != 0 {
		return 0
	}
	return int(v)
}

// landlock forbids this process, all its threads, to open files except below
// dirs, to use TCP (but to connect, with network), and to reach sockets outside. It
// answers the host's version, 0 if there is none.
func landlock(dirs []Dir, network bool) (int, error) {
	v := LandlockVersion()
	if v == 0 {
		return 0, onAllThreads(syscall.SYS_GETPID, 0, 0, 0, 0, 0, 0) // still no program with C code
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: accessV1}
	size := unsafe.Offsetof(attr.Handled_access_net)
	if v >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if v >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if v >= 4 {
		attr.Handled_access_net = accessNet
		if network {
			attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		}
		size = unsafe.Offsetof(attr.Scoped)
	}
	if v >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if v >= 6 {
		// Not SCOPE_SIGNAL: each thread enters a domain of its own below, and
		// hosts before 6.15 refuse signals between such threads, by which the Go
		// runtime preempts goroutines. The filter lets no others through.
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		size = unsafe.Offsetof(attr.Quiet_access_fs)
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return 0, e
	}
	defer unix.Close(int(fd))
	for _, d := range dirs {
		rule := unix.LandlockPathBeneathAttr{Allowed_access: accessRO, Parent_fd: int32(d.FD)}
		if d.Write {
			rule.Allowed_access = attr.Handled_access_fs &^ noDevices
		}
		var st unix.Stat_t
		if err := unix.Fstat(d.FD, &st); err != nil {
			return 0, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			// Only what concerns a file itself can be said of a file.
			rule.Allowed_access &= unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
		}
		if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); e != 0 {
			return 0, e
		}
	}
	// The domain belongs to a thread and is inherited by those it makes, so all
	// that exist must enter it, each with no_new_privs.
	if err := onAllThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0, 0, 0, 0); err != nil {
		return 0, err
	}
	return v, nil
}
