package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// packet is a packet of a capture. What its headers say was checked.
type packet struct {
	proto    byte
	src, dst netip.AddrPort
	life     byte
	flags    byte // of TCP
	seq, ack uint32
	kind     byte // of ICMP
	data     []byte
	at       uint64 // ns
}

// capture reads a file of libpcap (pcap-savefile(5)), and demands that it is one to the
// last byte: all lengths and checksums are right.
func capture(t *testing.T, name string) []packet {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint32(b) != 0xa1b23c4d || le.Uint16(b[4:]) != 2 || le.Uint16(b[6:]) != 4 || le.Uint32(b[20:]) != 101 {
		t.Fatalf("no head of a capture: % x", b[:min(len(b), 24)])
	}
	longest := le.Uint32(b[16:])
	var l []packet
	for b = b[24:]; len(b) > 0; {
		if len(b) < 16 {
			t.Fatalf("%d bytes too much", len(b))
		}
		n := le.Uint32(b[8:])
		if n > longest || n != le.Uint32(b[12:]) || len(b) < 16+int(n) || le.Uint32(b[4:]) >= 1e9 {
			t.Fatalf("packet %d: head % x", len(l), b[:16])
		}
		p, err := parse(b[16:][:n])
		if err != nil {
			t.Fatalf("packet %d: %v: % x", len(l), err, b[16:][:min(n, 100)])
		}
		p.at = uint64(le.Uint32(b))*1e9 + uint64(le.Uint32(b[4:]))
		if len(l) > 0 && p.at < l[len(l)-1].at {
			t.Errorf("packet %d was before the last one", len(l))
		}
		l = append(l, p)
		b = b[16+n:]
	}
	return l
}

// sum is the sum of a checksum: 0xffff if that is right.
func sum(parts ...[]byte) uint32 {
	var n uint32
	for _, b := range parts {
		for i := range b {
			n += uint32(b[i]) << (8 * (1 - i%2))
			n = n&0xffff + n>>16
		}
	}
	return n
}

func parse(b []byte) (p packet, err error) {
	be := binary.BigEndian
	var src, dst netip.Addr
	var pseudo, body []byte
	switch {
	case len(b) >= 20 && b[0] == 0x45:
		if int(be.Uint16(b[2:])) != len(b) || sum(b[:20]) != 0xffff {
			return p, fmt.Errorf("length or checksum of IPv4")
		}
		p.proto, p.life, body = b[9], b[8], b[20:]
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		pseudo = append(append(pseudo, b[12:20]...), 0, p.proto)
		pseudo = be.AppendUint16(pseudo, uint16(len(body)))
	case len(b) >= 40 && b[0] == 0x60:
		if int(be.Uint16(b[4:]))+40 != len(b) {
			return p, fmt.Errorf("length of IPv6")
		}
		p.proto, p.life, body = b[6], b[7], b[40:]
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		pseudo = append(append(pseudo, b[8:40]...), 0, 0, 0, 0, 0, 0, 0, p.proto)
		be.PutUint32(pseudo[32:], uint32(len(body)))
	default:
		return p, fmt.Errorf("no IP")
	}
	if p.proto == 1 {
		pseudo = nil
	}
	if sum(pseudo, body) != 0xffff {
		return p, fmt.Errorf("checksum %#x", sum(pseudo, body))
	}
	head := 8
	switch p.proto {
	case 1, 58:
		p.kind = body[0]
		p.src, p.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	case 6:
		head = int(body[12]>>4) * 4
		p.seq, p.ack, p.flags = be.Uint32(body[4:]), be.Uint32(body[8:]), body[13]
		fallthrough
	case 17, 136:
		p.src, p.dst = netip.AddrPortFrom(src, be.Uint16(body)), netip.AddrPortFrom(dst, be.Uint16(body[2:]))
		if n := int(be.Uint16(body[4:])); p.proto == 17 && n != len(body) || p.proto == 136 && n != 0 {
			return p, fmt.Errorf("length of UDP")
		}
	default:
		return p, fmt.Errorf("protocol %d", p.proto)
	}
	if head < 8 || head > len(body) {
		return p, fmt.Errorf("length of a header")
	}
	p.data = body[head:]
	return p, nil
}

