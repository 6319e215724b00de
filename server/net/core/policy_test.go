package core

import (
	"net"
	"net/netip"
	"testing"
)

// TestRefuse: what is refused by itself, by whatever form of the address.
func TestRefuse(t *testing.T) {
	c := &Core{}
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "::127.0.0.1", "::", "::1",
		"169.254.169.254", "::ffff:169.254.169.254", "169.254.0.1", "fe80::1", "100.100.100.200", "168.63.129.16",
		"192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200", "224.0.0.1", "239.1.2.3", "ff02::1", "255.255.255.255",
	} {
		if c.refuse(netip.AddrPortFrom(netip.MustParseAddr(s), 80)) == "" {
			t.Errorf("%s passes", s)
		}
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if c.refuse(netip.AddrPortFrom(p.Addr(), 80)) == "" {
			t.Errorf("the host's own %v passes", p.Addr())
		}
	}
	for _, s := range []string{"192.0.2.1", "8.8.8.8", "10.9.8.7", "2001:db8::1", "fd00:42::43"} {
		if why := c.refuse(netip.AddrPortFrom(netip.MustParseAddr(s), 80)); why != "" {
			t.Errorf("%s is refused: %s", s, why)
		}
	}
}

// TestRules: allow comes before deny and what is refused by itself, deny before what
// passes; a rule with a port is about that port.
func TestRules(t *testing.T) {
	c := &Core{}
	for _, s := range []string{"127.0.0.1:8080", "10.1.0.0/16"} {
		r, err := ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.Allow = append(c.cfg.Allow, r)
	}
	for _, s := range []string{"10.0.0.0/8", "[2001:db8::/32]:443", "8.8.8.8"} {
		r, err := ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		c.cfg.Deny = append(c.cfg.Deny, r)
	}
	for s, passes := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1:8081": false, "[::ffff:127.0.0.1]:8080": true, "10.1.2.3:1": true, "10.2.0.1:1": false,
		"[2001:db8::5]:443": false, "[2001:db8::5]:80": true, "8.8.8.8:53": false, "8.8.4.4:53": true,
	} {
		if got := c.refuse(netip.MustParseAddrPort(s)) == ""; got != passes {
			t.Errorf("%s: passes is %v", s, got)
		}
	}
	for _, s := range []string{"", "x", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4/33", "[::1", "[::1]x", "[::1]:", "fe80::1%lo", "1.2.3.4/8/8"} {
		if r, err := ParseRule(s); err == nil {
			t.Errorf("%q is %v", s, r)
		}
	}
}

// TestWhere: names are asked of the host's resolver, and nothing else is to be had at
// the machine's address of it.
func TestWhere(t *testing.T) {
	c := &Core{told: map[netip.AddrPort]bool{}, log: func(string) {}}
	c.cfg.Resolver = netip.MustParseAddrPort("127.0.0.53:53")
	c.cfg.Resolvers = []netip.AddrPort{c.cfg.Resolver, netip.MustParseAddrPort("169.254.1.1:53")}
	for to, want := range map[string]string{
		"10.0.2.3:53": "127.0.0.53:53", "127.0.0.1:53": "127.0.0.53:53", "10.0.2.3:54": "", "10.0.2.2:53": "",
		"169.254.1.1:53": "169.254.1.1:53", "169.254.1.1:80": "", "192.0.2.1:53": "192.0.2.1:53", "10.0.2.2:80": "",
	} {
		got, e := c.where(netip.MustParseAddrPort(to))
		if want == "" && e == 0 || want != "" && (e != 0 || got.String() != want) {
			t.Errorf("%s: %v, %v, want %q", to, got, e, want)
		}
	}
}
