// Package object is what file servers see of memory objects: a file's bytes in
// a unit of storage that outlives the server and can be mapped by its clients.
// The serving process makes them through the nucleus (see Host), tests and
// pure cores take any implementation.
package object

import "hythe/abi"

// Object is one memory object. Offsets and sizes are bytes. Methods may be
// called by the goroutine that holds the owning server's lock.
type Object interface {
	// ReadAt fills p from off as far as the object reaches; 0 at its end.
	ReadAt(p []byte, off int64) (int, abi.Errno)
	// WriteAt stores p at off and makes the object longer when needed.
	WriteAt(p []byte, off int64) (int, abi.Errno)
	// Truncate makes the object end at size: what was behind it is given back,
	// and an access there is a fault in every mapping.
	Truncate(size int64) abi.Errno
	// Seal forbids writing for good. EBUSY while somebody has the object mapped
	// to write.
	Seal() abi.Errno
	// Allocate is fallocate(2) on the object, its modes unchanged.
	Allocate(mode uint32, off, n int64) abi.Errno
	// Find looks for data (whence 3) or a hole (4) at or behind off.
	Find(off int64, whence uint32) (int64, abi.Errno)
	// Stat answers the size in bytes and the memory used in 512-byte units.
	Stat() (size int64, blocks uint64, err abi.Errno)
	// ID is the name under which the server's process grants the object.
	ID() uint64
	// Close gives up this process's descriptor; the object stays (see Free).
	Close()
}

// Objects makes memory objects. A label, unique within a server, is kept with
// the object so that the server's next incarnation finds it.
type Objects interface {
	// Create makes an empty object. ENOSPC, ENFILE, ENOMEM.
	Create(label string) (Object, abi.Errno)
	// Open finds an object that this server, or an earlier incarnation, made.
	Open(label string) (Object, bool)
	// Free ends the object with this label, if there is one, so that no later
	// incarnation finds it. Mappings that clients hold stay.
	Free(label string)
	// Len is how many objects there are.
	Len() int
	// Import makes an object of a host file; fd stays the caller's. An object
	// that has the label already is answered as it is.
	Import(fd int, label string, writable bool) (Object, abi.Errno)
}
