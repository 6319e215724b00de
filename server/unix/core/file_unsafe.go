package core

import "unsafe"

const fdEntrySize = int(unsafe.Sizeof(FDEntry{}))

// fdEntries views a table's block as entries. Safety: blocks are 8-byte
// aligned, the slice covers only whole entries inside b, and FDEntry has no
// pointers.
func fdEntries(b []byte) []FDEntry {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*FDEntry)(unsafe.Pointer(&b[0])), len(b)/fdEntrySize)
}
