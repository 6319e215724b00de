package network

import (
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestErrorQueue: a socket that asks hears what became of each of its datagrams.
func TestErrorQueue(t *testing.T) { likeHost(t, "recverr.py") }

// TestErrorQueueRaw: so do raw sockets, and those of echo requests.
func TestErrorQueueRaw(t *testing.T) { likeHost(t, "recverrraw.py") }

// TestErrorQueueDeath: what it has not read yet it hears when the unix server has died.
func TestErrorQueueDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "recverrdeath.py")
	m.dies("one 1 111", "two 1 0", "queue EAGAIN")
	m.end()
}

// TestStamps: a socket that asks is told when each of its messages left.
func TestStamps(t *testing.T) { likeHost(t, "stamps.py") }

// TestStampsDeath: also of those that it has not read yet when the unix server has died.
func TestStampsDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "stampsdeath.py")
	m.dies("(0, 0) (0, 1) (2, 3) (2, 7)", "queue EAGAIN")
	m.end()
}

// TestStampsOutside: what leaves the machine has left with the call that sends it.
func TestStampsOutside(t *testing.T) {
	s := serve(t)
	m := inMachine(t, allow(s.port()), "stampsout.py", s.port())
	want := "2 10.0.2.15 10.0.2.2\ndatagram b'some' [True, (0, 0)]\n" +
		"stream b'cho\\n' [True, (1, 4)]\nstream b'cho\\n' [True, (0, 4)]\nstream b'more' [True, (1, 8)]\nstream b'more' [True, (0, 8)]\nmore\n"
	if m.status != 0 || m.out != want {
		t.Errorf("%+v, want %q", m, want)
	}
}

// TestGroups: what goes to a group on the loopback interface reaches whom it does on the host.
func TestGroups(t *testing.T) { likeHost(t, "multicast.py") }

// TestGroupsDeath: memberships outlive the unix server.
func TestGroupsDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "multicastdeath.py")
	m.dies("heard b'x'")
	m.dies("heard EAGAIN")
	m.end()
}

// TestGroupSources: and by whom they are heard whose filters name senders.
func TestGroupSources(t *testing.T) { likeHost(t, "multicastsource.py") }

// TestGroupSources6: filters of memberships of IPv6 are what they are on the host.
func TestGroupSources6(t *testing.T) { likeHost(t, "multicastsource6.py") }

// TestGroupSourcesDeath: filters outlive the unix server.
func TestGroupSourcesDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "multicastsourcedeath.py")
	m.dies("heard 127.0.0.2 127.0.0.3")
	m.dies("heard 127.0.0.3")
	m.end()
}

// TestGenericNetlink: of generic netlink there are the families that it says.
func TestGenericNetlink(t *testing.T) { likeHost(t, "genetlink.py") }

// optionRow is a row of sockopts.tsv: kinds of sockets, a level, options of it, and why they
// may differ from the host's.
type optionRow struct {
	kinds   []string // patterns
	level   string
	options [][2]int // first and last
	used    bool
}

func optionRows(t *testing.T) []*optionRow {
	t.Helper()
	var all []*optionRow
	for _, f := range subject.Rows(t, "testdata/sockopts.tsv", 4) {
		r := &optionRow{kinds: strings.Split(f[0], ","), level: f[1]}
		for _, o := range strings.Split(f[2], ",") {
			a, b, is := strings.Cut(o, "-")
			if !is {
				b = a
			}
			first, err := strconv.Atoi(a)
			last, err2 := strconv.Atoi(b)
			if err != nil || err2 != nil {
				t.Fatalf("sockopts.tsv: %q", f)
			}
			r.options = append(r.options, [2]int{first, last})
		}
		all = append(all, r)
	}
	return all
}

func (r *optionRow) covers(kind, level string, option int) bool {
	if r.level != level {
		return false
	}
	for _, o := range r.options {
		if o[0] <= option && option <= o[1] {
			for _, p := range r.kinds {
				if ok, _ := path.Match(p, kind); ok {
					return true
				}
			}
		}
	}
	return false
}

// TestSocketOptions: each option of sockets of all kinds answers what it does on the host,
// whatever it is set to, or stands in sockopts.tsv with a reason.
func TestSocketOptions(t *testing.T) {
	subject.Need(t, "/usr/bin/gcc")
	dir := t.TempDir()
	prog := filepath.Join(dir, "sockopts")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-static", "-o", prog, "testdata/sockopts.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	host := run(t, prog, "alone")
	if host.status == 3 && strings.HasPrefix(host.errs, "unshare: ") {
		t.Skipf("the host lets its user have no network of his own: %s", host.errs)
	}
	if host.status != 0 {
		t.Fatalf("on the host: %d %s", host.status, host.errs)
	}
	guest := run(t, subject.Binary(t), "run", "--network", "none", "-v", dir+":"+dir+":ro", "--", prog)
	if guest.status != 0 || guest.errs != "" {
		t.Fatalf("status %d: %s", guest.status, guest.errs)
	}
	rows := optionRows(t)
	want, got := strings.Split(host.out, "\n"), strings.Split(guest.out, "\n")
	if len(want) != len(got) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	bad := 0
	for i, w := range want {
		if got[i] == w {
			continue
		}
		f, g := strings.Fields(w), strings.Fields(got[i])
		if len(f) < 3 {
			t.Errorf("%.200q, want %.200q", got[i], w)
			continue
		}
		option, _ := strconv.Atoi(f[2])
		known := false
		for _, r := range rows {
			if r.covers(f[0], f[1], option) {
				r.used, known = true, true
			}
		}
		if known {
			continue
		}
		if bad++; bad > 50 {
			continue
		}
		what := ""
		if len(f) != len(g) {
			what = fmt.Sprintf(" %.200q, want %.200q", got[i], w)
		}
		for j := range f {
			if len(f) == len(g) && f[j] != g[j] && len(what) < 300 {
				what += fmt.Sprintf(" %s, want %s;", g[j], f[j])
			}
		}
		t.Errorf("%s, level %s, option %s:%s", f[0], f[1], f[2], what)
	}
	for _, r := range rows {
		if !r.used && !t.Failed() {
			// What depends on the host (modules, sysctls) may agree; the rest has to differ.
			t.Logf("sockopts.tsv: nothing differs: %v %s %v", r.kinds, r.level, r.options)
		}
	}
}
