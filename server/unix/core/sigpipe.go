package core

// sigPipe sends the calling thread SIGPIPE.
func (c *Call) sigPipe() {
	c.K.SendThreadSignal(c.T, &SigInfo{Sig: 13, Code: 0x80})
}
