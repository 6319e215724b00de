// Package tmpfs is the process that serves a file system in memory. Its
// configuration is core.Config as JSON.
package tmpfs

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/fs/process"
	"hythe/server/fs/tmpfs/core"
	"hythe/store"
)

// StateSize is the address space of the state of record, in bytes; memory is
// taken as it is used.
const StateSize = 8 << 30

// Main serves on conn until the nucleus says stop. ready (may be nil) is called
// before the first request.
func Main(conn *ipc.Conn, ready func() error) error {
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	return Start(conn, in, ready)
}

// Start is Main behind ipc.Startup.
func Start(conn *ipc.Conn, in *ipc.Inheritance, ready func() error) error {
	return StartIn(conn, in, nil, ready)
}

// StartIn is Start in the process of the server's client, which has made local for it.
func StartIn(conn *ipc.Conn, in *ipc.Inheritance, local *fs.Local, ready func() error) error {
	var cfg core.Config
	return process.Start(conn, in, local, ready, &cfg, StateSize, core.Version,
		func(_ *ipc.Inheritance, h *store.Heap, objs *process.Objects) (fs.Server, abi.Errno, error) {
			s, t, e := core.New(h, cfg, objs, process.Now)
			if e == 0 {
				objs.Sweep(t.Holds)
			}
			return s, e, nil
		})
}
