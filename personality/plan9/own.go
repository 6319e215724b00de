package plan9

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/unix/core"
	"hythe/store"
)

// Files of this package: /dev (cons(3)), /env (env(3)), /proc (proc(3)), /fd (dup(3)) and
// /srv (srv(3)). An open one is a core.FileOwn: Obj says which kind, Aux of what, Aux2
// whether that is still the same.

// Kinds. They are in the state of record.
const (
	kDev       = 1
	kEnvDir    = 2
	kProcDir   = 3
	kFdDir     = 4
	kSrvDir    = 5
	kProc      = 6 // of one process
	kEnv       = 10
	kPid       = 20
	kPpid      = 21
	kPgrpid    = 22
	kTime      = 23
	kBintime   = 24
	kUser      = 25
	kHostowner = 26
	kSysname   = 27
	kOsversion = 28
	kSwap      = 29
	kSysstat   = 30
	kCputime   = 31
	kNote      = 40
	kNotepg    = 41
	kCtl       = 42
	kStatus    = 43
	kArgs      = 44
	kNs        = 45
	kProcFd    = 46
	kNoteid    = 47
	kProcPpid  = 48
	kFd        = 50
	kFdCtl     = 51

	// Directories again.
	kUnion     = 100
	kRemoteDir = 101 // of a server that was mounted
	kNetDir    = 102
	kNetProto  = 103
	kConv      = 104
	kIpifc     = 105
	kIfc       = 106

	kSrv        = 120
	kSrvNew     = 121 // to be posted
	kSession    = 122 // with a server that was mounted
	kAttach     = 123 // a tree of it
	kRemote     = 124 // a name in it
	kRemoteFile = 125
	kDot        = 126 // stands for a current directory

	kClone      = 130
	kNetStats   = 131
	kCs         = 132
	kNdb        = 133
	kIproute    = 134
	kIpselftab  = 135
	kIfcStatus  = 136
	kDNS        = 137
	kConvCtl    = 140 // of one conversation
	kConvData   = 141
	kConvErr    = 142
	kConvListen = 143
	kConvLocal  = 144
	kConvRemote = 145
	kConvStatus = 146
)

// entry is a name in a directory of this package; to is another name for a file of the
// machine.
type entry struct {
	name string
	kind uint32
	mode uint32
	to   string
}

var devFiles = []entry{
	{"bintime", kBintime, 0o444, ""}, {"cons", 0, 0, "/dev/tty"}, {"cputime", kCputime, 0o444, ""}, {"hostowner", kHostowner, 0o444, ""},
	{"null", 0, 0, "/dev/null"}, {"osversion", kOsversion, 0o444, ""}, {"pgrpid", kPgrpid, 0o444, ""}, {"pid", kPid, 0o444, ""},
	{"ppid", kPpid, 0o444, ""}, {"random", 0, 0, "/dev/random"}, {"swap", kSwap, 0o444, ""}, {"sysname", kSysname, 0o444, ""},
	{"sysstat", kSysstat, 0o444, ""}, {"time", kTime, 0o444, ""}, {"user", kUser, 0o444, ""}, {"zero", 0, 0, "/dev/zero"},
}

var procFiles = []entry{
	{"args", kArgs, 0o444, ""}, {"ctl", kCtl, 0o200, ""}, {"fd", kProcFd, 0o444, ""}, {"note", kNote, 0o200, ""}, {"noteid", kNoteid, 0o444, ""},
	{"notepg", kNotepg, 0o200, ""}, {"ns", kNs, 0o444, ""}, {"ppid", kProcPpid, 0o444, ""}, {"status", kStatus, 0o444, ""}, {"text", 0, 0, "text"},
}

func (n node) isDir() bool { return n.kind > 0 && n.kind < kEnv || n.kind >= kUnion && n.kind < kSrv }

