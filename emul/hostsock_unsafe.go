package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// Streams to the outside of which the task has the host's socket (docs/lending.md): a connection that the
// net server has made or accepted, and nothing else can be done with it than to send and to receive. It
// does not wait, and is lent only while the program's descriptor does not, either. What fails
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

func (t *Thread) recvHost(fd uintptr, pos uint64, buf, n uintptr) (uintptr, bool) {
	h := t.hostSock(fd, pos)
	if h == 0 || n == 0 || n >= 1<<31-abi.PageSize || !t.inGuest(buf, n) {
		return 0, false
	}
	r := t.host(sysRecvfrom, h, buf, n, msgDontwait, 0, 0)
	return r, hostSaid(r)
}

// sendHost sends; more: MSG_MORE, what follows belongs to it.
func (t *Thread) sendHost(fd uintptr, pos uint64, buf, n, more uintptr) (uintptr, bool) {
	h := t.hostSock(fd, pos)
	if h == 0 || n == 0 || n >= 1<<31-abi.PageSize || !t.inGuest(buf, n) {
		return 0, false
	}
	r := t.host(sysSendto, h, buf, n, msgDontwait|msgNosignal|more, 0, 0)
	return r, hostSaid(r)
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
