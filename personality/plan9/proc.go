package plan9

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/personality/image"
	"hythe/server/unix/core"
	"hythe/store"
)

// Flags of rfork (fork(2)).
const (
	rfNameg  = 1 << 0
	rfEnvg   = 1 << 1
	rfFdg    = 1 << 2
	rfNoteg  = 1 << 3
	rfProc   = 1 << 4
	rfMem    = 1 << 5
	rfNowait = 1 << 6
	rfCnameg = 1 << 10
	rfCenvg  = 1 << 11
	rfCfdg   = 1 << 12
	rfRend   = 1 << 13
	rfNomnt  = 1 << 14
	rfAll    = rfNameg | rfEnvg | rfFdg | rfNoteg | rfProc | rfMem | rfNowait | rfCnameg | rfCenvg | rfCfdg | rfRend | rfNomnt
)

// group says what becomes of a group by the two flags that concern it.
func group(flags, copied, empty uint32) int {
	switch {
	case flags&copied != 0:
		return core.DictCopied
	case flags&empty != 0:
		return core.DictEmpty
	}
	return core.DictShared
}

// sysRfork serves rfork (fork(2)): a process, which shares or has its own what the flags
// say, or, without RFPROC, the same for the caller.
func sysRfork(p *Personality, c *core.Call) (uint64, abi.Errno) {
	f := uint32(c.Args[0])
	both := func(x uint32) bool { return f&x == x }
	if f&^rfAll != 0 || both(rfNameg|rfCnameg) || both(rfEnvg|rfCenvg) || both(rfFdg|rfCfdg) {
		return 0, abi.EINVAL
	}
	names, env := group(f, rfNameg, rfCnameg), group(f, rfEnvg, rfCenvg)
	k := c.K
	if f&rfProc == 0 {
		if f&(rfMem|rfNowait) != 0 {
			return 0, abi.EINVAL
		}
		if f&(rfFdg|rfCfdg) != 0 {
			if e := c.Unshare(true, false); e != 0 {
				return 0, e
			}
		}
		if f&rfCfdg != 0 {
			if e := c.CloseRange(0, ^uint32(0), false, false); e != 0 {
				return 0, e
			}
		}
		for i, how := range [core.NumDicts]int{core.DictEnv: env, core.DictNames: names} {
			if how != core.DictShared {
				if e := c.SplitDict(i, how); e != 0 {
					return 0, e
				}
			}
		}
		if f&rfRend != 0 {
			c.MutProc().Meet = p.newMeet()
		}
		if f&rfNoteg != 0 {
			noteGroup(c, c.Proc().Pid)
		}
		return 0, 0
	}
	c.Dict(core.DictEnv) // shared from the first child on
	c.Dict(core.DictNames)
	a := core.CloneArgs{
		Flags: core.CloneChildSettid, ChildTid: tosPid, ExitSignal: core.SIGCHLD,
		Share: f&rfMem != 0, Alone: f&rfNowait != 0, NoFiles: f&rfCfdg != 0,
		Dicts: [core.NumDicts]int{core.DictEnv: env, core.DictNames: names},
	}
	if f&(rfFdg|rfCfdg) == 0 {
		a.Flags |= core.CloneFiles
	}
	if a.Alone {
		a.ExitSignal = 0
	}
	pid, e := c.Clone(&a)
	if e != 0 {
		return 0, e
	}
	if f&rfRend != 0 {
		k.Procs.Mut(k.ProcByPid(pid)).Meet = p.newMeet()
	}
	if f&rfNoteg != 0 {
		noteGroup(c, pid)
	}
	return uint64(uint32(pid)), 0
}

// noteGroup begins a note group with a process, which is a process group here. The leader
// of a session is in one of its own already.
func noteGroup(c *core.Call, pid int32) {
	_ = c.SetPgid(pid, pid)
}

func (p *Personality) newMeet() uint32 {
	g := p.K.MutGlobals()
	g.NextToken++
	return uint32(g.NextToken)
}

// sysExec serves exec(2). The environment is that of the group.
func sysExec(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	argv, _, e := image.Args(c, 1, -1)
	if e != 0 {
		return 0, e
	}
	if p.fetchOf(c) != 0 {
		as, e := p.absolute(c, name)
		if e != 0 {
			return 0, e
		}
		return 0, p.execRemote(c, node{}, as, argv)
	}
	f, e := p.find(c, name, false)
	switch {
	case e != 0:
		return 0, e
	case f.kind == kRemote:
		return 0, p.execRemote(c, f.node, f.abs, argv)
	case f.kind != 0:
		return 0, abi.EACCES
	}
	return 0, c.Exec(core.AtCwd, f.to, core.WalkFollow, argv, p.environ(c))
}

// environ is the environment in the form that other systems' programs get.
func (p *Personality) environ(c *core.Call) []string {
	var l []string
	p.K.EachInDict(c.Proc().Dicts[core.DictEnv], func(name string, v []byte) bool {
		s := strings.ReplaceAll(strings.TrimRight(string(v), "\x00"), "\x00", " ")
		l = append(l, name+"="+s)
		return true
	})
	return l
}

