package fs

import (
	"hythe/abi"
	"hythe/ipc"
)

// Req identifies a request for exactly-once execution.
type Req = ipc.Req

// MapOut is the answer of Map: a memory object that holds the node's bytes at the same
// offsets, readable, and writable if it was asked for and is allowed. Tag is the object's
// name (abi.Name) in the space of whoever answers: a server gives its own name for the
// object, Serve grants it to the client, and the client's Map answers with the client's
// name for it.
type MapOut struct {
	Tag      uint64
	Writable bool
	// Stable says that reads through the object always show what Read would:
	// the client may keep and use it instead of Read.
	Stable bool
	// UntilWrite says the same, but only until somebody opens the node for
	// writing, sets its size or maps it for writing: it is of a layer below.
	UntilWrite bool
}

// byHand is the part of Server whose answer is more than bytes.
type byHand interface {
	// Map answers an object of a regular file. ENODEV where there is none.
	Map(r Req, node NodeID, use MapUse) (MapOut, abi.Errno)
}

// granting has Map served and grants the object.
type granting struct {
	Server
	g Granter
}

// serveMap serves OpMap.
func (s granting) serveMap(r Req, node NodeID, use MapUse, tag uint64) (writable, stable, untilWrite bool, err abi.Errno) {
	m, err := s.Map(r, node, use)
	if err == 0 {
		err = s.g.Grant(r.Binding, abi.Name(m.Tag), !m.Writable, tag)
	}
	return m.Writable, m.Stable, m.UntilWrite, err
}

// Plus is an entry of which it is not said what it is.
func (d *DirEntry) Plus() DirPlus {
	return DirPlus{Ino: d.Ino, Next: d.Next, Type: d.Type, Name: d.Name}
}

// Plain is the entry without what it is.
func (d *DirPlus) Plain() DirEntry {
	return DirEntry{Ino: d.Ino, Next: d.Next, Type: d.Type, Name: d.Name}
}
