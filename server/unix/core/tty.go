package core

import "hythe/store"

type ttyState struct{}
type ttyTables struct{}

// TTY is a terminal.
type TTY struct{ Refs uint32 }

func newTTYTables(h *store.Heap) ttyTables { return ttyTables{} }

func (k *Kernel) initTTY() {}
