package core

import (
	"fmt"

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
	{"kernel/mm/transparent_hugepage/hpage_pmd_size", func(*Kernel) string { return "2097152\n" }},
}

// netAttr is a file of an interface; lo is what reading that of lo answers, if it is an error.
type netAttr struct {
	name string
	gen  func(k *Kernel, f *Iface) string
	lo   abi.Errno
}

// netAttrs are those of all (Documentation/ABI/testing/sysfs-class-net and
// sysfs-class-net-statistics).
func netAttrs() []netAttr {
	return []netAttr{
		{"addr_assign_type", netText("0\n"), 0},
		{"addr_len", netText("6\n"), 0},
		{"address", func(_ *Kernel, f *Iface) string { return netMAC(f.MAC) }, 0},
		{"broadcast", func(_ *Kernel, f *Iface) string {
			if f.Loopback {
				return netMAC([6]byte{})
			}
			return netMAC([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}, 0},
		{"carrier", netText("1\n"), 0},
		{"carrier_changes", netEither("0\n", "1\n"), 0},
		{"carrier_down_count", netText("0\n"), 0},
		{"carrier_up_count", netEither("0\n", "1\n"), 0},
		{"dev_id", netText("0x0\n"), 0},
		{"dev_port", netText("0\n"), 0},
		{"dormant", netText("0\n"), 0},
		{"duplex", netText("unknown\n"), abi.EINVAL},
		{"flags", netEither("0x9\n", "0x1003\n"), 0},
		{"ifalias", netText(""), 0},
		{"ifindex", netIndex, 0},
		{"iflink", netIndex, 0},
		{"link_mode", netText("0\n"), 0},
		{"mtu", func(_ *Kernel, f *Iface) string { return fmt.Sprintln(f.MTU) }, 0},
		{"name_assign_type", netEither("2\n", "1\n"), 0},
		{"netdev_group", netText("0\n"), 0},
		{"operstate", netEither("unknown\n", "up\n"), 0},
		{"proto_down", netText("0\n"), 0},
		{"speed", netText("-1\n"), abi.EINVAL},
		{"testing", netText("0\n"), 0},
		{"tx_queue_len", netText("1000\n"), 0},
		{"type", netEither("772\n", "1\n"), 0},
		{"uevent", func(_ *Kernel, f *Iface) string { return fmt.Sprintf("INTERFACE=%s\nIFINDEX=%d\n", f.Name, f.Index) }, 0},
		{"statistics/rx_bytes", netCounter(func(c netCount) (lo, eth uint64) { return c.LoBytes, c.InBytes }), 0},
		{"statistics/rx_packets", netCounter(func(c netCount) (lo, eth uint64) { return c.LoPackets, c.InPackets }), 0},
		{"statistics/tx_bytes", netCounter(func(c netCount) (lo, eth uint64) { return c.LoBytes, c.OutBytes }), 0},
		{"statistics/tx_packets", netCounter(func(c netCount) (lo, eth uint64) { return c.LoPackets, c.OutPackets }), 0},
		// Nothing of these happens.
		{"statistics/collisions", netText("0\n"), 0},
		{"statistics/multicast", netText("0\n"), 0},
		{"statistics/rx_compressed", netText("0\n"), 0},
		{"statistics/rx_crc_errors", netText("0\n"), 0},
		{"statistics/rx_dropped", netText("0\n"), 0},
		{"statistics/rx_errors", netText("0\n"), 0},
		{"statistics/rx_fifo_errors", netText("0\n"), 0},
		{"statistics/rx_frame_errors", netText("0\n"), 0},
		{"statistics/rx_length_errors", netText("0\n"), 0},
		{"statistics/rx_missed_errors", netText("0\n"), 0},
		{"statistics/rx_nohandler", netText("0\n"), 0},
		{"statistics/rx_over_errors", netText("0\n"), 0},
		{"statistics/tx_aborted_errors", netText("0\n"), 0},
		{"statistics/tx_carrier_errors", netText("0\n"), 0},
		{"statistics/tx_compressed", netText("0\n"), 0},
		{"statistics/tx_dropped", netText("0\n"), 0},
		{"statistics/tx_errors", netText("0\n"), 0},
		{"statistics/tx_fifo_errors", netText("0\n"), 0},
		{"statistics/tx_heartbeat_errors", netText("0\n"), 0},
		{"statistics/tx_window_errors", netText("0\n"), 0},
	}
}

func netText(s string) func(*Kernel, *Iface) string {
	return func(*Kernel, *Iface) string { return s }
}

// netEither is what lo has, and what others have.
func netEither(lo, eth string) func(*Kernel, *Iface) string {
	return func(_ *Kernel, f *Iface) string {
		if f.Loopback {
			return lo
		}
		return eth
	}
}

func netCounter(of func(netCount) (lo, eth uint64)) func(*Kernel, *Iface) string {
	return func(k *Kernel, f *Iface) string {
		lo, eth := of(k.netCounts())
		if f.Loopback {
			return fmt.Sprintln(lo)
		}
		return fmt.Sprintln(eth)
	}
}

func netMAC(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x\n", a[0], a[1], a[2], a[3], a[4], a[5])
}

func netIndex(_ *Kernel, f *Iface) string { return fmt.Sprintln(f.Index) }

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
