package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Streams to the outside of which the task has the host's socket (docs/lending.md): a connection that the
// net server has made or accepted, and nothing else can be done with it than to send and to receive. Whether
// who has to wait does is said by each call. What fails
// otherwise than by what the connection is told goes to the server, which then serves the call.

// HostTag is where the tag of Task.Hosts is, above the host's descriptor.
const HostTag = 32

// isHost says whether a descriptor's word is that of a stream to the outside.
func isHost(pos uint64) bool {
	return pos&abi.LentPos != 0 && lentKind(pos) == abi.LentIsStream && pos>>abi.StreamShift&abi.StreamShifts == abi.StreamIsHost
}

// hostSock answers the host's socket of a descriptor with the word pos; 0: the task does not have it.
func (t *Thread) hostSock(fd uintptr, pos uint64) uintptr {
	h := atomic.LoadUint64(t.hostAt(fd))
	if h == 0 || h>>HostTag != pos>>abi.StreamNo&abi.HostTags {
		return 0
	}
	return uintptr(uint32(h))
}

func (t *Thread) hostAt(fd uintptr) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(&t.task().Hosts), fd*8))
}

// hostSaid says whether the host's answer is one for the program.
func hostSaid(r uintptr) bool {
	return !failed(r) || r == errno(eAGAIN) || r == errno(eCONNRESET) || r == errno(eTIMEDOUT) || r == errno(eHOSTUNREACH)
}

// hostNow says whether who would have to wait by a descriptor with the word pos is told EAGAIN.
func hostNow(pos uint64) bool { return pos>>abi.StreamNow&1 != 0 }

// recvHost receives; now: it does not wait. The thread counts itself before it looks whether the stream is lent, and
// says when it leaves one that was taken back: until then nobody else receives, so that no bytes come before earlier ones.
func (t *Thread) recvHost(uc *Ucontext, fd uintptr, pos uint64, buf, n uintptr, now bool) (uintptr, bool) {
	if n == 0 || n >= 1<<31-abi.PageSize || !t.inGuest(buf, n) {
		return 0, false
	}
	busy := (*uint32)(unsafe.Add(unsafe.Pointer(&t.area().HostBusy), fd*4))
	at := (*uint64)(unsafe.Add(unsafe.Pointer(&t.area().Lent), fd*unsafe.Sizeof(abi.Lent{})+unsafe.Offsetof(abi.Lent{}.Pos)))
	atomic.AddUint32(busy, 1)
	r, ok := uintptr(0), false
	if h := t.hostSock(fd, pos); h != 0 && atomic.LoadUint64(at) == pos {
		r, ok = t.recvFrom(uc, h, buf, n, now || hostNow(pos)), true
	}
	atomic.AddUint32(busy, ^uint32(0))
	if atomic.LoadUint64(at) != pos {
		atomic.StoreUint32(&t.area().Changed, 1)
		t.ring()
		if r == 0 {
			return 0, false // the end, it may be, because the server has ended it
		}
	}
	return r, ok && (hostSaid(r) || r == errno(eINTR))
}

// recvFrom receives by the host's socket h. A kick cuts a wait (-EINTR).
func (t *Thread) recvFrom(uc *Ucontext, h, buf, n uintptr, now bool) uintptr {
	site := uc == &t.Site
	if now || !site {
		if r := t.host(sysRecvfrom, h, buf, n, msgDontwait, 0, 0); now || r != errno(eAGAIN) {
			return r
		}
	}
	if !site {
		t.kicks(0)
	}
	r := t.hostWait(sysRecvfrom, h, buf, n, 0, 0, 0)
	if !site {
		t.kicks(1)
	}
	return r
}

