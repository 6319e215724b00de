package linux

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Generic netlink (include/uapi/linux/{genetlink,tcp_metrics}.h): families that are known by their names, of which
// there are the one that tells their numbers, and what TCP remembers of others, which is nothing.

const (
	genlCtrl      = 16 // GENL_ID_CTRL
	genlMetrics   = 26 // as numbers are given out, the others'
	genlHead      = 4  // struct genlmsghdr: command, version
	ctrlNewFamily = 1
	ctrlGetFamily = 3
	ctrlID        = 1 // CTRL_ATTR_FAMILY_ID
	ctrlName      = 2
	ctrlVersion   = 3
	ctrlHdrSize   = 4
	ctrlMaxAttr   = 5
	metricsGet    = 1 // TCP_METRICS_CMD_GET
	metricsAddr4  = 1 // TCP_METRICS_ATTR_ADDR_IPV4
	metricsAddr6  = 2
)

// genlFamily is a family of generic netlink.
type genlFamily struct {
	id      uint16
	name    string
	version uint32
	maxAttr uint32
}

var genlFamilies = []genlFamily{{genlCtrl, "nlctrl", 2, 10}, {genlMetrics, "tcp_metrics", 1, 14}}

func (f genlFamily) message(multi uint16, seq, port uint32) []byte {
	m := append(newNlMsg(genlCtrl, multi, seq, port), ctrlNewFamily, 2, 0, 0)
	m = m.attr(ctrlName, append([]byte(f.name), 0)...).attr(ctrlID, byte(f.id), byte(f.id>>8))
	return m.u32(ctrlVersion, f.version).u32(ctrlHdrSize, 0).u32(ctrlMaxAttr, f.maxAttr).end()
}

// genericOne answers one request of a NETLINK_GENERIC socket. ENOENT: there is no such family; EOPNOTSUPP: it has
// no such command.
func genericOne(_ *core.Kernel, typ, flags uint16, seq, port uint32, body []byte) ([][]byte, abi.Errno) {
	if typ != genlCtrl && typ != genlMetrics {
		return nil, abi.ENOENT
	}
	if len(body) < genlHead {
		return nil, abi.EINVAL
	}
	dump := flags&nlDump == nlDump
	done := nlMsg(le.AppendUint32(newNlMsg(nlDone, nlMulti, seq, port), 0)).end()
	var name string
	var id uint16
	var named, numbered, known bool
	eachAttr(body[genlHead:], func(t uint16, b []byte) {
		switch {
		case t == ctrlName:
			name, named = cstring(b), true
		case t == ctrlID && len(b) >= 2:
			id, numbered = le.Uint16(b), true
		}
		known = known || t == metricsAddr4 && len(b) >= 4 || t == metricsAddr6 && len(b) >= 16
	})
	switch cmd := body[0]; {
	case typ == genlMetrics && cmd == metricsGet && dump:
		return [][]byte{done}, 0
	case typ == genlMetrics && cmd == metricsGet && known:
		return nil, abi.ESRCH
	case typ == genlMetrics && cmd == metricsGet:
		return nil, abi.EAFNOSUPPORT
	case typ == genlMetrics && cmd == metricsGet+1: // TCP_METRICS_CMD_DEL
		return nil, abi.EPERM
	case typ == genlMetrics || cmd != ctrlGetFamily:
		return nil, abi.EOPNOTSUPP
	case dump:
		var all []byte
		for _, f := range genlFamilies {
			all = append(all, f.message(nlMulti, seq, port)...)
		}
		return [][]byte{all, done}, 0
	case !named && !numbered:
		return nil, abi.EINVAL
	}
	for _, f := range genlFamilies {
		if named && f.name == name || !named && f.id == id {
			return [][]byte{f.message(0, seq, port)}, 0
		}
	}
	return nil, abi.ENOENT
}
