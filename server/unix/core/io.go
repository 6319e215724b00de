package core

import "hythe/store"

type ioState struct{}
type ioTables struct{}

func newIOTables(h *store.Heap) ioTables { return ioTables{} }

func (k *Kernel) initIO() {}

type epollWatch struct{}

func (k *Kernel) epollForget(f store.Ref[File]) {}
