package hythe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	unixserver "hythe/server/unix"
)

// packetLine is a packet as the unix server's stream has it.
func packetLine(at uint64, data string) string {
	b := binary.LittleEndian.AppendUint64(nil, at)
	return string(binary.LittleEndian.AppendUint32(b, uint32(len(data)))) + data
}

// TestPcapLines: packets are put together from lines; what a server that died, or one
// that is broken, has said does no harm.
func TestPcapLines(t *testing.T) {
	var out bytes.Buffer
	var log []string
	p := newPcap(&out, func(s string) { log = append(log, s) })
	head := out.Len()
	written := func(want ...string) {
		t.Helper()
		got := out.Bytes()[head:]
		for _, w := range want {
			n := len(w)
			if len(got) < 16+n || int(binary.LittleEndian.Uint32(got[8:])) != n || string(got[16:16+n]) != w {
				t.Fatalf("got %q, want %q", got, want)
			}
			got = got[16+n:]
		}
		if len(got) > 0 {
			t.Fatalf("too much: %q", got)
		}
		out.Truncate(head)
	}
	first, on := unixserver.LogPackets, unixserver.LogPacketsOn
	two := packetLine(1, "one") + packetLine(2, "second")
	for cut := range two {
		p.line(first, two[:cut])
		p.line(on, two[cut:])
		written("one", "second")
	}
	// Another incarnation begins in the middle.
	p.line(first, packetLine(1, "one")+packetLine(2, "second")[:15])
	p.line(first, packetLine(3, "three"))
	written("one", "three")
	// No packet is so long; nothing is kept of it.
	p.line(first, packetLine(1, strings.Repeat("x", maxPacket+1)))
	p.line(on, packetLine(1, "one"))
	written("one")
	p.line(first, packetLine(7, ""))
	p.end()
	if len(log) != 1 || !strings.HasPrefix(log[0], "pcap: 7 packets ") {
		t.Errorf("%q", log)
	}
	// The bound, and a file that takes no more, are told once.
	log = nil
	p.bytes = MaxPcap - 20
	p.line(first, packetLine(1, "one")+packetLine(1, "four")+packetLine(1, "one"))
	written("one")
	if len(log) != 1 {
		t.Errorf("%q", log)
	}
	log = nil
	p = newPcap(refuses{}, func(s string) { log = append(log, s) })
	p.line(first, two)
	if len(log) != 1 {
		t.Errorf("%q", log)
	}
}

type refuses struct{}

func (refuses) Write([]byte) (int, error) { return 0, errors.New("full") }
