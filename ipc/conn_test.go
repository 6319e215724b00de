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

// The channel ends while one call of a batch waits, others were refused, and others are in
// a datagram that was not answered: each is told of once.
func TestBatchEnds(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(p[1])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = abi.MaxBatch + 10
	go func() {
		defer unix.Close(p[0])
		buf := make([]byte, 64<<10)
		for i := range 2 {
			k, err := unix.Read(p[0], buf)
			if h, _, ok := decodeHeader(buf[:max(k, 0)]); err == nil && ok && i == 0 {
				results := make([]byte, abi.MaxBatch*abi.BatchResultSize)
				for j := range abi.MaxBatch {
					e := abi.EAGAIN
					if j == 0 {
						e = abi.EINPROGRESS
					}
					results[j*abi.BatchResultSize] = byte(e)
				}
				b := make([]byte, abi.CallHeaderSize, abi.CallHeaderSize+len(results))
				encodeHeader(b, &abi.CallHeader{Op: abi.EventReply, ID: h.ID, Len: uint32(len(results))})
				_, _ = unix.Write(p[0], append(b, results...))
			}
		}
	}()
	b := c.Batch()
	for range n {
		if e := b.Add(abi.CallMsgSend, [6]uint64{1}, nil); e != 0 {
			t.Fatal(e)
		}
	}
	var told [n]abi.Errno
	if e := b.Do(func(i int, _ Reply, e abi.Errno) {
		if told[i] != 0 {
			t.Errorf("call %d is told of twice", i)
		}
		told[i] = e
	}); e != abi.EPIPE {
		t.Error(e)
	}
	for i, e := range told {
		if want := i > 0 && i < abi.MaxBatch; want != (e == abi.EAGAIN) || !want && e != abi.EPIPE {
			t.Errorf("call %d: %v", i, e)
		}
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
