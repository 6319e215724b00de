package unix

import (
	"encoding/binary"
	"sync"

	"hythe/abi"
)

// Levels of the lines of the machine's log by which the supervisor gets packets
// (Config.Sniff). Lines of LogPackets and LogPacketsOn, one behind the other, are a stream of
// packets, each with PacketHead before it; LogPackets begins with one.
const (
	LogPackets   = 8
	LogPacketsOn = 9
)

// PacketHead is what stands before a packet: when it was, in ns of real time, and its
// length (8 bytes, 4). Of the length 0: so many packets are missing, instead of when.
const PacketHead = 12

// maxPackets is how many bytes of packets wait for the supervisor; more are lost.
const maxPackets = 4 << 20

// sniffer holds packets until the nucleus has them.
type sniffer struct {
	s      *server
	mu     sync.Mutex
	wait   []byte
	lost   uint64
	posted bool
}

// packet takes a packet of the core's.
func (f *sniffer) packet(at int64, b []byte) {
	f.mu.Lock()
	if len(f.wait)+PacketHead+len(b) > maxPackets {
		f.lost++
		f.mu.Unlock()
		return
	}
	f.wait = appendPacket(f.wait, uint64(at), b)
	first := !f.posted
	f.posted = true
	f.mu.Unlock()
	if first {
		f.s.posts <- f.flush
	}
}

func appendPacket(to []byte, at uint64, b []byte) []byte {
	to = binary.LittleEndian.AppendUint64(to, at)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(b)))
	return append(to, b...)
}

// flush gives the supervisor what there is.
func (f *sniffer) flush() {
	f.mu.Lock()
	b := f.wait
	if f.lost > 0 {
		b = appendPacket(b, f.lost, nil)
	}
	f.wait, f.lost, f.posted = nil, 0, false
	f.mu.Unlock()
	level := LogPackets
	for len(b) > 0 {
		n := min(len(b), abi.MaxLogLine)
		f.s.conn.Log(level, string(b[:n]))
		b, level = b[n:], LogPacketsOn
	}
}