// said is what packets of one conversation after another say, a line for each; a run of
// segments with data is one. Ports that the system chose are *. The numbers of a stream's
// segments are checked: they follow each other, and acknowledge what was there.
func said(t *testing.T, l []packet) string {
	t.Helper()
	name := func(a netip.AddrPort) string {
		if a.Port() >= 32768 {
			return strings.TrimSuffix(a.String(), fmt.Sprint(a.Port())) + "*"
		}
		return a.String()
	}
	next := map[[2]netip.AddrPort]uint32{}
	var out []string
	run := 0
	for i, p := range l {
		way := name(p.src) + " > " + name(p.dst)
		line := fmt.Sprintf("%d %s life %d type %d %d", p.proto, way, p.life, p.kind, len(p.data))
		if p.proto == 6 {
			key, back := [2]netip.AddrPort{p.src, p.dst}, [2]netip.AddrPort{p.dst, p.src}
			if p.flags&2 != 0 {
				next[key] = p.seq
			}
			if p.seq != next[key] && (p.flags&4 == 0 || p.seq != 0) {
				t.Errorf("packet %d: %s: sequence number %d, want %d", i, way, p.seq, next[key])
			}
			if p.flags&16 != 0 && p.ack != next[back] {
				t.Errorf("packet %d: %s: acknowledges %d, want %d", i, way, p.ack, next[back])
			}
			next[key] += uint32(len(p.data)) + uint32(p.flags&1) + uint32(p.flags>>1&1)
			flags := ""
			for b, c := range "FSRPAU" {
				if p.flags>>b&1 != 0 {
					flags += string(c)
				}
			}
			line = fmt.Sprintf("%s %s", way, flags)
			if len(p.data) > 0 {
				if i > 0 && l[i-1].src == p.src && l[i-1].dst == p.dst && l[i-1].flags == p.flags && len(l[i-1].data) > 0 {
					out = out[:len(out)-1]
				} else {
					run = 0
				}
				run += len(p.data)
				line += fmt.Sprint(" ", run)
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n") + "\n"
}

// TestPcap: what passes by sockets is in the file, as packets that are right in themselves
// and among each other.
func TestPcap(t *testing.T) {
	s, u := serve(t), echoDgrams(t, "127.0.0.1")
	file := filepath.Join(t.TempDir(), "pcap")
	flags := append(allow(s.port(), u), "--pcap", file)
	if r := inMachine(t, flags, "pcap.py", "10.0.2.2", s.port(), u); r.status != 0 || r.errs != "" {
		t.Fatalf("%+v", r)
	}
	l := capture(t, file)
	got := said(t, l)
	out := func(port string) string {
		var n int
		if fmt.Sscan(port, &n); n >= 32768 {
			return "*"
		}
		return port
	}
	want := `127.0.0.1:* > 127.0.0.1:4001 S
127.0.0.1:4001 > 127.0.0.1:* SA
127.0.0.1:* > 127.0.0.1:4001 A
127.0.0.1:* > 127.0.0.1:4001 PA 50
127.0.0.1:4001 > 127.0.0.1:* PA 100000
127.0.0.1:* > 127.0.0.1:4001 FA
127.0.0.1:4001 > 127.0.0.1:* FA
[::1]:* > [::1]:4002 S
[::1]:4002 > [::1]:* SA
[::1]:* > [::1]:4002 A
[::1]:4002 > [::1]:* FA
[::1]:* > [::1]:4002 PA 6
[::1]:4002 > [::1]:* R
127.0.0.1:* > 127.0.0.1:4003 S
127.0.0.1:4003 > 127.0.0.1:* SA
127.0.0.1:* > 127.0.0.1:4003 A
127.0.0.1:* > 127.0.0.1:4003 PA 1
127.0.0.1:* > 127.0.0.1:4003 PAU 1
127.0.0.1:* > 127.0.0.1:4003 PA 1
127.0.0.1:4003 > 127.0.0.1:* RA
127.0.0.1:* > 127.0.0.1:4004 S
127.0.0.1:4004 > 127.0.0.1:* RA
17 127.0.0.1:* > 127.0.0.1:4005 life 7 type 0 3
17 127.0.0.1:* > 127.0.0.1:4005 life 7 type 0 0
17 127.0.0.1:* > 127.0.0.1:4005 life 7 type 0 65507
17 [::1]:* > [::1]:4006 life 64 type 0 3
17 [::1]:* > [::1]:4006 life 64 type 0 0
17 [::1]:* > [::1]:4006 life 64 type 0 65507
136 127.0.0.1:* > 127.0.0.1:4007 life 64 type 0 4
1 127.0.0.1:0 > 127.0.0.1:0 life 64 type 3 32
1 127.0.0.1:0 > 127.0.0.1:0 life 64 type 8 4
1 127.0.0.1:0 > 127.0.0.1:0 life 64 type 0 4
58 [::1]:0 > [::1]:0 life 64 type 128 4
58 [::1]:0 > [::1]:0 life 64 type 129 4
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("in the machine: got\n%s\nwant\n%s", got, want)
	}
	// Of the host nobody knows when its bytes come.
	var sent, back []byte
	var kinds string
	for _, p := range l {
		switch {
		case p.proto == 6 && p.dst.String() == "10.0.2.2:"+s.port():
			sent = append(sent, p.data...)
		case p.proto == 6 && p.src.String() == "10.0.2.2:"+s.port():
			back = append(back, p.data...)
		default:
			continue
		}
		if p.flags&^16 != 8 {
			kinds += fmt.Sprint(p.flags, " ")
		}
	}
	if want := strings.Repeat("e", 50000); string(sent) != "echo\n"+want || string(back) != want {
		t.Errorf("%d bytes to the host, %d from there", len(sent), len(back))
	}
	if kinds != "2 18 16 17 17 " {
		t.Errorf("kinds of segments: %s", kinds)
	}
	u2 := out(u)
	if want := "17 10.0.2.15:* > 10.0.2.2:" + u2 + " life 64 type 0 3\n17 10.0.2.2:" + u2 + " > 10.0.2.15:* life 64 type 0 3\n"; !strings.HasSuffix(got, want) {
		t.Errorf("datagrams: got\n%s\nwant\n%s", got, want)
	}
	// tcpdump reads it, where there is one.
	if tcpdump, err := exec.LookPath("tcpdump"); err == nil {
		if b, err := exec.Command(tcpdump, "-nr", file).Output(); err != nil || strings.Count(string(b), "\n") != len(l) {
			t.Errorf("tcpdump: %v\n%s", err, b)
		}
	}
}

// TestPcapDeath: a server's death leaves a file that can be read, in which streams go on
// under their numbers.
func TestPcapDeath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pcap")
	m := start(t, []string{"--network", "none", "--pcap", file}, "pcapdeath.py")
	for range 3 {
		m.line("ready")
		// With the end of a program all is written that passed before.
		if r := run(t, subject.Binary(t), "exec", "-m", m.id, "--", "/bin/true"); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		m.kill("unix")
		fmt.Fprintln(m.in)
	}
	m.line("ready")
	m.end()
	got := said(t, capture(t, file))
	want := `127.0.0.1:* > 127.0.0.1:4001 S
127.0.0.1:4001 > 127.0.0.1:* SA
127.0.0.1:* > 127.0.0.1:4001 A
` + strings.Repeat("127.0.0.1:* > 127.0.0.1:4001 PA 5\n127.0.0.1:4001 > 127.0.0.1:* PA 6\n", 4) + `127.0.0.1:* > 127.0.0.1:4001 FA
127.0.0.1:4001 > 127.0.0.1:* FA
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