// takeEnv makes the environment that a program was executed with its group's. If it is
// what that holds, the program was executed by one of the group, and stays in it.
func (p *Personality) takeEnv(c *core.Call, envp []string) {
	if have := p.environ(c); len(have) == len(envp) {
		same := true
		for i := range have {
			same = same && have[i] == envp[i]
		}
		if same && len(have) > 0 {
			return
		}
	}
	d := c.NewDict(core.DictEnv)
	for _, s := range ownEnv(envp) {
		name, v, _ := strings.Cut(s, "=")
		if name == "" || strings.ContainsRune(name, '/') || name == "." || name == ".." {
			continue
		}
		_ = p.K.DictSet(d, name, []byte(v)) // what has no room is not there
	}
	if len(envp) == 0 {
		// A program finds out by reading that there is an environment.
		_ = p.K.DictSet(d, "objtype", []byte("amd64"))
	}
}

// called are variables of other systems, and what they are called here (rc(1)).
var called = []struct{ theirs, ours string }{{"PATH", "path"}, {"HOME", "home"}, {"USER", "user"}}

// ownEnv answers an environment with the variables that this system has in other systems'
// place. One that is there already stays, but for a path in which environ has made blanks of
// what separates directories.
func ownEnv(envp []string) []string {
	is := map[string]string{}
	for _, s := range envp {
		name, v, _ := strings.Cut(s, "=")
		is[name] = v
	}
	l := slices.Clone(envp)
	for _, x := range called {
		v, ok := is[x.theirs]
		have, there := is[x.ours]
		if !ok || there && (x.ours != "path" || have != strings.ReplaceAll(v, ":", " ")) {
			continue
		}
		if x.ours == "path" {
			v = strings.ReplaceAll(v, ":", "\x00")
		}
		l = append(l, x.ours+"="+v)
	}
	return l
}

// sysExits serves exits(2): no words are success.
func sysExits(p *Personality, c *core.Call) (uint64, abi.Errno) {
	text := ""
	if c.Args[0] != 0 {
		b, e := c.CopyInPart(c.Args[0], errMax)
		if e != 0 {
			text = exitText(c, "invalid exit string")
		} else {
			text = exitText(c, cstring(b))
		}
	}
	p.closingAll(c)
	c.MutProc().ExitText = core.MakeText(text)
	c.ExitGroup(exitCode(text))
	return 0, 0
}

// exitText is what a program's parent will find of the words with which it ends (wait(2)):
// they stand after what was executed, by its last name, and the number. No words are none.
func exitText(c *core.Call, text string) string {
	if text == "" {
		return ""
	}
	name := c.Proc().CommName()
	if exe := c.Proc().Exe; exe != 0 {
		name = strings.TrimPrefix(path.Base(strings.TrimSuffix(c.PathFor(exe), " (deleted)")), "memfd:")
	}
	return fmt.Sprintf("%s %d: %s", name, c.Proc().Pid, text)
}

// exitCode is what other systems see of the words: the number with which they end, or 1.
func exitCode(text string) uint32 {
	if text == "" {
		return 0
	}
	i := len(text)
	for i > 0 && text[i-1] >= '0' && text[i-1] <= '9' {
		i--
	}
	n, err := strconv.Atoi(text[i:])
	if err != nil || n < 1 || n > 255 || i > 0 && text[i-1] != ' ' {
		return 1
	}
	return uint32(n)
}

// waitText is the message of a child that has ended (wait(2)): of Plan 9's its own, of
// others' such words.
func waitText(w *core.WaitResult) string {
	text := w.Text.String()
	switch {
	case w.Code == core.CldExited && text != "":
		return text // exitText's
	case w.Code != core.CldExited && text == "":
		text = signalText(w.Value)
	case text == "" && w.Value != 0:
		text = strconv.Itoa(int(w.Value))
	}
	if text == "" {
		return ""
	}
	name := w.Comm
	if name == "" {
		name = "process"
	}
	return fmt.Sprintf("%s %d: %s", name, w.Pid, text)
}

// quote is %q of the C library (quote(2)).
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// sysAwait serves await (wait(2)): which child, its times in ms, its words.
func sysAwait(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	w, e := c.Wait(core.WaitAll, 0, core.WExited)
	if e != 0 {
		return 0, e
	}
	s := fmt.Sprintf("%d %d %d %d %s", w.Pid, w.UTime/1e6, w.STime/1e6, w.Real/1e6, quote(waitText(&w)))
	s = s[:min(len(s), int(max(int32(c.Args[1]), 0)))]
	c.CopyOut(c.Args[0], []byte(s))
	return uint64(len(s)), 0
}

