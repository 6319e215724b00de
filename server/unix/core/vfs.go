package core

import "hythe/store"

type vfsState struct{}
type vfsTables struct {
	Vnodes *store.Table[Vnode] // 20
	Mounts *store.Table[Mount] // 21
}

// Mount is a mounted file system.
type Mount struct {
	Parent store.Ref[Mount]
}

// VnodeExtra holds the name cache's fields.
type VnodeExtra struct{}
type fileData struct{}

func newVFSTables(h *store.Heap) vfsTables {
	return vfsTables{
		Vnodes: store.NewTable[Vnode](h, 20, 1<<20),
		Mounts: store.NewTable[Mount](h, 21, 1<<10),
	}
}

func (k *Kernel) initVFS() {}
