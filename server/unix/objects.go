package unix

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/unix/core"
)

// objects keeps a descriptor for each memory object that file servers have
// granted, for reads and writes that need no request.
type objects struct {
	mu    sync.Mutex
	files map[core.ObjectName]*heldObject // guarded by mu
	max   int                             // see Room
}

// heldObject is an object as often as it was granted: each grant is a reference
// of its own to the name.
type heldObject struct {
	*os.File
	grants int
}

// open makes it ready.
func (o *objects) open() {
	o.files, o.max = map[core.ObjectName]*heldObject{}, maxReadObjects
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil {
		o.max = int(min(r.Cur/8, maxReadObjects))
	}
}

func (o *objects) put(name core.ObjectName, fd int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[name]; f != nil {
		f.grants++
		ipc.CloseFD(fd)
		return
	}
	o.files[name] = &heldObject{os.NewFile(uintptr(fd), "object"), 1}
}

func (o *objects) drop(name core.ObjectName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[name]
	if f == nil {
		return
	}
	if f.grants--; f.grants == 0 {
		f.Close()
		delete(o.files, name)
	}
}

// mapStream maps an object that is a stream's memory.
func (o *objects) mapStream(name core.ObjectName, shift uint) *ipc.StreamMemory {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[name]
	if f == nil {
		return nil
	}
	m, err := ipc.MapStream(int(f.Fd()), shift)
	if err != nil {
		return nil
	}
	return m
}

// takeEngine tells the core which program runs WebAssembly modules, if there is one.
func (s *server) takeEngine(in *ipc.Inheritance) {
	for i := range in.Rights {
		if r := &in.Rights[i]; r.Kind == abi.RightObject && r.Label == EngineLabel && r.FD >= 0 {
			s.k.SetEngine(core.ObjectName(r.Name), os.NewFile(uintptr(r.FD), EngineLabel))
		}
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
			s.objects.files[core.ObjectName(r.Name)].grants = n
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

// maxReadObjects is from how many objects on no more are taken to read files by,
// where a request does as well: guests may have more files open than this
// process, and the nucleus twice, may have descriptors.
const maxReadObjects = 1024

// Room implements core.Objects.
func (o *objects) Room() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.files) < o.max
}

// mapper is a file server whose granted objects are kept.
type mapper struct {
	fileServer
	o *objects
}

// fileServer is one in another process (*fs.Client) or in this one (*fs.Near).
type fileServer interface {
	fs.Server
	MapFD(r fs.Req, node fs.NodeID, use fs.MapUse) (fd int, out fs.MapOut, err abi.Errno)
}

// Map implements fs.Server.
func (m mapper) Map(r fs.Req, node fs.NodeID, use fs.MapUse) (fs.MapOut, abi.Errno) {
	fd, out, e := m.MapFD(r, node, use)
	if e == 0 {
		m.o.put(core.ObjectName(out.Tag), fd)
	}
	return out, e
}
