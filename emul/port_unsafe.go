package emul

import (
	"sync/atomic"
	"unsafe"

	"hythe/abi"
)

// The calls by which a guest program speaks on its task's ports channel
// (docs/decisions/0007). The library carries bytes and looks at nothing but what
// it needs for a descriptor that is to be mapped.

// maxPortDatagram is more than the nucleus takes or sends at once.
const maxPortDatagram = 64 << 10

// portFDs is how many descriptors can come beside a datagram.
const portFDs = abi.MaxObjects

// ports serves a call of kind k; false if the server has to open the channel.
func (t *Thread) ports(uc *Ucontext, k uint8, a, b, c uintptr) (uintptr, bool) {
	open := atomic.LoadUint64(&t.task().Words[abi.TaskPorts])
	if k == abi.LocalPortOpen {
		return uintptr(open), open != 0
	}
	if open == 0 {
		return errno(eBADF), true
	}
	if k == abi.LocalPortPaged {
		return t.portPaged(a, b, c, uintptr(uc.Regs.R10), uintptr(uc.Regs.R8), uintptr(uc.Regs.R9)), true
	}
	if k == abi.LocalPortFaults {
		return t.portFaults(a), true
	}
	if k == abi.LocalPortMap {
		return t.portMap(a, b, c, uintptr(uc.Regs.R10), uintptr(uc.Regs.R8), uintptr(uc.Regs.R9)), true
	}
	if b < abi.CallHeaderSize || b > maxPortDatagram {
		return errno(eINVAL), true
	}
	if !t.inGuest(a, b) {
		return errno(eFAULT), true
	}
	if k == abi.LocalPortSend {
		for try := uintptr(0); ; try++ {
			t.kicks(0)
			r := t.hostWait(sysWrite, PortFD, a, b, 0, 0, 0)
			t.kicks(1)
			if !t.missed(r, try) || !t.fetch(a, b, 0) {
				return r, true
			}
		}
	}
	return t.portRecv(a, b), true
}

// portRecv takes a datagram into the guest's memory. Of the descriptors beside it
// it keeps one that comes alone with an ID that asks for it.
func (t *Thread) portRecv(a, n uintptr) uintptr {
	if t.task().Paged == 0 {
		return t.portTake(a, n)
	}
	// The host would lose what it cannot store: into the slot first, which is not in use.
	// Its server looks at a slot that holds a request only.
	from := t.slotAddr() + abi.SlotInOff
	r := t.portTake(from, n)
	if !failed(r) && t.copyOut(a, from, r) != 0 {
		return errno(eFAULT)
	}
	return r
}

// portTake is portRecv into memory that is there.
func (t *Thread) portTake(a, n uintptr) uintptr {
	// Scratch from here on: the first words are used by kicks.
	ctl := (*[2 + portFDs/2]uint64)(unsafe.Pointer(&t.Scratch[8]))
	t.Iov[0] = uint64(a)
	t.Iov[1] = uint64(n)
	t.Msg[0] = 0
	t.Msg[1] = 0
	t.Msg[2] = uint64(uintptr(unsafe.Pointer(&t.Iov)))
	t.Msg[3] = 1
	t.Msg[4] = uint64(uintptr(unsafe.Pointer(ctl)))
	t.Msg[5] = uint64(unsafe.Sizeof(*ctl))
	t.Msg[6] = 0
	t.kicks(0)
	r := t.hostWait(sysRecvmsg, PortFD, uintptr(unsafe.Pointer(&t.Msg)), 0, 0, 0, 0)
	t.kicks(1)
	// cmsghdr: length, then SOL_SOCKET (1) and SCM_RIGHTS (1).
	if failed(r) || t.Msg[5] < 16 || ctl[1] != 1|1<<32 || ctl[0] < 20 {
		return r
	}
	fds := (uintptr(ctl[0]) - 16) / 4
	if fds == 1 && r >= abi.CallHeaderSize && t.copyMem(uintptr(unsafe.Pointer(&t.Scratch)), a, 16) == 0 && t.Scratch[1]&abi.GuestKeep != 0 {
		if t.portKeep(t.Scratch[1], int32(uint32(ctl[2]))) {
			return r
		}
	}
	for i := uintptr(0); i < fds && i < portFDs; i++ {
		t.closeFD(int32(uint32(ctl[(2+i/2)%uintptr(len(ctl))] >> (i % 2 * 32))))
	}
	return r
}

