package core

import (
	"testing"

	"hythe/abi"
	"hythe/store"
)

// What semaphores and messages take is bounded for all of them together, and given
// back with them.
func TestIPCMemory(t *testing.T) {
	tk := newTestKernel(t)
	c, _ := tk.call(tk.init)
	tk.Enter()
	var sets []store.Ref[SemSet]
	for {
		r, e := c.SemNew(0, SemPerSet, 0o600)
		if e != 0 {
			if e != abi.ENOSPC || len(sets) != ipcMemory/(8*SemPerSet) {
				t.Errorf("%d sets: %v", len(sets), e)
			}
			break
		}
		sets = append(sets, r)
	}
	q, e := c.MsgNew(0, 0o600)
	if e != 0 {
		t.Fatal(e)
	}
	id := tk.MsgQs.Get(q).ID
	n := 0
	for ; e == 0; n++ {
		e = c.MsgSend(id, 1, make([]byte, MsgMax), true)
	}
	if e != abi.EAGAIN && e != abi.ENOMEM {
		t.Errorf("%d messages: %v", n, e)
	}
	if tk.Globals().IPCBytes > ipcMemory {
		t.Errorf("%d bytes", tk.Globals().IPCBytes)
	}
	tk.MsgRemove(q)
	for _, r := range sets {
		tk.SemRemove(r)
	}
	if b := tk.Globals().IPCBytes; b != 0 {
		t.Errorf("%d bytes are left", b)
	}
	tk.Leave()
}