// device is the letter of the kind of server (stat(5)): d, of what is not ours, M.
func (n node) device() uint16 {
	switch {
	case n.kind == kEnvDir || n.kind == kEnv:
		return 'e'
	case n.kind == kProcDir || n.kind == kProc || n.kind >= kNote && n.kind < kFd:
		return 'p'
	case n.kind == kFdDir || n.kind == kFd || n.kind == kFdCtl:
		return 'd'
	case n.kind == kSrvDir || n.kind == kSrv || n.kind == kSrvNew:
		return 's'
	case n.kind == kUnion || n.kind >= kSession && n.kind <= kRemoteFile || n.kind == kRemoteDir:
		return 'M'
	case n.kind >= kNetDir && n.kind < kSrv || n.kind >= kClone:
		return 'I'
	}
	return 'c'
}

func find(l []entry, name string) *entry {
	for i := range l {
		if l[i].name == name {
			return &l[i]
		}
	}
	return nil
}

// own answers which of our files an absolute name is; kind 0 is none, with a name if it is
// another name for a file of the machine.
func (p *Personality) own(c *core.Call, abs string) (node, abi.Errno) {
	if abs[0] == '#' { // a tree of a server
		tree, rest, _ := strings.Cut(abs, "/")
		f := p.K.DictFile(p.K.DictLookup(c.Proc().Dicts[core.DictNames], tree))
		if f == 0 {
			return node{}, abi.ENOENT
		}
		return node{kRemote, uint32(f), rest}, 0
	}
	first, rest, deep := strings.Cut(abs[1:], "/")
	kind := services["/"+first]
	if kind == 0 {
		if to := p.elsewhereOf(c, abs); to != "" {
			return node{name: to}, 0
		}
		return libNode(abs), 0
	}
	if !deep {
		return node{kind, 0, first}, 0
	}
	switch kind {
	case kDev:
		if e := find(devFiles, rest); e != nil {
			if e.to != "" {
				return node{name: e.to}, 0
			}
			return node{e.kind, 0, rest}, 0
		}
		return node{}, 0
	case kEnvDir:
		if r := p.K.DictLookup(c.Dict(core.DictEnv), rest); r != 0 {
			return node{kEnv, uint32(r), rest}, 0
		}
	case kNetDir:
		return p.netFile(rest)
	case kSrvDir:
		if r := p.K.DictLookup(p.K.PostedDict(false), rest); r != 0 {
			return node{kSrv, uint32(r), rest}, 0
		}
	case kProcDir:
		id, file, more := strings.Cut(rest, "/")
		pid, ok := number(id)
		r := p.K.Procs.Get(p.K.ProcByPid(pid))
		if !ok || r == nil || r.State != core.ProcLive {
			return node{}, abi.ENOENT
		}
		if !more {
			return node{kProc, uint32(pid), id}, 0
		}
		if file == "text" && r.Exe != 0 {
			text := p.K.VnodePath(r.Exe)
			if strings.HasSuffix(text, " (deleted)") {
				text = "/proc/" + id + "/exe"
			}
			return node{name: text}, 0
		}
		if e := find(procFiles, file); e != nil && e.to == "" {
			return node{e.kind, uint32(pid), file}, 0
		}
	case kFdDir:
		id, ctl := strings.CutSuffix(rest, "ctl")
		fd, ok := number(id)
		if !ok {
			return node{}, abi.ENOENT
		}
		if _, _, e := c.File(fd); e != 0 {
			return node{}, abi.ENOENT
		}
		if ctl {
			return node{kFdCtl, uint32(fd), rest}, 0
		}
		return node{kFd, uint32(fd), rest}, 0
	}
	return node{}, abi.ENOENT
}

