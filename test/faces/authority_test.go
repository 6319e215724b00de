package faces

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hythe/confine"
)

// TestAuthority reads what the host says of each process of a running machine
// against the authority table: user, capabilities, filter, name spaces and
// descriptors.
func TestAuthority(t *testing.T) {
	for _, place := range []string{"together", "apart"} {
		t.Run(place, func(t *testing.T) { authority(t, place) })
	}
}

func authority(t *testing.T, place string) {
	// A descriptor that the command inherits is nobody's.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	id, m := machineWith(t, append(make([]*os.File, 200), w), "-v", t.TempDir()+":/mnt",
		"--placement", place, "--network", "user", "-p", "127.0.0.1:0:80")
	// Every kind of server runs, and has something to hold.
	if r := hythe(t, "", "exec", "-m", id, "--", "/bin/sh", "-c", "echo x >/dev/shm/x; echo y >/tmp/y; echo z >/mnt/z; cat /mnt/z /tmp/y /dev/shm/x"); r.out != "z\ny\nx\n" {
		t.Fatalf("%+v", r)
	}
	// The name server starts when a guest asks it.
	pong := filepath.Join(t.TempDir(), "pingpong")
	if out, err := exec.Command("go", "build", "-o", pong, "../../examples/pingpong").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r := hythe(t, "", "exec", "-m", id, "--", "/bin/sh", "-c", pong+" serve & "+pong+" ping 1; wait"); r.out != "pong 0\npong end\n" {
		t.Fatalf("%+v", r)
	}
	seen := map[string]int{}
	for pid, kind := range processes(t, id, m.cmd.Process.Pid) {
		kind, _, _ = strings.Cut(kind, "-") // host-1 is the server of a mount
		i := slices.IndexFunc(confine.Processes, func(p confine.Process) bool { return p.Kind == kind })
		if i < 0 {
			t.Errorf("%s (%d) is in no row of the authority table", kind, pid)
			continue
		}
		wrong := differs(&confine.Processes[i], pid)
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/fd", pid)); err != nil && kind == "guest" {
			continue // of a program that has ended: its host process does after it
		}
		seen[kind]++
		for _, s := range wrong {
			t.Errorf("%s: %s", kind, s)
		}
	}
	for _, p := range confine.Processes {
		// The command brings no servers of its own.
		lodges := place == "together" && (p.Kind == "overlay" || p.Kind == "tmpfs")
		if runs := seen[p.Kind] > 0; runs == lodges && p.Kind != "own" {
			t.Errorf("a process of its own for %s: %v", p.Kind, runs)
		}
	}
	m.in.Close()
	m.end(3)
}

// processes answers the kinds of a machine's processes by host pid: its servers,
// and the guests' side, which are the other children of the command.
func processes(t *testing.T, id string, nucleus int) map[int]string {
	t.Helper()
	all := map[int]string{}
	var v []struct {
		Items []struct {
			Name    string
			HostPID int `json:"host_pid"`
			In      string
		}
	}
	r := hythe(t, "", "services", "--json", "-m", id)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v) != 1 {
		t.Fatalf("services: %v %+v", err, r)
	}
	for _, s := range v[0].Items {
		if s.HostPID != 0 && s.In == "" {
			all[s.HostPID] = s.Name
		}
	}
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid], _ = strconv.Atoi(f[1])
	}
	var reaper int
	for pid, parent := range parents {
		// (A console of an exec may be about to end: it has a command line.)
		if cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); parent == nucleus && all[pid] == "" && err == nil && len(cmd) == 0 && status(pid)["State"] != "Z (zombie)" {
			reaper = pid
			all[pid] = "reaper"
		}
	}
	// The zygote is the reaper's first child.
	var guests []int
	for pid, parent := range parents {
		if parent == reaper {
			guests = append(guests, pid)
		}
	}
	slices.SortFunc(guests, func(a, b int) int { return inner(a) - inner(b) })
	for i, pid := range guests {
		all[pid] = "guest"
		if i == 0 {
			all[pid] = "zygote"
		}
	}
	return all
}

// status reads /proc/PID/status.
func status(pid int) map[string]string {
	m := map[string]string{}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, l := range strings.Split(string(b), "\n") {
		k, v, _ := strings.Cut(l, ":")
		m[k] = strings.TrimSpace(v)
	}
	return m
}

// inner is a process's number in its own pid name space.
func inner(pid int) int {
	f := strings.Fields(status(pid)["NSpid"])
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

// differs says in what a process is not what its row allows.
func differs(p *confine.Process, pid int) []string {
	var out []string
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	st := status(pid)
	root := os.Getuid() == 0
	uid := os.Getuid()
	if root && p.User == confine.AsNobody {
		uid = 65534
	}
	if got := strings.Fields(st["Uid"]); !slices.Equal(got, slices.Repeat([]string{strconv.Itoa(uid)}, 4)) {
		bad("runs as %v, want %d", got, uid)
	}
	if root && st["Groups"] != "" {
		bad("groups %s", st["Groups"])
	}
	if st["NoNewPrivs"] != "1" || st["Seccomp"] != "2" {
		bad("no_new_privs %s, seccomp %s", st["NoNewPrivs"], st["Seccomp"])
	}
	space := func(pid int, name string) string {
		s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			return err.Error()
		}
		return s
	}
	us := os.Getpid() // whose name spaces are the host's
	hosts := space(pid, "user") == space(us, "user")
	none := p.OwnUser == confine.OwnIfRoot && !root && confine.LandlockVersion() > 0
	if wants := !slices.Contains(p.Own, "user") && (p.OwnUser != confine.UserAlways && root || none); hosts != wants {
		bad("in the host's user name space: %v, want %v", hosts, wants)
	}
	for _, n := range p.Own {
		if !none && space(pid, n) == space(us, n) {
			bad("shares the host's %s name space", n)
		}
	}
	for _, c := range []struct {
		set  string
		most uint64
	}{{"CapInh", 0}, {"CapPrm", p.Caps}, {"CapEff", p.Caps}, {"CapAmb", 0}, {"CapBnd", p.Bound}} {
		have, err := strconv.ParseUint(st[c.set], 16, 64)
		if err != nil {
			bad("%s: %v", c.set, err)
		}
		if c.set == "CapBnd" && !root && p.OwnUser != confine.UserAlways {
			continue // of its own name space, where it has nothing to gain; or he may not give it up
		}
		if more := have &^ c.most; more != 0 {
			bad("%s %#x, too much by %#x", c.set, have, more)
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		bad("%v", err)
	}
	for _, e := range fds {
		n, _ := strconv.Atoi(e.Name())
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, n))
		flags := regexp.MustCompile(`flags:\s*0*([0-7]+)`).FindSubmatch(info)
		if !slices.ContainsFunc(p.FDs, func(f confine.FD) bool {
			in := n >= f.From && (f.To == 0 || n <= f.To)
			readOnly := len(flags) == 2 && strings.TrimRight(string(flags[1][len(flags[1])-1:]), "04") == ""
			return in && (!f.ReadOnly || readOnly) && regexp.MustCompile("^("+f.What+")$").MatchString(link)
		}) {
			bad("holds descriptor %d: %s (%s)", n, link, flags)
		}
	}
	return out
}