// sysErrstr serves errstr(2): the words change places with those in the buffer.
func sysErrstr(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	n := min(int32(c.Args[1]), errMax)
	if n <= 0 {
		return 0, abi.EINVAL
	}
	b, e := c.CopyIn(c.Args[0], int(n))
	if e != 0 {
		return 0, e
	}
	theirs := core.MakeText(cstring(b))
	ours := c.Proc().ErrText
	ours[n-1] = 0
	c.MutProc().ErrText = theirs
	c.CopyOut(c.Args[0], ours[:min(int(n), len(ours.String())+1)])
	return 0, 0
}

// sysBrk serves brk_ (brk(2)): where data end. The memory is reserved already.
func sysBrk(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	r, addr := c.Region(), c.Args[0]
	if r == nil {
		return 0, abi.ENOMEM
	}
	if addr == 0 {
		return r.Addr, 0
	}
	if addr < r.Addr || addr > segLow(r, r.Addr) {
		return 0, abi.ENOMEM
	}
	used := (addr - r.Addr + abi.PageSize - 1) &^ (abi.PageSize - 1)
	if used > segLow(r, r.Addr)-r.Addr {
		return 0, abi.ENOMEM
	}
	if used < r.Used {
		if e := c.ClearRegion(r.Addr+used, r.Addr+r.Used); e != 0 {
			return 0, e
		}
	}
	if c.Region() != nil { // the process is there still
		c.MutRegion().Used = used
	}
	return 0, 0
}

// sysSleep serves sleep(2): ms.
func sysSleep(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	ms := int64(int32(c.Args[0]))
	if ms <= 0 {
		return 0, 0
	}
	switch e := c.Sleep(c.DeadlineIn(ms * 1e6)); e {
	case 0, abi.ETIMEDOUT:
		return 0, 0
	default:
		return 0, abi.ErrRestartNoHnd
	}
}

// sysAlarm serves alarm (sleep(2)): a note in so many ms, 0 for none; what was left.
func sysAlarm(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	left, _ := c.SetITimer(int64(uint32(c.Args[0]))*1e6, 0, true)
	return uint64((left + 999999) / 1e6), 0
}

// sysNsec serves nsec(2): the time since 1970.
func sysNsec(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	c.CopyOut64(c.Args[0], uint64(c.K.Clock.Real()))
	return 0, 0
}

// sysSem serves what the library does not: no semaphore is there, or it has no such value.
func sysSem(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	v, e := c.CopyIn32(c.Args[0])
	if e != 0 || c.Args[0]&3 != 0 {
		return 0, abi.EFAULT
	}
	_ = v
	return 0, abi.EINVAL
}

// meeting is where two processes of a group meet.
type meeting struct {
	group uint32
	tag   uint64
}

// What Progress says of a call of rendezvous: it waits, and it has met, with the other's
// value in Aux.
const (
	meetWaits = 1
	meetDone  = 2
)

// sysRendezvous serves rendezvous(2): the first of two waits for the second, and they
// exchange their values.
func sysRendezvous(p *Personality, c *core.Call) (uint64, abi.Errno) {
	k, me := c.K, c.T
	at := meeting{c.Proc().Meet, c.Args[0]}
	if th := c.Thread(); th.Progress == meetDone {
		return th.Aux, 0
	}
	if t := p.meet[at]; t != 0 && t != me {
		if o := k.Threads.Get(t); o != nil && o.State == core.ThreadLive && o.Progress == meetWaits {
			m := k.Threads.Mut(t)
			v := m.Aux
			m.Progress, m.Aux = meetDone, c.Args[1]
			delete(p.meet, at)
			p.met.Wake(^uint32(0))
			return v, 0
		}
	}
	m := c.MutThread()
	m.Progress, m.Aux = meetWaits, c.Args[1]
	p.meet[at] = me
	for {
		e := c.Sleep(core.NoDeadline, &p.met)
		th := c.Thread()
		if th != nil && th.Progress == meetDone {
			return th.Aux, 0
		}
		if e != 0 {
			if p.meet[at] == me {
				delete(p.meet, at)
			}
			if th != nil {
				c.MutThread().Progress = 0
			}
			return ^uint64(0), abi.ErrRestartNoHnd
		}
	}
}

// send sends a note to a process.
func send(c *core.Call, to store.Ref[core.Proc], text string) abi.Errno {
	r := c.K.Procs.Get(to)
	if r == nil || r.State != core.ProcLive {
		return abi.ESRCH
	}
	words := r.Personality == Index && r.Flags&core.ProcModule == 0
	sig := signalOf(text, words)
	if words && sig == core.SIGKILL {
		sig = sigNote // the note "kill" goes to the handler; what nobody can put off is ctl's
	}
	if e := c.KillCheck(to, sig); e != 0 {
		return e
	}
	if sig == sigNote && c.K.Queued(to, sig) >= maxNotes {
		return abi.EXFULL
	}
	s := c.UserInfo(sig, core.SiUser)
	s.Text = core.MakeText(text)
	// Who posts a note relies on it: when it goes on, nobody to whom one was posted does
	// anything more before the note. Go's runtime tells one of its processes so to give an
	// operation up, and allows the note in it no longer than that.
	c.Settle = true
	return c.K.SendSignal(to, &s)
}
