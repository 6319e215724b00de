package ipc_test

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// A peer that writes whatever it likes wherever it can, whenever it likes: the
// server never reads or answers outside a slot, and another client's call is
// answered in its turn.
func FuzzRing(f *testing.F) {
	op := func(kind byte, at uint16, v uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16([]byte{kind}, at), v)
	}
	const pending = 16 // whatever is there, its bits are tried below
	var all []byte
	for at := range uint16(64) {
		all = append(all, op(0, at*64, ^uint64(0))...)
	}
	f.Add(all)
	f.Add(append(op(1, 0, abi.SlotRequest), op(2, 0, 0)...))
	f.Add(append(append(op(1, 0, abi.SlotRequest), op(0, pending, 0xff)...), op(2, 0, 0)...))
	f.Add(append(append(op(0, 0, 0), op(3, 0, 0)...), op(2, 0, 0)...))
	for _, v := range []uint64{1 << 31, 1<<32 - 1, 1 << 63, abi.SlotInSize + 1, abi.SlotOutOff} {
		var b []byte
		for at := uint16(4); at < 400; at += 4 {
			b = append(b, op(1, at, v)...)
		}
		f.Add(append(append(append(b, op(1, 0, abi.SlotRequest)...), all...), op(3, 0, 0)...))
	}
	const slots = 3
	f.Fuzz(func(t *testing.T, b []byte) {
		bad, good := ipctest.NewRaw(t, slots), ipctest.NewRaw(t, 1)
		mem, err := unix.Mmap(bad.FDs[0], 0, abi.BindHeaderSize+slots*abi.SlotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(mem)
		p, err := ipc.NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		p.SetSpin(0)
		sb, gb := bad.Server(), good.Server()
		p.Add(sb)
		p.Add(gb)
		c := good.Client()
		defer func() {
			c.Close()
			for _, x := range []*ipc.ServerBinding{sb, gb} {
				if x != nil {
					p.Remove(x)
					x.Close()
				}
			}
			p.Close()
		}()
		// turn serves one request, if there is any.
		turn := func() (honest bool) {
			r := p.Wait(0)
			if r.Kind != ipc.ReadySlot {
				return false
			}
			if r.Slot < 0 || r.Slot >= r.Binding.Slots() {
				t.Fatalf("slot %d", r.Slot)
			}
			var q ipc.Request
			if !r.Binding.Load(r.Slot, &q) {
				r.Binding.Drop(r.Slot)
				return false
			}
			if q.InLen > abi.SlotInSize || int(q.NIn) > len(q.In) {
				t.Fatalf("%d bytes, %d ranges", q.InLen, q.NIn)
			}
			whole := r.Binding.Whole(r.Slot)
			for _, e := range q.In[:q.NIn] {
				_ = whole[e.Off : e.Off+e.Len]
				if e.Off < abi.SlotInOff || e.Off+e.Len > abi.SlotOutOff {
					t.Fatalf("range %+v", e)
				}
			}
			n := copy(r.Binding.Out(r.Slot), r.Binding.In(r.Slot)[:q.InLen])
			r.Binding.Answer(r.Slot, q.Seq, q.Nr+1, 0, n)
			r.Binding.Complete(r.Slot)
			return r.Binding == gb
		}
		ask := func(nr uint64) {
			k := c.Begin()
			done := make(chan struct{})
			if err := k.Start(nr, copy(k.In(), "honest"), func() { close(done) }); err != nil {
				t.Fatal(err)
			}
			for n := 0; !turn(); n++ {
				// One of the other's requests may be given out before, another one
				// while this one's bell is heard.
				if n > 2*slots+4 {
					t.Fatalf("call %d is not served", nr)
				}
			}
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatalf("call %d is not answered", nr)
			}
			if k.Result() != nr+1 || string(k.Out()) != "honest" {
				t.Fatalf("call %d: %d %q", nr, k.Result(), k.Out())
			}
			k.End()
		}
		for nr := uint64(0); len(b) >= 11 && nr < 200; nr++ {
			at, v := int(binary.LittleEndian.Uint16(b[1:])), b[3:11]
			switch b[0] % 4 {
			case 0: // the header
				copy(mem[at%abi.BindHeaderSize:abi.BindHeaderSize], v)
			case 1: // a slot's header; the high bits choose the slot
				o := abi.BindHeaderSize + at>>10%slots*abi.SlotSize
				copy(mem[o+at%1024:], v)
			case 2: // the bells; a full one is rung already
				_ = unix.SetNonblock(bad.FDs[1], true)
				_, _ = unix.Write(bad.FDs[1], v)
				turn()
			case 3: // the server dies, and the next one finds what there is
				if sb != nil {
					p.Remove(sb)
					sb.Close()
				}
				x, err := ipc.NewServerBinding(&ipc.Bound{ID: 1, Role: abi.RoleServer, Slots: slots, Redelivered: true,
					FDs: []int{fd(t, bad.FDs[0]), fd(t, bad.FDs[1]), fd(t, bad.FDs[2])}})
				if sb = x; err == nil {
					p.Add(sb)
				} else {
					sb = nil
				}
			}
			b = b[11:]
			if nr%8 == 0 {
				ask(nr)
			}
		}
		ask(1000)
	})
}

func fd(t *testing.T, n int) int {
	n, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A server that answers whatever it likes: its client reads inside the slot.
func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		raw := ipctest.NewRaw(t, 1)
		s, c := raw.Server(), raw.Client()
		defer s.Close()
		defer c.Close()
		k := c.Begin()
		done := make(chan struct{})
		if err := k.Start(1, 0, func() { close(done) }); err != nil {
			t.Fatal(err)
		}
		slot, ok := s.Take()
		if !ok {
			t.Fatal("no request")
		}
		sl := s.Slot(slot)
		for i, w := 0, []*uint32{&sl.Err, &sl.OutLen, &sl.NAct, &sl.RFlags}; i < 4 && len(b) >= 4*i+4; i++ {
			*w[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		s.Complete(slot)
		<-done
		if n := len(k.Out()); n > abi.SlotOutSize {
			t.Fatalf("%d bytes", n)
		}
		k.End()
	})
}
