package core

import "hythe/abi"

// OpenPorts serves the caller's wish to speak to the nucleus itself (abi.GuestOpen):
// from then on its library does, and this server sees nothing of it. Whoever may run
// may do so; what a program can reach is what others give it.
func (c *Call) OpenPorts() abi.Errno {
	name, e := c.K.Host.OpenPorts(c.Task)
	if e == 0 {
		c.Act(abi.ActPorts, abi.ActResult, name)
	}
	return e
}
