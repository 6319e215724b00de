package plan9

import (
	"fmt"
	"net/netip"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// /net/dns (ndb(8)): a question is a name and a type, its answers are lines as there. What
// is asked are the resolvers of the machine's resolv.conf, by datagrams (RFC 1035).

var dnsTypes = map[string]uint16{"ip": dnsA, "ipv6": dnsAAAA, "cname": dnsCname, "mx": dnsMx, "ns": dnsNs, "ptr": dnsPtr, "txt": dnsTxt, "srv": dnsSrv}

const (
	dnsA     = 1
	dnsNs    = 2
	dnsCname = 5
	dnsPtr   = 12
	dnsMx    = 15
	dnsTxt   = 16
	dnsAAAA  = 28
	dnsSrv   = 33

	dnsHead     = 12
	dnsIn       = 1
	dnsResponse = 0x8000
	dnsRecurse  = 0x0100
	dnsNoName   = 3 // the code of an answer: there is no such name
	maxDNS      = 4096
	maxLabel    = 63
	maxDNSName  = 253
	maxRecords  = 256
	maxJumps    = 64
)

// How long an answer is waited for, of all resolvers together, and of one.
const (
	dnsWait    = 10e9
	dnsWaitOne = 3e9
)

// dnsQuestion makes the message; false: the name is none.
func dnsQuestion(id uint16, name string, typ uint16) ([]byte, bool) {
	b := be.AppendUint16(nil, id)
	b = be.AppendUint16(b, dnsRecurse)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxDNSName {
		return nil, false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return nil, false
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	if _, _, ok := dnsName(b, dnsHead); !ok {
		return nil, false
	}
	b = be.AppendUint16(b, typ)
	return be.AppendUint16(b, dnsIn), true
}

// dnsName reads a name at a place of a message, and answers where it ends. Only names of
// visible letters are such.
func dnsName(b []byte, at int) (name string, end int, ok bool) {
	for jumps := 0; jumps < maxJumps; {
		if at >= len(b) {
			return "", 0, false
		}
		n := int(b[at])
		switch {
		case n == 0:
			if end == 0 {
				end = at + 1
			}
			return strings.TrimSuffix(name, "."), end, len(name) <= maxDNSName+1
		case n&0xc0 == 0xc0:
			if at+2 > len(b) {
				return "", 0, false
			}
			if end == 0 {
				end = at + 2
			}
			at = int(be.Uint16(b[at:]) & 0x3fff)
			jumps++
		case n > maxLabel || at+1+n > len(b) || len(name)+n > maxDNSName:
			return "", 0, false
		default:
			for _, c := range b[at+1 : at+1+n] {
				if c <= ' ' || c >= 0x7f || c == '.' {
					return "", 0, false
				}
			}
			name += string(b[at+1:at+1+n]) + "."
			at += 1 + n
		}
	}
	return "", 0, false
}

// dnsAnswer reads an answer to a question: its lines, and its code; ok is false for what is
// no answer to it.
func dnsAnswer(b, question []byte) (lines []string, code int, ok bool) {
	if len(b) < dnsHead || be.Uint16(b) != be.Uint16(question) || be.Uint16(b[2:])&dnsResponse == 0 || be.Uint16(b[4:]) != 1 {
		return nil, 0, false
	}
	asked, end, _ := dnsName(question, dnsHead)
	name, at, ok := dnsName(b, dnsHead)
	if !ok || !strings.EqualFold(name, asked) || at+4 > len(b) || string(b[at:at+4]) != string(question[end:]) {
		return nil, 0, false
	}
	typ, owner := be.Uint16(b[at:]), asked
	at += 4
	for range min(int(be.Uint16(b[6:])), maxRecords) {
		var of string
		if of, at, ok = dnsName(b, at); !ok || at+10 > len(b) {
			break // what came is enough, or was cut
		}
		t, class, n := be.Uint16(b[at:]), be.Uint16(b[at+2:]), int(be.Uint16(b[at+8:]))
		at += 10
		if at+n > len(b) {
			break
		}
		if class == dnsIn && strings.EqualFold(of, owner) {
			if t == typ {
				if line := dnsLine(b, at, n, of, t); line != "" {
					lines = append(lines, line)
				}
			} else if t == dnsCname {
				if to, _, ok := dnsName(b, at); ok && to != "" {
					owner = to
				}
			}
		}
		at += n
	}
	return lines, int(b[3] & 15), true
}

// dnsLine is a record as it is shown, "": it makes no sense.
func dnsLine(b []byte, at, n int, of string, typ uint16) string {
	data := b[at : at+n]
	name := func(skip int) string {
		if n <= skip {
			return ""
		}
		s, _, _ := dnsName(b, at+skip)
		return s
	}
	switch typ {
	case dnsA, dnsAAAA:
		a, ok := netip.AddrFromSlice(data)
		if !ok || a.Is4() != (typ == dnsA) {
			return ""
		}
		if typ == dnsA {
			return fmt.Sprintf("%s ip %s", of, a)
		}
		return fmt.Sprintf("%s ipv6 %s", of, a)
	case dnsTxt:
		text := ""
		for len(data) > 0 && int(data[0]) < len(data) {
			text += string(data[1 : 1+data[0]])
			data = data[1+data[0]:]
		}
		return of + " txt\t" + strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, text)
	case dnsMx:
		if to := name(2); to != "" {
			return fmt.Sprintf("%s mx %d %s", of, be.Uint16(data), to)
		}
	case dnsSrv:
		if to := name(6); to != "" {
			return fmt.Sprintf("%s srv %d %d %d %s", of, be.Uint16(data[2:]), be.Uint16(data), be.Uint16(data[4:]), to)
		}
	case dnsNs, dnsCname, dnsPtr:
		if to := name(0); to != "" {
			return fmt.Sprintf("%s %s %s", of, map[uint16]string{dnsNs: "ns", dnsCname: "cname", dnsPtr: "ptr"}[typ], to)
		}
	}
	return ""
}

// resolvers are the addresses of the machine's resolv.conf.
func (p *Personality) resolvers(c *core.Call) []netip.Addr {
	var l []netip.Addr
	p.eachLine(c, "/etc/resolv.conf", func(f []string) {
		if len(f) == 2 && f[0] == "nameserver" && len(l) < 3 {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				l = append(l, a.Unmap().WithZone(""))
			}
		}
	})
	return l
}

