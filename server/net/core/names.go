package core

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// Names of the machines of a network, by the protocol of RFC 1035: one question, of which only
// addresses are answered.

const (
	dnsHead  = 12
	typeA    = 1
	typeAAAA = 28 // RFC 3596
	classIN  = 1
	// nameTTL is how long an answer holds, in seconds: machines come and go.
	nameTTL = 5

	flagReply     = 1 << 15
	flagAuthority = 1 << 10
	flagRecursion = 1 << 8
	opcode        = 0xf << 11

	rcodeFormat   = 1
	rcodeNoName   = 3
	rcodeNotKnown = 4
)

// answerName answers a message that asks for a name; nil for one to which nothing is said.
func answerName(q []byte, named func(string) (four, six netip.Addr, ok bool)) []byte {
	if len(q) < dnsHead {
		return nil
	}
	flags := binary.BigEndian.Uint16(q[2:])
	if flags&flagReply != 0 {
		return nil
	}
	reply := func(rcode uint16, question []byte) []byte {
		b := append([]byte(nil), q[:2]...)
		b = binary.BigEndian.AppendUint16(b, flagReply|flagAuthority|flags&(opcode|flagRecursion)|flagRecursion>>1|rcode)
		n := uint16(0)
		if question != nil {
			n = 1
		}
		b = binary.BigEndian.AppendUint16(b, n)
		b = append(b, 0, 0, 0, 0, 0, 0)
		return append(b, question...)
	}
	if flags&opcode != 0 {
		return reply(rcodeNotKnown, nil)
	}
	if binary.BigEndian.Uint16(q[4:]) != 1 {
		return reply(rcodeFormat, nil)
	}
	name, rest, ok := dnsName(q[dnsHead:])
	if !ok || len(rest) < 4 {
		return reply(rcodeFormat, nil)
	}
	question := q[dnsHead : len(q)-len(rest)+4]
	a, six, ok := named(name)
	if !ok {
		return reply(rcodeNoName, question)
	}
	b := reply(0, question)
	typ := binary.BigEndian.Uint16(rest)
	if typ == typeAAAA {
		a = six
	}
	if typ != typeA && typ != typeAAAA || binary.BigEndian.Uint16(rest[2:]) != classIN || !a.IsValid() {
		return b // it has no such record
	}
	b[7] = 1                                               // one answer
	b = append(b, 0xc0, dnsHead, 0, byte(typ), 0, classIN) // of the name that was asked for
	b = binary.BigEndian.AppendUint32(b, nameTTL)
	ip := a.AsSlice()
	b = append(b, 0, byte(len(ip)))
	return append(b, ip...)
}

// dnsName reads a name, in lower case; one that points elsewhere is none.
func dnsName(b []byte) (name string, rest []byte, ok bool) {
	var labels []string
	for n := 0; len(b) > 0; {
		k := int(b[0])
		if k == 0 {
			return strings.Join(labels, "."), b[1:], len(labels) > 0
		}
		if n += k + 1; k > 63 || n > 254 || len(b) < 1+k {
			return "", nil, false
		}
		labels = append(labels, strings.ToLower(string(b[1:1+k])))
		b = b[1+k:]
	}
	return "", nil, false
}
