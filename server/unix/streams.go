package unix

import (
	"hythe/abi"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// NewStream implements core.Host.
func (s *server) NewStream(shift uint) (core.ObjectName, abi.Errno) {
	n, fd, e := s.conn.CreateObject(uint64(ipc.StreamSize(shift)), "")
	if e != 0 {
		return 0, e
	}
	m, err := ipc.MapStream(fd, shift)
	ipc.CloseFD(fd)
	if err != nil {
		s.posts <- func() { _ = s.conn.Deallocate(n) }
		return 0, abi.ENOMEM
	}
	s.streams.put(core.ObjectName(n), m)
	return core.ObjectName(n), 0
}

// StreamBack implements core.Host.
func (s *server) StreamBack(o core.ObjectName, shift uint, dir int) (word, count uint64, ok bool) {
	if m := s.stream(o, shift); m != nil {
		word, count = m.Back(dir)
		return word, count, true
	}
	return 0, 0, false
}

// SetStream implements core.Host.
func (s *server) SetStream(o core.ObjectName, dir int, from, to uint64) bool {
	m := s.streams.get(o)
	return m != nil && m.Set(dir, from, to)
}

// StreamWord implements core.Host.
func (s *server) StreamWord(o core.ObjectName, dir int) uint64 {
	if m := s.streams.get(o); m != nil {
		return m.Word(dir)
	}
	return 0
}

// StreamPoll implements core.Host.
func (s *server) StreamPoll(o core.ObjectName, dir int, who uint32, on bool) {
	if m := s.streams.get(o); m != nil {
		m.Poll(dir, who, on)
	}
}

// StreamBytes implements core.Host.
func (s *server) StreamBytes(o core.ObjectName, dir int, head uint64, b []byte) (fill uint32) {
	if m := s.streams.get(o); m != nil {
		return m.Bytes(dir, head, b)
	}
	return 0
}

// StreamFill implements core.Host.
func (s *server) StreamFill(o core.ObjectName, head uint64, b []byte, fill uint32) bool {
	m := s.streams.get(o)
	return m != nil && m.Fill(head, b, fill)
}

// stream finds a stream's memory. What the last incarnation had mapped is inherited as other
// objects are, and mapped when somebody asks for it.
func (s *server) stream(o core.ObjectName, shift uint) *ipc.StreamMemory {
	if m := s.streams.get(o); m != nil {
		return m
	}
	m := s.objects.mapStream(o, shift)
	if m != nil {
		s.streams.put(o, m)
	}
	return m
}
