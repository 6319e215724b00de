package core

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// sysFS is /sys: what programs of users read there, which is how many processors
// there are and how large a huge page is. Its tree is a second one in procTree,
// whose files and nodes it shares.
type sysFS struct{ p *ProcFS }

// sysRoot is the index in procTree of /sys itself; /proc does not show it, whose
// names have parents.
const sysRoot = 1

// sysRange is a list of processors as /sys writes it.
func sysRange(k *Kernel) string {
	cpus := k.CPUs()
	_, list := cpuText(cpus[:], cpus.Top())
	return list + "\n"
}

// sysFiles are the files of /sys (Documentation/ABI/stable/sysfs-devices-system-cpu,
// admin-guide/mm/transhuge.rst).
var sysFiles = []struct {
	path string
	gen  func(k *Kernel) string
}{
	{"devices/system/cpu/online", sysRange},
	{"devices/system/cpu/possible", sysRange},
	{"devices/system/cpu/present", sysRange},
	{"devices/system/cpu/offline", func(*Kernel) string { return "\n" }},
	{"devices/system/cpu/kernel_max", func(*Kernel) string { return "8191\n" }},
	{"devices/virtual/net/lo/address", func(*Kernel) string { return "00:00:00:00:00:00\n" }},
	{"devices/virtual/net/lo/addr_len", func(*Kernel) string { return "6\n" }},
	{"devices/virtual/net/lo/broadcast", func(*Kernel) string { return "00:00:00:00:00:00\n" }},
	{"devices/virtual/net/lo/carrier", func(*Kernel) string { return "1\n" }},
	{"devices/virtual/net/lo/dev_id", func(*Kernel) string { return "0x0\n" }},
	{"devices/virtual/net/lo/flags", func(*Kernel) string { return "0x9\n" }},
	{"devices/virtual/net/lo/ifindex", func(*Kernel) string { return "1\n" }},
	{"devices/virtual/net/lo/iflink", func(*Kernel) string { return "1\n" }},
	{"devices/virtual/net/lo/mtu", func(*Kernel) string { return "65536\n" }},
	{"devices/virtual/net/lo/operstate", func(*Kernel) string { return "unknown\n" }},
	{"devices/virtual/net/lo/tx_queue_len", func(*Kernel) string { return "1000\n" }},
	{"devices/virtual/net/lo/type", func(*Kernel) string { return "772\n" }},
	{"devices/virtual/net/lo/uevent", func(*Kernel) string { return "INTERFACE=lo\nIFINDEX=1\n" }},
	{"kernel/mm/transparent_hugepage/hpage_pmd_size", func(*Kernel) string { return "2097152\n" }},
}

// sysDirs are directories of /sys that are empty.
var sysDirs = []string{"block", "bus", "class", "class/net", "dev", "firmware", "fs/cgroup", "module", "power"}

func (f sysFS) node(n fs.NodeID) fs.NodeID {
	if n == fs.RootID {
		return sysRoot + 1
	}
	return n
}

// Lookup implements CoreFS.
func (f sysFS) Lookup(c *Call, dir fs.NodeID, name string) (fs.NodeID, abi.Errno) {
	return f.p.Lookup(c, f.node(dir), name)
}

// Attr implements CoreFS.
func (f sysFS) Attr(c *Call, n fs.NodeID) (fs.Attr, abi.Errno) {
	return f.p.Attr(c, f.node(n))
}

// ReadDir implements CoreFS.
func (f sysFS) ReadDir(c *Call, dir fs.NodeID, cookie uint64, max int) ([]fs.DirEntry, abi.Errno) {
	return f.p.ReadDir(c, f.node(dir), cookie, max)
}

// ReadLink implements CoreFS.
func (f sysFS) ReadLink(c *Call, n fs.NodeID) (CoreLink, abi.Errno) {
	return f.p.ReadLink(c, f.node(n))
}

// Open implements CoreFS.
func (f sysFS) Open(c *Call, n fs.NodeID, v store.Ref[Vnode], access, flags uint32) (store.Ref[File], abi.Errno) {
	return f.p.Open(c, f.node(n), v, access, flags)
}

// SetAttr implements CoreFS.
func (f sysFS) SetAttr(*Call, fs.NodeID, *fs.SetAttrIn) abi.Errno { return abi.EPERM }
