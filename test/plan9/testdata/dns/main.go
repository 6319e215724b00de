//go:build plan9

// Command dns asks for names by /net/cs and /net/dns; it is the resolver itself. Each line
// that it writes says whether an answer is as the manual has it.
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
)

func ok(what string, good bool, more ...any) {
	if good {
		more = nil
	}
	fmt.Println(append([]any{what, good}, more...)...)
}

// name encodes one.
func name(s string) []byte {
	var b []byte
	for label := range strings.SplitSeq(s, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// record is one of the name that was asked for, which stands at 12.
func record(typ uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xc0, 12}, typ)
	b = append(b, 0, 1, 0, 0, 0, 60)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

// owned has a record belong to another name.
func owned(by string, r []byte) []byte { return append(name(by), r[2:]...) }

// records are the resolver's, by name and type.
var records = map[string][][]byte{
	"host.example 1":            {record(1, 192, 0, 2, 1), record(1, 192, 0, 2, 2)},
	"host.example 28":           {record(28, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)},
	"alias.example 1":           {record(5, name("host.example")...), owned("host.example", record(1, 192, 0, 2, 1)), owned("evil.example", record(1, 192, 0, 2, 66))},
	"alias.example 5":           {record(5, name("host.example")...)},
	"host.example 15":           {record(15, append([]byte{0, 10}, name("mail.example")...)...)},
	"host.example 2":            {record(2, name("ns.example")...)},
	"host.example 16":           {record(16, 5, 'a', ' ', 'b', '\n', 'c', 1, 'd')},
	"_x._tcp.example 33":        {record(33, append([]byte{0, 1, 0, 2, 0, 80}, name("host.example")...)...)},
	"1.2.0.192.in-addr.arpa 12": {record(12, name("host.example")...)},
	// Names that lead to themselves, to nowhere, or are none.
	"loop.example 5":  {record(5, 0xc0, 12+14+4+12), record(5, 0xc0, 0xff), record(5, 3, 'a', '\n', 'b', 0), record(5, 63), record(5)},
	"short.example 1": {record(1, 1, 2, 3), record(1)},
	"root.example 1":  {record(5, 0), append([]byte{0}, record(1, 192, 0, 2, 66)[2:]...)},
}

func serve(c net.PacketConn) {
	b := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		q := b[:n]
		asked, at := "", 12
		for q[at] != 0 {
			asked += string(q[at+1:at+1+int(q[at])]) + "."
			at += 1 + int(q[at])
		}
		typ := binary.BigEndian.Uint16(q[at+1:])
		l, there := records[fmt.Sprintf("%s %d", strings.TrimSuffix(asked, "."), typ)]
		a := append([]byte(nil), q...)
		a[2], a[3] = 0x81, 0x80
		switch {
		case there:
		case asked == "fails.example.":
			a[3] |= 2
		case !strings.HasPrefix(asked, "host."):
			a[3] |= 3
		}
		binary.BigEndian.PutUint16(a[6:], uint16(len(l)))
		for _, r := range l {
			a = append(a, r...)
		}
		// What is no answer to it comes first.
		c.WriteTo(nil, from)
		c.WriteTo(q, from)
		c.WriteTo(a[:11], from)
		c.WriteTo(append([]byte{a[0] ^ 1}, a[1:]...), from)
		other := append([]byte(nil), a...)
		other[13] ^= 1
		c.WriteTo(other, from)
		c.WriteTo(a, from)
	}
}

// dns answers the lines that /net/dns has, or the error.
func dns(question string) string {
	f, err := os.OpenFile("/net/dns", os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.WriteString(question); err != nil {
		return err.Error()
	}
	f.Seek(0, 0)
	s := ""
	b := make([]byte, 1024)
	for {
		n, err := f.Read(b)
		if n <= 0 || err != nil {
			return s
		}
		s += string(b[:n]) + "\n"
	}
}

func main() {
	c, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		fmt.Println(err)
		return
	}
	go serve(c)
	s := dns("host.example ip")
	ok("ip", s == "host.example ip 192.0.2.1\nhost.example ip 192.0.2.2\n", s)
	s = dns("alias.example ip")
	ok("an alias's ip", s == "host.example ip 192.0.2.1\n", s)
	l, err := net.LookupHost("host.example")
	ok("host", err == nil && fmt.Sprint(l) == "[192.0.2.1 192.0.2.2 2001:db8::1]", l, err)
	_, err = net.LookupHost("none.example")
	e, is := err.(*net.DNSError)
	ok("no host", is && e.IsNotFound, err)
	s, err = net.LookupCNAME("alias.example")
	ok("cname", err == nil && s == "host.example.", s, err)
	mx, err := net.LookupMX("host.example")
	ok("mx", err == nil && len(mx) == 1 && *mx[0] == net.MX{Host: "mail.example.", Pref: 10}, mx, err)
	ns, err := net.LookupNS("host.example")
	ok("ns", err == nil && len(ns) == 1 && ns[0].Host == "ns.example.", ns, err)
	txt, err := net.LookupTXT("host.example")
	ok("txt", err == nil && len(txt) == 1 && txt[0] == "a b cd", txt, err)
	_, srv, err := net.LookupSRV("x", "tcp", "example")
	ok("srv", err == nil && len(srv) == 1 && *srv[0] == net.SRV{Target: "host.example.", Port: 80, Priority: 1, Weight: 2}, srv, err)
	l, err = net.LookupAddr("192.0.2.1")
	ok("ptr", err == nil && fmt.Sprint(l) == "[host.example.]", l, err)
	s = dns("loop.example cname")
	ok("names that are none", strings.Contains(s, "resource does not exist"), s)
	s = dns("short.example ip")
	ok("addresses that are none", strings.Contains(s, "resource does not exist"), s)
	_, err = net.LookupHost("root.example")
	e, is = err.(*net.DNSError)
	ok("the name of nobody", is && e.IsNotFound, err)
	s = dns("fails.example ip")
	ok("failure", strings.Contains(s, "dns failure"), s)
	for _, q := range []string{"host.example", "host.example none", strings.Repeat("a", 64) + " ip", "a..b ip", "\u00e4 ip", strings.Repeat("a.", 200) + " ip"} {
		if s := dns(q); !strings.Contains(s, "dns: bad") {
			ok("question", false, q, s)
		}
	}
	ok("questions", true)
}
