// Package message is the wire form of what tasks and the nucleus say to each
// other: abi.CallHeader and abi.MsgHeader as bytes, little-endian, and back.
// Decoding trusts nothing.
package message

import (
	"encoding/binary"

	"hythe/abi"
)

var le = binary.LittleEndian

// PutCall appends the wire form of h.
func PutCall(b []byte, h *abi.CallHeader) []byte {
	b = le.AppendUint32(b, h.Op)
	b = le.AppendUint32(b, h.NFds)
	b = le.AppendUint64(b, h.ID)
	b = le.AppendUint32(b, h.Err)
	b = le.AppendUint32(b, h.Len)
	for _, a := range h.A {
		b = le.AppendUint64(b, a)
	}
	return b
}

// GetCall decodes a datagram: its header and its inline bytes. False when it is
// too short or its lengths do not agree.
func GetCall(b []byte) (h abi.CallHeader, inline []byte, ok bool) {
	if len(b) < abi.CallHeaderSize {
		return h, nil, false
	}
	h.Op = le.Uint32(b)
	h.NFds = le.Uint32(b[4:])
	h.ID = le.Uint64(b[8:])
	h.Err = le.Uint32(b[16:])
	h.Len = le.Uint32(b[20:])
	for i := range h.A {
		h.A[i] = le.Uint64(b[24+8*i:])
	}
	inline = b[abi.CallHeaderSize:]
	if uint64(h.Len) != uint64(len(inline)) {
		return h, nil, false
	}
	return h, inline, true
}

// BatchCall is a call in a batch.
type BatchCall struct {
	Op     uint32
	A      [6]uint64
	Inline []byte
}

// NextBatch takes the first call of a batch; false: the bytes are none.
func NextBatch(b []byte) (c BatchCall, rest []byte, ok bool) {
	if len(b) < abi.BatchCallSize {
		return c, nil, false
	}
	c.Op = uint32(le.Uint16(b))
	n, l := int(b[2]), le.Uint32(b[4:])
	zero := b[3] == 0
	b = b[abi.BatchCallSize:]
	if !zero || n > len(c.A) || len(b) < 8*n || uint64(l) > uint64(len(b)-8*n) {
		return c, nil, false
	}
	for i := range n {
		c.A[i] = le.Uint64(b[8*i:])
	}
	b = b[8*n:]
	c.Inline = b[:l:l]
	return c, b[l:], true
}

// PutBatch appends the wire form of a call in a batch.
func PutBatch(b []byte, op uint32, inline []byte, a ...uint64) []byte {
	b = le.AppendUint16(b, uint16(op))
	b = append(b, uint8(len(a)), 0)
	b = le.AppendUint32(b, uint32(len(inline)))
	for _, v := range a {
		b = le.AppendUint64(b, v)
	}
	return append(b, inline...)
}

// PutStatus is the wire form of s.
func PutStatus(s abi.PortStatus) []byte {
	b := make([]byte, 0, abi.PortStatusSize)
	for _, v := range []uint32{uint32(s.Set), s.Sends, s.Onces, s.Blocked, s.Asked} {
		b = le.AppendUint32(b, v)
	}
	return b
}

// Msg is a message as a task writes it or reads it: names, not rights.
type Msg struct {
	abi.MsgHeader
	Rights  []abi.RightDesc
	Objects []abi.ObjectDesc
	Body    []byte
}

const (
	rightSize  = 8
	objectSize = 24
)

// Get decodes a message. EINVAL: the lengths do not agree with the bytes.
// EMSGSIZE: more rights, objects or bytes than a message may hold.
func Get(b []byte) (*Msg, abi.Errno) {
	m := &Msg{}
	if err := m.Decode(b); err != 0 {
		return nil, err
	}
	return m, 0
}

// Decode is Get into a Msg that was used before, whose room it uses again. The
// body is a part of b.
func (m *Msg) Decode(b []byte) abi.Errno {
	m.Rights, m.Objects, m.Body = m.Rights[:0], m.Objects[:0], nil
	if len(b) < abi.MsgHeaderSize {
		return abi.EINVAL
	}
	m.Remote = abi.Name(le.Uint32(b))
	m.Local = abi.Name(le.Uint32(b[4:]))
	m.RemoteDisp, m.LocalDisp, m.NRights, m.NObjects = b[8], b[9], b[10], b[11]
	m.ID = le.Uint32(b[12:])
	m.Seq = le.Uint64(b[16:])
	m.PortSeq = le.Uint32(b[24:])
	m.Len = le.Uint32(b[28:])
	copy(m.Trace[:], b[32:56])
	if m.NRights > abi.MaxRights || m.NObjects > abi.MaxObjects || m.Len > abi.MaxInline {
		return abi.EMSGSIZE
	}
	b = b[abi.MsgHeaderSize:]
	if len(b) != int(m.NRights)*rightSize+int(m.NObjects)*objectSize+int(m.Len) {
		return abi.EINVAL
	}
	for range m.NRights {
		m.Rights = append(m.Rights, abi.RightDesc{Name: abi.Name(le.Uint32(b)), Disp: b[4], Kind: b[5]})
		b = b[rightSize:]
	}
	for range m.NObjects {
		m.Objects = append(m.Objects, abi.ObjectDesc{
			Name: abi.Name(le.Uint32(b)), Flags: le.Uint32(b[4:]),
			Off: le.Uint64(b[8:]), Len: le.Uint64(b[16:]),
		})
		b = b[objectSize:]
	}
	m.Body = b
	return 0
}

// Put appends the wire form of m; the counts come from its slices.
func Put(b []byte, m *Msg) []byte {
	b = le.AppendUint32(b, uint32(m.Remote))
	b = le.AppendUint32(b, uint32(m.Local))
	b = append(b, m.RemoteDisp, m.LocalDisp, uint8(len(m.Rights)), uint8(len(m.Objects)))
	b = le.AppendUint32(b, m.ID)
	b = le.AppendUint64(b, m.Seq)
	b = le.AppendUint32(b, m.PortSeq)
	b = le.AppendUint32(b, uint32(len(m.Body)))
	b = append(b, m.Trace[:]...)
	for _, r := range m.Rights {
		b = le.AppendUint32(b, uint32(r.Name))
		b = append(b, r.Disp, r.Kind, 0, 0)
	}
	for _, o := range m.Objects {
		b = le.AppendUint32(b, uint32(o.Name))
		b = le.AppendUint32(b, o.Flags)
		b = le.AppendUint64(b, o.Off)
		b = le.AppendUint64(b, o.Len)
	}
	return append(b, m.Body...)
}
