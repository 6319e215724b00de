package plan9

import (
	"net/netip"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// /net/cs (ndb(8)): a question is written, its answers are read, a line with each read:
// which file to open for a service, and what to tell it. Names are those of /etc/hosts and
// the machine's own; services the system's own (ndb.go) and those of /etc/services.

// maxFile is how much is read of those files.
const maxFile = 64 << 10

var protocols = map[string]string{"ip": "0", "icmp": "1", "igmp": "2", "tcp": "6", "egp": "8", "udp": "17", "gre": "47", "esp": "50", "ah": "51", "ospf": "89", "ipv6-icmp": "58", "icmpv6": "58"}

// ask serves a question to an open /net/cs.
func (p *Personality) ask(c *core.Call, r store.Ref[opened], query string) abi.Errno {
	lines, e := p.answer(c, r, query)
	if e != 0 {
		return e
	}
	return p.setText(r, strings.Join(lines, "\n"))
}

func (p *Personality) answer(c *core.Call, r store.Ref[opened], query string) ([]string, abi.Errno) {
	if name, ok := strings.CutPrefix(query, "!protocol="); ok {
		if n := protocols[name]; n != "" {
			return []string{"protocol=" + name + " ipv4proto=" + n}, 0
		}
		return nil, p.words(c, abi.ENOENT, "cs: no match")
	}
	f := strings.Split(query, "!")
	if len(f) < 3 {
		return nil, p.words(c, abi.EINVAL, "bad dial string")
	}
	nets := []string{f[0]}
	if f[0] == "net" {
		nets = []string{"tcp", "udp"}
	} else if protos[f[0]] == 0 {
		return nil, p.words(c, abi.ENODEV, "unknown network")
	}
	hosts, e := p.hosts(c, r, f[1])
	if e != 0 {
		return nil, e
	}
	var lines []string
	for _, n := range nets {
		port, e := p.service(c, n, f[2])
		if e != 0 {
			if len(nets) > 1 && n == "tcp" {
				continue
			}
			return nil, e
		}
		for _, h := range hosts {
			lines = append(lines, "/net/"+n+"/clone "+h+"!"+port)
		}
	}
	return lines, 0
}

// hosts are the addresses of a name.
func (p *Personality) hosts(c *core.Call, r store.Ref[opened], name string) ([]string, abi.Errno) {
	if name == "*" {
		return []string{name}, 0
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return []string{a.Unmap().String()}, 0
	}
	var l []string
	p.eachLine(c, "/etc/hosts", func(f []string) {
		if len(f) < 2 {
			return
		}
		a, err := netip.ParseAddr(f[0])
		for _, x := range f[1:] {
			if err == nil && strings.EqualFold(x, name) {
				l = append(l, a.Unmap().String())
				return
			}
		}
	})
	if l == nil && (strings.EqualFold(name, "localhost") || strings.EqualFold(name, cstring(p.K.Globals().Hostname[:]))) {
		l = []string{"127.0.0.1"}
	}
	if l != nil {
		return l, 0
	}
	why := "dns: name does not exist"
	for _, kind := range []string{"ip", "ipv6"} {
		lines, e := p.resolve9(c, r, name, kind)
		switch e {
		case 0, abi.ENOENT, abi.EINVAL:
		case abi.EIO:
			why = "dns: dns failure"
		default:
			return nil, e
		}
		for _, x := range lines {
			l = append(l, strings.Fields(x)[2])
		}
	}
	if l == nil {
		return nil, p.words(c, abi.ENOENT, "cs: can't translate address: "+why)
	}
	delete(p.said, c.T)
	return l, 0
}

// service is the number of a port.
func (p *Personality) service(c *core.Call, net, name string) (string, abi.Errno) {
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return strconv.Itoa(int(n)), 0
	}
	// What the system's own names have is not for the machine's to say.
	own, port := false, ""
	for _, x := range common {
		if x.name == name {
			if x.net == net {
				return strconv.Itoa(x.port), 0
			}
			own = true
		}
	}
	if own {
		return "", p.words(c, abi.EINVAL, "cs: can't translate service")
	}
	p.eachLine(c, "/etc/services", func(f []string) {
		if len(f) < 2 || port != "" {
			return
		}
		n, proto, _ := strings.Cut(f[1], "/")
		if proto != net {
			return
		}
		for i, x := range f {
			if i != 1 && x == name {
				port = n
			}
		}
	})
	if _, err := strconv.ParseUint(port, 10, 16); err == nil {
		return port, 0
	}
	return "", p.words(c, abi.EINVAL, "cs: can't translate service")
}

// eachLine calls fn with the words of each line of a file, without comments.
func (p *Personality) eachLine(c *core.Call, name string, fn func(f []string)) {
	b, e := c.ReadPath(name, maxFile)
	if e != 0 {
		return
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		fn(strings.Fields(line))
	}
}

// nextLine answers the next line of an answer.
func (p *Personality) nextLine(r store.Ref[opened], buf []byte) int {
	o := p.opened.Get(r)
	text := store.String(p.K.Heap, o.Text)
	lines := strings.Split(text, "\n")
	if text == "" || int(o.Index) >= len(lines) {
		return 0
	}
	n := copy(buf, lines[o.Index])
	p.opened.Mut(r).Index++
	return n
}

// ndb is /net/ndb: what the machine was told about its network.
func (p *Personality) ndb(c *core.Call) string {
	s := "ip=127.0.0.1 ipmask=/104 sys=" + cstring(p.K.Globals().Hostname[:]) + "\n"
	p.eachLine(c, "/etc/resolv.conf", func(f []string) {
		if len(f) == 2 && f[0] == "nameserver" {
			s += "\tdns=" + f[1] + "\n"
		}
	})
	return s
}
