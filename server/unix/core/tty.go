package core

import "hythe/store"

type ttyState struct{}
type ttyTables struct{}

// TTY is a terminal.
type TTY struct{ Refs uint32 }

// Winsize is a terminal's size in characters and pixels.
type Winsize struct{ Rows, Cols, XPixel, YPixel uint16 }

func newTTYTables(h *store.Heap) ttyTables { return ttyTables{} }

func (k *Kernel) initTTY() {}

func (k *Kernel) ttyInput(t store.Ref[TTY], data []byte) {}
func (k *Kernel) ttyOutputRoom(t store.Ref[TTY])         {}
func (k *Kernel) ttySetSize(t store.Ref[TTY], w Winsize) {}

// TTYHangup hangs a terminal up.
func (k *Kernel) TTYHangup(t store.Ref[TTY]) {}

func (k *Kernel) recoverTTY() {}

// ttyNumbers answers the device number (old 16-bit form) and the foreground
// group of a controlling terminal: 0 and -1 for none.
func (k *Kernel) ttyNumbers(t store.Ref[TTY]) (dev, pgrp int32) { return 0, -1 }
