package core

import (
	"hythe/abi"
	"hythe/idl/fs"
)

// makeSocketNode makes the node that a local socket is bound to. EEXIST and
// what making a node answers.
func (c *Call) makeSocketNode(path string) (NodeKey, abi.Errno) {
	v, e := c.MkNodAt(AtCwd, path, fs.TypeSock|0o777&^c.umask(), 0)
	if e != 0 {
		return NodeKey{}, e
	}
	vn := c.K.Vnodes.Get(v)
	key := NodeKey{Mount: vn.Mount, Node: vn.Node}
	c.K.DropVnode(v)
	return key, 0
}

// findSocketNode answers the socket node at path, which the caller must be
// allowed to write. ECONNREFUSED if it is another kind of file.
func (c *Call) findSocketNode(path string) (NodeKey, abi.Errno) {
	w, e := c.Walk(AtCwd, path, WalkFollow)
	if e != 0 {
		return NodeKey{}, e
	}
	if w.node == nil {
		return NodeKey{}, abi.ECONNREFUSED
	}
	if e := c.may(w.node, mayWrite); e != 0 {
		return NodeKey{}, e
	}
	if w.node.typ() != fs.TypeSock {
		return NodeKey{}, abi.ECONNREFUSED
	}
	return w.Key(), 0
}
