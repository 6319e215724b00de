package host

import (
	"unsafe"

	"hythe/abi"
)

// putRegs stores registers as a reply holds them. b is at least as long.
func putRegs(b []byte, r *abi.Regs) {
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r)))
}
