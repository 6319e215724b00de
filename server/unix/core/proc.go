package core

import (
	"hythe/abi"
	"hythe/store"
)

type procState struct{}
type procTables struct{}

// ProcExtra and ThreadExtra are the fields that signals and timers add.
type ProcExtra struct{}
type ThreadExtra struct{}
type threadRTExtra struct{}
type procRT struct{}

// SigInfo is a signal with its details.
type SigInfo struct{ Sig int32 }

// Rlimit numbers.
const RlimitNofile = 7

func newProcTables(h *store.Heap) procTables { return procTables{} }

func (k *Kernel) initProc() {}

func (k *Kernel) signalPending(t store.Ref[Thread]) bool      { return false }
func (k *Kernel) firstCall(c *Call)                           {}
func (k *Kernel) pollCall(c *Call)                            {}
func (k *Kernel) finish(c *Call)                              {}
func (k *Kernel) forceSignal(t store.Ref[Thread], s *SigInfo) {}
func (k *Kernel) killProcess(p store.Ref[Proc], sig int32)    {}

// DropCred gives up a reference to credentials.
func (k *Kernel) DropCred(c store.Ref[Cred]) {
	_ = abi.Errno(0)
}
