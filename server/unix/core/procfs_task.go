package core

import (
	"fmt"

	"hythe/abi"
	"hythe/store"
)

// Files of /proc/PID that tell of its threads on the host, and of name spaces.

// procNs are the name spaces of a process: all are the machine's, but for those of
// users. Numbers are Linux's of the first of each kind.
var procNs = [...]struct {
	name, kind string
	ino        uint64
}{
	{"cgroup", "cgroup", 4026531835}, {"ipc", "ipc", 4026531839}, {"mnt", "mnt", 4026531832}, {"net", "net", 4026531833},
	{"pid", "pid", 4026531836}, {"pid_for_children", "pid", 4026531836}, {"time", "time", 4026531834},
	{"time_for_children", "time", 4026531834}, {"user", "user", 4026531837}, {"uts", "uts", 4026531838},
}

func (f *ProcFS) nsIno(p store.Ref[Proc], i int) uint64 {
	n := procNs[i].ino
	if cr := f.k.Creds.Get(f.k.Procs.Get(p).Cred); procNs[i].kind == "user" && cr != nil && cr.NS != 0 {
		n = 4026532000 + uint64(cr.NS)
	}
	return n
}

func (f *ProcFS) nsText(p store.Ref[Proc], i int) string {
	return fmt.Sprintf("%s:[%d]", procNs[i].kind, f.nsIno(p, i))
}

// cpuOf is the processor time of a thread, in ns.
func (k *Kernel) cpuOf(c *Call, p store.Ref[Proc], t store.Ref[Thread]) (ns uint64) {
	th := k.Threads.Get(t)
	task := k.Procs.Get(p).Task
	if th == nil || task == 0 || c == nil || c.T == 0 {
		return 0
	}
	tid := k.hostTID(t)
	c.Unlocked(func() { ns, _ = k.Host.CPU(task, tid) })
	return ns
}

func (n *IOCount) text() string {
	return fmt.Sprintf("rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
		n.RChar, n.WChar, n.SyscR, n.SyscW)
}

// pidIO is what a process has read and written, tidIO what one thread has.
func (k *Kernel) pidIO(_ *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	n := k.Procs.Get(p).IO
	for _, t := range k.procRT(p).threads {
		n.add(k.Threads.Get(t).IO)
	}
	return n.text(), 0
}

func (k *Kernel) tidIO(_ *Call, _ store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	return k.Threads.Get(t).IO.text(), 0
}

func (k *Kernel) pidSchedstat(c *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	return fmt.Sprintf("%d 0 1\n", k.cpuOf(c, p, t)), 0
}

func (k *Kernel) pidSched(c *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	ns := k.cpuOf(c, p, t)
	r, th := k.Procs.Get(p), k.Threads.Get(t)
	if r == nil || th == nil {
		return "", abi.ESRCH
	}
	s := fmt.Sprintf("%s (%d, #threads: %d)\n", CommOf(th.Comm), th.Tid, r.Threads)
	s += "-------------------------------------------------------------------\n"
	s += fmt.Sprintf("%-45s:%21d.%06d\n", "se.sum_exec_runtime", ns/1e6, ns%1e6)
	for _, l := range []struct {
		name string
		v    int32
	}{{"nr_switches", 1}, {"nr_voluntary_switches", 1}, {"nr_involuntary_switches", 0}, {"policy", int32(th.Policy)}, {"prio", 100 + th.Sched.shown()}} {
		s += fmt.Sprintf("%-45s:%21d\n", l.name, l.v)
	}
	return s, 0
}

// pidStack is the kernel's stack of a thread, of which nothing is told; as on Linux
// only a privileged reader gets as far as that. EACCES.
func (k *Kernel) pidStack(c *Call, _ store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	if c == nil || c.T == 0 || !c.Capable(21) { // CAP_SYS_ADMIN
		return "", abi.EACCES
	}
	return "", 0
}

// pidSyscall tells of the call in which a thread is: in which it sleeps, or with which
// it reads this. The text is of the moment of the read.
func (k *Kernel) pidSyscall(c *Call, p store.Ref[Proc], t store.Ref[Thread], at int64, buf []byte) (int, abi.Errno) {
	in := k.threadRT(t).call
	if c != nil && c.T == t {
		in = c
	}
	if in == nil || in.Kind != abi.KindTrap {
		return copyFrom(buf, "running\n", at), 0
	}
	a := in.Args
	text := fmt.Sprintf("%d 0x%x 0x%x 0x%x 0x%x 0x%x 0x%x 0x%x 0x%x\n", in.Nr, a[0], a[1], a[2], a[3], a[4], a[5], in.Regs.SP, in.Regs.IP)
	return copyFrom(buf, text, at), 0
}

func copyFrom(buf []byte, text string, at int64) int {
	if at >= int64(len(text)) {
		return 0
	}
	return copy(buf, text[at:])
}

// memEnd is where user memory ends. The library's lies below, too: it holds nothing
// that the process, which may read it directly, must not know.
const memEnd = 1<<47 - abi.PageSize

// pidMem reads memory. EIO: there is none.
func (k *Kernel) pidMem(c *Call, p store.Ref[Proc], _ store.Ref[Thread], at int64, buf []byte) (int, abi.Errno) {
	task := k.Procs.Get(p).Task
	if task == 0 {
		return 0, 0
	}
	n := 0
	for n < len(buf) {
		addr := uint64(at) + uint64(n)
		if addr >= memEnd {
			break
		}
		want := min(len(buf)-n, abi.MaxInline, int(memEnd-addr))
		var b []byte
		var e abi.Errno
		c.Unlocked(func() { b, e = k.Host.Memory(task, addr, want) })
		if e != 0 || len(b) == 0 {
			break
		}
		n += copy(buf[n:], b)
		if len(b) < want {
			break
		}
	}
	if n == 0 && len(buf) > 0 {
		return 0, abi.EIO
	}
	return n, 0
}
