package linux

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/machine"
)

// alive returns the pid if the process is not yet known to be dead. Its number
// may be used again only after its pidfd was seen to end, so what is read under
// it a moment later is almost surely its own; nothing but signals (which go by
// the pidfd where they matter) changes anything.
func (c *channel) alive() (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd < 0 {
		return 0, false
	}
	fds := []unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err == nil && n != 0 {
		return 0, false
	}
	return c.pid, true
}

// Kick implements machine.Context. The thread's id is the one that it has in the
// innermost pid namespace; the host's is looked up in NSpid (proc(5)) and kept. That of the
// first thread, 0, is the process's.
func (c *channel) Kick(thread uint64) bool {
	pid, ok := c.alive()
	if !ok {
		return false
	}
	host := pid
	if thread != 0 {
		host = c.hostThread(pid, thread)
	}
	return host != 0 && unix.Tgkill(pid, host, unix.Signal(KickSignal)) == nil
}

// hostThread is the host's id of a thread, 0 if there is none.
func (c *channel) hostThread(pid int, thread uint64) int {
	c.mu.Lock()
	host := c.threads[thread]
	c.mu.Unlock()
	if host == 0 || nsTid(pid, host) != thread {
		host = c.findThread(pid, thread)
	}
	return host
}

// CPU implements machine.Context: the clock of a process can be read by its number
// (clock_getcpuclockid(3)), that of another process's thread cannot; schedstat
// (proc(5)) has what it had used at the last tick.
func (c *channel) CPU(thread uint64) (uint64, bool) {
	pid, ok := c.alive()
	if !ok {
		return 0, false
	}
	if thread == 0 {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			return 0, false
		}
		return uint64(ts.Nano()), true
	}
	host := c.hostThread(pid, thread)
	if host == 0 {
		return 0, false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, host))
	if err != nil {
		return 0, false
	}
	first, _, _ := bytes.Cut(b, []byte(" "))
	ns, err := strconv.ParseUint(string(first), 10, 64)
	return ns, err == nil
}

// findThread looks at the threads whose inner ids are not known yet.
func (c *channel) findThread(pid int, thread uint64) (host int) {
	looked := map[int]bool{}
	_ = eachList(pid, func(tids []int) (bool, error) {
		host = c.lookThrough(pid, tids, looked, thread)
		return host != 0, nil
	})
	return host
}

// maxLists bounds what a process that makes and ends threads all the time costs.
const maxLists = 64

// eachList calls f with lists of a process's threads, until it says that it is enough. The
// host's list ends early where a thread ends that is just being listed, and many end at once
// when a process does or executes a program: all that are there are in one of the lists
// when two after each other are equal. ESRCH.
func eachList(pid int, f func(tids []int) (enough bool, err error)) error {
	var last []int
	for range maxLists {
		dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return abi.ESRCH
		}
		tids := make([]int, 0, len(dir))
		for _, e := range dir {
			if tid, err := strconv.Atoi(e.Name()); err == nil {
				tids = append(tids, tid)
			}
		}
		if enough, err := f(tids); enough || err != nil || slices.Equal(tids, last) {
			return err
		}
		last = tids
	}
	return nil
}

// lookThrough looks for a thread in a list of the host's ids, but for those that were looked
// at already: first at those of which nothing is known. Each is a file to be read, of which
// a guest can have many: nobody who wants the lock waits for that.
func (c *channel) lookThrough(pid int, tids []int, looked map[int]bool, thread uint64) int {
	c.mu.Lock()
	known := make(map[int]bool, len(c.threads))
	for ns, host := range c.threads {
		if ns != thread {
			known[host] = true
		}
	}
	if c.threads == nil || len(c.threads) > 2*len(tids)+16 {
		c.threads, known = map[uint64]int{}, nil // forget threads that ended
	}
	delete(c.threads, thread)
	c.mu.Unlock()
	for pass := range 2 {
		for _, host := range tids {
			if looked[host] || pass == 0 && known[host] {
				continue
			}
			if ns := nsTid(pid, host); ns != 0 {
				looked[host] = true
				c.mu.Lock()
				c.threads[ns] = host
				c.mu.Unlock()
				if ns == thread {
					return host
				}
			}
		}
	}
	return 0
}

// nsTid is the id of a thread in its innermost pid namespace, 0 if it is gone.
func nsTid(pid, host int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, host))
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(b, []byte("\nNSpid:"))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(string(f[len(f)-1]), 10, 64)
	return n
}

