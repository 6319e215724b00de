package ipc

import (
	"encoding/binary"

	"hythe/abi"
)

// Alarm is a message that is to come at its time.
type Alarm struct {
	ID   uint64 // the nucleus's number of it, for CancelAlarm; 0 in a message
	Word uint64 // the task's own
	At   uint64 // when, on the clock that Monotonic reads
	Sent uint64 // in a message: when it was sent
}

// SetAlarm asks for a message on a receive right of this task when Monotonic is at: at
// once, if it is over. It outlives the process as the right does. It answers the alarm's
// number. EBADF, EPERM: the name; EAGAIN: the task's budget is used up.
func (c *Conn) SetAlarm(at uint64, receive abi.Name, word uint64) (uint64, abi.Errno) {
	return c.AlarmTo(at, receive, abi.MakeSendOnce, word)
}

// AlarmTo is SetAlarm for any right: the disposition says how the name makes the send or
// send-once right that the alarm holds.
func (c *Conn) AlarmTo(at uint64, name abi.Name, disp uint8, word uint64) (uint64, abi.Errno) {
	r, err := c.Call(abi.CallAlarmSet, [6]uint64{at, uint64(name), word, uint64(disp)}, nil, nil)
	return r.A[0], err
}

// CancelAlarm takes an alarm back, and gives up its right unless keep is set: then it
// answers the right's name and the disposition that moves it. Who receives where a
// send-once right is given up has a message of that (abi.NotifySendOnce). ESRCH: the
// message is on its way.
func (c *Conn) CancelAlarm(id uint64, keep bool) (abi.Name, uint8, abi.Errno) {
	r, err := c.Call(abi.CallAlarmCancel, [6]uint64{id}, nil, nil)
	if err == 0 && !keep {
		err = c.Deallocate(abi.Name(r.A[0]))
	}
	return abi.Name(r.A[0]), uint8(r.A[1]), err
}

// Alarm reads an alarm's message; false if m is none.
func (m *Message) Alarm() (Alarm, bool) {
	if m.ID != abi.MsgAlarm || len(m.Body) != 24 {
		return Alarm{}, false
	}
	le := binary.LittleEndian
	return Alarm{Word: le.Uint64(m.Body), At: le.Uint64(m.Body[8:]), Sent: le.Uint64(m.Body[16:])}, true
}
