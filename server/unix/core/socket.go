package core

import (
	"fmt"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Families and types of sockets; the numbers are Linux's (linux/socket.h).
const (
	FamilyUnix    = 1
	FamilyInet    = 2
	FamilyInet6   = 10
	SockStream    = 1
	SockDgram     = 2
	SockSeqpacket = 5
)

// Flags of sending and receiving (linux/socket.h, MSG_).
const (
	MsgOOB       = 0x1
	MsgPeek      = 0x2
	MsgCTrunc    = 0x8
	MsgTrunc     = 0x20
	MsgDontWait  = 0x40
	MsgEOR       = 0x80
	MsgWaitAll   = 0x100
	MsgErrQueue  = 0x2000
	MsgNoSignal  = 0x4000
	MsgCmsgCloex = 0x40000000
)

// States of a socket.
const (
	SockIdle       = 0
	SockListening  = 1
	SockConnected  = 2
	SockClosed     = 3 // was connected, the peer is gone
	SockConnecting = 4 // waits for room at a listener (IP)
)

// Directions that are shut (Socket.Shut).
const (
	ShutRecv = 1
	ShutSend = 2
)

// sockBuf is SO_SNDBUF and SO_RCVBUF before anybody changed them, in bytes
// (net.core.wmem_default), sockQueue how many datagrams wait at most
// (net.unix.max_dgram_qlen), maxRights how many files one message carries.
const (
	sockBuf   = 212992
	sockQueue = 10
	maxRights = 253
)

// SockCred is who sent or connected.
type SockCred struct {
	Pid      int32
	UID, GID uint32
}

// Socket is a socket of any family.
type Socket struct {
	Family, Type, State uint32
	Proto               int32
	Shut                uint32
	Err                 uint32 // SO_ERROR: errno of something that happened meanwhile
	// Peer is the other end, or where a datagram socket is connected to;
	// PeerGen its generation, for a peer that may be gone.
	Peer    store.Ref[Socket]
	PeerGen uint32
	// HasFile: an open file refers to it; else it waits in a listener's queue.
	HasFile uint32
	Addr    store.Block // its name, nil if none: a path, or 0 and an abstract name
	Node    NodeKey     // of a path
	Named   uint32      // it is found by Addr
	Remote  store.Block // the peer's name when it connected
	Own     SockCred    // as the peer sees it
	Their   SockCred
	Queue   store.List[SockMsg]
	Bytes   uint32 // in Queue
	// Came are the bytes that were ever put into a stream's queue, Sent those that
	// were put into its peer's; known when that is gone.
	Came, Sent uint64
	Backlog    uint32
	Pending    store.List[Socket] // connections not yet accepted
	Link       store.Link[Socket]
	// Options.
	SndBuf, RcvBuf   uint32
	RcvTimeo         int64 // ns, 0: for ever
	SndTimeo         int64
	PassCred         uint32
	Opts             uint32 // SockOpt... that are only kept
	Linger           uint32
	RcvLowat         uint32
	Priority, Marked uint32
	Ino              uint64
	Time             int64
	UID, GID         uint32
	// Stream is the memory that a stream's bytes may be in (lendstream.go).
	Stream store.Ref[Stream]
	_      uint32
	Inet   InetSocket // of an IP socket
}

// SockMsg is a message (or a run of a stream's bytes) in a receiver's queue.
type SockMsg struct {
	Link   store.Link[SockMsg]
	Data   store.Block // Len: bytes put; those before Off are taken
	Off    uint32
	NFiles uint32
	Files  store.Block // NFiles open files, 4 bytes each
	From   store.Block // the sender's name
	Cred   SockCred
	Urgent uint32 // urg...: a mark in a stream, and its byte
	Time   int64  // of a datagram: when it came, ns
}

// SockAddr is a socket's name: the family and what follows it in a sockaddr.
type SockAddr struct {
	Family uint16
	Data   []byte
}

// SockSend is one message to send.
type SockSend struct {
	Flags uint32
	To    *SockAddr // nil: the peer
	Files []store.Ref[File]
	Cred  *SockCred // SCM_CREDENTIALS, already checked; nil: the caller's own
	// Life and Class are what an IP datagram has instead of what the socket's
	// options say; nil: what they say.
	Life, Class *uint8
	// Stamp is which time stamps an IP socket asks for (StampTx...) instead of what its option says.
	Stamp *uint32
}

// SockRecv is one message received.
type SockRecv struct {
	Flags uint32 // asked, then those that hold
	// Ask: nothing is taken that files come along with; ErrControl says that there
	// is something.
	Ask  bool
	Full int // length of the datagram before it was cut
	// Drop: what was taken is not to be stored (MSG_TRUNC of a stream).
	Drop bool
	From SockAddr
	// Files are the files that came along; each holds a reference that the
	// caller must drop (DropRights).
	Files   []store.Ref[File]
	HasCred bool
	Cred    SockCred
	Time    int64 // when it came, ns; 0: not known
	// Of an IP datagram: where it was sent to, its time to live, its class (TOS).
	To          [16]byte
	Life, Class byte
	// Fault is what an error queue told (MsgErrQueue); nil: it is no message of one.
	Fault *SockFault
}

// SockName says which name of a socket is asked for.
type SockName int

const (
	NameOwn      SockName = iota
	NamePeer              // ENOTCONN if there is none any more
	NameAccepted          // the peer's, of a connection that was just accepted
)

// ErrControl is Recv's answer to SockRecv.Ask. The guest never sees it.
const ErrControl abi.Errno = 1000

// SockFamily is what a family of sockets does. All methods are called with the
// lock held; those that get a Call may sleep.
type SockFamily interface {
	// Create completes a new socket record; its type and protocol are to be checked.
	Create(c *Call, s *Socket) abi.Errno
	Pair(c *Call, a, b store.Ref[Socket]) abi.Errno
	Bind(c *Call, s store.Ref[Socket], a SockAddr) abi.Errno
	Connect(c *Call, f store.Ref[File], a SockAddr) abi.Errno
	Listen(c *Call, s store.Ref[Socket], backlog int32) abi.Errno
	// Accept answers a socket without an open file.
	Accept(c *Call, f store.Ref[File]) (store.Ref[Socket], abi.Errno)
	Name(s store.Ref[Socket], which SockName) (SockAddr, abi.Errno)
	Send(c *Call, f store.Ref[File], data []byte, m *SockSend) (int, abi.Errno)
	Recv(c *Call, f store.Ref[File], buf []byte, m *SockRecv) (int, abi.Errno)
	Shutdown(c *Call, s store.Ref[Socket], how uint32) abi.Errno
	Poll(s store.Ref[Socket]) uint32
	// Release ends the socket whose file is gone; c may be nil.
	Release(c *Call, s store.Ref[Socket])
}

type sockState struct {
	families map[uint32]SockFamily
	socks    rtOf[Socket, WaitQueue]
	abstract map[string]store.Ref[Socket]
	nodes    map[NodeKey]store.Ref[Socket]
	// inflight counts how often a file is in messages; rights is the total.
	inflight map[store.Ref[File]]uint32
	rights   int
	inGC     bool
	nextAuto uint32
	inet     inetState
	out      outsideState
	netlinks map[netlinkKey]store.Ref[Socket]
	netlink  func(c *Call, proto int32, req []byte, port uint32) [][]byte
}

func (k *Kernel) initSockets() {
	k.io.abstract = map[string]store.Ref[Socket]{}
	k.io.nodes = map[NodeKey]store.Ref[Socket]{}
	k.io.inflight = map[store.Ref[File]]uint32{}
	q := sockQueues{k}
	k.io.inet.ports = map[portKey]map[store.Ref[Socket]]struct{}{}
	k.io.inet.listening = map[uint16][]store.Ref[Socket]{}
	k.io.inet.connecting = map[uint16]*waiters{}
	k.io.inet.groups = map[[16]byte]*groupCount{}
	k.io.netlinks = map[netlinkKey]store.Ref[Socket]{}
	k.io.families = map[uint32]SockFamily{
		FamilyUnix:    unixSockets{q},
		FamilyInet:    inetSockets{q},
		FamilyInet6:   inetSockets{q},
		FamilyNetlink: netlinkSockets{q},
	}
}

// AddSockFamily makes a family of sockets known; before Boot or Recover.
func (k *Kernel) AddSockFamily(family uint32, s SockFamily) { k.io.families[family] = s }

func (k *Kernel) recoverSockets() {
	k.Socks.Each(func(r store.Ref[Socket], s *Socket) bool {
		switch {
		case s.Family == FamilyUnix && s.Named != 0:
			k.nameSocket(r, s)
		case s.Family == FamilyNetlink && s.Inet.Local.Scope != 0:
			k.io.netlinks[netlinkKey{s.Proto, s.Inet.Local.Scope}] = r
		case s.Inet.Local.Port != 0 && !s.hidden():
			k.addPort(r, s)
			if s.State == SockListening {
				k.addListener(r, s)
			}
		}
		inetSockets{sockQueues{k}}.countGroups(s, 1)
		if s.State == SockConnecting && (s.Inet.Out == 0 || s.hidden()) {
			k.await(r)
		}
		return true
	})
	k.SockMsgs.Each(func(_ store.Ref[SockMsg], m *SockMsg) bool {
		for i := range m.NFiles {
			k.io.inflight[k.msgFile(m, i)]++
			k.io.rights++
		}
		return true
	})
}

func (k *Kernel) nameSocket(r store.Ref[Socket], s *Socket) {
	if s.Node != (NodeKey{}) {
		k.io.nodes[s.Node] = r
	} else if n := store.String(k.Heap, s.Addr); n != "" && n[0] == 0 {
		k.io.abstract[n] = r
	}
}

func sockOf(file *File) store.Ref[Socket] { return store.Ref[Socket](file.Obj) }

// newSocket makes a record; flags are not looked at.
func (c *Call) newSocket(family, typ uint32, proto int32) (store.Ref[Socket], abi.Errno) {
	k := c.K
	fam := k.io.families[family]
	if fam == nil {
		return 0, abi.EAFNOSUPPORT
	}
	r, s := k.Socks.New()
	if r == 0 {
		return 0, abi.ENFILE
	}
	cr := c.Cred()
	s.Family, s.Type, s.Proto = family, typ, proto
	s.SndBuf, s.RcvBuf, s.RcvLowat = sockBuf, sockBuf, 1
	s.Ino = k.nextIno()
	s.Time = k.Clock.Real()
	s.UID, s.GID = cr.FSUID, cr.FSGID
	if e := fam.Create(c, s); e != 0 {
		k.Socks.Free(r)
		return 0, e
	}
	return r, 0
}

// sockFile gives a socket an open file and a descriptor. On an error the record
// is left to the caller.
func (c *Call) sockFile(r store.Ref[Socket], flags uint32) (int32, abi.Errno) {
	var fdf uint32
	if flags&OpenCloexec != 0 {
		fdf = FDCloexec
	}
	fd, e := c.fileOf(FileSocket, AccessRead|AccessWrite, flags&OpenNonblock, uint32(r), fdf)
	if e == 0 {
		c.K.Socks.Mut(r).HasFile = 1
	}
	return fd, e
}

// NewSocket makes a socket (socket(2)); flags OpenNonblock, OpenCloexec.
func (c *Call) NewSocket(family, typ uint32, proto int32, flags uint32) (int32, abi.Errno) {
	r, e := c.newSocket(family, typ, proto)
	if e != 0 {
		return -1, e
	}
	fd, e := c.sockFile(r, flags)
	if e != 0 {
		c.K.Socks.Free(r)
	} else if s := c.K.Socks.Get(r); s.Type == SockRaw && s.Inet.Local.Port != 0 {
		c.K.addPort(r, s)
	}
	return fd, e
}

// SocketPair makes two connected sockets (socketpair(2)).
func (c *Call) SocketPair(family, typ uint32, proto int32, flags uint32) (a, b int32, e abi.Errno) {
	k := c.K
	ra, e := c.newSocket(family, typ, proto)
	if e != 0 {
		return -1, -1, e
	}
	rb, e := c.newSocket(family, typ, proto)
	if e != 0 {
		k.Socks.Free(ra)
		return -1, -1, e
	}
	if e := k.io.families[family].Pair(c, ra, rb); e != 0 {
		k.Socks.Free(ra)
		k.Socks.Free(rb)
		return -1, -1, e
	}
	a, e = c.sockFile(ra, flags)
	if e != 0 {
		k.Socks.Free(ra)
		k.Socks.Free(rb)
		return -1, -1, e
	}
	b, e = c.sockFile(rb, flags)
	if e != 0 {
		c.CloseFD(a)
		k.io.families[family].Release(c, rb)
		return -1, -1, e
	}
	return a, b, 0
}

// Sock answers the socket of descriptor fd. EBADF, ENOTSOCK.
func (c *Call) Sock(fd int32) (store.Ref[File], store.Ref[Socket], SockFamily, abi.Errno) {
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, 0, nil, e
	}
	if file.Kind != FileSocket {
		if file.Kind == FilePath {
			return 0, 0, nil, abi.EBADF
		}
		return 0, 0, nil, abi.ENOTSOCK
	}
	r := sockOf(file)
	return f, r, c.K.family(r), 0
}

