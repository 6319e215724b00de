package unix

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// The core's view of the nucleus: see core.Host.

// NewTask implements core.Host.
func (s *server) NewTask(parent core.TaskID, tag uint64) (core.TaskID, abi.Errno) {
	var pn abi.Name
	if parent != 0 {
		t := s.task(parent)
		if t == nil {
			return 0, abi.ESRCH
		}
		pn = t.name
	} else if t := s.freshTask(); t != nil {
		return core.TaskID(t.b.ID), 0
	}
	return s.createTask(pn, tag)
}

// known: the core knows the task now, so that its requests can be served.
func (s *server) known(id core.TaskID) {
	t := s.task(id)
	dead := t == nil
	if t != nil {
		t.mu.Lock()
		dead = t.dead
		t.mu.Unlock()
	}
	if dead { // and the core, which was told already, did not know it
		go s.k.TaskGone(id)
		return
	}
	s.poller.Add(t.b)
}

func (s *server) task(id core.TaskID) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id]
}

// OpenPorts implements core.Host.
func (s *server) OpenPorts(id core.TaskID) (uint64, abi.Errno) {
	t := s.task(id)
	if t == nil {
		return 0, abi.ESRCH
	}
	if s.names == abi.NameNull {
		return 0, abi.ENOSYS
	}
	s.makesNone(id)
	name, e := s.conn.TaskOpen(t.name, s.names)
	return uint64(name), e
}

// Terminate implements core.Host.
func (s *server) Terminate(id core.TaskID) {
	if t := s.task(id); t != nil {
		s.posts <- func() { _ = s.conn.TaskTerminate(t.name) }
	}
}

// Kick implements core.Host.
func (s *server) Kick(id core.TaskID, hostTID uint64) {
	if t := s.task(id); t != nil {
		s.posts <- func() { _ = s.conn.Kick(t.name, hostTID) }
	}
}

// Tell implements core.Host.
func (s *server) Tell(id core.TaskID, word int, v uint64) {
	s.withBinding(id, func(b *ipc.ServerBinding) { b.Tell(word, v) })
}

// Robust implements core.Host.
func (s *server) Robust(id core.TaskID, slot uint32) (head uint64, ok bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) {
		late, robust, _, _ := b.Late(int(slot))
		head, ok = robust, late&abi.LateIsRobust != 0
	})
	return head, ok
}

// Mask implements core.Host.
func (s *server) Mask(id core.TaskID, slot uint32, cur uint64) (mask core.SigSet, ok bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) {
		var m uint64
		m, ok = b.Mask(int(slot), cur)
		mask = core.SigSet(m)
	})
	return mask, ok
}

// Begun implements core.Host.
func (s *server) Begun(id core.TaskID, slot uint32) (token, hostTID uint64) {
	s.withBinding(id, func(b *ipc.ServerBinding) { token, hostTID = b.Begun(int(slot)) })
	return token, hostTID
}

// Ended implements core.Host.
func (s *server) Ended(id core.TaskID, slot uint32) (token uint64, code uint32) {
	s.withBinding(id, func(b *ipc.ServerBinding) { token, code = b.Ended(int(slot)) })
	return token, code
}

// Lend implements core.Host.
func (s *server) Lend(id core.TaskID, fd int, size uint64, slot uint32, ends bool) (gen uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { gen = b.Lend(fd, size, slot, ends) })
	return gen, ok
}

// Unlend implements core.Host.
func (s *server) Unlend(id core.TaskID, fd int) {
	s.withBinding(id, func(b *ipc.ServerBinding) { b.Unlend(fd) })
}

// LentWrote implements core.Host.
func (s *server) LentWrote(id core.TaskID, fd int) (at uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { at = b.LentWrote(fd) })
	return at, ok
}

// LentSize implements core.Host.
func (s *server) LentSize(id core.TaskID, fd int, take bool) (size uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { size = b.LentSize(fd, take) })
	return size, ok
}

// Cycles implements core.Host.
func (s *server) Cycles() uint64 { return ipc.Cycles() }

// UnlendStat implements core.Host.
func (s *server) UnlendStat(id core.TaskID, fd int) (gen uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { gen = b.UnlendStat(fd) })
	return gen, ok
}

// LentPos implements core.Host.
func (s *server) LentPos(id core.TaskID, fd int) (pos uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { pos = b.LentPos(fd) })
	return pos, ok
}

// SetLentPos implements core.Host.
func (s *server) SetLentPos(id core.TaskID, fd int, from, to uint64) (ok bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) { ok = b.SetLentPos(fd, from, to) })
	return ok
}

// TellOpen implements core.Host.
func (s *server) TellOpen(id core.TaskID, fd int, v uint64) {
	s.withBinding(id, func(b *ipc.ServerBinding) { b.TellOpen(fd, v) })
}

