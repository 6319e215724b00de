package nucleus

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"

	"hythe/abi"
	"hythe/machine"
	"hythe/nucleus/port"
)

// AlarmCost is what an alarm costs the budget of who set it, in bytes. It is more than its
// message does, which so always finds room.
const AlarmCost = port.MessageCost + 128

// alarm is a message to come (docs/decisions/0012-time-and-processors.md).
type alarm struct {
	t    *task // who set it and pays for it
	id   uint64
	at   uint64 // machine.Machine.Now
	seq  uint64 // of two at one time the earlier made is the first
	word uint64
	to   port.Right
	// Its place among all alarms, and its neighbours among those to one port.
	index      int
	prev, next *alarm
}

// alarms are all of a nucleus, the earliest first.
type alarms struct {
	heap  []*alarm
	seq   uint64
	timer machine.Timer
	at    uint64 // when timer goes off
}

func (a *alarms) Len() int { return len(a.heap) }
func (a *alarms) Less(i, j int) bool {
	x, y := a.heap[i], a.heap[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}
func (a *alarms) Swap(i, j int) {
	a.heap[i], a.heap[j] = a.heap[j], a.heap[i]
	a.heap[i].index, a.heap[j].index = i, j
}
func (a *alarms) Push(x any) {
	x.(*alarm).index = len(a.heap)
	a.heap = append(a.heap, x.(*alarm))
}
func (a *alarms) Pop() any {
	n := len(a.heap) - 1
	x := a.heap[n]
	a.heap[n] = nil
	a.heap = a.heap[:n]
	return x
}

// due sends what it is time for, and sees to it that the nucleus is called for the next.
func (k *Kernel) due() {
	a := &k.alarms
	if len(a.heap) > 0 {
		for now := k.m.Now(); len(a.heap) > 0 && a.heap[0].at <= now; {
			k.goOff(a.heap[0], now)
		}
	}
	k.arm()
}

// arm sets the machine's one timer to the earliest alarm.
func (k *Kernel) arm() {
	a := &k.alarms
	if a.timer != nil && (len(a.heap) == 0 || a.heap[0].at != a.at) {
		a.timer.Stop()
		a.timer = nil
	}
	if a.timer != nil || len(a.heap) == 0 {
		return
	}
	a.at = a.heap[0].at
	now := k.m.Now()
	a.timer = k.m.After(max(a.at, now)-now, func() {
		k.enter()
		defer k.leave()
		if a.at <= k.m.Now() { // else it is one that was stopped too late
			a.timer = nil
		}
		k.due()
	})
}

// goOff sends the alarm's message. One to a full queue waits in line as that of a sender
// whose process died.
func (k *Kernel) goOff(a *alarm, now uint64) {
	k.forget(a)
	m := k.ports.NewMessage()
	m.Dest, m.ID = a.to, abi.MsgAlarm
	for _, v := range [...]uint64{a.word, a.at, now} {
		m.Body = binary.LittleEndian.AppendUint64(m.Body, v)
	}
	k.ports.Pay(m, a.t)
	dest := m.Dest.Port
	if m.Dest.Kind == abi.RightSend && dest.Full() {
		dest.Blocked.PushBack(m)
		k.traffic(TrafficBlocked, a.t, dest, m)
		return
	}
	k.ports.Enqueue(m)
	k.traffic(TrafficSent, a.t, dest, m)
}

// forget ends an alarm; its right is the caller's.
func (k *Kernel) forget(a *alarm) {
	heap.Remove(&k.alarms, a.index)
	delete(a.t.alarms, a.id)
	k.charge(a.t, -AlarmCost)
	if a.next != nil {
		a.next.prev = a.prev
	}
	if a.prev != nil {
		a.prev.next = a.next
	} else if a.next != nil {
		a.to.Port.Alarms = a.next
	} else {
		a.to.Port.Alarms = nil
	}
}

// silenced ends the alarms to a port that died.
func (k *Kernel) silenced(first *alarm) {
	for a := first; a != nil; {
		next := a.next
		k.forget(a)
		a = next
	}
	k.arm()
}

// sorted lists the alarms of a task in the order in which it set them.
func (t *task) sorted() []*alarm {
	var l []*alarm
	for _, a := range t.alarms {
		l = append(l, a)
	}
	slices.SortFunc(l, func(a, b *alarm) int { return cmp.Compare(a.id, b.id) })
	return l
}

// unalarm ends the alarms of a task that is gone.
func (k *Kernel) unalarm(t *task) {
	if len(t.alarms) == 0 {
		return
	}
	for _, a := range t.sorted() {
		k.forget(a)
		k.ports.Drop(a.to)
	}
	k.arm()
}

// callAlarmSet: see abi.CallAlarmSet. Mach's clock_alarm. EINVAL: no disposition that makes
// a send or send-once right; EBADF, EPERM: the name or its right; EPIPE: the port is dead;
// EAGAIN: the budget is used up. A time that is over is now.
func callAlarmSet(k *Kernel, t *task, c *call) abi.Errno {
	if c.A[3] > 255 {
		return abi.EINVAL
	}
	switch c.A[3] {
	case abi.MoveSend, abi.CopySend, abi.MakeSend, abi.MoveSendOnce, abi.MakeSendOnce:
	default:
		return abi.EINVAL
	}
	n, err := name32(c.A[1])
	if err != 0 {
		return err
	}
	e := t.space.Entry(n)
	if e == nil {
		return abi.EBADF
	}
	claim := port.Claim{Name: n, Disp: uint8(c.A[3])}
	if err := t.space.Check(append(k.claims[:0], claim)); err != 0 {
		return err
	}
	if e.Mask&(1<<abi.RightDead) != 0 {
		return abi.EPIPE
	}
	if e.Port.Kernel != nil {
		return abi.EPERM
	}
	if !k.affords(t, AlarmCost) {
		return abi.EAGAIN
	}
	k.charge(t, AlarmCost)
	t.nextAlarm++
	k.alarms.seq++
	a := &alarm{t: t, id: t.nextAlarm, at: c.A[0], seq: k.alarms.seq, word: c.A[2], to: t.space.Copyin(k.ports, claim)}
	if t.alarms == nil {
		t.alarms = map[uint64]*alarm{}
	}
	t.alarms[a.id] = a
	if next, ok := a.to.Port.Alarms.(*alarm); ok {
		a.next, next.prev = next, a
	}
	a.to.Port.Alarms = a
	heap.Push(&k.alarms, a)
	k.due()
	c.out[0] = a.id
	return 0
}

// callAlarmCancel: see abi.CallAlarmCancel. ESRCH: no such alarm; its message is on its way,
// or its port died; ENOSPC: there is no name for the right, and nothing is changed.
func callAlarmCancel(k *Kernel, t *task, c *call) abi.Errno {
	a := t.alarms[c.A[0]]
	if a == nil {
		return abi.ESRCH
	}
	if !t.space.Room(1) {
		return abi.ENOSPC
	}
	k.forget(a)
	k.arm()
	n, kind := t.space.Copyout(k.ports, a.to)
	c.out[0], c.out[1] = uint64(n), uint64(giveBack(kind))
	return 0
}
