package message

import (
	"bytes"
	"testing"

	"hythe/abi"
)

func full() *Msg {
	m := &Msg{Body: []byte("body")}
	m.Remote, m.Local, m.RemoteDisp, m.LocalDisp, m.ID, m.Seq, m.PortSeq = 1, 2, 3, 4, 5, 6, 7
	for i := range abi.MaxRights {
		m.Rights = append(m.Rights, abi.RightDesc{Name: abi.Name(i), Disp: uint8(i), Kind: 1})
	}
	for i := range abi.MaxObjects {
		m.Objects = append(m.Objects, abi.ObjectDesc{Name: abi.Name(i), Flags: 1, Off: 2, Len: 3})
	}
	return m
}

// What is decoded is encoded to the same bytes, but for those that mean nothing,
// and holds no more than a message may.
func FuzzGet(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, abi.MsgHeaderSize))
	f.Add(Put(nil, full()))
	f.Add(append(Put(nil, full()), 0))
	f.Add(Put(nil, full())[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		m, err := Get(b)
		if !bytes.Equal(in, b) {
			t.Fatal("decoding changes the bytes")
		}
		if err != 0 {
			if m != nil || err != abi.EINVAL && err != abi.EMSGSIZE {
				t.Fatalf("%v %+v", err, m)
			}
			return
		}
		if len(m.Rights) > abi.MaxRights || len(m.Objects) > abi.MaxObjects || len(m.Body) > abi.MaxInline || int(m.Len) != len(m.Body) {
			t.Fatalf("%d rights, %d objects, %d bytes", len(m.Rights), len(m.Objects), len(m.Body))
		}
		out := Put(nil, m)
		for i := range m.Rights { // padding
			o := abi.MsgHeaderSize + i*rightSize
			copy(out[o+6:o+8], b[o+6:o+8])
		}
		if !bytes.Equal(out, b) {
			t.Fatal("it is encoded differently")
		}
	})
}

func FuzzGetCall(f *testing.F) {
	f.Add([]byte{})
	f.Add(PutCall(nil, &abi.CallHeader{Op: 1, NFds: 2, ID: 3, Err: 4, A: [6]uint64{1, 2, 3, 4, 5, 6}}))
	f.Add(append(PutCall(nil, &abi.CallHeader{Len: 3}), "abc"...))
	f.Add(append(PutCall(nil, &abi.CallHeader{Len: 1 << 31}), "abc"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, in, ok := GetCall(b)
		if !ok {
			return
		}
		if int(h.Len) != len(in) || !bytes.Equal(append(PutCall(nil, &h), in...), b) {
			t.Fatal("it is encoded differently")
		}
	})
}
