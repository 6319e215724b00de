package unix

import (
	"golang.org/x/sys/unix"

	"hythe/server/unix/core"
)

// hostUse asks the host by sysinfo(2), which no name space confines.
func hostUse() core.HostUse {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return core.HostUse{}
	}
	unit := max(uint64(i.Unit), 1)
	return core.HostUse{
		Total: uint64(i.Totalram) * unit, Free: uint64(i.Freeram) * unit, Buffers: uint64(i.Bufferram) * unit,
		Load: [3]uint64{uint64(i.Loads[0]), uint64(i.Loads[1]), uint64(i.Loads[2])},
	}
}
