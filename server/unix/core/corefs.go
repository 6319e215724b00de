package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// CoreFS is a file system that lives inside this server (proc, devpts, dev).
// Node ids are its own; the root is fs.RootID. All methods run with the lock
// held; none may sleep unless it says so. Names are not cached.
type CoreFS interface {
	// Lookup finds a name in a directory. ENOENT.
	Lookup(c *Call, dir fs.NodeID, name string) (fs.NodeID, abi.Errno)
	// Attr answers a node's attributes. ENOENT when it is gone.
	Attr(c *Call, n fs.NodeID) (fs.Attr, abi.Errno)
	// ReadDir answers entries behind cookie (0: the start), without "." and
	// "..", about max bytes of names; none at the end.
	ReadDir(c *Call, dir fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno)
	// ReadLink answers where a symbolic link leads.
	ReadLink(c *Call, n fs.NodeID) (CoreLink, abi.Errno)
	// Open makes the open file description of a node that is no directory,
	// link or device; v is the node's vnode, which the new file's Vnode field
	// is set to by the caller. It may sleep. A directory is asked too: answer
	// 0, 0 to have it opened as any directory.
	Open(c *Call, n fs.NodeID, v store.Ref[Vnode], access, flags uint32) (store.Ref[File], abi.Errno)
	// SetAttr changes mode, owner and times; permissions are checked already.
	SetAttr(c *Call, n fs.NodeID, in *fs.SetAttrIn) abi.Errno
}

// CoreLink is where a symbolic link of a CoreFS leads: Text is what readlink
// shows; following it goes to Vnode or File when one is set (a magic link),
// else along Text.
type CoreLink struct {
	Text  string
	Vnode store.Ref[Vnode]
	File  store.Ref[File]
}

// SetReopen registers how a nameless open file of a kind (a pipe) is opened
// anew through /proc/PID/fd. Without it such an open is ENXIO.
func (k *Kernel) SetReopen(kind uint32, fn func(c *Call, f store.Ref[File], access, flags uint32) (store.Ref[File], abi.Errno)) {
	k.vfs.reopen[kind] = fn
}