// Info implements machine.Context, from /proc/PID/stat and statm (proc(5)); the
// host counts processor time in hundredths of a second.
func (c *channel) Info() (machine.Info, bool) {
	pid, ok := c.alive()
	if !ok {
		return machine.Info{}, false
	}
	stat, err := readLine(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return machine.Info{}, false
	}
	s := string(stat)
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return machine.Info{}, false
	}
	i := machine.Info{Pid: uint64(pid), Command: s[open+1 : end]}
	f := strings.Fields(s[end+1:])
	const tick = 10_000_000
	if len(f) > 12 { // fields 14 and 15 of stat; f[0] is field 3
		u, _ := strconv.ParseUint(f[11], 10, 64)
		k, _ := strconv.ParseUint(f[12], 10, 64)
		i.UserNS, i.SystemNS = u*tick, k*tick
	}
	if b, err := readLine(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			i.Resident = n * uint64(os.Getpagesize())
		}
	}
	i.Policy, _ = policyOf(pid) // it has just ended
	i.Runs, _ = processorsOf(pid)
	return i, true
}

// readLine reads a file of one short line. Each program's end and each exec waits for two of
// them, and os.ReadFile makes four times as many host calls.
func readLine(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 1024)
	n, err := unix.Read(fd, b)
	return b[:max(n, 0)], err
}

// maxMaps bounds the text of Maps: a guest may have 65,530 mappings, and each
// part of a long text costs the host the whole of it.
const maxMaps = 1 << 20

// Maps implements machine.Context.
func (c *channel) Maps(detail bool) []byte {
	pid, ok := c.alive()
	if !ok {
		return nil
	}
	name := fmt.Sprintf("/proc/%d/maps", pid)
	if detail {
		name = fmt.Sprintf("/proc/%d/smaps", pid)
	}
	var b []byte
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		b, err = ownMaps(f, c.m.window())
	}
	if err != nil {
		c.m.log("map of pid %d: %v", pid, err)
	}
	return b
}

// ownMaps takes from a text in the format of /proc/PID/maps or smaps (proc(5))
// what lies below the window, but for the words of patched call sites, and the vDSO,
// which guests see above it.
func ownMaps(r io.Reader, window uint64) ([]byte, error) {
	var b []byte
	in := bufio.NewScanner(r)
	keep := false
	for in.Scan() {
		line := in.Bytes()
		if from, to, rest, ok := mapLine(line); ok {
			name := bytes.TrimLeft(rest, " ")
			vdso := bytes.HasSuffix(name, []byte("[vdso]")) || bytes.HasSuffix(name, []byte("[vvar]"))
			sites := from%abi.SitesChunk == abi.SitesBase && to == from+abi.SitesSize && bytes.HasPrefix(rest, []byte(" r--p"))
			keep = window == 0 || from < window && !sites || vdso
			if keep && from < window && to > window {
				// The host joined the guest's last mapping with the window's first.
				b = fmt.Appendf(b, "%08x-%08x%s\n", from, window, rest)
				continue
			}
		}
		if !keep {
			continue
		}
		if len(b) > maxMaps {
			break
		}
		b = append(append(b, line...), '\n')
	}
	return b, in.Err()
}

// mapLine parses the addresses of a line that begins a mapping.
func mapLine(line []byte) (from, to uint64, rest []byte, ok bool) {
	addr, _, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return 0, 0, nil, false
	}
	lo, hi, ok := bytes.Cut(addr, []byte("-"))
	if !ok {
		return 0, 0, nil, false
	}
	from, e1 := strconv.ParseUint(string(lo), 16, 64)
	to, e2 := strconv.ParseUint(string(hi), 16, 64)
	return from, to, line[len(addr):], e1 == nil && e2 == nil
}

// ReadMemory implements machine.Context.
func (c *channel) ReadMemory(addr uint64, p []byte) int {
	pid, ok := c.alive()
	if !ok || len(p) == 0 {
		return 0
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	if addr >= 1<<63 {
		return 0
	}
	n, _ := f.ReadAt(p, int64(addr)) // as far as it goes
	return n
}

// WriteMemory implements machine.Context.
func (c *channel) WriteMemory(addr uint64, p []byte) int {
	pid, ok := c.alive()
	if !ok || len(p) == 0 || addr >= 1<<63 {
		return 0
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_WRONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := f.WriteAt(p, int64(addr)) // as far as it goes
	return n
}
