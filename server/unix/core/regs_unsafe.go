package core

import (
	"unsafe"

	"hythe/abi"
)

const regsSize = int(unsafe.Sizeof(abi.Regs{}))

// putRegs stores r at the start of b, which has room for it. Safety: Regs has
// no pointers, and the copy is by bytes.
func putRegs(b []byte, r *abi.Regs) {
	copy(b[:regsSize], unsafe.Slice((*byte)(unsafe.Pointer(r)), regsSize))
}