func (k *Kernel) family(r store.Ref[Socket]) SockFamily {
	return k.io.families[k.Socks.Get(r).Family]
}

// AcceptFD accepts a connection of fd and answers a descriptor for it.
func (c *Call) AcceptFD(fd int32, flags uint32) (int32, store.Ref[Socket], abi.Errno) {
	f, _, fam, e := c.Sock(fd)
	if e != 0 {
		return -1, 0, e
	}
	r, e := fam.Accept(c, f)
	if e != 0 {
		return -1, 0, e
	}
	n, e := c.sockFile(r, flags)
	if e != 0 {
		fam.Release(c, r)
		return -1, 0, e
	}
	return n, r, 0
}

// DropRights gives up files that came with a message.
func (k *Kernel) DropRights(c *Call, files []store.Ref[File]) {
	for _, f := range files {
		k.DropFile(c, f)
	}
}

type sockOps struct{ BaseOps }

func (o sockOps) Read(c *Call, f store.Ref[File], buf []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	var m SockRecv
	n, e := o.K.family(sockOf(o.K.Files.Get(f))).Recv(c, f, buf, &m)
	o.K.DropRights(c, m.Files)
	return n, e
}

func (o sockOps) Write(c *Call, f store.Ref[File], data []byte, off int64) (int, abi.Errno) {
	if off >= 0 {
		return 0, abi.ESPIPE
	}
	var m SockSend
	return o.K.family(sockOf(o.K.Files.Get(f))).Send(c, f, data, &m)
}