// CloseWord implements core.Host.
func (s *server) CloseWord(id core.TaskID, fd int) (v uint64, ok bool) {
	ok = s.withBinding(id, func(b *ipc.ServerBinding) { v = b.CloseWord(fd) })
	return v, ok
}

// SetClose implements core.Host.
func (s *server) SetClose(id core.TaskID, fd int, from, to uint64) (ok bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) { ok = b.SetClose(fd, from, to) })
	return ok
}

// LentRing implements core.Host.
func (s *server) LentRing(id core.TaskID, ring int, head uint64, b []byte) (fill uint64) {
	s.withBinding(id, func(x *ipc.ServerBinding) { fill = x.LentRing(ring, head, b) })
	return fill
}

// LendSet implements core.Host.
func (s *server) LendSet(id core.TaskID, i int, fd int32, items []abi.LentItem, host, wake uint64) bool {
	lent := false
	s.withBinding(id, func(b *ipc.ServerBinding) { lent = b.LendSet(i, fd, items, host, wake) })
	return lent
}

// SetChanged implements core.Host.
func (s *server) SetChanged(id core.TaskID, i int) (changed bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) { changed = b.SetChanged(i) })
	return changed
}

// SetItems implements core.Host.
func (s *server) SetItems(id core.TaskID, i int) (fd int32, items []abi.LentItem) {
	s.withBinding(id, func(b *ipc.ServerBinding) { fd, items = b.SetItems(i) })
	return fd, items
}

// SettleSet implements core.Host.
func (s *server) SettleSet(id core.TaskID, i int) {
	s.withBinding(id, func(b *ipc.ServerBinding) { b.SettleSet(i) })
}

// SetSleeps implements core.Host.
func (s *server) SetSleeps(id core.TaskID, i int) (sleeps bool) {
	s.withBinding(id, func(b *ipc.ServerBinding) { sleeps = b.SetSleeps(i) })
	return sleeps
}

// HostsBusy implements core.Host.
func (s *server) HostsBusy(id core.TaskID) (fds uint64) {
	s.withBinding(id, func(b *ipc.ServerBinding) { fds = b.HostsBusy() })
	return fds
}

// UnlendSet implements core.Host.
func (s *server) UnlendSet(id core.TaskID, i int) (next uint32) {
	s.withBinding(id, func(b *ipc.ServerBinding) { next = b.UnlendSet(i) })
	return next
}

// withBinding calls f with a task's binding, if there still is one.
func (s *server) withBinding(id core.TaskID, f func(b *ipc.ServerBinding)) bool {
	t := s.task(id)
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed {
		return false
	}
	f(t.b)
	return true
}

// Grant implements core.Host. It is said to the nucleus at once, not by the
// goroutine of posts: the library waits for the object for ever once it has the
// answer, and a next incarnation does not run the call again.
func (s *server) Grant(id core.TaskID, object core.ObjectName, readonly bool, tag uint64) {
	s.conn.PostGrant(uint64(id), abi.Name(object), readonly, tag, func(e abi.Errno) {
		// The library waits for the object: it would wait for ever. If the task has ended already
		// there is nothing to do, nor to say.
		if t := s.task(id); t != nil && s.conn.TaskTerminate(t.name) == 0 {
			s.conn.Log(1, "a task was ended, since it could not be given an object: "+e.Name())
		}
	})
}

// DropObject implements core.Host.
func (s *server) DropObject(object core.ObjectName) {
	s.objects.drop(object)
	if m := s.streams.take(object); m != nil {
		m.Unmap() // nobody is at work with it: that is done with the core's lock held, as this is
	}
	s.posts <- func() { _ = s.conn.Deallocate(abi.Name(object)) }
}

// NewObject implements core.Host.
func (s *server) NewObject(size uint64, label string) (core.ObjectName, core.HostFile, abi.Errno) {
	n, fd, e := s.conn.CreateObject(size, label)
	var f core.HostFile
	if e == 0 {
		f.Major, f.Minor, f.Ino = ipc.FileID(fd)
		ipc.CloseFD(fd) // guests map it; nobody does here
	}
	return core.ObjectName(n), f, e
}

// CopyObject implements core.Host. Holes stay holes.
func (s *server) CopyObject(from core.ObjectName, n, size uint64) (core.ObjectName, abi.Errno) {
	src, e := s.conn.ObjectFD(abi.Name(from), true)
	if e != 0 {
		return 0, e
	}
	in := os.NewFile(uintptr(src), "object")
	defer in.Close()
	name, dst, e := s.conn.CreateObject(size, "")
	if e != 0 {
		return 0, e
	}
	out := os.NewFile(uintptr(dst), "object")
	defer out.Close()
	if err := copySparse(out, in, int64(n)); err != nil {
		s.posts <- func() { _ = s.conn.Deallocate(name) }
		return 0, abi.ENOMEM
	}
	return core.ObjectName(name), 0
}

