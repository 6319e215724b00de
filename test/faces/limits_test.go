package faces

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// Each of these would take all of the host, and is held back.
func TestMemoryLimit(t *testing.T) {
	const py = "/usr/bin/python3"
	subject.Need(t, py)
	for _, c := range []struct{ name, prog string }{
		{"private", "b = bytearray(1 << 30)"},
		{"shared", "import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1"},
		{"many", "import os\nwhile os.fork() == 0: b = bytearray(40 << 20)\nos.wait()\nos.kill(os.getpid(), 9)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hythe(t, "", "run", "--memory", "160m", "--pids-limit", "200", "--", py, "-c", c.prog)
			if got.status != 137 || got.out != "" || !strings.Contains(got.errs, "is killed") || !strings.HasPrefix(got.errs, "hythe: limits: ") {
				t.Errorf("%+v", got)
			}
		})
	}
	// A child that is killed is the parent's affair.
	got := hythe(t, "", "run", "--memory", "160m", "--", "/bin/sh", "-c", py+" -c 'b = bytearray(1 << 30)'; echo $?")
	if got.status != 0 || got.out != "137\n" {
		t.Errorf("child: %+v", got)
	}
	// Files that live in memory have a size, which is half of the limit.
	for _, file := range []string{"/tmp/big", "/dev/shm/big"} {
		got = hythe(t, "", "run", "--memory", "160m", "--", "/bin/sh", "-c",
			"dd if=/dev/zero bs=1M count=400 of="+file+" 2>/dev/null; echo $?; wc -c <"+file+"; rm "+file+"; echo again >"+file+"; cat "+file)
		f := strings.Fields(got.out)
		if len(f) != 3 || f[0] != "1" || f[2] != "again" {
			t.Errorf("%s: %+v", file, got)
			continue
		}
		if n, err := strconv.Atoi(f[1]); err != nil || n > 80<<20 || n < 40<<20 {
			t.Errorf("%s: %d bytes (%v)", file, n, err)
		}
	}
	// Within the limit nobody is killed.
	if got := hythe(t, "", "run", "--memory", "160m", "--", py, "-c", "b = bytearray(64 << 20); print(len(b))"); got.status != 0 || got.out != "67108864\n" {
		t.Errorf("within: %+v", got)
	}
}

func TestPidsLimit(t *testing.T) {
	// Each one that is started says so; the shell's own end kills the rest.
	got := hythe(t, "", "run", "--pids-limit", "20", "--", "/bin/sh", "-c", "while :; do sleep 1000 >/dev/null 2>&1 & echo x; done 2>/dev/null")
	if n := strings.Count(got.out, "x"); n != 19 || got.status == 0 {
		t.Errorf("%d processes beside the shell, want 19; %+v", n, got)
	}
	subject.Need(t, "/bin/bash")
	// A fork bomb: the machine can still be looked at and ended.
	id := "faces-bomb-" + strconv.Itoa(os.Getpid())
	r := start(t, "run", "-i", "--name", id, "--pids-limit", "30", "--", "/bin/bash", "-c", "echo up; bomb() { bomb | bomb & }; bomb 2>/dev/null; read x")
	r.line("up")
	for hythe(t, "", "ps", "-m", id).status != 0 {
	}
	for range 5 {
		ps := hythe(t, "", "ps", "-m", id)
		if n := strings.Count(ps.out, "\n") - 1; ps.status != 0 || n > 30 {
			t.Errorf("ps: %d rows, %+v", n, ps)
		}
	}
	if got := hythe(t, "", "kill", "-s", "KILL", "-m", id, "1"); got.status != 0 {
		t.Errorf("kill: %+v", got)
	}
	r.end(137)
}

