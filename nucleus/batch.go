package nucleus

import (
	"encoding/binary"

	"hythe/abi"
	"hythe/nucleus/message"
)

// inBatch says whether a call may be in a batch: no descriptor comes with it, and its answer
// is no more than an error and A0.
func inBatch(q *message.BatchCall) bool {
	switch q.Op {
	case abi.CallPortAllocate, abi.CallPortDeallocate, abi.CallPortModRefs, abi.CallPortMakeSend, abi.CallPortLabel,
		abi.CallPortSetMember, abi.CallPortLimit, abi.CallPortNotify, abi.CallPortRename,
		abi.CallObjectCreate, abi.CallMsgCancel, abi.CallAlarmSet:
		return true
	case abi.CallMsgSend:
		return q.A[1] == uint64(abi.NameNull) // it does not receive then
	}
	return false
}

// callBatch: see abi.CallBatch. EINVAL: flags, or the bytes are no calls; EMSGSIZE: more
// than abi.MaxBatch. Each call is carried out as if it had come by itself, with all that
// follows from it, before the next one. In a result, EINVAL also for a call whose answer
// is more than an error and a name (inBatch), and
// EINPROGRESS for one that waits.
func callBatch(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[0]&^abi.BatchStop != 0 {
		return abi.EINVAL
	}
	n := 0
	for b := c.inline; len(b) > 0; n++ {
		var ok bool
		if _, b, ok = message.NextBatch(b); !ok {
			return abi.EINVAL
		}
	}
	if n > abi.MaxBatch {
		return abi.EMSGSIZE
	}
	b := c.inline
	c.data = k.results[:0]
	for i := range uint64(n) {
		var q message.BatchCall
		q, b, _ = message.NextBatch(b)
		one := k.newCall()
		one.CallHeader = abi.CallHeader{Op: q.Op, ID: c.A[1] + i, A: q.A}
		one.inline = q.Inline
		err := abi.EINVAL
		if q.Op >= uint32(len(calls)) || calls[q.Op].run == nil || inBatch(&q) {
			err = k.dispatch(t, one)
		}
		if err == 0 && one.wait {
			err = abi.EINPROGRESS
		}
		c.data = binary.LittleEndian.AppendUint64(c.data, uint64(err))
		c.data = binary.LittleEndian.AppendUint64(c.data, one.out[0])
		k.freeCall(one)
		k.settle()
		c.out[0]++
		if err != 0 && err != abi.EINPROGRESS {
			c.out[1]++
			if c.A[0] == abi.BatchStop {
				break
			}
		}
	}
	k.results = c.data
	return 0
}
