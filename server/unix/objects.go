package unix

import (
	"os"
	"sync"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// objects keeps a descriptor for each memory object that file servers have
// granted, for reads that need no request.
type objects struct {
	mu    sync.Mutex
	files map[core.ObjectName]*os.File // guarded by mu
}

func (o *objects) put(name core.ObjectName, fd int) {
	f := os.NewFile(uintptr(fd), "object")
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.files[name]; old != nil {
		old.Close()
	}
	o.files[name] = f
}

func (o *objects) drop(name core.ObjectName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[name]; f != nil {
		f.Close()
		delete(o.files, name)
	}
}

// inheritObjects takes up the objects that the records name, and gives up the
// others that the last incarnation left.
func (s *server) inheritObjects(in *ipc.Inheritance) {
	held := s.k.HeldObjects()
	for i := range in.Rights {
		r := &in.Rights[i]
		if r.Kind != abi.RightObject || r.Label != "" {
			continue
		}
		n := held[core.ObjectName(r.Name)]
		switch {
		case r.FD < 0:
		case n > 0:
			s.objects.put(core.ObjectName(r.Name), r.FD)
		default:
			ipc.CloseFD(r.FD)
		}
		for ; n < r.Refs; n++ {
			s.posts <- func() { _ = s.conn.Deallocate(r.Name) }
		}
	}
}

// Granted implements core.Objects: mapper has taken the grant already, and the
// tag is the object's name here.
func (o *objects) Granted(_ string, tag uint64) (core.ObjectName, abi.Errno) {
	return core.ObjectName(tag), 0
}

// Data implements core.Objects.
func (o *objects) Data(name core.ObjectName) core.DataFile {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[name]; f != nil {
		return f
	}
	return nil
}

// mapper is a file server whose granted objects are kept.
type mapper struct {
	*fs.Client
	o *objects
}

// Map implements fs.Server.
func (m mapper) Map(r fs.Req, node fs.NodeID, write bool) (fs.MapOut, abi.Errno) {
	fd, out, e := m.Client.MapFD(r, node, write)
	if e == 0 {
		m.o.put(core.ObjectName(out.Tag), fd)
	}
	return out, e
}