// portKeep keeps a descriptor under an ID. One that was kept under it before is
// given up.
func (t *Thread) portKeep(id uint64, fd int32) bool {
	t.lock()
	if g := t.findGrant(abi.EventReply, id); g != nil {
		t.closeFD(g.FDs[0])
		g.Op = 0
	}
	task := t.task()
	kept := false
	for i := uintptr(0); i < MaxGrants; i++ {
		g := grantAt(task, i)
		if g.Op != 0 {
			continue
		}
		g.Op = abi.EventReply
		g.Tag = id
		g.FDs[0] = fd
		g.FDs[1] = -1
		g.FDs[2] = -1
		if uint32(i) >= task.NGrants {
			task.NGrants = uint32(i) + 1
		}
		kept = true
		break
	}
	t.unlock()
	return kept
}

// portMap maps what was kept under an ID, and gives the descriptor up.
func (t *Thread) portMap(id, addr, n, prot, flags, off uintptr) uintptr {
	if kind := flags &^ mapNoreplace; n != 0 && (kind != mapShared && kind != mapPrivate || prot&^(protRead|protWrite|protExec) != 0 || n > t.Window) {
		return errno(eINVAL)
	}
	if !t.inGuest(addr, n) {
		if flags&mapNoreplace != 0 {
			return errno(eNOMEM)
		}
		addr = 0
	}
	if flags&mapNoreplace == 0 {
		addr = unplaced(addr, n)
	}
	t.lock()
	g := t.findGrant(abi.EventReply, uint64(id))
	if g == nil {
		t.unlock()
		return errno(eBADF)
	}
	fd := g.FDs[0]
	g.Op = 0
	t.unlock()
	r := uintptr(0)
	if n != 0 {
		r = t.host(sysMmap, addr, n, prot, flags, uintptr(fd), off)
		if !failed(r) && flags&mapShared != 0 {
			t.lock()
			t.addRegion(r, n, prot, abi.InheritShare, 0)
			t.unlock()
		}
	}
	t.closeFD(fd)
	return r
}

// portPaged maps what was kept under an ID as a paged object, and keeps in its place what
// tells of faults in the task's address space. That the nucleus takes (Context.Take), which
// says to the host which memory is meant; here nothing can be done with it.
//
// To a forked child the host would give it without that, with zeros where pages are missing:
// it has none, unless the program says that it is to share it (sharePaged).
func (t *Thread) portPaged(id, addr, n, prot, flags, off uintptr) uintptr {
	if n == 0 || flags&^mapNoreplace != mapShared || prot&^(protRead|protWrite|protExec) != 0 || n > t.Window {
		return errno(eINVAL)
	}
	if !t.inGuest(addr, n) {
		if flags&mapNoreplace != 0 {
			return errno(eNOMEM)
		}
		addr = 0
	}
	if flags&mapNoreplace == 0 {
		addr = unplaced(addr, n)
	}
	// With the lock nobody forks: a child would have what tells of its parent's faults.
	t.lock()
	g := t.findGrant(abi.EventReply, uint64(id))
	if g == nil {
		t.unlock()
		return errno(eBADF)
	}
	fd := g.FDs[0]
	r := t.host(sysUserfaultfd, uffdUser, 0, 0, 0, 0, 0)
	u := int32(uint32(r))
	if !failed(r) {
		r = t.host(sysMmap, addr, n, prot, flags, uintptr(fd), off)
		if failed(r) {
			t.closeFD(u)
		}
	}
	if failed(r) {
		g.Op = 0
	} else {
		t.host(sysMadvise, r, n, madvDontfork, 0, 0, 0)
		g.FDs[0] = u
		g.Paged = max(t.task().Paged+1, 1)
		t.addRegion(r, n, prot, abi.InheritNone, g.Paged)
		atomic.StoreUint32(&t.task().Paged, g.Paged)
	}
	t.closeFD(fd)
	t.unlock()
	return r
}

