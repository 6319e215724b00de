package core

import (
	"slices"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/idl/unix"
	"hythe/store"
)

// What the supervisor asks of the unix server (idl/unix). These functions take
// the lock themselves.

// MountCore mounts the file systems that live in this server on the tree:
// /dev, /dev/pts, /proc and /sys. The lock is held; it is given up meanwhile.
func (k *Kernel) MountCore() abi.Errno {
	for _, m := range []struct {
		path, label, typ string
		flags            uint32
		mode             uint32 // of mountFS
	}{
		{"/dev", "dev", "devtmpfs", MountNosuid, 0},
		{"/dev/pts", "devpts", "devpts", MountNosuid | MountNoexec, 0},
		{"/dev/shm", "shm", "tmpfs", MountNosuid | MountNodev, 0o1777}, // as the tmpfs server's own default
		{"/proc", "proc", "proc", MountNosuid | MountNodev | MountNoexec, 0},
		{"/sys", "sys", "sysfs", MountRO | MountNosuid | MountNodev | MountNoexec, 0o555},
	} {
		if k.vfs.cores[m.label] == nil && k.vfs.servers[m.label] == nil {
			continue
		}
		if e := k.mountFS(m.path, m.label, m.typ, m.typ, m.flags, m.mode); e != 0 {
			k.Host.Log("mount of " + m.path + ": " + e.Name())
		}
	}
	return 0
}

// AttachCores makes the file systems that live in this server known; at every
// start, before Recover.
func (k *Kernel) AttachCores() {
	k.AttachCore("dev", k.NewDevFS())
	if d := k.NewDevPts(); d != nil {
		k.AttachCore("devpts", d)
	}
	p := NewProcFS(k)
	k.AttachCore("proc", p)
	k.AttachCore("sys", sysFS{p})
}

// StartProgram starts the program that the supervisor asks for on a session of
// the console: the machine's first process, or a further one. A repeated request
// answers the process that the session has, also if that has ended. Errors are
// those of execve(2), or, with badDir, of the working directory; ESRCH: the
// machine's process 1 has ended, or there is one and another is wanted.
func (k *Kernel) StartProgram(r *unix.Program) (pid int32, badDir bool, err abi.Errno) {
	k.Enter()
	defer k.Leave()
	s := k.Sessions.Get(k.session(r.Session))
	if s == nil {
		return 0, false, abi.EBADF
	}
	if s.State != sessionNew {
		return s.Pid, false, 0
	}
	if g := k.Globals(); g.Init != 0 && (r.Init || k.Procs.Get(g.Init).State != ProcLive) {
		return 0, false, abi.ESRCH
	}
	if r.Dir != "" {
		if _, e := k.KernelCall().Walk(AtCwd, r.Dir, WalkFollow|WalkDir); e != 0 {
			return 0, true, e
		}
	}
	env := r.Env
	if r.Home && !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "HOME=") }) {
		env = append(slices.Clip(env), "HOME="+k.homeOf(r.UID))
	}
	if long := func(v string) bool { return len(v) >= MaxArgLen }; slices.ContainsFunc(r.Args, long) || slices.ContainsFunc(env, long) {
		return 0, false, abi.E2BIG
	}
	path, e := k.findProgram(r)
	if e != 0 {
		return 0, false, e
	}
	b := &BootProgram{Path: path, Argv: r.Args, Env: env, Cwd: r.Dir, UID: r.UID, GID: r.GID, Groups: r.Groups, Session: r.Session,
		Nice: int32(min(max(r.Nice, -20), 19))}
	b.Files = func(c *Call) ([]store.Ref[File], abi.Errno) {
		var files []store.Ref[File]
		for i := range 3 {
			var f store.Ref[File]
			var e abi.Errno
			if r.TTY {
				f, e = c.OpenConsoleTTY(r.Session)
			} else {
				f, e = k.ConsoleFile(r.Session, i)
			}
			if e == abi.EBADF {
				f = 0 // the host gave none
			} else if e != 0 {
				return nil, e
			}
			files = append(files, f)
		}
		return files, 0
	}
	if r.Init {
		pid, err = k.Boot(b)
	} else {
		pid, err = k.Spawn(b, nil)
	}
	return pid, false, err
}

