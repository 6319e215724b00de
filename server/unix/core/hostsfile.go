package core

import (
	"net/netip"
	"slices"
	"strings"

	"hythe/abi"
	"hythe/idl/fs"
)

// The machine's own name has an address by /etc/hosts (hosts(5)), so that programs find
// themselves: gethostbyname(gethostname()), `hostname -f`. Once, when somebody looks for a file of that name in
// the root: who never does does not pay for it.

// maxHostsFile bounds a hosts file that is looked at, in bytes; a longer one stays as it is.
const maxHostsFile = 1 << 20

// hostsName is the last part of the file's name.
const hostsName = "hosts"

// awaitHosts has the machine's name added to /etc/hosts, if that was not tried yet, and waits for it. The lock is held; it
// is given up meanwhile. Nodes stay.
func (c *Call) awaitHosts() {
	k := c.K
	if g := k.Globals(); g.HostsNamed != 0 || g.Booted == 0 || c.namesHosts {
		return
	}
	done := k.vfs.naming
	if done == nil {
		done = make(chan struct{})
		k.vfs.naming = done
		go func() { // as itself, whoever asks
			defer close(done)
			k.Enter()
			defer k.Leave()
			k.NameHosts()
			k.MutGlobals().HostsNamed = 1
		}()
	}
	k.vfs.busy++
	c.Unlocked(func() { <-done })
	k.vfs.busy--
}

// NameHosts adds to /etc/hosts a line with the machine's name, if that is one that can stand there
// and does not yet: with the address of eth0, or 127.0.1.1 where there is none but lo. Only in the
// root itself, where changes are the machine's own: whatever else is mounted there, a directory of the host's
// perhaps, or read-only, it leaves alone, as it does what it cannot read. A file that is missing is made if there is
// an /etc. The lock is held; it is given up meanwhile. Done again it changes nothing.
func (k *Kernel) NameHosts() {
	const path = "/etc/hosts"
	names, ok := hostNames(k.Config.Hostname)
	if !ok || k.vfs.root == nil || k.vfs.root.flags&MountRO != 0 {
		return
	}
	c := k.KernelCall()
	c.namesHosts = true
	dir, e := c.walk(nil, "/etc", WalkFollow|WalkDir)
	if e != 0 || dir.node == nil || dir.node.m != k.vfs.root {
		return
	}
	w, e := c.walk(nil, path, WalkFollow)
	if e == abi.ENOENT || e == 0 && w.node == nil {
		// A link that leads nowhere is a name that is there.
		if c.Mknod(AtCwd, path, fs.TypeReg|0o644, 0) != 0 {
			return
		}
		w, e = c.walk(nil, path, 0)
	}
	if e != 0 || w.node == nil || w.node.m != k.vfs.root || c.refresh(w.node, false) != 0 ||
		!w.node.isRegular() || w.node.attr.Size > maxHostsFile {
		return
	}
	// To write at once: the file server below is asked for the file once, not for what is in it and again
	// for the copy.
	f, e := c.openNode(w.node, AccessRead|AccessWrite, OpenAppend)
	if e != 0 {
		return
	}
	k.HoldFile(f)
	defer k.DropFile(c, f)
	b := make([]byte, w.node.attr.Size)
	n, e := k.Ops(f).Read(c, f, b, 0)
	text := string(b[:max(n, 0)])
	if e != 0 || n != len(b) || namesHost(text, names[0]) {
		return
	}
	line := k.ownAddress() + "\t" + strings.Join(names, " ") + "\n"
	switch {
	case text == "":
		line = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" + line
	case !strings.HasSuffix(text, "\n"):
		line = "\n" + line
	}
	_, _ = k.Ops(f).Write(c, f, []byte(line), -1) // without room it stays as it is
}

// ownAddress is by what programs of the machine reach it, and others if there are any.
func (k *Kernel) ownAddress() string {
	if k.HasNet() {
		return netip.AddrFrom4(k.Ethernet().Addr).String()
	}
	return "127.0.1.1"
}

// hostNames is a host's name as hosts(5) has it: the whole, and of one with a domain the first
// part, too. false: it is none (RFC 1123, and the underscore that is seen).
func hostNames(name string) ([]string, bool) {
	if name == "" || name == "localhost" {
		return nil, false
	}
	for _, part := range strings.Split(name, ".") {
		bad := func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
		}
		if part == "" || part[0] == '-' || strings.ContainsFunc(part, bad) {
			return nil, false
		}
	}
	if short, _, domain := strings.Cut(name, "."); domain {
		return []string{name, short}, true
	}
	return []string{name}, true
}

// namesHost says whether a hosts file has a line with the name.
func namesHost(text, name string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.ContainsFunc(f[1:], func(s string) bool { return strings.EqualFold(s, name) }) {
			return true
		}
	}
	return false
}
