// Package overlay is the process that serves changes in memory over another
// file server, to which it holds a send right. Its configuration is Config as
// JSON.
package overlay

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/server/fs/overlay/core"
	"hythe/server/fs/process"
	"hythe/store"
)

// StateSize is the address space of the state of record, in bytes; memory is
// taken as it is used.
const StateSize = 8 << 30

// Config is core.Config and the label of the send right to the lower server
// ("lower" if it is empty).
type Config struct {
	core.Config
	Lower string `json:"lower"`
}

// slots of the binding to the lower server: it is asked one thing at a time.
const slots = 4

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
	cfg := Config{Lower: "lower"}
	return process.Start(conn, in, local, ready, &cfg, StateSize, core.Version,
		func(in *ipc.Inheritance, h *store.Heap, objs *process.Objects) (fs.Server, abi.Errno, error) {
			b, err := in.Client(conn, "lower", cfg.Lower, slots)
			if err != nil {
				return nil, 0, err
			}
			s, t, e := core.New(h, cfg.Config, local.Ask(b), objs, process.Now, func(tag uint64) {
				local.Waits()
				conn.Deallocate(abi.Name(tag))
			})
			if e == 0 {
				objs.Sweep(t.Holds)
			}
			return s, e, nil
		})
}
