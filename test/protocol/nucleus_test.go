package protocol

import (
	"testing"

	"hythe/abi"
	"hythe/idl/nucleus"
	"hythe/ipc"
)

// TestNucleus: what idl/nucleus.idl says of the nucleus's messages is what package abi and
// package ipc say.
func TestNucleus(t *testing.T) {
	for id, want := range map[uint32]int{
		abi.MsgNotify + abi.NotifyDeadName: nucleus.MsgDeadName, abi.MsgNotify + abi.NotifyNoSenders: nucleus.MsgNoSenders,
		abi.MsgNotify + abi.NotifyPortDestroyed: nucleus.MsgPortDestroyed, abi.MsgNotify + abi.NotifySendOnce: nucleus.MsgSendOnce,
		abi.MsgPageRequest: nucleus.MsgPage, abi.MsgAlarm: nucleus.MsgAlarm,
		abi.MsgPageTerminate: nucleus.MsgPageTerminate,
	} {
		if id != uint32(want) || nucleus.Kind(id) == "" {
			t.Errorf("%d, want %d", id, want)
		}
	}
	m, e := nucleus.EncodePage(1, 2, 3, 1)
	if q, ok := m.Page(); e != 0 || !ok || q != (ipc.PageRequest{Tag: 1, Off: 2, Len: 3, Write: true}) {
		t.Errorf("page: %+v, %v", q, ok)
	}
	m, e = nucleus.EncodePageTerminate(1, 1)
	if tag, gone, ok := m.PageTerminate(); e != 0 || !ok || tag != 1 || !gone {
		t.Errorf("page terminate: %d, %v, %v", tag, gone, ok)
	}
	m, e = nucleus.EncodeAlarm(1, 2, 3)
	if a, ok := m.Alarm(); e != 0 || !ok || a != (ipc.Alarm{Word: 1, At: 2, Sent: 3}) {
		t.Errorf("alarm: %+v, %v", a, ok)
	}
}

// TestNotifications: what the nucleus sends is decoded as it says.
func TestNotifications(t *testing.T) {
	m := newMachine(t)
	c, _, err := m.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	other, e := c.MakePort("")
	if e != 0 {
		t.Fatal(e)
	}
	// An answer that nobody can give any more: the port that the request went to is gone.
	if e := c.MakeSend(other); e != 0 {
		t.Fatal(e)
	}
	if e := c.Send(other, &ipc.Message{ID: 1}, port); e != 0 {
		t.Fatal(e)
	}
	c.DropReceive(other)
	got, e := c.Receive(port)
	if e != 0 {
		t.Fatal(e)
	}
	if got.ID != nucleus.MsgSendOnce {
		t.Fatalf("message %d", got.ID)
	}
	if _, e := nucleus.DecodeSendOnce(got); e != 0 {
		t.Errorf("send-once: %v, %x", e, got.Body)
	}
}
