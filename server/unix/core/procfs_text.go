package core

import (
	"fmt"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/store"
)

// The texts of /proc (proc(5), Linux 6.12).

func (k *Kernel) procCPUInfo() string {
	var b strings.Builder
	cpus := k.CPUs()
	for i := range cpus.Top() {
		if !cpus.Has(i) {
			continue
		}
		if k.Config.CPUInfo == "" {
			fmt.Fprintf(&b, "processor\t: %d\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel name\t: amd64\n\n", i)
			continue
		}
		for line := range strings.Lines(k.Config.CPUInfo) {
			name, _, _ := strings.Cut(line, ":")
			switch strings.TrimSpace(name) {
			case "processor", "apicid", "initial apicid", "core id":
				fmt.Fprintf(&b, "%s: %d\n", name, i)
			default:
				b.WriteString(line)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (k *Kernel) procMeminfo() string {
	u := k.Use()
	kb := u.Total >> 10
	var b strings.Builder
	row := func(name string, v uint64) { fmt.Fprintf(&b, "%-16s%8d kB\n", name+":", v) }
	row("MemTotal", kb)
	row("MemFree", u.Free>>10)
	row("MemAvailable", (u.Free+u.Buffers)>>10)
	row("Buffers", u.Buffers>>10)
	for _, n := range []string{"Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "KernelStack", "PageTables"} {
		row(n, 0)
	}
	row("CommitLimit", kb/2)
	row("Committed_AS", 0)
	row("VmallocTotal", 34359738367)
	b.WriteString("HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n")
	return b.String()
}

// procVMStat has what procps looks for; nothing is paged or swapped by us.
func (k *Kernel) procVMStat() string {
	return fmt.Sprintf("nr_free_pages %d\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n", k.Use().Free/abi.PageSize)
}

func (k *Kernel) procStat() string {
	var b strings.Builder
	up := (k.Clock.Mono() - k.Globals().BootMono) / 1e7
	cpus := k.CPUs()
	fmt.Fprintf(&b, "cpu  0 0 0 %d 0 0 0 0 0 0\n", up*int64(cpus.Len()))
	for i := range cpus.Top() {
		if !cpus.Has(i) {
			continue
		}
		fmt.Fprintf(&b, "cpu%d 0 0 0 %d 0 0 0 0 0 0\n", i, up)
	}
	run, blocked := 0, 0
	k.EachProc(func(_ store.Ref[Proc], r *Proc) bool {
		if r.State == ProcLive {
			run++
		}
		return true
	})
	fmt.Fprintf(&b, "intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked %d\n", k.Globals().BootReal/1e9, k.Globals().Forks+1, run, blocked)
	return b.String()
}

// stateOf is the letter of a process or thread.
func (k *Kernel) stateOf(p store.Ref[Proc], t store.Ref[Thread]) byte {
	r := k.Procs.Get(p)
	switch {
	case r.State == ProcZombie:
		return 'Z'
	case r.Stopped != 0:
		return 'T'
	}
	if t == 0 {
		return 'S'
	}
	if rt := k.threads[t]; rt != nil && rt.sleeping != nil || k.sleepsInStream(r.Task) {
		return 'S'
	}
	return 'R'
}

// usage asks the host what a process uses; zeros when it does not know.
func (k *Kernel) usage(c *Call, p store.Ref[Proc]) (rss, user, sys uint64) {
	task := k.Procs.Get(p).Task
	if task == 0 || k.Procs.Get(p).State != ProcLive || c == nil {
		return
	}
	c.Unlocked(func() { rss, user, sys, _ = k.Host.Usage(task) })
	return
}

func (k *Kernel) pidStat(c *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	rss, user, sys := k.usage(c, p)
	r := k.Procs.Get(p)
	if r == nil {
		return "", abi.ESRCH
	}
	tid, comm := r.Pid, CommOf(r.Comm)
	if th := k.Threads.Get(t); th != nil {
		tid, comm = th.Tid, CommOf(th.Comm)
	}
	ppid := int32(0)
	if pp := k.Procs.Get(r.Parent); pp != nil {
		ppid = pp.Pid
	}
	tty, tpgid := k.ttyNumbers(r.CTTY)
	flags := uint32(0x400000)
	user += uint64(r.UTime)
	sys += uint64(r.STime)
	start := (r.Start - k.Globals().BootMono) / 1e7
	var pend, blocked, ign, caught SigSet
	pend = r.Pending
	var sched Sched
	if th := k.Threads.Get(t); th != nil {
		sched = th.Sched
		blocked = k.maskOf(t)
		pend |= th.Pending
	}
	ign, caught = k.signalSets(r)
	return fmt.Sprintf("%d (%s) %c %d %d %d %d %d %d 0 0 0 0 %d %d %d %d %d %d %d 0 %d %d %d %d 1 1 %d 0 0 %d %d %d %d 0 0 0 %d 0 %d %d 0 0 0 0 0 %d %d %d %d %d %d\n",
		tid, comm, k.stateOf(p, t), ppid, r.Pgid, r.Sid, tty, tpgid, flags,
		user/1e7, sys/1e7, r.CUTime/1e7, r.CSTime/1e7, sched.shown(), sched.Nice, max(r.Threads, 1), max(start, 0), rss, rss/4096, r.Rlimits[5].Cur,
		r.StackTop, uint32(pend), uint32(blocked), uint32(ign), uint32(caught), r.ExitSignal, sched.Prio, sched.Policy,
		r.BrkStart, r.ArgStart, r.ArgEnd, r.EnvStart, r.EnvEnd, r.ExitStatus), 0
}

// signalSets answers the ignored and the caught signals.
func (k *Kernel) signalSets(r *Proc) (ign, caught SigSet) {
	if r.Hand == 0 {
		return
	}
	h := k.Hands.Get(r.Hand)
	for s := int32(1); s < NumSignals; s++ {
		switch h.Act[s].Handler {
		case 0:
		case 1:
			ign |= SigBit(s)
		default:
			caught |= SigBit(s)
		}
	}
	return
}

func (k *Kernel) pidStatus(c *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	rss, _, _ := k.usage(c, p)
	r := k.Procs.Get(p)
	if r == nil {
		return "", abi.ESRCH
	}
	var b strings.Builder
	tid, comm := r.Pid, CommOf(r.Comm)
	var th Thread
	var blocked SigSet
	if x := k.Threads.Get(t); x != nil {
		th, blocked = *x, k.maskOf(t)
		tid, comm = th.Tid, CommOf(th.Comm)
	}
	ppid := int32(0)
	if pp := k.Procs.Get(r.Parent); pp != nil {
		ppid = pp.Pid
	}
	names := map[byte]string{'R': "R (running)", 'S': "S (sleeping)", 'T': "T (stopped)", 'Z': "Z (zombie)"}
	umask := uint32(0)
	if x := k.fsOf(k.Threads.Get(t), r); x != 0 {
		umask = k.FsCtxs.Get(x).Umask
	}
	fmt.Fprintf(&b, "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
		comm, umask, names[k.stateOf(p, t)], r.Pid, tid, ppid)
	var cr Cred
	if th.Cred != 0 {
		cr = *k.Creds.Get(th.Cred)
	} else if r.Cred != 0 {
		cr = *k.Creds.Get(r.Cred)
	}
	fmt.Fprintf(&b, "Uid:\t%d\t%d\t%d\t%d\nGid:\t%d\t%d\t%d\t%d\n", c.ShowUID(cr.UID), c.ShowUID(cr.EUID), c.ShowUID(cr.SUID), c.ShowUID(cr.FSUID),
		c.ShowGID(cr.GID), c.ShowGID(cr.EGID), c.ShowGID(cr.SGID), c.ShowGID(cr.FSGID))
	slots := uint32(0)
	if r.FDs != 0 {
		slots = k.FDs.Get(r.FDs).Cap
	}
	fmt.Fprintf(&b, "FDSize:\t%d\nGroups:\t", max(slots, 64))
	for i := range min(cr.NGroups, uint32(len(cr.Groups))) {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d", c.ShowGID(cr.Groups[i]))
	}
	fmt.Fprintf(&b, " \nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", r.Pid, tid, r.Pgid, r.Sid)
	if r.State == ProcLive {
		fmt.Fprintf(&b, "VmPeak:\t%8d kB\nVmSize:\t%8d kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t%8d kB\nVmRSS:\t%8d kB\nVmSwap:\t       0 kB\n", rss>>10, rss>>10, rss>>10, rss>>10)
	}
	ign, caught := k.signalSets(r)
	fmt.Fprintf(&b, "Threads:\t%d\nSigQ:\t0/%d\nSigPnd:\t%016x\nShdPnd:\t%016x\nSigBlk:\t%016x\nSigIgn:\t%016x\nSigCgt:\t%016x\n",
		max(r.Threads, 1), 63488, uint64(th.Pending), uint64(r.Pending), uint64(blocked), uint64(ign), uint64(caught))
	fmt.Fprintf(&b, "CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\nCapBnd:\t%016x\nCapAmb:\t%016x\nNoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n",
		cr.CapInh, cr.CapPerm, cr.CapEff, cr.CapBound, cr.CapAmb, r.NoNewPrivs)
	cpus, all := k.CPUsOf(&th), k.CPUs()
	mask, list := cpuText(cpus[:], all.Top())
	fmt.Fprintf(&b, "Cpus_allowed:\t%s\nCpus_allowed_list:\t%s\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n", mask, list)
	return b.String(), 0
}

func (k *Kernel) pidStatm(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	rss, _, _ := k.usage(c, p)
	return fmt.Sprintf("%d %d 0 0 0 0 0\n", rss/4096, rss/4096), 0
}

func (k *Kernel) pidComm(_ *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	if th := k.Threads.Get(t); th != nil {
		return CommOf(th.Comm) + "\n", 0
	}
	return CommOf(k.Procs.Get(p).Comm) + "\n", 0
}

// guestRange reads a range of a process's memory.
func (k *Kernel) guestRange(c *Call, p store.Ref[Proc], from, to uint64) (string, abi.Errno) {
	r := k.Procs.Get(p)
	if r.State != ProcLive || r.Task == 0 || to <= from {
		return "", 0
	}
	task := r.Task
	var out []byte
	c.Unlocked(func() {
		for from < to && len(out) < 2<<20 {
			b, e := k.Host.Memory(task, from, int(min(to-from, 16<<10)))
			if e != 0 || len(b) == 0 {
				break
			}
			out = append(out, b...)
			from += uint64(len(b))
		}
	})
	return string(out), 0
}

func (k *Kernel) pidCmdline(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	r := k.Procs.Get(p)
	return k.guestRange(c, p, r.ArgStart, r.ArgEnd)
}

func (k *Kernel) pidEnviron(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	r := k.Procs.Get(p)
	return k.guestRange(c, p, r.EnvStart, r.EnvEnd)
}

func (k *Kernel) pidAuxv(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	r := k.Procs.Get(p)
	return k.guestRange(c, p, r.AuxvStart, r.AuxvStart+r.AuxvLen)
}

// mapRange is the range of addresses of a line of the host's map.
func mapRange(f []string) (from, to uint64, ok bool) {
	if len(f) < 5 {
		return 0, 0, false
	}
	lo, hi, ok := strings.Cut(f[0], "-")
	from, e1 := strconv.ParseUint(lo, 16, 64)
	to, e2 := strconv.ParseUint(hi, 16, 64)
	return from, to, ok && e1 == nil && e2 == nil
}

// Mapped says whether the caller has memory between two addresses. It gives up the
// lock.
func (c *Call) Mapped(from, to uint64) (bool, abi.Errno) {
	task := c.Proc().Task
	var text []byte
	var e abi.Errno
	c.Unlocked(func() { text, e = c.K.Host.Maps(task, false) })
	for line := range strings.Lines(string(text)) {
		if lo, hi, ok := mapRange(strings.Fields(line)); ok && lo < to && from < hi {
			return true, 0
		}
	}
	return false, e
}

// pidMaps is the host's map of the task with the names that the guest knows.
func (k *Kernel) pidMaps(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	return k.mapsText(c, p, false)
}

// pidSmaps is pidMaps with the host's figures of each mapping.
func (k *Kernel) pidSmaps(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	return k.mapsText(c, p, true)
}

// pidSmapsRollup is the sums of pidSmaps, in its order and the format of proc(5).
func (k *Kernel) pidSmapsRollup(c *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	text, e := k.mapsText(c, p, true)
	if e != 0 || text == "" {
		return "", e
	}
	return rollup(text), 0
}

// rollupFields are the lines of smaps_rollup, in the host's order. Pss_Anon,
// Pss_File and Pss_Shmem are not in smaps: they are Pss by the kind of mapping.
var rollupFields = []string{
	"Rss", "Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem", "Shared_Clean", "Shared_Dirty",
	"Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "KSM", "LazyFree", "AnonHugePages",
	"ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked",
}

func rollup(smaps string) string {
	sum := map[string]uint64{}
	var first, last, pss uint64
	file := false
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		if from, to, ok := mapRange(f); ok {
			if last == 0 {
				first = from
			}
			last = to
			file = f[4] != "0"
			continue
		}
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		name := strings.TrimSuffix(f[0], ":")
		n, _ := strconv.ParseUint(f[1], 10, 64)
		sum[name] += n
		switch name {
		case "Pss":
			pss = n
		case "Anonymous":
			// Of a mapping of a file the copied pages are anonymous and mostly
			// its task's own.
			anon := pss
			if file {
				anon = min(n, pss)
			}
			sum["Pss_Anon"] += anon
			sum["Pss_File"] += pss - anon
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-72s [rollup]\n", fmt.Sprintf("%08x-%08x ---p 00000000 00:00 0", first, last))
	for _, name := range rollupFields {
		fmt.Fprintf(&b, "%-16s%8d kB\n", name+":", sum[name])
	}
	return b.String()
}

func (k *Kernel) mapsText(c *Call, p store.Ref[Proc], detail bool) (string, abi.Errno) {
	r := k.Procs.Get(p)
	if r.State != ProcLive || r.Task == 0 {
		return "", 0
	}
	task, stack, brk := r.Task, r.StackTop, r.BrkStart
	var text []byte
	var e abi.Errno
	c.Unlocked(func() { text, e = k.Host.Maps(task, detail) })
	if e != 0 {
		return "", e
	}
	shms := k.shmFiles()
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		from, to, ok := mapRange(f)
		if !ok {
			if detail {
				b.WriteString(line)
			}
			continue
		}
		name := strings.Join(f[5:], " ")
		switch seg := k.Shms.Get(shms[f[3]+" "+f[4]]); {
		case seg != nil:
			f[4], name = strconv.Itoa(int(seg.ID)), fmt.Sprintf("/SYSV%08x (deleted)", uint32(seg.Key))
		case stack > from && stack <= to:
			name = "[stack]"
		case brk != 0 && from <= brk && brk < to && name == "":
			name = "[heap]"
		}
		head := fmt.Sprintf("%s %s %s %s %s ", f[0], f[1], f[2], f[3], f[4])
		if name == "" {
			b.WriteString(head + "\n")
		} else {
			fmt.Fprintf(&b, "%-72s %s\n", head, name)
		}
	}
	return b.String(), 0
}

// tidChildren is the children that a thread made and nobody has waited for. A
// process knows its parent, but not which thread of it: all are its leader's.
func (k *Kernel) tidChildren(_ *Call, p store.Ref[Proc], t store.Ref[Thread]) (string, abi.Errno) {
	if k.Procs.Get(p).Leader != t {
		return "", 0
	}
	var pids []int32
	k.EachProc(func(_ store.Ref[Proc], r *Proc) bool {
		if r.Parent == p {
			pids = append(pids, r.Pid)
		}
		return true
	})
	sortPids(pids)
	var b strings.Builder
	for _, pid := range pids {
		fmt.Fprintf(&b, "%d ", pid)
	}
	return b.String(), 0
}

func (k *Kernel) pidMounts(*Call, store.Ref[Proc], store.Ref[Thread]) (string, abi.Errno) {
	var b strings.Builder
	for _, m := range k.MountList() {
		fmt.Fprintf(&b, "%s %s %s %s 0 0\n", mountEscape(m.Source), mountEscape(m.Path), m.Type, mountOptions(m.Flags))
	}
	return b.String(), 0
}

func (k *Kernel) pidMountinfo(*Call, store.Ref[Proc], store.Ref[Thread]) (string, abi.Errno) {
	var b strings.Builder
	for i, m := range k.MountList() {
		parent := 1
		if i == 0 {
			parent = 0
		}
		fmt.Fprintf(&b, "%d %d %d:%d / %s %s - %s %s %s\n", i+1, parent, m.Dev>>8, m.Dev&0xff, mountEscape(m.Path), mountOptions(m.Flags), m.Type, mountEscape(m.Source), mountOptions(m.Flags))
	}
	return b.String(), 0
}

func mountEscape(s string) string {
	if s == "" {
		return "none"
	}
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
}

func mountOptions(flags uint32) string {
	s := "rw"
	if flags&MountRO != 0 {
		s = "ro"
	}
	for _, o := range []struct {
		bit  uint32
		name string
	}{{MountNosuid, "nosuid"}, {MountNodev, "nodev"}, {MountNoexec, "noexec"}} {
		if flags&o.bit != 0 {
			s += "," + o.name
		}
	}
	return s + ",relatime"
}

func (k *Kernel) pidLimits(_ *Call, p store.Ref[Proc], _ store.Ref[Thread]) (string, abi.Errno) {
	r := k.Procs.Get(p)
	var b strings.Builder
	fmt.Fprintf(&b, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units")
	val := func(v uint64) string {
		if v == ^uint64(0) {
			return "unlimited"
		}
		return strconv.FormatUint(v, 10)
	}
	for i, n := range [...][2]string{{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
		{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"}, {"Max open files", "files"},
		{"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"}, {"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"}, {"Max nice priority", ""}, {"Max realtime priority", ""}, {"Max realtime timeout", "us"}} {
		fmt.Fprintf(&b, "%-25s %-20s %-20s ", n[0], val(r.Rlimits[i].Cur), val(r.Rlimits[i].Max))
		if n[1] != "" {
			fmt.Fprintf(&b, "%-10s", n[1])
		}
		b.WriteByte('\n')
	}
	return b.String(), 0
}

// cpuText shows a mask of n processors as Linux does: as hexadecimal digits in
// groups of 32 bits, the highest first, and as a list of ranges.
func cpuText(m []uint64, n int) (mask, list string) {
	n = min(n, len(m)*64)
	for i := (n+31)/32 - 1; i >= 0; i-- {
		width := 8
		if i == (n+31)/32-1 {
			width = (n - 32*i + 3) / 4
		} else {
			mask += ","
		}
		mask += fmt.Sprintf("%0*x", width, uint32(m[i/2]>>(32*(i%2))))
	}
	set := func(i int) bool { return i < n && m[i/64]>>(i%64)&1 != 0 }
	for i := 0; i < n; i++ {
		if !set(i) {
			continue
		}
		last := i
		for set(last + 1) {
			last++
		}
		if list != "" {
			list += ","
		}
		list += strconv.Itoa(i)
		if last > i {
			list += "-" + strconv.Itoa(last)
		}
		i = last
	}
	return mask, list
}

// procShm, procSem and procMsg are /proc/sysvipc. What is not the caller's to read
// is shown all the same, as the ids of the machine.
func (k *Kernel) procShm() string {
	var b strings.Builder
	b.WriteString("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n")
	k.Shms.Each(func(_ store.Ref[ShmSeg], s *ShmSeg) bool {
		fmt.Fprintf(&b, "%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n", s.Key, s.ID, s.Mode|s.Removed<<9, s.Size, s.CPid, s.LPid,
			s.Attached, s.UID, s.GID, s.CUID, s.CGID, s.ATime, s.DTime, s.CTime, 0, 0)
		return true
	})
	return b.String()
}

func (k *Kernel) procSem() string {
	var b strings.Builder
	b.WriteString("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n")
	k.SemSets.Each(func(_ store.Ref[SemSet], s *SemSet) bool {
		fmt.Fprintf(&b, "%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n", s.Key, s.ID, s.Mode, s.N, s.UID, s.GID, s.CUID, s.CGID, s.OTime, s.CTime)
		return true
	})
	return b.String()
}

func (k *Kernel) procMsg() string {
	var b strings.Builder
	b.WriteString("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n")
	k.MsgQs.Each(func(_ store.Ref[MsgQ], q *MsgQ) bool {
		fmt.Fprintf(&b, "%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n", q.Key, q.ID, q.Mode, q.Bytes, q.Num, q.SPid, q.RPid,
			q.UID, q.GID, q.CUID, q.CGID, q.STime, q.RTime, q.CTime)
		return true
	})
	return b.String()
}
