package main

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hythe"
)

// parseMount reads SRC:DST[:ro|:rw]. SRC is taken from the working directory.
func parseMount(s string) (hythe.Mount, error) {
	bad := func(why string) (hythe.Mount, error) {
		return hythe.Mount{}, fmt.Errorf("-v %s: %s", s, why)
	}
	f := strings.Split(s, ":")
	if len(f) < 2 || len(f) > 3 || f[0] == "" || f[1] == "" {
		return bad("want SRC:DST[:ro]")
	}
	var m hythe.Mount
	if len(f) == 3 {
		switch f[2] {
		case "ro":
			m.ReadOnly = true
		case "rw":
		default:
			return bad(fmt.Sprintf("%q is neither ro nor rw", f[2]))
		}
	}
	if !path.IsAbs(f[1]) {
		return bad("DST is not an absolute path")
	}
	src, err := filepath.Abs(f[0])
	if err != nil {
		return bad(err.Error())
	}
	if _, err := os.Stat(src); err != nil {
		return bad("no such file or directory on the host, or not readable")
	}
	m.Source, m.Target = src, path.Clean(f[1])
	if m.Target == "/" {
		return bad("DST is the root; use --root")
	}
	return m, nil
}

// parseNetwork reads none, user[,allow=RULE][,deny=RULE]..., NAME[,ip=IP] or
// tap:IF,ip=IP/BITS[,gw=IP][,ip6=IP/BITS[,gw6=IP][,dad=off]].
func parseNetwork(s string) (hythe.Network, error) {
	var n hythe.Network
	bad := func(f string, a ...any) (hythe.Network, error) {
		return n, fmt.Errorf("--network %s: %s", s, fmt.Sprintf(f, a...))
	}
	f := strings.Split(s, ",")
	switch tap, ok := strings.CutPrefix(f[0], "tap:"); {
	case ok && tap == "":
		return bad("want the name of a device, as tap:tap0")
	case ok:
		n.Tap = tap
	case f[0] == "none":
	case f[0] == "user":
		n.Outside = true
	case f[0] == "" || f[0] == "host" || f[0] == "bridge" || strings.Contains(f[0], ":"):
		return bad("the modes are none, user, tap:IF and the name of a network")
	default:
		n.Shared = f[0]
	}
	if n.Tap != "" || n.Shared != "" {
		n.Program = beside("hythe-net")
	}
	for _, o := range f[1:] {
		k, v, ok := strings.Cut(o, "=")
		var err error
		switch {
		case n.Outside && ok && k == "allow":
			n.Allow = append(n.Allow, v)
		case n.Outside && ok && k == "deny":
			n.Deny = append(n.Deny, v)
		case n.Outside:
			return bad("%q is neither an allow=IP[/BITS][:PORT] nor such a deny", o)
		case n.Shared != "" && ok && k == "ip":
			var a netip.Addr
			if a, err = netip.ParseAddr(v); err == nil {
				n.Address = netip.PrefixFrom(a, a.BitLen())
			}
		case n.Tap != "" && ok && k == "ip":
			n.Address, err = netip.ParsePrefix(v)
		case n.Tap != "" && ok && k == "gw":
			n.Gateway, err = netip.ParseAddr(v)
		case n.Tap != "" && ok && k == "ip6":
			n.Address6, err = netip.ParsePrefix(v)
		case n.Tap != "" && ok && k == "gw6":
			n.Gateway6, err = netip.ParseAddr(v)
		case n.Tap != "" && ok && k == "dad" && (v == "on" || v == "off"):
			n.NoProbe = v == "off"
		case n.Shared != "":
			return bad("%q is no ip=IP", o)
		case n.Tap != "":
			return bad("%q is none of ip=IP/BITS, gw=IP, ip6=IP/BITS, gw6=IP and dad=off", o)
		default:
			return bad("none takes no options")
		}
		if err != nil {
			return bad("%q is no address", v)
		}
	}
	return n, nil
}