// resolve9 asks one question, for an open file that holds the socket meanwhile.
func (p *Personality) resolve9(c *core.Call, r store.Ref[opened], name, kind string) ([]string, abi.Errno) {
	var id [2]byte
	p.K.Random(id[:])
	q, ok := dnsQuestion(be.Uint16(id[:]), name, dnsTypes[kind])
	if !ok {
		return nil, p.words(c, abi.EINVAL, "dns: bad name")
	}
	last := c.DeadlineIn(dnsWait)
	for _, at := range p.resolvers(c) {
		lines, code, e := p.askOne(c, r, at, q, min(last, p.K.Clock.Mono()+dnsWaitOne))
		switch {
		case e == abi.EINTR || e >= abi.ErrRestart:
			return nil, e
		case e == 0 && len(lines) > 0:
			return lines, 0
		case e == 0 && code == dnsNoName:
			return nil, p.words(c, abi.ENOENT, "dns: name does not exist")
		case e == 0 && code == 0:
			return nil, p.words(c, abi.ENOENT, "dns: resource does not exist; negrcode 0")
		}
	}
	return nil, p.words(c, abi.EIO, "dns: dns failure")
}

// askOne sends a question to one resolver and waits for its answer.
func (p *Personality) askOne(c *core.Call, r store.Ref[opened], at netip.Addr, q []byte, deadline int64) (lines []string, code int, e abi.Errno) {
	family := uint32(core.FamilyInet)
	if at.Is6() {
		family = core.FamilyInet6
	}
	p.endPart(r) // of a call that was cut off
	f, e := p.socket(c, udp, family)
	if e != 0 {
		return nil, 0, e
	}
	p.opened.Mut(r).Part = f
	c.PinFile(f)
	defer c.UnpinFile(f)
	defer func() {
		if p.opened.Get(r).Part == f {
			p.endPart(r)
		}
	}()
	_, fam := p.K.SocketOf(f)
	if e := fam.Connect(c, f, sockAddr(family, at, 53)); e != 0 {
		return nil, 0, noHandler(e)
	}
	if _, e := fam.Send(c, f, q, &core.SockSend{Flags: core.MsgNoSignal}); e != 0 {
		return nil, 0, noHandler(e)
	}
	buf := make([]byte, maxDNS)
	for {
		n, e := c.TakeNow(f, buf)
		switch {
		case e == 0:
			if lines, code, ok := dnsAnswer(buf[:n], q); ok {
				return lines, code, 0
			}
			continue
		case e != abi.EAGAIN:
			return nil, 0, e
		}
		if e := c.Sleep(deadline, p.K.Ops(f).Queue(f)); e != 0 {
			return nil, 0, noHandler(e)
		}
	}
}

// askDNS serves a question to an open /net/dns.
func (p *Personality) askDNS(c *core.Call, r store.Ref[opened], query string) abi.Errno {
	f := strings.Fields(query)
	if len(f) != 2 || dnsTypes[f[1]] == 0 {
		return p.words(c, abi.EINVAL, "dns: bad query")
	}
	lines, e := p.resolve9(c, r, f[0], f[1])
	if e != 0 {
		return e
	}
	return p.setText(r, strings.Join(lines, "\n"))
}
