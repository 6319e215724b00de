package hythe

import (
	"encoding/binary"
	"fmt"
	"io"

	unixserver "hythe/server/unix"
)

// MaxPcap is how many bytes a machine writes to Config.Pcap at most.
const MaxPcap = 1 << 30

// maxPacket is the length of the longest packet: IPv6's longest, with its header.
const maxPacket = 40 + 65535

// pcap writes packets in libpcap's format (pcap-savefile(5)): times in ns, packets from IP's
// header on. Its calls are one after the other.
type pcap struct {
	w     io.Writer // nil: no more is written
	log   func(string)
	part  []byte // of the unix server's stream
	bytes int64
	lost  uint64
}

// newPcap writes the file's head.
func newPcap(w io.Writer, log func(string)) *pcap {
	p := &pcap{w: w, log: log}
	const magicNS, linktypeRaw = 0xa1b23c4d, 101
	b := binary.LittleEndian.AppendUint32(nil, magicNS)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, maxPacket)
	b = binary.LittleEndian.AppendUint32(b, linktypeRaw)
	p.write(b)
	return p
}

// line takes a line of the unix server's log (unixserver.LogPackets...).
func (p *pcap) line(level int, line string) {
	if level == unixserver.LogPackets {
		p.part = p.part[:0] // what a server that died has begun does not go on
	}
	p.part = append(p.part, line...)
	b := p.part
	for len(b) >= unixserver.PacketHead {
		at, n := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
		if n > maxPacket {
			b = nil // it is no packet, nor is what follows
			break
		}
		if len(b) < unixserver.PacketHead+int(n) {
			break
		}
		if n == 0 {
			p.lost += at
		} else {
			p.packet(at, b[unixserver.PacketHead:][:n])
		}
		b = b[unixserver.PacketHead+n:]
	}
	p.part = p.part[:copy(p.part, b)]
}

// packet writes one.
func (p *pcap) packet(at uint64, data []byte) {
	const head = 16
	if p.w == nil {
		return
	}
	if p.bytes+head+int64(len(data)) > MaxPcap {
		p.w = nil
		p.log("pcap: the file is full, further packets are not in it")
		return
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(at/1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(at%1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	p.write(append(b, data...))
}

func (p *pcap) write(b []byte) {
	n, err := p.w.Write(b)
	p.bytes += int64(n)
	if err != nil {
		p.w = nil
		p.log("pcap: " + err.Error())
	}
}

// end says what the file lacks.
func (p *pcap) end() {
	if p.lost > 0 {
		p.log(fmt.Sprintf("pcap: %d packets came faster than they could be written and are not in the file", p.lost))
	}
}
