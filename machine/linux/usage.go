package linux

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is how much memory the machine's guests use, in bytes: guests is what
// their processes have for themselves (a page that two share after a fork counts
// twice), objects what the memory objects hold: the data of files that live in
// memory, and the servers' own tables. Memory that guests share without a file is
// no object: of objects and of what guests have mapped in shares, the larger sum
// counts.
func (m *Machine) Usage() (guests, objects uint64) {
	m.umu.Lock()
	pids := make([]int, 0, len(m.guests))
	for _, pid := range m.guests {
		pids = append(pids, pid)
	}
	for f := range m.objects {
		var st unix.Stat_t
		if unix.Fstat(f.fd, &st) == nil {
			objects += uint64(st.Blocks) * 512
		}
	}
	m.umu.Unlock()
	shares := uint64(0)
	for _, pid := range pids {
		own, shared := resident(pid)
		guests += own
		if shared > shareMin {
			shares += shareOf(pid)
		}
	}
	return guests, max(objects, shares)
}

// shareMin is how much a process may have mapped of files and shared memory
// before it is asked what of it is memory; the question is expensive.
const shareMin = 16 << 20

// resident is a process's resident memory that is its own, and that of files
// and shared memory (statm of proc(5)); 0 when it has gone.
func resident(pid int) (own, shared uint64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return 0, 0
	}
	all, _ := strconv.ParseUint(f[1], 10, 64)
	sh, _ := strconv.ParseUint(f[2], 10, 64)
	page := uint64(os.Getpagesize())
	return (all - min(sh, all)) * page, sh * page
}

// shareOf is a process's part of the shared memory that it has mapped
// (smaps_rollup of proc(5)).
func shareOf(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), "\nPss_Shmem:")
	if !ok {
		return 0
	}
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kb, _ := strconv.ParseUint(f[0], 10, 64)
	return kb << 10
}
