package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Calls of sockets that read(2) and write(2) are not: of streams between two tasks (stream_unsafe.go), and to the
// outside (hostsock_unsafe.go). Without addresses, control data and flags that mean more than not to wait or
// to be sent no SIGPIPE: at the other end of what is lent there is somebody.

// sockCalls serves recvfrom(2), sendto(2) and writev(2).
func (t *Thread) sockCalls(uc *Ucontext, k uint8, fd, buf, n uintptr) (uintptr, bool) {
	fd = uintptr(uint32(fd))
	l := t.lent(fd)
	if l == nil {
		return 0, false
	}
	pos := atomic.LoadUint64(&l.Pos)
	if kind := lentKind(pos); pos&abi.LentPos == 0 || kind != abi.LentIsStream && kind != abi.LentIsUnits {
		return 0, false
	}
	if k == abi.LocalWritev {
		return t.writevSock(uc, fd, pos, buf, n)
	}
	flags := uint32(uc.Regs.R10)
	if uc.Regs.R8 != 0 {
		return 0, false
	}
	now := flags&msgDontwait != 0
	if k == abi.LocalRecv {
		if flags&^msgDontwait != 0 {
			return 0, false
		}
		if isHost(pos) {
			return t.recvHost(uc, fd, pos, buf, n, now)
		}
		return t.readStream(uc, pos, buf, n, now)
	}
	if flags&^(msgDontwait|msgNosignal) != 0 {
		return 0, false
	}
	if isHost(pos) {
		return t.sendHost(uc, fd, pos, buf, n, 0, now)
	}
	return t.writeStream(uc, pos, buf, n, now)
}

// sockPieces is of how many pieces a writev(2) may be that the library serves.
const sockPieces = 16

// writevSock serves writev(2).
func (t *Thread) writevSock(uc *Ucontext, fd uintptr, pos uint64, iov, n uintptr) (uintptr, bool) {
	if n == 0 || n > sockPieces || !t.inGuest(iov, n*16) {
		return 0, false
	}
	for i := uintptr(0); i < n; i++ {
		if _, m, ok := t.piece(iov, i); !ok || m == 0 {
			return 0, false // the last one has to be one that sends
		}
	}
	if isHost(pos) {
		return t.writevHost(uc, fd, pos, iov, n)
	}
	return t.writevStream(pos, iov, n)
}

// piece answers a piece of memory of an iovec array.
func (t *Thread) piece(iov, i uintptr) (base, n uintptr, ok bool) {
	if t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), iov+i*16, 16) != 0 {
		return 0, 0, false
	}
	return uintptr(t.Scratch[0]), uintptr(t.Scratch[1]), true
}

func (t *Thread) writevHost(uc *Ucontext, fd uintptr, pos uint64, iov, n uintptr) (uintptr, bool) {
	if t.Done != 0 {
		return 0, false
	}
	m := t.gather(iov, n)
	if failed(m) {
		return m, t.hostSock(fd, pos) != 0 // of what it takes at once Linux sends nothing then
	}
	if m != 0 {
		if !hostNow(pos) {
			return t.sendWaits(uc, fd, pos, t.slotAddr()+abi.SlotInOff, m)
		}
		if h := t.hostSock(fd, pos); h != 0 {
			r := t.host(sysSendto, h, t.slotAddr()+abi.SlotInOff, m, msgDontwait|msgNosignal, 0, 0)
			return r, hostSaid(r)
		}
		return 0, false
	}
	if !hostNow(pos) {
		return 0, false // of many pieces the server knows how many are sent
	}
	done := uintptr(0)
	for i := uintptr(0); i < n; i++ {
		base, m, ok := t.piece(iov, i)
		if !ok {
			return done, done > 0
		}
		more := uintptr(msgMore)
		if i == n-1 {
			more = 0
		}
		r, ok := t.sendHost(uc, fd, pos, base, m, more, true)
		if !ok || failed(r) {
			if done > 0 {
				return done, true
			}
			return r, ok
		}
		done += r
		if r < m {
			break
		}
	}
	return done, done > 0
}

// writevStream writes what there is room for, to an end that does not wait: its reader has all of it at once.
func (t *Thread) writevStream(pos uint64, iov, n uintptr) (uintptr, bool) {
	if pos>>abi.StreamNow&1 == 0 || t.Done != 0 {
		return 0, false
	}
	e := t.streamOf(nil, pos, true)
	if e.over {
		return 0, false
	}
	r, done := t.writevTo(&e, iov, n)
	t.leaveStream(&e)
	return r, done
}

func (t *Thread) writevTo(e *streamEnd, iov, n uintptr) (uintptr, bool) {
	if e.most > e.size || !t.lockEnd(e) {
		return 0, false
	}
	v := atomic.LoadUint64(e.word)
	used, ok := e.lent(v)
	if !ok {
		return 0, false
	}
	if used >= e.most {
		return errno(eAGAIN), true
	}
	at, room, done := uintptr(v>>abi.StreamHead)+used, e.most-used, uintptr(0)
	for i := uintptr(0); i < n && done < room; i++ {
		base, m, ok := t.piece(iov, i)
		if !ok || m >= 1<<31-abi.PageSize || !t.inGuest(base, m) {
			return 0, false
		}
		m = min(m, room-done)
		if !t.ringIn(e.ring, e.size, (at+done)%e.size, base, m) {
			return 0, false
		}
		done += m
	}
	return done, t.streamPut(e, done)
}