// homeOf is the directory of a user by /etc/passwd: "/" if that has none, or one
// that the file server may not read (who runs the machine is an ordinary user of the
// host, and /root is not theirs).
func (k *Kernel) homeOf(uid uint32) string {
	c := k.KernelCall()
	home := "/"
	text, _ := c.readFile("/etc/passwd", 1<<20)
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) == 7 && f[2] == strconv.FormatUint(uint64(uid), 10) {
			if strings.HasPrefix(f[5], "/") && !strings.Contains(f[5], "\x00") {
				home = f[5]
			}
			break
		}
	}
	if w, e := c.Walk(AtCwd, home, WalkFollow|WalkDir); e == 0 && w.node.m.srv != nil {
		c.ask(func() { _, e = c.server(w.node.m).ReadDir(fs.Req{}, w.node.id, 0, 1) })
		if e == abi.EACCES {
			return "/"
		}
	}
	return home
}

// readFile reads a regular file of a file server, as much as max bytes.
func (c *Call) readFile(path string, max int) (string, abi.Errno) {
	w, e := c.Walk(AtCwd, path, WalkFollow)
	if e != 0 {
		return "", e
	}
	if w.node == nil || w.node.m.srv == nil {
		return "", abi.EINVAL
	}
	if e := c.refresh(w.node, false); e != 0 {
		return "", e
	}
	if !w.node.isRegular() {
		return "", abi.EINVAL
	}
	v, e := c.K.holdNode(w.node)
	if e != 0 {
		return "", e
	}
	defer c.K.DropVnode(v)
	if e := c.openVnode(v, false, false); e != 0 {
		return "", e
	}
	b, e := c.ReadVnode(v, 0, int(min(w.node.attr.Size, uint64(max))))
	return string(b), e
}

// findProgram looks for the program along PATH, as execvp(3) does.
func (k *Kernel) findProgram(r *unix.Program) (string, abi.Errno) {
	if strings.Contains(r.Path, "/") {
		if !strings.HasPrefix(r.Path, "/") {
			return strings.TrimSuffix(r.Dir, "/") + "/" + r.Path, 0
		}
		return r.Path, 0
	}
	if r.Path == "" {
		return "", abi.ENOENT
	}
	dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, v := range r.Env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			dirs = p
		}
	}
	c := k.KernelCall()
	denied := false
	for _, d := range strings.Split(dirs, ":") {
		if !strings.HasPrefix(d, "/") {
			d = strings.TrimSuffix(r.Dir, "/") + "/" + d
		}
		f, e := c.Walk(AtCwd, d+"/"+r.Path, WalkFollow)
		if e != 0 || !f.Exists() || f.node == nil {
			denied = denied || e == abi.EACCES
			continue
		}
		a := f.Attr()
		if a.Mode&fs.TypeMask != fs.TypeReg {
			continue
		}
		if a.Mode&0o111 == 0 {
			denied = true
			continue
		}
		return d + "/" + r.Path, 0
	}
	if denied {
		return "", abi.EACCES
	}
	return "", abi.ENOENT
}