func number(s string) (int32, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int32(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

// mode is a file's permissions.
func (n node) mode() uint32 {
	if n.isDir() {
		return 0o555
	}
	if n.kind == kEnv || n.kind == kFd {
		return 0o666
	}
	if n.kind == kSrv || n.kind == kSrvNew {
		return 0o600
	}
	if n.kind == kClone {
		return 0o666
	}
	for _, l := range [][]entry{devFiles, procFiles, netFiles, convFiles} {
		for i := range l {
			if l[i].kind == n.kind {
				return l[i].mode
			}
		}
	}
	return 0o444
}

// identity is what Aux2 has.
func (p *Personality) identity(n node) uint64 {
	switch n.device() {
	case 'e', 's':
		if n.kind == kEnv || n.kind == kSrv || n.kind == kSrvNew {
			return uint64(p.K.DictEnts.Gen(store.Ref[core.DictEnt](n.num)))
		}
	case 'I':
		if n.isConv() || n.kind == kConv {
			return uint64(p.convs.Gen(store.Ref[conv](n.num)))
		}
	case 'p':
		if n.num != 0 {
			return uint64(p.K.Procs.Gen(p.K.ProcByPid(int32(n.num))))
		}
	}
	return 0
}

// openOwn opens one of our files.
func (p *Personality) openOwn(c *core.Call, n node, access uint32, trunc bool) (store.Ref[core.File], abi.Errno) {
	if n.kind == kFd {
		f, file, e := c.File(int32(n.num))
		if e == 0 && access&^file.Access != 0 {
			e = abi.EACCES
		}
		return f, e
	}
	if n.kind == kSrv {
		return p.openPosted(c, n, access)
	}
	m := n.mode()
	if access&core.AccessRead != 0 && m&0o444 == 0 || access&core.AccessWrite != 0 && m&0o222 == 0 {
		return 0, abi.EACCES
	}
	if n.device() == 'I' && !n.isDir() {
		return p.openNet(c, n, access)
	}
	// Who may send to a process or look into it is said when its file is opened too: a
	// file goes to programs that may do more.
	if e := p.mayOpen(c, n); e != 0 {
		return 0, e
	}
	if trunc && n.kind == kEnv {
		if e := p.K.DictStore(store.Ref[core.DictEnt](n.num), nil); e != 0 {
			return 0, e
		}
	}
	return p.newOwn(n, access)
}

func (p *Personality) mayOpen(c *core.Call, n node) abi.Errno {
	r := p.K.ProcByPid(int32(n.num))
	switch n.kind {
	case kNote, kNotepg, kCtl:
		return c.KillCheck(r, core.SIGKILL)
	case kNs, kProcFd:
		return c.MayTrace(r)
	}
	return 0
}

// ownOps serves them.
type ownOps struct {
	core.BaseOps
	p *Personality
}

// of is which file it is; what it is of may be gone.
func (o *ownOps) of(f store.Ref[core.File]) (node, abi.Errno) {
	file := o.K.Files.Get(f)
	n := node{kind: file.Obj, num: file.Aux}
	switch n.device() {
	case 'e', 's':
		if n.kind == kEnv || n.kind == kSrvNew {
			r := store.Ref[core.DictEnt](n.num)
			if o.K.DictEnts.Get(r) == nil || uint64(o.K.DictEnts.Gen(r)) != file.Aux2 {
				return n, abi.EIDRM
			}
			n.name = o.K.DictName(r)
		}
	case 'I':
		if n.kind == kConv && (o.p.convs.Get(store.Ref[conv](n.num)) == nil || uint64(o.p.convs.Gen(store.Ref[conv](n.num))) != file.Aux2) {
			return n, abi.EIDRM
		}
	case 'p':
		if n.num != 0 {
			r := o.K.ProcByPid(int32(n.num))
			if o.K.Procs.Get(r) == nil || o.K.Procs.Get(r).State != core.ProcLive || uint64(o.K.Procs.Gen(r)) != file.Aux2 {
				return n, abi.ESRCH
			}
		}
	}
	return n, 0
}

// Read implements core.FileOps.
func (o *ownOps) Read(c *core.Call, f store.Ref[core.File], buf []byte, off int64) (int, abi.Errno) {
	n, e := o.of(f)
	if e != 0 {
		return 0, e
	}
	if n.isDir() {
		return 0, abi.EISDIR
	}
	switch n.kind {
	case kConvData:
		return o.p.receive(c, store.Ref[conv](n.num), buf)
	case kCs, kDNS:
		return o.p.nextLine(store.Ref[opened](n.num), buf), 0
	}
	if e := o.p.mayOpen(c, n); e != 0 {
		return 0, e // of a program that it has executed since
	}
	at := off
	if off < 0 {
		at = o.K.Files.Get(f).Off
	}
	var b []byte
	if n.kind == kRemoteFile {
		b, e = o.p.readRemote(c, f, len(buf), at)
	} else {
		b, e = o.p.content(c, n)
	}
	if e != 0 {
		return 0, e
	}
	if n.kind != kRemoteFile {
		if at >= int64(len(b)) {
			return 0, 0
		}
		b = b[at:]
	}
	done := copy(buf, b)
	if off < 0 {
		o.K.Files.Mut(f).Off = at + int64(done)
	}
	return done, 0
}

// maxEnv is how long a variable is.
const maxEnv = 1 << 20

// Write implements core.FileOps.
func (o *ownOps) Write(c *core.Call, f store.Ref[core.File], data []byte, off int64) (int, abi.Errno) {
	n, e := o.of(f)
	if e != 0 {
		return 0, e
	}
	k := o.K
	switch n.kind {
	case kRemoteFile:
		return o.p.writeRemote(c, f, data, off)
	case kConvData:
		return o.p.send(c, store.Ref[conv](n.num), data)
	}
	text := strings.TrimRight(string(data), "\x00\n")
	target := k.ProcByPid(int32(n.num))
	switch n.kind {
	case kEnv:
		at := off
		if off < 0 {
			at = k.Files.Get(f).Off
		}
		r := store.Ref[core.DictEnt](n.num)
		v := append([]byte(nil), k.DictValue(r)...)
		if at > maxEnv-int64(len(data)) {
			return 0, abi.EFBIG
		}
		end := at + int64(len(data))
		if int64(len(v)) < end {
			v = append(v, make([]byte, end-int64(len(v)))...)
		}
		copy(v[at:], data)
		if e := k.DictStore(r, v); e != 0 {
			return 0, e
		}
		if off < 0 {
			k.Files.Mut(f).Off = end
		}
	case kConvCtl:
		if e := o.p.control(c, store.Ref[conv](n.num), text); e != 0 {
			return 0, e
		}
	case kCs:
		if e := o.p.ask(c, store.Ref[opened](n.num), text); e != 0 {
			return 0, e
		}
	case kDNS:
		if e := o.p.askDNS(c, store.Ref[opened](n.num), text); e != 0 {
			return 0, e
		}
	case kSrvNew:
		if e := o.p.post(c, store.Ref[core.DictEnt](n.num), text); e != 0 {
			return 0, e
		}
	case kNote:
		if len(text) >= errMax {
			return 0, abi.EOVERFLOW
		}
		if e := send(c, target, text); e != 0 {
			return 0, e
		}
	case kNotepg:
		if len(text) >= errMax {
			return 0, abi.EOVERFLOW
		}
		var all []store.Ref[core.Proc]
		k.EachInPgrp(k.Procs.Get(target).Pgid, func(q store.Ref[core.Proc]) {
			if q != c.ProcRef() {
				all = append(all, q)
			}
		})
		sent, first := 0, abi.Errno(0)
		for _, q := range all {
			if e := send(c, q, text); e == 0 {
				sent++
			} else if first == 0 {
				first = e
			}
		}
		if sent == 0 && first != 0 {
			return 0, first
		}
	case kCtl:
		sig := int32(0)
		switch text {
		case "kill":
			sig = core.SIGKILL
		case "stop":
			sig = core.SIGSTOP
		case "start":
			sig = core.SIGCONT
		default:
			return 0, abi.EINVAL
		}
		if e := c.KillCheck(target, sig); e != 0 {
			return 0, e
		}
		s := c.UserInfo(sig, core.SiUser)
		if e := k.SendSignal(target, &s); e != 0 {
			return 0, e
		}
	default:
		return 0, abi.EACCES
	}
	return len(data), 0
}

// Seek implements core.FileOps.
func (o *ownOps) Seek(c *core.Call, f store.Ref[core.File], off int64, whence int) (int64, abi.Errno) {
	switch whence {
	case 1:
		off += o.K.Files.Get(f).Off
	case 2:
		n, e := o.of(f)
		if e != 0 {
			return 0, e
		}
		size := o.p.length(n)
		if n.kind == kRemoteFile {
			d, e := o.p.statOpened(c, f)
			if e != 0 {
				return 0, e
			}
			size = d.length
		}
		off += int64(size)
	}
	if off < 0 {
		return 0, abi.EINVAL
	}
	m := o.K.Files.Mut(f)
	if m.Off = off; (m.Obj == kCs || m.Obj == kDNS) && off == 0 {
		o.p.opened.Mut(store.Ref[opened](m.Aux)).Index = 0
	}
	return off, 0
}

// Poll implements core.FileOps: for other systems' programs that inherit a conversation.
func (o *ownOps) Poll(f store.Ref[core.File]) uint32 {
	if s := o.socket(f); s != 0 {
		return o.K.Ops(s).Poll(s)
	}
	return o.BaseOps.Poll(f)
}

// Queue implements core.FileOps.
func (o *ownOps) Queue(f store.Ref[core.File]) *core.WaitQueue {
	if s := o.socket(f); s != 0 {
		return o.K.Ops(s).Queue(s)
	}
	return nil
}

func (o *ownOps) socket(f store.Ref[core.File]) store.Ref[core.File] {
	if file := o.K.Files.Get(f); file.Obj == kConvData {
		return o.p.convs.Get(store.Ref[conv](file.Aux)).Sock
	}
	return 0
}

// Stat implements core.FileOps: what other systems' programs see that inherit it.
func (o *ownOps) Stat(c *core.Call, f store.Ref[core.File]) (fs.Attr, abi.Errno) {
	n, e := o.of(f)
	if e != 0 {
		return fs.Attr{}, e
	}
	typ := uint32(fs.TypeReg)
	if n.isDir() {
		typ = fs.TypeDir
	}
	t := o.K.BootTime()
	return fs.Attr{Ino: qid(n), Mode: typ | n.mode(), Nlink: 1, BlkSize: 4096, Size: o.p.length(n), Atime: t, Mtime: t, Ctime: t, Btime: t}, 0
}

// Release implements core.FileOps.
func (o *ownOps) Release(c *core.Call, f store.Ref[core.File]) {
	file := o.K.Files.Get(f)
	switch r := store.Ref[opened](file.Aux); {
	case file.Obj == kUnion || file.Obj == kCs || file.Obj == kDNS || file.Obj == kDot:
		o.p.freeOpened(r)
	case file.Obj == kRemoteFile || file.Obj == kRemoteDir || file.Obj == kAttach:
		o.p.releaseRemote(c, r)
	case file.Obj == kSession:
		o.p.endSession(store.Ref[session](file.Aux))
	case node{kind: file.Obj}.isConv():
		o.p.releaseConv(store.Ref[conv](file.Aux))
	}
}

// LinkName implements core.FileOps.
func (o *ownOps) LinkName(f store.Ref[core.File]) string {
	n, e := o.of(f)
	if e == abi.EIDRM { // what its name says is not there any more
		return devices[byte(n.device())]
	}
	return o.p.nameOf(n)
}

// nameOf is the name of one of our files.
func (p *Personality) nameOf(n node) string {
	if n.device() == 'I' {
		return p.netName(n)
	}
	for at, k := range services {
		if k == n.kind {
			return at
		}
	}
	if s := libName(n); s != "" {
		return s
	}
	for _, l := range [][]entry{devFiles, procFiles} {
		for i := range l {
			if l[i].kind == n.kind && n.kind != 0 {
				if n.kind >= kNote {
					return fmt.Sprintf("/proc/%d/%s", n.num, l[i].name)
				}
				return "/dev/" + l[i].name
			}
		}
	}
	switch n.kind {
	case kProc:
		return fmt.Sprintf("/proc/%d", n.num)
	case kEnv:
		return path.Join("/env", n.name)
	case kSrv, kSrvNew:
		return path.Join("/srv", p.K.DictName(store.Ref[core.DictEnt](n.num)))
	case kRemoteFile, kRemoteDir:
		return store.String(p.K.Heap, p.opened.Get(store.Ref[opened](n.num)).Text)
	case kSession, kAttach, kRemote:
		return "#M"
	case kUnion:
		first, _, _ := strings.Cut(store.String(p.K.Heap, p.opened.Get(store.Ref[opened](n.num)).Text), "\n")
		return first
	case kFdCtl:
		return fmt.Sprintf("/fd/%dctl", n.num)
	}
	return "/fd/" + strconv.Itoa(int(n.num))
}

func qid(n node) uint64 { return uint64(n.kind)<<32 | uint64(n.num) }

func (p *Personality) length(n node) uint64 {
	if n.kind == kEnv {
		return uint64(len(p.K.DictValue(store.Ref[core.DictEnt](n.num))))
	}
	if n.kind == kLibCommon || n.kind == kLibLocal {
		return uint64(len(p.libText(n)))
	}
	return 0
}

func column(n int64, width int) string { return fmt.Sprintf("%*d ", width-1, n) }

// content is what a file of ours says, valid until something changes.
func (p *Personality) content(c *core.Call, n node) ([]byte, abi.Errno) {
	k := p.K
	r := c.Proc()
	if n.kind >= kNote && n.kind < kFd {
		r = k.Procs.Get(k.ProcByPid(int32(n.num)))
	}
	parent := int32(0)
	if q := k.Procs.Get(r.Parent); q != nil {
		parent = q.Pid
	}
	s := ""
	switch n.kind {
	case kEnv:
		return k.DictValue(store.Ref[core.DictEnt](n.num)), 0
	case kBintime:
		now, mono := uint64(k.Clock.Real()), uint64(k.Clock.Mono())
		b := be.AppendUint64(nil, now)
		b = be.AppendUint64(b, mono)
		b = be.AppendUint64(b, 1e9)
		return be.AppendUint64(b, mono), 0
	case kTime:
		now, mono := k.Clock.Real(), k.Clock.Mono()
		s = column(now/1e9, 12) + column(now, 22) + column(mono, 22) + column(1e9, 22)
	case kPid:
		s = column(int64(r.Pid), 12)
	case kPpid, kProcPpid:
		s = column(int64(parent), 12)
	case kPgrpid, kNoteid:
		s = column(int64(r.Pgid), 12)
	case kUser:
		s = userName(c.ShowUID(c.Cred().UID))
	case kHostowner:
		s = userName(0)
	case kSysname:
		s = cstring(k.Globals().Hostname[:])
	case kNdb:
		s = p.ndb(c)
	case kOsversion:
		s = "2000"
	case kLibCommon, kLibLocal:
		s = p.libText(n)
	case kSwap:
		u := k.Use()
		s = fmt.Sprintf("%d memory\n%d pagesize\n0 kernel\n%d/%d user\n0/0 swap\n", u.Total, abi.PageSize, (u.Total-u.Free)/abi.PageSize, u.Total/abi.PageSize)
	case kSysstat:
		cpus := k.CPUs()
		for i := range cpus.Len() {
			s += column(int64(i), 12) + strings.Repeat(column(0, 12), 9) + "\n"
		}
	case kCputime:
		s = column(r.UTime/1e6, 12) + column(r.STime/1e6, 12) + column((k.Clock.Mono()-r.Start)/1e6, 12) +
			column(r.CUTime/1e6, 12) + column(r.CSTime/1e6, 12) + column(0, 12)
	case kStatus:
		state := "Running"
		if r.Stopped != 0 {
			state = "Stopped"
		}
		s = fmt.Sprintf("%-27s %-27s %-11s ", r.CommName(), userName(c.ShowUID(k.Creds.Get(r.Cred).UID)), state)
		for _, v := range []int64{r.UTime / 1e6, r.STime / 1e6, (k.Clock.Mono() - r.Start) / 1e6, r.CUTime / 1e6, r.CSTime / 1e6, 0, 0, 10, 10} {
			s += column(v, 12)
		}
	case kArgs:
		s = r.CommName()
	case kNs:
		s = p.nameSpace(r.Dicts[core.DictNames])
	case kProcFd:
		if cwd := k.Procs.Get(k.ProcByPid(r.Pid)); cwd != nil && r.Pid == c.Proc().Pid {
			s = p.dot(c) + "\n"
		} else {
			s = "/\n"
		}
		k.EachFD(r.FDs, func(fd int32, f store.Ref[core.File], _ uint32) bool {
			file := k.Files.Get(f)
			s += fmt.Sprintf("%3d %-2s M %4d (%016x %10d %02x) %5d %8d %s\n", fd, []string{"-", "r", "w", "rw"}[file.Access&3], 0, uint64(file.Vnode), 0, 0, 8192, file.Off, k.Ops(f).LinkName(f))
			return true
		})
	case kFdCtl:
		f, file, e := c.File(int32(n.num))
		if e != 0 {
			return nil, e
		}
		s = fmt.Sprintf("%3d %-2s M %4d (%016x %10d %02x) %5d %8d %s\n", n.num, []string{"-", "r", "w", "rw"}[file.Access&3], 0, uint64(file.Vnode), 0, 0, 8192, file.Off, k.Ops(f).LinkName(f))
	default:
		if n.device() != 'I' {
			return nil, abi.EACCES
		}
		var e abi.Errno
		if s, e = p.netContent(n); e != 0 {
			return nil, e
		}
	}
	return []byte(s), 0
}

// userName is what a user is called: there are no names but the machine's owner's that
// could be relied on.
func userName(uid uint32) string {
	if uid == 0 {
		return "root"
	}
	return strconv.Itoa(int(uid))
}

// list is a directory of ours.
func (p *Personality) list(c *core.Call, n node) []node {
	var l []node
	k := p.K
	fixed := func(from []entry, num uint32) {
		for _, e := range from {
			l = append(l, node{e.kind, num, e.name})
		}
	}
	switch n.kind {
	case kNetDir, kNetProto, kConv, kIpifc, kIfc:
		l = p.listNet(n)
	case kDev:
		fixed(devFiles, 0)
	case kLibNdb:
		fixed(libFiles, 0)
	case kProc:
		fixed(procFiles, n.num)
	case kEnvDir:
		d := c.Dict(core.DictEnv)
		k.EachInDict(d, func(name string, _ []byte) bool {
			l = append(l, node{kEnv, uint32(k.DictLookup(d, name)), name})
			return true
		})
	case kProcDir:
		k.EachProc(func(_ store.Ref[core.Proc], r *core.Proc) bool {
			if r.State == core.ProcLive {
				l = append(l, node{kProc, uint32(r.Pid), strconv.Itoa(int(r.Pid))})
			}
			return true
		})
	case kSrvDir:
		d := k.PostedDict(false)
		k.EachInDict(d, func(name string, _ []byte) bool {
			l = append(l, node{kSrv, uint32(k.DictLookup(d, name)), name})
			return true
		})
	case kFdDir:
		k.EachFD(c.Proc().FDs, func(fd int32, _ store.Ref[core.File], _ uint32) bool {
			id := strconv.Itoa(int(fd))
			l = append(l, node{kFd, uint32(fd), id}, node{kFdCtl, uint32(fd), id + "ctl"})
			return true
		})
	}
	return l
}
