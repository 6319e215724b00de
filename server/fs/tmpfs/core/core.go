// Package core is the tmpfs server without its ports: server/fs/tree served as
// a file system of its own.
package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/once"
	"hythe/server/fs/tree"
	"hythe/store"
)

// Version is the layout number of the state of record.
const Version = 2

// magic is what statfs shows (include/uapi/linux/magic.h, TMPFS_MAGIC).
const magic = 0x01021994

// Config says how a tmpfs is made. The zero value is a tmpfs of Linux's
// defaults: mode 1777, owned by root.
type Config struct {
	Size   uint64 `json:"size"`   // bytes; 0 = half of 16 GiB
	Inodes uint32 `json:"inodes"` // 0 = 2^20
	Flows  uint32 `json:"flows"`  // flows of control of all clients together whose last answer is kept; 0 = once.DefaultFlows
	Mode   uint32 `json:"mode"`   // of the root; 0 = 01777
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
}

// New opens or makes the file system in h.
func New(h *store.Heap, cfg Config, objs object.Objects, now func() fs.Time) (*tree.Server, *tree.Tree, abi.Errno) {
	if cfg.Size == 0 {
		cfg.Size = 8 << 30
	}
	if cfg.Inodes == 0 {
		cfg.Inodes = 1 << 20
	}
	if cfg.Mode == 0 {
		cfg.Mode = 0o1777
	}
	log := once.New(h, 1, cfg.Flows)
	t, err := tree.New(h, 2, tree.Limits{Bytes: cfg.Size, Inodes: cfg.Inodes}, objs, now, cfg.Mode, fs.Cred{UID: cfg.UID, GID: cfg.GID})
	if err != 0 {
		return nil, nil, err
	}
	// Nobody but the client changes it, so what the client knows stays true.
	return tree.NewServer(t, log, ^uint64(0), magic), t, 0
}
