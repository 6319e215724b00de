package ipc

// pause spends n spin-loop hints of the processor (40 to 140 cycles each).
//
//go:noescape
func pause(n uint32)