// A machine runs on the processors that it is given, guests and servers, and guests are
// told of no others.
func TestProcessors(t *testing.T) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	last := 1023
	for !may.IsSet(last) {
		last--
	}
	n := strconv.Itoa(last)
	id := "faces-cpus-" + strconv.Itoa(os.Getpid())
	r := start(t, "run", "-i", "--name", id, "--cpuset-cpus", n, "--", "/bin/sh", "-c",
		"nproc; grep Cpus_allowed_list: /proc/self/status; grep ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online; grep -c ^cpu[0-9] /proc/stat; read x")
	for _, want := range []string{"1", "Cpus_allowed_list:\t" + n, "processor\t: " + n, n, "1"} {
		r.line(want)
	}
	for pid, name := range processes(t, id, r.cmd.Process.Pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if errors.Is(err, os.ErrNotExist) && name == "zygote" {
			continue // a task that was just becoming another's child
		}
		if err != nil || !strings.Contains(string(b), "\nCpus_allowed_list:\t"+n+"\n") {
			t.Errorf("%s: %v, not on processor %s alone", name, err, n)
		}
	}
	for _, what := range []string{"ps", "services"} {
		var v []struct {
			Items []struct {
				State, Class, Processors string
			}
		}
		got := hythe(t, "", what, "--json", "-m", id)
		if err := json.Unmarshal([]byte(got.out), &v); err != nil || len(v) != 1 || len(v[0].Items) == 0 {
			t.Fatalf("%s: %v %+v", what, err, got)
		}
		for _, i := range v[0].Items {
			if i.State != "stopped" && (i.Class != "normal" || i.Processors != n) {
				t.Errorf("%s says %+v", what, i)
			}
		}
	}
	r.say("\n")
	r.end(0)
	if got := hythe(t, "", "run", "--cpuset-cpus", n+",1022", "--", "/bin/true"); got.status != 125 || !strings.HasPrefix(got.errs, "hythe: processors ") || strings.Count(got.errs, "\n") != 1 {
		t.Errorf("one that is not there: %+v", got)
	}
}

// Whatever a machine's own limit, its guests cannot take all of the host's
// processes; and a user who may have few can still run a machine.
func TestHostProcessBound(t *testing.T) {
	max, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	all, err := strconv.Atoi(strings.TrimSpace(string(max)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		own  string // the invoking user's limit
		args []string
		most int
	}{
		{"", nil, all / 4},
		{"", []string{"--pids-limit", "20"}, 200},
		{"900", nil, 900},
		{"900", []string{"--pids-limit", "2000"}, 900},
	} {
		args := append([]string{"run", "-i"}, c.args...)
		args = append(args, "--", "/bin/sh", "-c", "echo up; read x")
		cmd := exec.Command(subject.Binary(t), args...)
		if c.own != "" {
			cmd = exec.Command("prlimit", append([]string{"--nproc=" + c.own + ":" + c.own, subject.Binary(t)}, args...)...)
		}
		r := startCmd(t, cmd)
		r.line("up")
		n := 0
		for _, pid := range descendants(t, r.cmd.Process.Pid) {
			if comm, err := os.ReadFile("/proc/" + pid + "/comm"); err != nil || string(comm) != "hythe-guest\n" {
				continue
			}
			limits, err := os.ReadFile("/proc/" + pid + "/limits")
			if err != nil {
				t.Fatal(err)
			}
			_, line, _ := strings.Cut(string(limits), "\nMax processes")
			f := strings.Fields(line)
			if hard, err := strconv.Atoi(f[1]); err != nil || hard > c.most {
				t.Errorf("%+v: guest %s may have %s processes", c, pid, f[1])
			}
			n++
		}
		if n == 0 {
			t.Errorf("%+v: no guest found", c)
		}
		r.say("\n")
		r.end(0)
	}
}

// descendants are the processes below one, as /proc names them.
func descendants(t *testing.T, pid int) (all []string) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		b, _ := os.ReadFile(l) // a thread that has ended has none
		for _, c := range strings.Fields(string(b)) {
			all = append(all, c)
			n, _ := strconv.Atoi(c)
			all = append(all, descendants(t, n)...)
		}
	}
	return all
}

