package confine

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// What the filter answers (linux/seccomp.h).
const (
	retKill  = unix.SECCOMP_RET_KILL_PROCESS
	retAllow = unix.SECCOMP_RET_ALLOW
	retEPERM = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	// The Go runtime and library take ENOSYS as "ask in the old way".
	retENOSYS = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// x32Bit marks the numbers of the x32 ABI (asm/unistd.h __X32_SYSCALL_BIT),
// which the host serves under the same architecture word.
const x32Bit = 0x40000000

// nrClone3 has its flags in memory, where a filter cannot look.
const nrClone3 = 435

// Filter answers the profile's program for the process with the given number:
// classic BPF (linux/filter.h), one block for each call, so that every jump is
// short and forward.
func (p *Profile) Filter(pid int) ([]unix.SockFilter, error) {
	out := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, 1, 0),
		ret(retKill),
		load(dataNr),
		jump(unix.BPF_JGE, x32Bit, 0, 1),
		ret(retKill),
	}
	seen := map[uint32]string{}
	for _, c := range append(append([]Call{}, Base...), p.Calls...) {
		if seen[c.Nr] != "" {
			return nil, fmt.Errorf("confine: %s: %s and %s are both call %d", p.Name, seen[c.Nr], c.Name, c.Nr)
		}
		seen[c.Nr] = c.Name
		block, err := c.block(uint32(pid))
		if err != nil {
			return nil, fmt.Errorf("confine: %s: %w", p.Name, err)
		}
		out = append(out, jump(unix.BPF_JEQ, c.Nr, 0, uint8(len(block))))
		out = append(out, block...)
	}
	for _, c := range Killed {
		if seen[c.Nr] != "" && p.Network && slices.Contains(socketCalls, c.Nr) {
			continue
		}
		if seen[c.Nr] != "" {
			return nil, fmt.Errorf("confine: %s: %s is both allowed and deadly", p.Name, c.Name)
		}
		out = append(out, jump(unix.BPF_JEQ, c.Nr, 0, 1), ret(retKill))
	}
	out = append(out, jump(unix.BPF_JEQ, nrClone3, 0, 1), ret(retENOSYS), ret(retEPERM))
	if len(out) > 4096 { // BPF_MAXINSNS
		return nil, fmt.Errorf("confine: %s: a filter of %d instructions", p.Name, len(out))
	}
	return out, nil
}

// block answers what follows when the number is the call's: it always ends in a
// return.
func (c *Call) block(pid uint32) ([]unix.SockFilter, error) {
	if len(c.Args) == 0 {
		return []unix.SockFilter{ret(retAllow)}, nil
	}
	var out []unix.SockFilter
	no := ret(retEPERM)
	for _, a := range c.Args {
		if a.Arg < 0 || a.Arg > 5 {
			return nil, fmt.Errorf("%s has no argument %d", c.Name, a.Arg)
		}
		// Little-endian: the low half comes first.
		low := uint32(dataArgs + 8*a.Arg)
		if !a.Wide {
			out = append(out, load(low+4), jump(unix.BPF_JEQ, 0, 1, 0), no)
		}
		out = append(out, load(low))
		if a.Deny != 0 {
			out = append(out, jump(unix.BPF_JSET, a.Deny, 0, 1), no)
		}
		if a.Mask != 0 {
			out = append(out, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^a.Mask})
		}
		values := a.Values
		if a.Self {
			values = []uint32{pid}
		}
		for i, v := range values {
			out = append(out, jump(unix.BPF_JEQ, v, uint8(len(values)-i), 0))
		}
		if len(values) > 0 {
			out = append(out, no)
		} else if a.Deny == 0 {
			return nil, fmt.Errorf("%s: argument %d has no condition", c.Name, a.Arg)
		}
	}
	out = append(out, ret(retAllow))
	if len(out) > 255 {
		return nil, fmt.Errorf("%s: too many conditions", c.Name)
	}
	return out, nil
}

func load(off uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
}

func jump(cond uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | cond | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func ret(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}
