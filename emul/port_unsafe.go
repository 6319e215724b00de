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
		t.kicks(0)
		r := t.hostWait(sysWrite, PortFD, a, b, 0, 0, 0)
		t.kicks(1)
		return r, true
	}
	return t.portRecv(a, b), true
}

// portRecv takes a datagram into the guest's memory. Of the descriptors beside it
// it keeps one that comes alone with an ID that asks for it.
func (t *Thread) portRecv(a, n uintptr) uintptr {
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
	if fds == 1 && r >= abi.CallHeaderSize && t.copyIn(uintptr(unsafe.Pointer(&t.Scratch)), a, 16) == 0 && t.Scratch[1]&abi.GuestKeep != 0 {
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
	if n != 0 && (flags != mapShared && flags != mapPrivate || prot&^(protRead|protWrite|protExec) != 0 || n > t.Window) {
		return errno(eINVAL)
	}
	if !t.inGuest(addr, n) {
		addr = 0
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
	}
	t.closeFD(fd)
	return r
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
