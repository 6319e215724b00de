package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Sockets (net/socket.c's rules; numbers of include/linux/socket.h and
// asm-generic/socket.h).

func sockCalls() []Entry {
	const noNet = "AF_UNIX; AF_INET and AF_INET6 between programs of the machine; other families are EAFNOSUPPORT"
	return []Entry{
		{Nr: 41, Name: "socket", Fn: sysSocket, Sig: "Dyi", Level: Partial, Note: noNet},
		{Nr: 42, Name: "connect", Fn: sysConnect, Sig: "fai"},
		{Nr: 43, Name: "accept", Fn: sysAccept, Sig: "fpp"},
		{Nr: 44, Name: "sendto", Fn: sysSendto, Local: abi.LocalSend, Sig: "fbugau"},
		{Nr: 45, Name: "recvfrom", Fn: sysRecvfrom, Local: abi.LocalRecv, Sig: "fBugpp"},
		{Nr: 46, Name: "sendmsg", Fn: sysSendmsg, Sig: "fpg"},
		{Nr: 47, Name: "recvmsg", Fn: sysRecvmsg, Sig: "fpg"},
		{Nr: 48, Name: "shutdown", Fn: sysShutdown, Sig: "fH"},
		{Nr: 49, Name: "bind", Fn: sysBind, Sig: "fai"},
		{Nr: 50, Name: "listen", Fn: sysListen, Sig: "fd"},
		{Nr: 51, Name: "getsockname", Fn: sysGetsockname, Sig: "fpp"},
		{Nr: 52, Name: "getpeername", Fn: sysGetpeername, Sig: "fpp"},
		{Nr: 53, Name: "socketpair", Fn: sysSocketpair, Sig: "Dyi2", Level: Partial, Note: noNet},
		{Nr: 54, Name: "setsockopt", Fn: sysSetsockopt, Sig: "fddpu", Level: Partial, Note: "what docs/network.md lists"},
		{Nr: 55, Name: "getsockopt", Fn: sysGetsockopt, Sig: "fddpp", Level: Partial, Note: "what docs/network.md lists"},
		{Nr: 288, Name: "accept4", Fn: sysAccept4, Sig: "fppy"},
		{Nr: 299, Name: "recvmmsg", Fn: sysRecvmmsg, Sig: "fpuxp"},
		{Nr: 307, Name: "sendmmsg", Fn: sysSendmmsg, Sig: "fpux"},
	}
}

// Flags and limits.
const (
	sockTypeMask = 0xf
	msgOOB       = 0x1
	msgDontroute = 0x4
	msgCmsgCloex = core.MsgCmsgCloex
	maxSockaddr  = 128
	solSocket    = 1
	scmRights    = 1
	scmCred      = 2
)

func fdArg(c *core.Call, i int) int32 { return int32(uint32(c.Args[i])) }

// sockArgs decodes the first three arguments of socket and socketpair.
func sockArgs(c *core.Call) (family, typ uint32, proto int32, flags uint32, e abi.Errno) {
	t := uint32(c.Args[1])
	if t&^(sockTypeMask|oNonblock|oCloexec) != 0 {
		return 0, 0, 0, 0, abi.EINVAL
	}
	family = uint32(c.Args[0])
	if family >= 46 {
		return 0, 0, 0, 0, abi.EAFNOSUPPORT
	}
	if t&sockTypeMask >= 11 {
		return 0, 0, 0, 0, abi.EINVAL
	}
	return family, t & sockTypeMask, int32(uint32(c.Args[2])), fdFlags(uint64(t)), 0
}

func sysSocket(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	family, typ, proto, flags, e := sockArgs(c)
	if e != 0 {
		return 0, e
	}
	fd, e := c.NewSocket(family, typ, proto, flags)
	return uint64(uint32(fd)), e
}

func sysSocketpair(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	family, typ, proto, flags, e := sockArgs(c)
	if e != 0 {
		return 0, e
	}
	a, b, e := c.SocketPair(family, typ, proto, flags)
	if e != 0 {
		return 0, e
	}
	copyPair(c, c.Args[3], a, b)
	return 0, 0
}

// addrArg decodes a struct sockaddr of n bytes at addr: two bytes of family,
// then the name. An AF_UNIX path ends at its NUL.
func addrArg(c *core.Call, addr uint64, n int32) (core.SockAddr, abi.Errno) {
	if n < 0 || n > maxSockaddr {
		return core.SockAddr{}, abi.EINVAL
	}
	if n == 0 {
		return core.SockAddr{}, 0
	}
	b, e := c.CopyIn(addr, int(n))
	if e != 0 {
		return core.SockAddr{}, e
	}
	if n < 2 {
		return core.SockAddr{}, abi.EINVAL
	}
	a := core.SockAddr{Family: le.Uint16(b), Data: append([]byte(nil), b[2:]...)}
	if a.Family == core.FamilyUnix && len(a.Data) > 108 {
		return core.SockAddr{}, abi.EINVAL
	}
	return a, 0
}

// putAddr writes a name to addr, at most as many bytes as the int at lenp says,
// and its whole length to lenp.
func putAddr(c *core.Call, a core.SockAddr, addr, lenp uint64) abi.Errno {
	v, e := c.CopyIn32(lenp)
	if e != 0 {
		return e
	}
	if int32(v) < 0 {
		return abi.EINVAL
	}
	b := rawAddr(a)
	c.CopyOut(addr, b[:min(len(b), int(v))])
	c.CopyOut32(lenp, uint32(len(b)))
	return 0
}

func rawAddr(a core.SockAddr) []byte {
	if a.Family == 0 {
		return nil
	}
	b := make([]byte, 2, 2+len(a.Data))
	le.PutUint16(b, a.Family)
	return append(b, a.Data...)
}

func sysBind(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	a, e := addrArg(c, c.Args[1], fdArg(c, 2))
	if e != 0 {
		return 0, e
	}
	return 0, fam.Bind(c, r, a)
}

func sysConnect(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	a, e := addrArg(c, c.Args[1], fdArg(c, 2))
	if e != 0 {
		return 0, e
	}
	return 0, c.ConnectFD(fdArg(c, 0), a)
}

func sysListen(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	return 0, fam.Listen(c, r, fdArg(c, 1))
}

func sysAccept(_ *Personality, c *core.Call) (uint64, abi.Errno) { return accept(c, 0) }

func sysAccept4(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return accept(c, uint64(uint32(c.Args[3])))
}

func accept(c *core.Call, flags uint64) (uint64, abi.Errno) {
	if flags&^(oNonblock|oCloexec) != 0 {
		return 0, abi.EINVAL
	}
	if c.Args[1] != 0 {
		// Looked at before a connection is taken: a bad address loses none.
		v, e := c.CopyIn32(c.Args[2])
		if e != 0 {
			return 0, e
		}
		if int32(v) < 0 {
			return 0, abi.EINVAL
		}
		fd, r, e := c.AcceptFD(fdArg(c, 0), fdFlags(flags))
		if e != 0 {
			return 0, e
		}
		_, _, fam, _ := c.Sock(fd)
		a, _ := fam.Name(r, core.NameAccepted)
		b := rawAddr(a)
		c.CopyOut(c.Args[1], b[:min(len(b), int(v))])
		c.CopyOut32(c.Args[2], uint32(len(b)))
		return uint64(uint32(fd)), 0
	}
	fd, _, e := c.AcceptFD(fdArg(c, 0), fdFlags(flags))
	return uint64(uint32(fd)), e
}

func sysShutdown(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	how := uint32(c.Args[1])
	if how > 2 {
		return 0, abi.EINVAL
	}
	return 0, fam.Shutdown(c, r, how+1) // SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2
}

func sysGetsockname(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return sockName(c, core.NameOwn)
}

func sysGetpeername(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return sockName(c, core.NamePeer)
}

func sockName(c *core.Call, which core.SockName) (uint64, abi.Errno) {
	_, r, fam, e := c.Sock(fdArg(c, 0))
	if e != 0 {
		return 0, e
	}
	a, e := fam.Name(r, which)
	if e != 0 {
		return 0, e
	}
	return 0, putAddr(c, a, c.Args[1], c.Args[2])
}

func sysSendto(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.LentMeanwhile(fdArg(c, 0)) {
		return 0, abi.ErrRestart
	}
	if _, _, _, e := c.Sock(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	m := core.SockSend{Flags: uint32(c.Args[3])}
	if m.Flags&msgOOB != 0 && !inetFD(c, fdArg(c, 0)) {
		return 0, abi.EOPNOTSUPP
	}
	if c.Args[4] != 0 {
		a, e := addrArg(c, c.Args[4], fdArg(c, 5))
		if e != 0 {
			return 0, e
		}
		if a.Family != 0 {
			m.To = &a
		}
	}
	return c.SendV(fdArg(c, 0), []core.IOVec{{Base: c.Args[1], Len: c.Args[2]}}, &m)
}

func sysRecvfrom(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if c.LentMeanwhile(fdArg(c, 0)) {
		return 0, abi.ErrRestart
	}
	if _, _, _, e := c.Sock(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	flags := uint32(c.Args[3])
	if flags&msgOOB != 0 && !inetFD(c, fdArg(c, 0)) {
		return 0, abi.EOPNOTSUPP
	}
	var room uint32
	if c.Args[4] != 0 && c.Args[5] != 0 {
		v, e := c.CopyIn32(c.Args[5])
		if e != 0 {
			return 0, e
		}
		if int32(v) < 0 {
			return 0, abi.EINVAL
		}
		room = v
	}
	m := core.SockRecv{Flags: flags}
	n, e := c.RecvV(fdArg(c, 0), []core.IOVec{{Base: c.Args[1], Len: c.Args[2]}}, &m)
	c.K.DropRights(c, m.Files)
	if e != 0 {
		return 0, e
	}
	if c.Args[4] != 0 && c.Args[5] != 0 {
		b := rawAddr(m.From)
		c.CopyOut(c.Args[4], b[:min(len(b), int(room))])
		c.CopyOut32(c.Args[5], uint32(len(b)))
	}
	if flags&core.MsgTrunc != 0 && m.Full > int(n) {
		n = uint64(m.Full)
	}
	return n, 0
}

// inetFD says whether a descriptor is an IP socket.
func inetFD(c *core.Call, fd int32) bool {
	_, r, _, e := c.Sock(fd)
	if e != 0 {
		return false
	}
	f := c.K.Socks.Get(r).Family
	return f == core.FamilyInet || f == core.FamilyInet6
}

// msghdr is struct msghdr (include/linux/socket.h, user_msghdr), 56 bytes.
type msghdr struct {
	name       uint64
	nameLen    uint32
	iov        []core.IOVec
	control    uint64
	controlLen uint64
	addr       uint64
}

func msghdrArg(c *core.Call, addr uint64) (msghdr, abi.Errno) {
	c.InReset()
	b, e := c.CopyIn(addr, 56)
	if e != 0 {
		return msghdr{}, e
	}
	h := msghdr{name: le.Uint64(b), nameLen: le.Uint32(b[8:]), control: le.Uint64(b[32:]), controlLen: le.Uint64(b[40:]), addr: addr}
	iov, n := le.Uint64(b[16:]), le.Uint64(b[24:])
	if int32(h.nameLen) < 0 {
		return h, abi.EINVAL
	}
	if n > 1024 {
		return h, abi.EMSGSIZE
	}
	h.iov, e = c.IOVecs(iov, int(n))
	return h, e
}

// sendControl decodes the ancillary data of a message to send. The files are
// held only by the caller's descriptors.
func sendControl(c *core.Call, fd int32, h *msghdr, m *core.SockSend) abi.Errno {
	if h.control == 0 || h.controlLen == 0 {
		return 0
	}
	if h.controlLen > 1<<16 {
		return abi.ENOBUFS
	}
	b, e := c.CopyIn(h.control, int(h.controlLen))
	if e != 0 {
		return e
	}
	b = append([]byte(nil), b...)
	for len(b) >= 16 {
		n := le.Uint64(b)
		if n < 16 || n > uint64(len(b)) {
			return abi.EINVAL
		}
		level, typ, data := le.Uint32(b[8:]), le.Uint32(b[12:]), b[16:n]
		if level == solSocket {
			switch typ {
			case scmRights:
				for ; len(data) >= 4; data = data[4:] {
					f, _, e := c.File(int32(le.Uint32(data)))
					if e != 0 {
						return abi.EBADF
					}
					m.Files = append(m.Files, f)
				}
				if len(m.Files) > 253 {
					return abi.EINVAL
				}
			case scmCred:
				if len(data) != 12 {
					return abi.EINVAL
				}
				cr := core.SockCred{Pid: int32(le.Uint32(data))}
				var ok, ok2 bool
				cr.UID, ok = c.MapUID(le.Uint32(data[4:]))
				cr.GID, ok2 = c.MapGID(le.Uint32(data[8:]))
				if !ok || !ok2 {
					return abi.EINVAL
				}
				if e := checkCred(c, cr); e != 0 {
					return e
				}
				m.Cred = &cr
			case soTimestamping, soTimestampingN:
				if !inetFD(c, fd) || len(data) != 4 || le.Uint32(data)&^core.StampTx != 0 {
					return abi.EINVAL
				}
				v := le.Uint32(data)
				m.Stamp = &v
			default:
				return abi.EINVAL
			}
		} else if inetFD(c, fd) {
			if e := inetSendControl(level, typ, data, m); e != 0 {
				return e
			}
		}
		b = b[min(uint64(len(b)), (n+7)&^7):]
	}
	return 0
}

// checkCred says whether the caller may claim to be cr.
func checkCred(c *core.Call, cr core.SockCred) abi.Errno {
	own := c.Cred()
	if (cr.Pid == c.Proc().Pid || c.Capable(21)) &&
		(cr.UID == own.UID || cr.UID == own.EUID || cr.UID == own.SUID || c.NsCapable(core.CapSetuid)) &&
		(cr.GID == own.GID || cr.GID == own.EGID || cr.GID == own.SGID || c.NsCapable(core.CapSetgid)) {
		return 0
	}
	return abi.EPERM
}

func sendMsg(c *core.Call, fd int32, addr uint64, flags uint32) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(fd); e != 0 {
		return 0, e
	}
	h, e := msghdrArg(c, addr)
	if e != 0 {
		return 0, e
	}
	m := core.SockSend{Flags: flags}
	if flags&msgOOB != 0 && !inetFD(c, fd) {
		return 0, abi.EOPNOTSUPP
	}
	if h.name != 0 && h.nameLen > 0 {
		a, e := addrArg(c, h.name, int32(min(h.nameLen, maxSockaddr)))
		if e != 0 {
			return 0, e
		}
		m.To = &a
	}
	if e := sendControl(c, fd, &h, &m); e != 0 {
		return 0, e
	}
	// Gathering gives up the lock: hold what is to be sent.
	defer c.PinFiles(m.Files)()
	return c.SendV(fd, h.iov, &m)
}

func sysSendmsg(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return sendMsg(c, fdArg(c, 0), c.Args[1], uint32(c.Args[2]))
}

func recvMsg(c *core.Call, fd int32, addr uint64, flags uint32) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(fd); e != 0 {
		return 0, e
	}
	h, e := msghdrArg(c, addr)
	if e != 0 {
		return 0, e
	}
	if flags&msgOOB != 0 && !inetFD(c, fd) {
		return 0, abi.EOPNOTSUPP
	}
	// Files go into memory that is known to be there, so that what is taken and
	// what becomes of it are one step.
	m := core.SockRecv{Flags: flags, Ask: h.control != 0 && h.controlLen > 16}
	n, e := c.RecvV(fd, h.iov, &m)
	sure := false
	if e == core.ErrControl {
		sure = writable(c, h.control, min(h.controlLen, 16+12+8+16+4*253))
		m = core.SockRecv{Flags: flags}
		n, e = c.RecvV(fd, h.iov, &m)
	}
	if e != 0 {
		c.K.DropRights(c, m.Files)
		return 0, e
	}
	out := m.Flags & (core.MsgTrunc | core.MsgEOR | core.MsgOOB | core.MsgErrQueue)
	used, trunc := recvControl(c, fd, &h, &m, flags, sure)
	if trunc {
		out |= core.MsgCTrunc
	}
	if h.name != 0 {
		b := rawAddr(m.From)
		c.CopyOut(h.name, b[:min(len(b), int(h.nameLen))])
		c.CopyOut32(addr+8, uint32(len(b)))
	}
	c.CopyOut64(addr+40, used)
	c.CopyOut32(addr+48, out|flags&msgCmsgCloex)
	if flags&core.MsgTrunc != 0 && m.Full > int(n) {
		n = uint64(m.Full)
	}
	return n, 0
}

// writable says whether n bytes of the guest's memory can be written: it does so,
// with what they hold.
func writable(c *core.Call, addr, n uint64) bool {
	b, e := c.CopyIn(addr, int(n))
	if e != 0 {
		return false
	}
	c.CopyOut(addr, b)
	return c.Arrived()
}

// recvControl writes the ancillary data and answers its length and whether
// something did not fit. sure: the memory for it can be written.
func recvControl(c *core.Call, fd int32, h *msghdr, m *core.SockRecv, flags uint32, sure bool) (used uint64, trunc bool) {
	room := h.controlLen
	if h.control == 0 {
		room = 0
	}
	put := func(level, typ uint32, data []byte) {
		n := uint64(16 + len(data))
		if room-used < 16 {
			trunc = true
			return
		}
		b := make([]byte, n)
		le.PutUint64(b, n)
		le.PutUint32(b[8:], level)
		le.PutUint32(b[12:], typ)
		copy(b[16:], data)
		if n > room-used {
			trunc = true
			n = room - used
			le.PutUint64(b, n)
		}
		c.CopyOut(h.control+used, b[:n])
		used = min(used+(n+7)&^7, room)
	}
	if m.Time != 0 {
		if _, r, _, e := c.Sock(fd); e == 0 {
			inetControl(c.K, r, m, put)
			faultControl(c.K, r, m, put)
		}
	}
	if m.HasCred {
		var b [12]byte
		le.PutUint32(b[:], uint32(m.Cred.Pid))
		le.PutUint32(b[4:], c.ShowUID(m.Cred.UID))
		le.PutUint32(b[8:], c.ShowGID(m.Cred.GID))
		put(solSocket, scmCred, b[:])
	}
	if len(m.Files) > 0 {
		fit := 0
		if room-used > 16 {
			fit = min(len(m.Files), int(room-used-16)/4)
		}
		var fdf uint32
		if flags&msgCmsgCloex != 0 {
			fdf = core.FDCloexec
		}
		if fit < len(m.Files) {
			trunc = true
		}
		rest := append([]store.Ref[core.File](nil), m.Files[fit:]...)
		fds := c.InstallRights(m.Files[:fit], fdf)
		c.K.DropRights(c, rest)
		m.Files = nil
		if len(fds) < fit {
			trunc = true
		}
		if len(fds) > 0 {
			b := make([]byte, 4*len(fds))
			for i, fd := range fds {
				le.PutUint32(b[4*i:], uint32(fd))
			}
			before := used
			put(solSocket, scmRights, b)
			if !sure && !c.Arrived() {
				for _, fd := range fds {
					c.CloseFD(fd)
				}
				used, trunc = before, true
			}
		}
	}
	return used, trunc
}

func sysRecvmsg(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	return recvMsg(c, fdArg(c, 0), c.Args[1], uint32(c.Args[2]))
}

// mmsghdrSize is the size of struct mmsghdr: a msghdr and the length of the
// message in 8 bytes.
const mmsghdrSize = 64

func sysSendmmsg(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	n := min(uint64(uint32(c.Args[2])), 1024)
	// Thread.Aux counts the messages that are complete, for a repetition.
	for i := c.Thread().Aux; i < n; i++ {
		a := c.Args[1] + i*mmsghdrSize
		m, e := sendMsg(c, fdArg(c, 0), a, uint32(c.Args[3]))
		if e != 0 {
			return i, errNone(i, e)
		}
		c.CopyOut32(a+56, uint32(m))
		t := c.MutThread()
		t.Aux, t.Progress = i+1, 0
	}
	return n, 0
}

// errNone answers e unless n things were done.
func errNone(n uint64, e abi.Errno) abi.Errno {
	if n > 0 {
		return 0
	}
	return e
}

func sysRecvmmsg(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	if _, _, _, e := c.Sock(fdArg(c, 0)); e != 0 {
		return 0, e
	}
	ns, e := timespecArg(c, c.Args[4])
	if e != 0 {
		return 0, e
	}
	d := deadline(c, ns)
	n := min(uint64(uint32(c.Args[2])), 1024)
	flags := uint32(c.Args[3])
	i := c.Thread().Aux // messages that are complete, for a repetition
	if i > 0 && flags&0x10000 != 0 {
		flags |= core.MsgDontWait
	}
	for i < n {
		if !c.Checkpoint() {
			return i, 0
		}
		a := c.Args[1] + i*mmsghdrSize
		m, e := recvMsg(c, fdArg(c, 0), a, flags&^0x10000)
		if e != 0 {
			if e = errNone(i, e); e != 0 {
				return 0, e
			}
			break
		}
		c.CopyOut32(a+56, uint32(m))
		i++
		t := c.MutThread()
		t.Aux, t.Progress = i, 0
		if flags&0x10000 != 0 { // MSG_WAITFORONE
			flags |= core.MsgDontWait
		}
		if ns >= 0 && c.K.Clock.Mono() >= d {
			break
		}
	}
	return i, 0
}
