package ipc

import (
	"encoding/binary"

	"hythe/abi"
)

// encodeHeader writes the wire form of h, abi.CallHeaderSize bytes, to b.
func encodeHeader(b []byte, h *abi.CallHeader) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], h.Op)
	le.PutUint32(b[4:], h.NFds)
	le.PutUint64(b[8:], h.ID)
	le.PutUint32(b[16:], h.Err)
	le.PutUint32(b[20:], h.Len)
	for i, a := range h.A {
		le.PutUint64(b[24+8*i:], a)
	}
}

// decodeHeader reads a datagram's header and its inline bytes (a part of b);
// ok is false when the datagram is shorter than it says.
func decodeHeader(b []byte) (h abi.CallHeader, inline []byte, ok bool) {
	if len(b) < abi.CallHeaderSize {
		return h, nil, false
	}
	le := binary.LittleEndian
	h.Op = le.Uint32(b[0:])
	h.NFds = le.Uint32(b[4:])
	h.ID = le.Uint64(b[8:])
	h.Err = le.Uint32(b[16:])
	h.Len = le.Uint32(b[20:])
	for i := range h.A {
		h.A[i] = le.Uint64(b[24+8*i:])
	}
	if uint64(h.Len) > uint64(len(b)-abi.CallHeaderSize) {
		return h, nil, false
	}
	return h, b[abi.CallHeaderSize : abi.CallHeaderSize+int(h.Len)], true
}
