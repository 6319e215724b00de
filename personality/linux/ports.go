package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// portCalls are no calls of Linux's: by them a program that knows where it runs
// reaches the nucleus (docs/nucleus.md).
func portCalls() []Entry {
	const note = "Hythe's own: docs/nucleus.md"
	return []Entry{
		{Nr: abi.GuestTask, Name: "hythe_task", Fn: sysPortTask, Sig: "i", Note: note},
		{Nr: abi.GuestOpen, Name: "hythe_open", Fn: sysPortOpen, Local: abi.LocalPortOpen, Note: note},
		{Nr: abi.GuestSend, Name: "hythe_send", Sig: "pu", Local: abi.LocalPortSend, Note: note},
		{Nr: abi.GuestReceive, Name: "hythe_receive", Sig: "pu", Local: abi.LocalPortRecv, Note: note},
		{Nr: abi.GuestMap, Name: "hythe_map", Sig: "xpuPMx", Local: abi.LocalPortMap, Note: note},
		{Nr: abi.GuestMapPaged, Name: "hythe_map_paged", Sig: "xpuPMx", Local: abi.LocalPortPaged, Note: note},
		{Nr: abi.GuestFaults, Name: "hythe_faults", Sig: "x", Local: abi.LocalPortFaults, Note: note},
		{Nr: abi.GuestInherit, Name: "hythe_inherit", Sig: "pxu", Local: abi.LocalInherit, Note: note},
	}
}

func sysPortOpen(p *Personality, c *core.Call) (uint64, abi.Errno) { return 0, c.OpenPorts() }

func sysPortTask(p *Personality, c *core.Call) (uint64, abi.Errno) {
	return c.OpenProcess(int32(c.Args[0]))
}
