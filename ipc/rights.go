package ipc

import "hythe/abi"

// Any number of rights. A message carries abi.MaxRights; more of them go in a port of
// their own, as messages that wait in its queue, and the message carries the port's
// receive right. It is what Mach's out-of-line arrays of port names are, and no more than
// ports: the rights are in the sender's budget until they are taken, and gone if nobody
// takes them. Sender and receiver have agreed on it: one packs what the other unpacks.
const maxPackedRights = 4096 * abi.MaxRights // as many messages as a queue may hold

// PackRights lets m carry the rights, which leave the task with it. E2BIG: more than
// 131,072. If it fails, and if m is not sent after all, UnpackRights gives them back (what
// was moved and has no other right beside it may have another name then).
func (c *Conn) PackRights(m *Message, rights []abi.RightDesc) abi.Errno {
	// One receive right would look like a port full of rights.
	if len(rights) <= abi.MaxRights && (len(rights) != 1 || rights[0].Disp != abi.MoveReceive) {
		m.Rights = rights
		return 0
	}
	if len(rights) > maxPackedRights {
		return abi.E2BIG
	}
	ports, err := c.MakePorts(1)
	if err != 0 {
		return err
	}
	port := ports[0]
	m.Rights = []abi.RightDesc{{Name: port, Disp: abi.MoveReceive}}
	b := c.Batch()
	b.Add(abi.CallPortLimit, [6]uint64{uint64(port), uint64((len(rights) + abi.MaxRights - 1) / abi.MaxRights)}, nil)
	for n := uint64(0); len(rights) > 0; n++ {
		k := min(len(rights), abi.MaxRights)
		// The right to answer makes each one that its receiver has again after its death.
		part := &Message{ID: abi.MsgRights, Seq: n, Rights: rights[:k]}
		b.Add(abi.CallMsgSend, [6]uint64{}, encodeMessage(part, port, abi.MakeSend, port, abi.MakeSendOnce))
		rights = rights[k:]
	}
	var failed abi.Errno
	if err := b.Do(func(_ int, _ Reply, err abi.Errno) {
		if err != 0 && failed == 0 {
			failed = err
		}
	}); err != 0 {
		failed = err
	}
	return failed
}

// UnpackRights answers the rights of a message that PackRights was used for, with the
// names of this task, at most max. done, which may be nil, is called once they need not
// come again with the message: when its request was answered. Until then the next
// incarnation of this server, to which the request comes again, finds all of them under
// the same names. If it fails there is nothing left of them. EMSGSIZE: more than max;
// EPROTO: something else is in the port; ENOSPC: no room for so many names.
func (c *Conn) UnpackRights(m *Message, max int) (rights []abi.RightDesc, done func(), err abi.Errno) {
	if len(m.Rights) != 1 || m.Rights[0].Kind != abi.RightReceive && m.Rights[0].Disp != abi.MoveReceive {
		if len(m.Rights) > max {
			return nil, nil, abi.EMSGSIZE
		}
		return m.Rights, nil, 0
	}
	port := m.Rights[0].Name
	var replies []abi.Name
	const window = 32 // questions at once
	for more := true; more && err == 0; {
		var ws []*waiter
		for range window {
			w, _, e := c.begin(abi.CallMsgReceive, [6]uint64{uint64(port), 0}, nil, nil, 0)
			if e != 0 {
				return nil, nil, e
			}
			ws = append(ws, w)
		}
		for _, w := range ws {
			r := w.wait()
			if w.err != 0 {
				more = false
				if w.err != abi.EAGAIN {
					err = w.err
				}
				continue
			}
			p, e := r.message()
			if e != 0 {
				err = e
				continue
			}
			closeAll(p.FDs)
			if p.Reply != abi.NameNull {
				replies = append(replies, p.Reply)
			}
			rights = append(rights, p.Rights...)
			for _, o := range p.Objects {
				rights = append(rights, abi.RightDesc{Name: o.Name, Kind: abi.RightObject})
			}
			switch {
			case p.ID != abi.MsgRights || len(p.Objects) > 0 || len(p.Rights) == 0:
				err = abi.EPROTO // so that a sender who goes on sending comes to max
			case len(rights) > max:
				err = abi.EMSGSIZE
			}
		}
	}
	done = func() {
		b := c.Batch()
		for _, n := range replies {
			b.Add(abi.CallPortDeallocate, [6]uint64{uint64(n)}, nil)
		}
		b.Add(abi.CallPortModRefs, [6]uint64{uint64(port), abi.RightReceive, ^uint64(0)}, nil)
		_ = b.Do(func(int, Reply, abi.Errno) {})
	}
	if err != 0 {
		c.DropRights(rights)
		done()
		return nil, nil, err
	}
	return rights, done, 0
}

// DropRights gives up rights that a message brought, one reference of each.
func (c *Conn) DropRights(rights []abi.RightDesc) {
	b := c.Batch()
	for _, r := range rights {
		switch {
		case r.Name == abi.NameNull || r.Name == abi.NameDead:
		case r.Kind == abi.RightReceive:
			b.Add(abi.CallPortModRefs, [6]uint64{uint64(r.Name), abi.RightReceive, ^uint64(0)}, nil)
		default:
			b.Add(abi.CallPortDeallocate, [6]uint64{uint64(r.Name)}, nil)
		}
	}
	_ = b.Do(func(int, Reply, abi.Errno) {})
}
