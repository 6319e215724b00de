package ipc

// pause spends n spin-loop hints of the processor (40 to 140 cycles each).
//
//go:noescape
func pause(n uint32)

// Cycles answers what the processor's clock shows (RDTSC), as the libraries of guests see it.
//
//go:noescape
func Cycles() uint64
