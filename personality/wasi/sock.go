package wasi

// Flags of the socket functions ($riflags, $roflags, $sdflags).
const (
	recvPeek      = 1
	recvWaitAll   = 2
	recvTruncated = 1
)

// socket looks up a descriptor of a socket. ENOTSOCK.
func (p *Process) socket(fd uint32, right uint64) (*desc, Errno) {
	d, e := p.desc(fd, 0)
	if e != 0 {
		return nil, e
	}
	if d.typ != typeStream && d.typ != typeDgram {
		return nil, errNotSock
	}
	return p.desc(fd, right)
}

// sockAccept is sock_accept(fd, flags, result).
func (p *Process) sockAccept(a args) Errno {
	d, e := p.socket(a.u32(0), rightSockAccept)
	if e != 0 {
		return e
	}
	if a.u32(1)&^fdNonblock != 0 {
		return errInval
	}
	if _, ok := p.bytes(a.u32(2), 4); !ok {
		return errFault
	}
	if !p.ready(d, false) {
		return errAgain
	}
	fd, se := p.sys.Accept(d.fd, a.u32(1)&fdNonblock != 0)
	if se != 0 {
		return errno(se)
	}
	n := &desc{fd: fd, typ: d.typ, base: rightsSocket & d.inherit, inherit: d.inherit}
	return p.put32(a.u32(2), p.add(n))
}

// sockRecv is sock_recv(fd, iovs, n, flags, result, result flags).
func (p *Process) sockRecv(a args) Errno {
	d, e := p.socket(a.u32(0), rightRead)
	if e != 0 {
		return e
	}
	v, e := p.vector(a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	if a.u32(3)&^(recvPeek|recvWaitAll) != 0 {
		return errInval
	}
	_, ok := p.bytes(a.u32(4), 4)
	fl, ok2 := p.bytes(a.u32(5), 2)
	if !ok || !ok2 {
		return errFault
	}
	if !p.ready(d, false) {
		return errAgain
	}
	n, truncated, se := p.sys.Recv(d.fd, v, a.u32(3)&recvPeek != 0, a.u32(3)&recvWaitAll != 0)
	if se != 0 {
		return errno(se)
	}
	le.PutUint16(fl, 0)
	if truncated {
		le.PutUint16(fl, recvTruncated)
	}
	return p.put32(a.u32(4), uint32(n))
}

// sockSend is sock_send(fd, iovs, n, flags, result).
func (p *Process) sockSend(a args) Errno {
	d, e := p.socket(a.u32(0), rightWrite)
	if e != 0 {
		return e
	}
	v, e := p.vector(a.u32(1), a.u32(2))
	if e != 0 {
		return e
	}
	if a.u32(3) != 0 {
		return errInval
	}
	if _, ok := p.bytes(a.u32(4), 4); !ok {
		return errFault
	}
	if !p.ready(d, true) {
		return errAgain
	}
	n, se := p.sys.Send(d.fd, v)
	if se != 0 {
		return errno(se)
	}
	return p.put32(a.u32(4), uint32(n))
}

// sockShutdown is sock_shutdown(fd, how): 1 receiving, 2 sending, 3 both.
func (p *Process) sockShutdown(a args) Errno {
	d, e := p.socket(a.u32(0), rightSockShutdown)
	if e != 0 {
		return e
	}
	if how := a.u32(1); how < 1 || how > 3 {
		return errInval
	}
	return errno(p.sys.Shutdown(d.fd, int(a.u32(1))-1))
}