// Guests go before others on the host only in a machine that is given that, and as far as
// the host gives it; the host is looked at.
func TestScheduling(t *testing.T) {
	const chrt = "/usr/bin/chrt"
	subject.Need(t, chrt)
	for _, c := range []string{"chrt -f 1 true", "chrt -r 5 true", "chrt -d --sched-runtime 1000000 --sched-period 10000000 0 true", "nice -n -1 sh -c 'exit $(nice)'"} {
		if got := hythe(t, "", "run", "--", "/bin/sh", "-c", c+" 2>&1; echo status $?"); !strings.Contains(got.out, "Operation not permitted") && !strings.Contains(got.out, "Permission denied") {
			t.Errorf("a machine that was given nothing: %s: %+v", c, got)
		}
	}
	id := "faces-sched-" + strconv.Itoa(os.Getpid())
	// What the host is to show holds for a machine that itself begins at a nice value of 0.
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	even := []string{"-n", strconv.Itoa(own - 20)} // own is the bare call's answer: 20 less the value
	if out, err := exec.Command("/usr/bin/nice", append(even, "/usr/bin/nice")...).Output(); err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Skipf("the host does not let this test, at %d, begin something at a nice value of 0: %q, %v", 20-own, out, err)
	}
	// scheduled is what the host has of a machine's processes: priority and policy (proc(5))
	// of each thread, by the process's name.
	type scheduled [2]string
	look := func(r *running) map[string][]scheduled {
		all := map[string][]scheduled{}
		for pid, name := range processes(t, id, r.cmd.Process.Pid) {
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
			for _, path := range threads {
				b, err := os.ReadFile(path)
				f := strings.Fields(string(b[max(strings.LastIndexByte(string(b), ')'), 0):]))
				if err == nil && len(f) > 40 {
					all[name] = append(all[name], scheduled{f[16], f[39]})
				}
			}
		}
		return all
	}
	as := func(all []scheduled, want scheduled) bool {
		return len(all) > 0 && !slices.ContainsFunc(all, func(s scheduled) bool { return s != want })
	}
	usual := scheduled{"20", "0"}
	// The unix server, the root file system's that it asks, and the host's that this one asks, have
	// what the guest has, and no longer than it has.
	for i, c := range []struct {
		how           string
		guest, server scheduled
		missing       string
	}{
		{"chrt -f 7", scheduled{"-8", "1"}, scheduled{"-8", "2"}, "fixed priorities"},
		{"chrt -f 7", scheduled{"-8", "1"}, scheduled{"-8", "2"}, "fixed priorities"},
		{"chrt -r 10", scheduled{"-11", "2"}, scheduled{"-11", "2"}, "fixed priorities"},
		{"chrt -d --sched-runtime 1000000 --sched-deadline 10000000 --sched-period 10000000 0", scheduled{"-101", "6"}, scheduled{"-11", "2"}, "deadlines"},
		{"nice -n -4", scheduled{"16", "0"}, scheduled{"16", "0"}, "nice values"},
		{"chrt -b 0", scheduled{"20", "3"}, usual, "-"},
		{"chrt -i 0", scheduled{"20", "5"}, usual, "-"},
		{"nice -n 7", scheduled{"27", "0"}, usual, "-"},
	} {
		r := startCmd(t, exec.Command("/usr/bin/nice", append(even, subject.Binary(t), "run", "-i", "--name", id, "--sched", "nice=-4,rtprio=10,deadline", "--placement", []string{"apart", "together"}[i%2], "--",
			"/bin/sh", "-c", c.how+" sh -c 'echo up; read x' || { echo up; read x; }; echo down; read x")...))
		r.line("up")
		got, errs := look(r), r.err.String()
		servers := func(want scheduled) {
			t.Helper()
			// They are told after the guest was; each look is a process more.
			for range 200 {
				if got = look(r); as(got["unix"], want) && as(got["host"], want) && (i%2 == 1 || as(got["overlay"], want)) {
					return
				}
			}
			t.Errorf("%s: the servers have %v, want %v", c.how, got, want)
		}
		switch {
		case strings.Contains(errs, c.missing):
			t.Logf("%s: unsupported here: %s", c.how, errs)
		case !slices.Contains(got["guest"], c.guest):
			t.Errorf("%s: the host has %v; %s", c.how, got, errs)
		case strings.Contains(errs, "priority inheritance"):
			t.Logf("%s: unsupported here: %s", c.how, errs)
		default:
			servers(c.server)
			if i < 2 { // the next incarnation, and what it knows of its guests
				if got := hythe(t, "", "restart", "-m", id, "unix"); got.status != 0 {
					t.Fatalf("%+v", got)
				}
				servers(c.server)
			}
		}
		r.say("\n")
		r.line("down")
		servers(usual)
		r.say("\n")
		r.end(0)
	}
	// Not beyond that.
	for _, c := range []string{"chrt -f 11 true", "! nice -n -5 sh -c true 2>&1 | grep -q denied"} {
		r := startCmd(t, exec.Command("/usr/bin/nice", append(even, subject.Binary(t), "run", "--sched", "nice=-4,rtprio=10", "--", "/bin/sh", "-c", c)...))
		r.end(1)
	}
}