func (o sockOps) Poll(f store.Ref[File]) uint32 {
	r := sockOf(o.K.Files.Get(f))
	return o.K.family(r).Poll(r)
}

func (o sockOps) Queue(f store.Ref[File]) *WaitQueue {
	return o.K.io.socks.at(sockOf(o.K.Files.Get(f)))
}

const ioTIOCOUTQ = 0x5411

func (o sockOps) Ioctl(c *Call, f store.Ref[File], req uint32, arg uint64) (uint64, abi.Errno) {
	k := o.K
	s := k.Socks.Get(sockOf(k.Files.Get(f)))
	switch req {
	case ioFIONREAD:
		if s.State == SockListening {
			return 0, abi.EINVAL
		}
		n := s.Bytes + k.waitingHost(s)
		if s.Type == SockDgram {
			n = 0
			if h := s.Queue.Head; h != 0 {
				n = k.SockMsgs.Get(h).Data.Len
			}
		}
		c.CopyOut32(arg, n)
		return 0, 0
	case ioTIOCOUTQ:
		var n uint32
		// What an IP socket sends is acknowledged at once.
		if p := k.SockPeer(s); p != 0 && s.Type != SockDgram && s.Family == FamilyUnix {
			n = k.Socks.Get(p).Bytes
		}
		c.CopyOut32(arg, n)
		return 0, 0
	}
	return 0, abi.ENOTTY
}