// parsePublish reads [IP:]HOST:GUEST[/tcp|/udp].
func parsePublish(s string) (hythe.Publish, error) {
	var p hythe.Publish
	bad := func(why string) (hythe.Publish, error) {
		return p, fmt.Errorf("-p %s: %s", s, why)
	}
	ports, proto, _ := strings.Cut(s, "/")
	switch proto {
	case "", "tcp":
	case "udp":
		p.UDP = true
	default:
		return bad("want /tcp or /udp")
	}
	if in, ok := strings.CutPrefix(ports, "["); ok {
		if p.HostIP, ports, ok = strings.Cut(in, "]:"); !ok {
			return bad("want [IP:]HOST:GUEST[/udp]")
		}
	} else if strings.Count(ports, ":") == 2 {
		p.HostIP, ports, _ = strings.Cut(ports, ":")
	}
	host, guest, ok := strings.Cut(ports, ":")
	h, err := strconv.ParseUint(host, 10, 16)
	g, err2 := strconv.ParseUint(guest, 10, 16)
	if !ok || err != nil || err2 != nil || g == 0 {
		return bad("want [IP:]HOST:GUEST[/udp]")
	}
	p.HostPort, p.GuestPort = uint16(h), uint16(g)
	return p, nil
}

// parseEnv reads K=V, or K for the host's value of it (nothing if it has none).
func parseEnv(s string) (kv string, ok bool, err error) {
	k, _, set := strings.Cut(s, "=")
	if k == "" {
		return "", false, fmt.Errorf("-e %s: want K=V", s)
	}
	if set {
		return s, true, nil
	}
	v, ok := os.LookupEnv(k)
	return k + "=" + v, ok, nil
}

// parseUser reads UID[:GID]; without GID the group is 0.
func parseUser(s string) (hythe.User, error) {
	var u hythe.User
	us, gs, two := strings.Cut(s, ":")
	n, err := parseID(us)
	if err != nil {
		return u, fmt.Errorf("-u %s: want UID[:GID], numbers", s)
	}
	u.UID = n
	if two {
		if u.GID, err = parseID(gs); err != nil {
			return u, fmt.Errorf("-u %s: want UID[:GID], numbers", s)
		}
	}
	return u, nil
}

// parseID reads a user or group number; the highest one means "none" to
// chown(2) and is nobody's.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == math.MaxUint32 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// parseSize reads bytes with an optional unit b, k, m, g or t (powers of 1024).
func parseSize(s string) (int64, error) {
	bad := fmt.Errorf("--memory %s: want a number of bytes, or one with k, m, g or t behind it", s)
	num, shift := strings.ToLower(s), 0
	if num == "" {
		return 0, bad
	}
	if i := strings.IndexByte("bkmgt", num[len(num)-1]); i >= 0 {
		num, shift = num[:len(num)-1], i*10
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, bad
	}
	return n << shift, nil
}

// parseScheduling reads nice=-N, rtprio=N and deadline, with commas between.
func parseScheduling(s string) (hythe.Scheduling, error) {
	var c hythe.Scheduling
	if s == "" {
		return c, nil
	}
	for f := range strings.SplitSeq(s, ",") {
		k, v, set := strings.Cut(f, "=")
		n, err := strconv.Atoi(v)
		switch {
		case k == "deadline" && !set:
			c.Deadline = true
		case k == "nice" && err == nil && n >= -20 && n < 0:
			c.Nice = n
		case k == "rtprio" && err == nil && n > 0 && n <= 99:
			c.Priority = n
		default:
			return c, fmt.Errorf("--sched %s: want nice=-20 to -1, rtprio=1 to 99, deadline, with commas between", s)
		}
	}
	return c, nil
}

// parseProcessors reads numbers and ranges of them, with commas between. Empty is none.
func parseProcessors(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var l []int
	for f := range strings.SplitSeq(s, ",") {
		lo, hi, two := strings.Cut(f, "-")
		if !two {
			hi = lo
		}
		from, err := strconv.ParseUint(lo, 10, 10)
		to, err2 := strconv.ParseUint(hi, 10, 10)
		if err != nil || err2 != nil || to < from {
			return nil, fmt.Errorf("--cpuset-cpus %s: want numbers and ranges from 0 to 1023, as 0-2,5", s)
		}
		for i := from; i <= to; i++ {
			l = append(l, int(i))
		}
	}
	return l, nil
}

// parseSignal reads TERM, SIGTERM or 15. Names and numbers are Linux's; 0 asks
// whether the process exists.
func parseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return 0, fmt.Errorf("signal %s: the numbers are 0 to 64", s)
		}
		return n, nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return int(n), nil
	}
	return 0, fmt.Errorf("signal %s: not known", s)
}
