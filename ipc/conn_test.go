package ipc

import (
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

func FuzzDecodeHeader(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, abi.CallHeaderSize))
	var b [abi.CallHeaderSize + 5]byte
	encodeHeader(b[:], &abi.CallHeader{Op: 1, NFds: 2, ID: 3, Err: 4, Len: 5, A: [6]uint64{6, 7, 8, 9, 10, 11}})
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		h, inline, ok := decodeHeader(data)
		if !ok {
			return
		}
		if len(inline) != int(h.Len) {
			t.Fatal("inline length")
		}
		var again [abi.CallHeaderSize]byte
		encodeHeader(again[:], &h)
		if string(again[:]) != string(data[:abi.CallHeaderSize]) {
			t.Fatal("encoding differs")
		}
	})
}

// A nucleus that is out of its mind ends the channel; it does not end the server.
func TestMalformedDatagram(t *testing.T) {
	for _, d := range [][]byte{{1, 2, 3}, append([]byte{64, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 64)...),
		append(append(make([]byte, 20), 99), make([]byte, 60)...)} {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(p[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(p[0], d); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(); err == nil {
			t.Errorf("datagram of %d bytes was taken", len(d))
		}
		_ = unix.Close(p[0])
		_ = c.Close()
	}
	if _, err := Dial(-1); err == nil {
		t.Error("Dial(-1)")
	}
}

// What happens to a server's tasks while it starts is kept for Run.
func TestEventsBeforeGo(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(p[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []uint32{abi.EventTaskDead, abi.EventGo, abi.EventStop} {
		var b [abi.CallHeaderSize]byte
		encodeHeader(b[:], &abi.CallHeader{Op: op, A: [6]uint64{7}})
		if _, err := unix.Write(p[0], b[:]); err != nil {
			t.Fatal(err)
		}
	}
	if in, err := Startup(c); err != nil || in.Incarnation != 7 {
		t.Fatal(in, err)
	}
	_ = unix.Close(p[0])
	var dead abi.Name
	stopped := false
	err = c.Run(&Handlers{TaskDead: func(n abi.Name) { dead = n }, Stop: func() { stopped = dead == 7 }})
	if err == nil || !stopped {
		t.Fatal(err, dead, stopped)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeMessage(&Message{ID: 3, Rights: make([]abi.RightDesc, 2), Objects: make([]abi.ObjectDesc, 1), Body: []byte("x")}, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(b); err == 0 {
			if again := encodeMessage(m, m.Port, 0, m.Reply, 0); len(again) != len(b) {
				t.Fatal("length differs")
			}
		}
	})
}