// ClearObject implements core.Host.
func (s *server) ClearObject(object core.ObjectName, off, n uint64) abi.Errno {
	fd, e := s.conn.ObjectFD(abi.Name(object), false)
	if e != 0 {
		return e
	}
	defer ipc.CloseFD(fd)
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)); err != nil {
		return abi.ENOMEM
	}
	return 0
}

// copySparse copies the data among the first n bytes of a file.
func copySparse(out, in *os.File, n int64) error {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < n; {
		from, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end
		}
		if err != nil {
			return err
		}
		to, err := in.Seek(from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for to = min(to, n); from < to; {
			b := buf[:min(int64(len(buf)), to-from)]
			if _, err := in.ReadAt(b, from); err != nil {
				return err
			}
			if _, err := out.WriteAt(b, from); err != nil {
				return err
			}
			from += int64(len(b))
		}
		at = max(at+1, to)
	}
	return nil
}

// Maps implements core.Host.
func (s *server) Maps(id core.TaskID, detail bool) ([]byte, abi.Errno) {
	t := s.task(id)
	if t == nil {
		return nil, abi.ESRCH
	}
	m, e := s.conn.TaskMaps(t.name, detail)
	return []byte(m), e
}

// Memory implements core.Host.
func (s *server) Memory(id core.TaskID, addr uint64, n int) ([]byte, abi.Errno) {
	t := s.task(id)
	if t == nil {
		return nil, abi.ESRCH
	}
	return s.conn.TaskMemory(t.name, addr, n)
}

// Usage implements core.Host.
func (s *server) Usage(id core.TaskID) (rss, user, sys uint64, err abi.Errno) {
	t := s.task(id)
	if t == nil {
		return 0, 0, 0, abi.ESRCH
	}
	i, e := s.conn.TaskInfo(t.name)
	return i.Resident, i.UserNs, i.SystemNs, e
}

// CPU implements core.Host.
func (s *server) CPU(id core.TaskID, hostTID uint64) (uint64, abi.Errno) {
	t := s.task(id)
	if t == nil {
		return 0, abi.ESRCH
	}
	i, e := s.conn.ThreadInfo(t.name, hostTID)
	return i.CPUNs, e
}

// AddThreads implements core.Host.
func (s *server) AddThreads(id core.TaskID, n int) abi.Errno {
	t := s.task(id)
	if t == nil {
		return abi.ESRCH
	}
	return s.room(func() abi.Errno { return s.conn.TaskThreads(t.name, n) })
}

// ThreadGone implements core.Host.
func (s *server) ThreadGone(id core.TaskID, hostTID uint64) {
	if t := s.task(id); t != nil {
		s.posts <- func() { _ = s.conn.ThreadGone(t.name, hostTID) }
	}
}

// Assign implements core.Host.
func (s *server) Assign(id core.TaskID, hostTID uint64, cpus core.CPUSet) abi.Errno {
	t := s.task(id)
	if t == nil {
		return abi.ESRCH
	}
	return s.conn.TaskProcessors(t.name, hostTID, ipc.Processors(cpus))
}

// schedClass are classes by policy.
var schedClass = map[uint32]uint32{core.SchedOther: abi.ClassNormal, core.SchedBatch: abi.ClassBatch, core.SchedIdle: abi.ClassIdle,
	core.SchedFIFO: abi.ClassFixed, core.SchedRR: abi.ClassRound, core.SchedDeadline: abi.ClassDeadline}

// Schedule implements core.Host.
func (s *server) Schedule(id core.TaskID, hostTID uint64, how core.Sched) abi.Errno {
	t := s.task(id)
	if t == nil {
		return abi.ESRCH
	}
	e := s.conn.ThreadPolicy(t.name, hostTID, ipc.Policy{Class: schedClass[how.Policy], Nice: how.Nice, Priority: how.Prio,
		Runtime: how.Runtime, Deadline: how.Deadline, Period: how.Period, Reset: how.Reset != 0})
	if e == abi.EOPNOTSUPP {
		e = abi.EPERM
	}
	return e
}

// Log implements core.Host.
func (s *server) Log(line string) {
	select {
	case s.posts <- func() { s.conn.Log(2, line) }:
	default: // a flood of lines must not stop the server
	}
}

// Halt implements core.Host. The supervisor waits for the first program and
// ends the machine itself.
func (s *server) Halt(status uint32) {}

var _ core.Host = (*server)(nil)
