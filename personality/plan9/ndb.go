package plan9

import (
	"fmt"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
)

// /lib/ndb (ndb(6)): what a system of its own would have in files about names and
// services, which programs look for there.

// Kinds.
const (
	kLibNdb    = 7
	kLibCommon = 33
	kLibLocal  = 34
)

const libAt = "/lib/ndb"

var libFiles = []entry{{"common", kLibCommon, 0o444, ""}, {"local", kLibLocal, 0o444, ""}}

// libNode answers which of them an absolute name is; kind 0 is none.
func libNode(abs string) node {
	rest, ok := strings.CutPrefix(abs, libAt)
	if ok && rest == "" {
		return node{kLibNdb, 0, "ndb"}
	}
	if ok && rest[0] == '/' {
		if e := find(libFiles, rest[1:]); e != nil {
			return node{e.kind, 0, e.name}
		}
	}
	return node{}
}

// elsewhere are files that programs of the system look for under its own names and a
// machine's tree has under another: the roots of trust (crypto/x509/root_plan9.go).
var elsewhere = map[string]string{"/sys/lib/tls/ca.pem": "/etc/ssl/certs/ca-certificates.crt"}

// elsewhereOf answers where a file is that has another name in the machine's tree; "": it is
// none of those, or a tree made for this system has it where it belongs.
func (p *Personality) elsewhereOf(c *core.Call, abs string) string {
	to := elsewhere[abs]
	if to == "" {
		return ""
	}
	if _, e := c.StatAt(core.AtCwd, abs, core.WalkFollow); e != abi.ENOENT {
		return ""
	}
	return to
}

// libName is libNode's other direction; "": it is none.
func libName(n node) string {
	if n.kind == kLibNdb {
		return libAt
	}
	for _, e := range libFiles {
		if e.kind == n.kind {
			return libAt + "/" + e.name
		}
	}
	return ""
}

// common are the services that every system knows.
var common = []struct {
	net, name string
	port      int
}{
	{"tcp", "echo", 7}, {"tcp", "discard", 9}, {"tcp", "ftp", 21}, {"tcp", "ssh", 22}, {"tcp", "telnet", 23}, {"tcp", "smtp", 25},
	{"tcp", "domain", 53}, {"tcp", "http", 80}, {"tcp", "pop3", 110}, {"tcp", "imap", 143}, {"tcp", "imap4", 143}, {"tcp", "https", 443},
	{"tcp", "9fs", 564}, {"tcp", "imaps", 993}, {"tcp", "pop3s", 995},
	{"udp", "echo", 7}, {"udp", "discard", 9}, {"udp", "dns", 53}, {"udp", "domain", 53}, {"udp", "ntp", 123}, {"udp", "snmp", 161}, {"udp", "syslog", 514},
}

// libText is what a file of it says.
func (p *Personality) libText(n node) string {
	if n.kind == kLibLocal {
		return "ip=127.0.0.1 sys=" + cstring(p.K.Globals().Hostname[:]) + "\n"
	}
	s := "ip=127.0.0.1 sys=localhost dom=localhost\n"
	for _, x := range common {
		s += fmt.Sprintf("%s=%s port=%d\n", x.net, x.name, x.port)
	}
	return s
}
