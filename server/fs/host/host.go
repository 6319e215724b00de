// Package host is the process that serves a directory of the host. Its
// configuration is core.Config as JSON; the directory is the descriptor
// root_fd, which the process was started with.
package host

import (
	"errors"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/fs/host/core"
	"hythe/server/fs/process"
	"hythe/store"
)

// StateSize is the address space of the state of record, in bytes; memory is
// taken as it is used.
const StateSize = 1 << 30

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
	var cfg core.Config
	return process.Start(conn, in, nil, ready, &cfg, StateSize, core.Version,
		func(_ *ipc.Inheritance, h *store.Heap, objs *process.Objects) (fs.Server, abi.Errno, error) {
			if cfg.RootFD <= 0 {
				return nil, 0, errors.New("host: the configuration names no root_fd")
			}
			f, e := core.New(h, cfg, objs)
			return f, e, nil
		})
}
