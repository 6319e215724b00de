package linux

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/server/unix/core"
)

// POSIX message queues (include/uapi/linux/mqueue.h): struct mq_attr is flags,
// maxmsg, msgsize, curmsgs and four words of nothing.
const mqAttrSize = 64

func mqueueCalls() []Entry {
	attr := func(arg uint8) []abi.Pre { return []abi.Pre{{Kind: abi.PreFixed, Arg: arg, Size: mqAttrSize}} }
	return []Entry{
		{Nr: 240, Name: "mq_open", Fn: sysMqOpen, Pre: pre(preStr(0)), Sig: "sOop"},
		{Nr: 241, Name: "mq_unlink", Fn: sysMqUnlink, Pre: pre(preStr(0)), Sig: "s"},
		{Nr: 242, Name: "mq_timedsend", Fn: sysMqTimedsend, Sig: "fpuup"},
		{Nr: 243, Name: "mq_timedreceive", Fn: sysMqTimedreceive, Sig: "fpupp"},
		{Nr: 244, Name: "mq_notify", Fn: sysMqNotify, Sig: "fp"},
		{Nr: 245, Name: "mq_getsetattr", Fn: sysMqGetsetattr, Pre: attr(1), Sig: "fpp"},
	}
}

func sysMqOpen(p *Personality, c *core.Call) (uint64, abi.Errno) {
	var attr *core.MqAttr
	oflag := c.Args[1]
	if c.Args[3] != 0 {
		b, e := c.CopyIn(c.Args[3], mqAttrSize)
		if e != 0 {
			return 0, e
		}
		attr = &core.MqAttr{MaxMsg: int64(binary.LittleEndian.Uint64(b[8:])), Size: int64(binary.LittleEndian.Uint64(b[16:]))}
	}
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	access, flags := openFlags(oflag)
	if oflag&3 == 3 {
		access = 0
	}
	fd, e := c.MqOpen(name, access, flags, uint32(c.Args[2]), attr)
	return uint64(fd), e
}

func sysMqUnlink(p *Personality, c *core.Call) (uint64, abi.Errno) {
	name, e := c.PathArg(0)
	if e != 0 {
		return 0, e
	}
	return 0, c.MqUnlink(name)
}

// mqDeadline decodes the end of a wait, a time of day.
func mqDeadline(c *core.Call, addr uint64) (int64, abi.Errno) {
	if addr == 0 {
		return core.NoDeadline, 0
	}
	b, e := c.CopyIn(addr, 16)
	if e != 0 {
		return 0, e
	}
	t, ok := timespec(b)
	if !ok {
		return 0, abi.EINVAL
	}
	return toMono(c, clockRealtime, t), 0
}

func sysMqTimedsend(p *Personality, c *core.Call) (uint64, abi.Errno) {
	d, e := mqDeadline(c, c.Args[4])
	if e != 0 {
		return 0, e
	}
	prio, n := uint32(c.Args[3]), c.Args[2]
	if prio >= core.MqPrioMax {
		return 0, abi.EINVAL
	}
	return 0, c.MqSend(int32(c.Args[0]), n, prio, func() ([]byte, abi.Errno) { return c.CopyIn(c.Args[1], int(n)) }, d)
}

func sysMqTimedreceive(p *Personality, c *core.Call) (uint64, abi.Errno) {
	d, e := mqDeadline(c, c.Args[4])
	if e != 0 {
		return 0, e
	}
	text, prio, e := c.MqReceive(int32(c.Args[0]), c.Args[2], d)
	if e != 0 {
		return 0, e
	}
	if c.Args[3] != 0 {
		c.CopyOut32(c.Args[3], prio)
	}
	c.CopyOut(c.Args[1], text)
	return uint64(len(text)), 0
}

func sysMqNotify(p *Personality, c *core.Call) (uint64, abi.Errno) {
	fd := int32(c.Args[0])
	if c.Args[1] == 0 {
		return 0, c.MqNotify(fd, nil)
	}
	b, e := c.CopyIn(c.Args[1], 64) // struct sigevent
	if e != 0 {
		return 0, e
	}
	le := binary.LittleEndian
	how := core.MqNotice{Value: le.Uint64(b), Sig: int32(le.Uint32(b[8:])), Kind: int32(le.Uint32(b[12:]))}
	switch how.Kind {
	case core.MqNotifyNone:
	case core.MqNotifySig:
		if how.Sig < 0 || how.Sig >= core.NumSignals {
			return 0, abi.EINVAL
		}
	case core.MqNotifyThread: // by a netlink socket, Sig, which gets the 32 bytes at Value
		b, e := c.CopyIn(how.Value, core.MqCookie)
		if e != 0 {
			return 0, e
		}
		copy(how.Cookie[:], b)
		_, r, _, e := c.Sock(how.Sig)
		if e != 0 {
			return 0, e
		}
		if c.K.Socks.Get(r).Family != core.FamilyNetlink {
			return 0, abi.EINVAL
		}
		how.Sock = r
	default:
		return 0, abi.EINVAL
	}
	return 0, c.MqNotify(fd, &how)
}

func sysMqGetsetattr(p *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint64(0)
	if c.Args[1] != 0 {
		b, e := c.StructArg(1, mqAttrSize)
		if e != 0 {
			return 0, e
		}
		if flags = binary.LittleEndian.Uint64(b); flags&^oNonblock != 0 {
			return 0, abi.EINVAL
		}
	}
	fd := int32(c.Args[0])
	f, r, e := c.MqFile(fd, 0)
	if e != 0 {
		return 0, e
	}
	q := c.K.MQueues.Get(r)
	nonblock := uint64(0)
	old := c.K.Files.Get(f).Flags
	if old&core.OpenNonblock != 0 {
		nonblock = oNonblock
	}
	if c.Args[2] != 0 {
		var b [mqAttrSize]byte
		put64s(b[:], nonblock, uint64(q.MaxMsg), uint64(q.Size), uint64(q.Cur))
		c.CopyOut(c.Args[2], b[:])
	}
	if c.Args[1] != 0 {
		now := old &^ core.OpenNonblock
		if flags != 0 {
			now |= core.OpenNonblock
		}
		return 0, c.SetFlags(f, fd, now)
	}
	return 0, 0
}