// portFaults answers the number of what portPaged left under an ID, and that of the mapping.
func (t *Thread) portFaults(id uintptr) uintptr {
	t.lock()
	r := errno(eBADF)
	if g := t.findGrant(abi.EventReply, uint64(id)); g != nil {
		r = uintptr(uint32(g.FDs[0])) | uintptr(g.Paged)<<abi.MappingShift
	}
	t.unlock()
	return r
}

// A page of a paged object that is missing, or locked and to be written, is an EFAULT to a
// host call of the library's, where the library itself, as the guest, would wait for it.
// So it touches the page, and makes the call again; a page may be taken away in between,
// and after fetchTries times the call has failed.
const fetchTries = 16

// missed says whether a call's result may mean that a page is missing.
func (t *Thread) missed(r, try uintptr) bool {
	return r == errno(eFAULT) && try < fetchTries && atomic.LoadUint32(&t.task().Paged) != 0
}

// fetch touches the n bytes at a, for writing too: false if that is a fault.
func (t *Thread) fetch(a, n, write uintptr) bool {
	to := uintptr(unsafe.Pointer(&t.Scratch[63]))
	for p := a &^ 3; p < a+n; p = (p | pageMask) + 1 {
		if write != 0 {
			if t.cas32(p, 0, 0) > 0xffffffff {
				return false
			}
		} else if t.copyMem(to, p, 4) != 0 {
			return false
		}
	}
	return true
}

// hostOn makes a host call that uses n bytes of the guest's at a, and writes them if write
// is not 0.
func (t *Thread) hostOn(a, n, write, nr, x, y, z uintptr) uintptr {
	r := t.host(nr, x, y, z, 0, 0, 0)
	for try := uintptr(0); t.missed(r, try) && t.fetch(a, n, write); try++ {
		r = t.host(nr, x, y, z, 0, 0, 0)
	}
	return r
}

// waitOn waits on the guest's word at addr; a kick cuts the wait.
func (t *Thread) waitOn(addr, op, val, limit, val3 uintptr) uintptr {
	for try := uintptr(0); ; try++ {
		t.kicks(0)
		r := t.hostWait(sysFutex, addr, op, val, limit, 0, val3)
		t.kicks(1)
		if !t.missed(r, try) || !t.fetch(addr, 4, 0) {
			return r
		}
	}
}

// openPorts takes the task's ports channel, once, and answers name.
func (t *Thread) openPorts(name uint64) uintptr {
	w := &t.task().Words[abi.TaskPorts]
	t.lock()
	if atomic.LoadUint64(w) == 0 {
		g := t.takeGrant(abi.EventGrant, abi.PortsTag)
		if g == nil {
			t.unlock()
			return errno(eAGAIN)
		}
		t.host(sysDup2, uintptr(g.FDs[0]), PortFD, 0, 0, 0, 0)
		t.closeFDs(&g.FDs)
		g.Op = 0
		atomic.StoreUint64(w, name)
	}
	t.unlock()
	return uintptr(name)
}

// dropPorts is a forked child's: its parent's channel is not its own.
func (t *Thread) dropPorts() {
	if atomic.LoadUint64(&t.task().Words[abi.TaskPorts]) != 0 {
		t.host(sysDup2, InertFD, PortFD, 0, 0, 0, 0)
		atomic.StoreUint64(&t.task().Words[abi.TaskPorts], 0)
	}
}