func (o sockOps) Stat(c *Call, f store.Ref[File]) (fs.Attr, abi.Errno) {
	s := o.K.Socks.Get(sockOf(o.K.Files.Get(f)))
	t := timeOf(s.Time)
	return fs.Attr{Ino: s.Ino, Mode: fs.TypeSock | 0o777, Nlink: 1, BlkSize: 4096,
		UID: s.UID, GID: s.GID, Atime: t, Mtime: t, Ctime: t}, 0
}

func (o sockOps) Release(c *Call, f store.Ref[File]) {
	r := sockOf(o.K.Files.Get(f))
	o.K.family(r).Release(c, r)
}

func (o sockOps) LinkName(f store.Ref[File]) string {
	return fmt.Sprintf("socket:[%d]", o.K.Socks.Get(sockOf(o.K.Files.Get(f))).Ino)
}

// SockPeer answers the peer of s if it still lives.
func (k *Kernel) SockPeer(s *Socket) store.Ref[Socket] {
	if s.Peer == 0 || k.Socks.Get(s.Peer) == nil || k.Socks.Gen(s.Peer) != s.PeerGen {
		return 0
	}
	return s.Peer
}

func (k *Kernel) setPeer(r, peer store.Ref[Socket]) {
	s := k.Socks.Mut(r)
	s.Peer = peer
	s.PeerGen = k.Socks.Gen(peer)
}

func (k *Kernel) wakeSock(r store.Ref[Socket], ev uint32) {
	if q := k.io.socks.m[r]; q != nil {
		q.Wake(ev)
		switch ev {
		case PollIn | PollRdNorm:
			k.tell(q, ioIn)
		case PollOut | PollWrNorm:
			k.tellRoom(q)
		}
	}
}

// takeSockErr answers and clears SO_ERROR.
func (k *Kernel) takeSockErr(r store.Ref[Socket]) abi.Errno {
	e := k.Socks.Get(r).Err
	if e != 0 {
		k.Socks.Mut(r).Err = 0
	}
	return abi.Errno(e)
}

// sockErr is what ends a call by a stream with its error. A part that was done before is what the call answers
// then, and the error is the next call's.
func (c *Call) sockErr(r store.Ref[Socket]) abi.Errno {
	if c.Thread().Progress > 0 {
		return abi.Errno(c.K.Socks.Get(r).Err)
	}
	return c.K.takeSockErr(r)
}

// TakeSockErr is SO_ERROR.
func (k *Kernel) TakeSockErr(r store.Ref[Socket]) abi.Errno { return k.takeSockErr(r) }

// WakeSocket has everybody who waits at a socket look again (an option changed).
func (k *Kernel) WakeSocket(r store.Ref[Socket]) { k.wakeSock(r, ^uint32(0)) }
