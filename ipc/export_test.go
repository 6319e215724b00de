package ipc

// SetGlances has the Poller look n times before it does anything else.
func (p *Poller) SetGlances(n int) { p.close = n }