// WaitProgram waits for the end of a session's program and answers its wait
// status. ESRCH: there is none. It blocks without the lock.
func (k *Kernel) WaitProgram(session uint32) (uint32, abi.Errno) {
	woken := make(chan struct{}, 1)
	k.Enter()
	w := k.io.console.endQ.Watch(func(uint32) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	defer func() {
		w.Unwatch()
		k.Leave()
	}()
	for {
		s := k.Sessions.Get(k.session(session))
		if s == nil || s.State == sessionNew {
			return 0, abi.ESRCH
		}
		if s.State == sessionEnded {
			return s.Status, 0
		}
		k.Leave()
		<-woken
		k.Enter()
	}
}

// SignalProgram sends a signal to a session's program on behalf of the
// machine's owner. ESRCH: it has ended.
func (k *Kernel) SignalProgram(session uint32, sig int32) abi.Errno {
	k.Enter()
	s := k.Sessions.Get(k.session(session))
	pid := int32(0)
	if s != nil && s.State == sessionRunning {
		pid = s.Pid
	}
	k.Leave()
	if pid == 0 {
		return abi.ESRCH
	}
	return k.KillPid(pid, sig)
}

// KillPid sends a signal on behalf of the machine's owner; 0 asks whether there
// is such a process. ESRCH, EINVAL.
func (k *Kernel) KillPid(pid, sig int32) abi.Errno {
	k.Enter()
	defer k.Leave()
	p := k.byPid[pid]
	if p == 0 || k.Procs.Get(p).State != ProcLive {
		return abi.ESRCH
	}
	if sig < 0 || sig >= NumSignals {
		return abi.EINVAL
	}
	if sig == 0 {
		return 0
	}
	return k.SendSignal(p, &SigInfo{Sig: sig, Code: SiKernel})
}

// KillLargest kills the process with most resident memory and answers which: 0
// if there is none. As the host's own killer does, it does not ask for reasons.
func (k *Kernel) KillLargest() (pid int32, name string) {
	most := int64(-1)
	for _, p := range k.ListProcesses() {
		if p.State != "Z" && p.Resident > most {
			most, pid = p.Resident, int32(p.PID)
			if len(p.Args) > 0 {
				name = p.Args[0]
			}
		}
	}
	if pid != 0 && k.KillPid(pid, SIGKILL) != 0 {
		return 0, "" // it ended by itself
	}
	return pid, name
}

// ListProcesses answers what `hythe ps` shows.
func (k *Kernel) ListProcesses() []unix.Process {
	k.Enter()
	type row struct {
		p    store.Ref[Proc]
		task TaskID
		args [2]uint64
	}
	var rows []row
	var list []unix.Process
	k.EachProc(func(p store.Ref[Proc], r *Proc) bool {
		ppid := int32(0)
		if pp := k.Procs.Get(r.Parent); pp != nil {
			ppid = pp.Pid
		}
		uid := uint32(0)
		if r.Cred != 0 {
			uid = k.Creds.Get(r.Cred).EUID
		}
		list = append(list, unix.Process{
			PID: int(r.Pid), PPID: int(ppid), UID: uid, State: string(rune(k.stateOf(p, r.Leader))), Threads: int(r.Threads),
			Personality: k.SystemName(r), StartedReal: k.Globals().BootReal + r.Start - k.Globals().BootMono,
			Args: []string{CommOf(r.Comm)}, CPU: r.UTime + r.STime,
		})
		if r.State == ProcLive {
			how, cpus := k.SchedOf(p), k.CPUs()
			if th := k.Threads.Get(r.Leader); r.Leader != 0 && th != nil {
				cpus = k.CPUsOf(th)
			}
			l := &list[len(list)-1]
			l.Policy, l.Nice, l.Priority, l.CPUs = how.Policy, int(how.Nice), how.Prio, cpus[:]
		}
		t := r.Task
		if r.State != ProcLive {
			t = 0
		}
		rows = append(rows, row{p, t, [2]uint64{r.ArgStart, r.ArgEnd}})
		return true
	})
	k.Leave()
	for i, r := range rows {
		if r.task == 0 {
			continue
		}
		rss, user, sys, e := k.Host.Usage(r.task)
		if e == 0 {
			list[i].Resident = int64(rss)
			list[i].CPU += int64(user + sys)
		}
		if n := r.args[1] - r.args[0]; n > 0 && n < 1<<20 {
			if b, e := k.Host.Memory(r.task, r.args[0], int(min(n, 4096))); e == 0 && len(b) > 0 {
				list[i].Args = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
			}
		}
	}
	return list
}
