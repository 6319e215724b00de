package hythe

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"hythe/abi"
	"hythe/machine"
)

// Limits without a cgroup: the unix server counts processes and threads, the
// host's RLIMIT_NPROC stands behind it; file systems in memory have a size; and
// whoever has most is killed when the machine is seen to use more memory than it
// may (the supervisor looks as often as the rest could be used up).

// limitsLine tells the user which kind of limit is in force.
func limitsLine(c *Config) string {
	switch {
	case c.Memory > 0 && c.Pids > 0:
		return "limits: without a cgroup: --memory by looking at what is used (short peaks pass), --pids-limit by the unix server"
	case c.Memory > 0:
		return "limits: without a cgroup: --memory by looking at what is used (short peaks pass)"
	case c.Pids > 0:
		return "limits: without a cgroup: --pids-limit by the unix server"
	}
	return ""
}

// schedulingLine tells the user what of the scheduling that guests may use is not there.
// Servers inherit what the host gives (docs/decisions/0012).
func schedulingLine(c *Config, has machine.Scheduling) string {
	var no []string
	if n := c.Scheduling.Nice; n < 0 && has.Nice > int32(n) {
		no = append(no, fmt.Sprintf("nice values below %d", has.Nice))
	}
	if n := c.Scheduling.Priority; n > 0 && has.Priority < uint32(n) {
		no = append(no, fmt.Sprintf("fixed priorities above %d", has.Priority))
	}
	if c.Scheduling.Deadline && has.Classes&(1<<abi.ClassDeadline) == 0 {
		no = append(no, "deadlines")
	}
	var parts []string
	if no != nil {
		parts = append(parts, "the host does not let this user have "+strings.Join(no, ", "))
	}
	switch {
	case c.Scheduling.Nice >= 0 && c.Scheduling.Priority <= 0 && !c.Scheduling.Deadline:
	case has.Nice >= has.Own.Nice && has.Priority == 0:
		parts = append(parts, "priority inheritance by servers: unsupported")
	case has.Classes&(1<<abi.ClassDeadline) != 0 && has.Priority == 0:
		parts = append(parts, "priority inheritance by servers from who has a deadline: unsupported without rtprio")
	}
	if parts == nil {
		return ""
	}
	return "scheduling: " + strings.Join(parts, "; ")
}

// processors makes a set of numbers; those that no host has are left out (check).
func processors(l []int) (p machine.Processors) {
	for _, n := range l {
		if n >= 0 && n < machine.MaxProcessors {
			p.Add(n)
		}
	}
	return p
}

// hostThreads is the bound of host threads behind a limit of guest processes
// and threads: each process has one more on the host, and there are the reaper,
// the zygote, a spare task, and processes that have ended and wait for their end. Without a
// limit the bound is there for the host: one machine's guests get at most a
// quarter of its process numbers, so that it can still fork to look at them and
// end them.
func hostThreads(pids int) uint64 {
	if pids == 0 {
		return min(pidMax()/4, hostThreadsMax)
	}
	return 2*uint64(pids) + 64
}

// hostThreadsMax bounds a machine without a limit on a host with numbers to
// spare: the host's memory would be gone before.
const hostThreadsMax = 32768

// pidMax is how many processes and threads the host can have (proc_sys_kernel(5)).
func pidMax() uint64 {
	b, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil && n > 0 {
			return n
		}
	}
	return 32768 // Linux's own default
}

// Sampling of memory.
const (
	sampleMin = 5 * time.Millisecond
	sampleMax = 250 * time.Millisecond
	// fillRate is how fast memory can be taken into use, in bytes per second.
	fillRate = 4 << 30
	// giveBack is how long the memory of a killed process may take to be free.
	giveBack = time.Second
)

// watchMemory keeps the machine below its memory limit until it is closed.
func (w *wired) watchMemory(limit uint64, stop <-chan struct{}) {
	var hurt time.Time // when somebody was killed
	for {
		guests, objects := w.host.Usage()
		used := guests + objects
		pause := sampleMin
		if used <= limit {
			hurt = time.Time{}
			pause = min(max(time.Duration(float64(limit-used)/fillRate*1e9), sampleMin), sampleMax)
		} else if time.Since(hurt) > giveBack {
			w.reclaim(used, limit)
			hurt = time.Now()
		}
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// reclaim has the process with most memory killed and says so.
func (w *wired) reclaim(used, limit uint64) {
	w.reclaiming.Lock()
	defer w.reclaiming.Unlock()
	if pid, name, e := w.unix().Reclaim(); e == 0 && pid != 0 {
		w.log(fmt.Sprintf("memory: %d MiB are used of %d: process %d (%s) is killed", used>>20, limit>>20, pid, name))
	}
}