// sendHost sends; more: MSG_MORE, what follows belongs to it; now: it does not wait.
func (t *Thread) sendHost(uc *Ucontext, fd uintptr, pos uint64, buf, n, more uintptr, now bool) (uintptr, bool) {
	if n == 0 || n >= 1<<31-abi.PageSize || !t.inGuest(buf, n) {
		return 0, false
	}
	if !now && !hostNow(pos) {
		return t.sendWaits(uc, fd, pos, buf, n)
	}
	h := t.hostSock(fd, pos)
	if h == 0 || t.Done != 0 { // that has waited when it began
		return 0, false
	}
	r := t.host(sysSendto, h, buf, n, msgDontwait|msgNosignal|more, 0, 0)
	return r, hostSaid(r)
}

// sendWaits sends all of it, from Thread.Done on. What a kick ends in the middle the server is asked about, and told how much
// was sent (Thread.Done).
func (t *Thread) sendWaits(uc *Ucontext, fd uintptr, pos uint64, buf, n uintptr) (uintptr, bool) {
	h, done := t.hostSock(fd, pos), uintptr(t.Done)
	if h == 0 || done >= n {
		return 0, false
	}
	t.Done = 0
	if uc != &t.Site {
		t.kicks(0)
	}
	r := t.hostWait(sysSendto, h, buf+done, n-done, msgNosignal, 0, 0)
	if uc != &t.Site {
		t.kicks(1)
	}
	if !failed(r) {
		done += r
		if done < n && t.Kicked != 0 {
			t.Done = uint32(done)
			return 0, false
		}
		return done, true
	}
	if done > 0 && r != errno(eINTR) {
		return done, true
	}
	if done > 0 {
		t.Done = uint32(done)
		return 0, false
	}
	return r, hostSaid(r) || r == errno(eINTR)
}

// gatherMost is how many bytes of several pieces are sent by one call of the host's, which is dearer than to copy them.
const gatherMost = 16 << 10

// gather copies so many pieces into the slot's In area, where no request is now, and answers how many bytes they are; 0: it is
// one piece, or too much; or -EFAULT.
func (t *Thread) gather(iov, n uintptr) (total uintptr) {
	if n < 2 {
		return 0
	}
	for i := uintptr(0); i < n; i++ {
		base, m, ok := t.piece(iov, i)
		if !ok {
			return errno(eFAULT)
		}
		if m > gatherMost-total {
			return 0
		}
		if t.copyIn(t.slotAddr()+abi.SlotInOff+total, base, m) != 0 {
			return errno(eFAULT)
		}
		total += m
	}
	return total
}

// takeHost carries out an ActLend of a stream to the outside.
func (t *Thread) takeHost(a *abi.Action) {
	fd, tag := uintptr(uint32(a.A[0])), uint64(a.Flags>>8)
	if fd >= abi.LentFiles {
		return
	}
	l := (*abi.Lent)(unsafe.Add(unsafe.Pointer(&t.area().Lent), fd*unsafe.Sizeof(abi.Lent{})))
	t.lock()
	if a.A[1] != 0 {
		if g := t.takeGrant(abi.EventGrant, tag); g != nil {
			t.dropHost(fd)
			atomic.StoreUint64(t.hostAt(fd), tag<<HostTag|uint64(uint32(g.FDs[0])))
			g.Op = 0
		}
	}
	t.unlock()
	atomic.CompareAndSwapUint64(&l.Pos, a.A[3], a.A[4])
}

// closeHost carries out an ActUnlend of one.
func (t *Thread) closeHost(fd uintptr, tag uint64) {
	if fd >= abi.LentFiles {
		return
	}
	t.lock()
	if atomic.LoadUint64(t.hostAt(fd))>>HostTag == tag {
		t.dropHost(fd)
	}
	t.unlock()
}

// dropHost closes the host's socket of a descriptor. A thread that is late with a call on it finds
// no socket there, or another one of the task's: as after close(2) of a descriptor that another thread
// works with.
func (t *Thread) dropHost(fd uintptr) {
	if h := atomic.LoadUint64(t.hostAt(fd)); h != 0 {
		atomic.StoreUint64(t.hostAt(fd), 0)
		t.closeFD(int32(uint32(h)))
	}
}
