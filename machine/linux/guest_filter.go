package linux

import (
	"encoding/binary"

	"hythe/emul"
)

// HostArg is a condition on one argument of a host call. The upper half of the
// argument must be zero unless Wide.
type HostArg struct {
	Arg int
	// Mask is taken off before the comparison with Values; 0 takes nothing.
	Mask uint32
	// Values are all that is allowed; empty: see Deny and Min.
	Values []uint32
	// Deny are bits that must be clear.
	Deny uint32
	// Min is the least value.
	Min uint32
	// Wide leaves the upper half unchecked.
	Wide bool
}

// HostCall is a row of the authority table of guests: a host call that passes
// the filter when it comes from the library's window, and so a call that a
// guest can make with arguments of its own choice within Args.
type HostCall struct {
	Name string
	Nr   uint32
	Args []HostArg
	// Why says what it is for and why it is harmless in hostile hands.
	Why string
}

// GuestCalls is the authority table of guest tasks: everything else, and
// everything from outside the window, raises SIGSYS. (HAZARDS E.)
var GuestCalls = []HostCall{
	{"futex", 202, []HostArg{{Arg: 1, Mask: 128 | 256, Values: []uint32{0, 1, 3, 4, 5, 9, 10}}}, "waits and wakes on memory that the task maps; no priority inheritance, which would compare words with host thread ids"},
	{"write", 1, []HostArg{{Arg: 0, Values: []uint32{emul.ControlFD, emul.DoorbellFD, emul.PortFD}}}, "rings the doorbell, says hello, makes calls on the ports channel; all peers treat the bytes as untrusted"},
	{"rt_sigreturn", 15, nil, "leaves the handler; only this thread's state"},
	{"rt_sigprocmask", 14, nil, "masks kicks; a task that blocks its signals only dies of the next trap"},
	{"mmap", 9, []HostArg{{Arg: 3, Deny: 0x2000 | 0x40000}}, "own memory and granted objects; no locked and no huge pages, which others would lack"},
	{"munmap", 11, nil, "own memory"},
	{"mprotect", 10, nil, "own memory; granted objects were opened with no more than was granted"},
	{"mremap", 25, []HostArg{{Arg: 3, Deny: ^uint32(7)}}, "own memory"},
	{"madvise", 28, []HostArg{{Arg: 2, Values: []uint32{0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}}}, "own memory; no poisoning, no merging; REMOVE punches holes in objects that are granted for writing, in which no server holds an invariant"},
	{"clone", 56, []HostArg{{Arg: 0, Values: []uint32{emul.CloneFork, emul.CloneThread}}}, "fork and threads, inside the machine's namespaces and limits; exact flags, so no new namespaces and no shared descriptors between tasks"},
	{"recvmsg", 47, []HostArg{{Arg: 0, Values: []uint32{emul.ControlFD, emul.PortFD}}, {Arg: 2, Values: []uint32{0}}}, "takes what the nucleus grants and answers this task"},
	{"dup2", 33, []HostArg{{Arg: 0, Min: emul.InertFD}, {Arg: 1, Values: []uint32{emul.ControlFD, emul.DoorbellFD, emul.PortFD}}}, "a forked task takes its own channel and gives up its parent's ports channel; descriptors that it holds anyway"},
	{"close", 3, []HostArg{{Arg: 0, Min: emul.FirstFD}}, "drops a grant"},
	{"sigaltstack", 131, nil, "a new thread's signal stack"},
	{"arch_prctl", 158, []HostArg{{Arg: 0, Values: []uint32{0x1001, 0x1002, 0x1003, 0x1004}}}, "the FS and GS bases"},
	{"gettid", 186, nil, "the thread's number inside the machine"},
	{"sched_yield", 24, nil, "gives up the processor"},
	{"clock_gettime", 228, []HostArg{{Arg: 0, Deny: ^uint32(15)}}, "clocks of the host and of this task, none of another process"},
	{"getcpu", 309, nil, "which processor; the instruction RDTSCP tells it too"},
	{"getrandom", 318, []HostArg{{Arg: 2, Values: []uint32{0}}}, "random bytes to own memory; the instruction RDRAND gives them too"},
	{"mincore", 27, nil, "own memory"},
	{"msync", 26, nil, "own memory; memory objects have no storage behind them"},
	{"membarrier", 324, []HostArg{{Arg: 0, Values: []uint32{0, 8, 16, 32, 64}}, {Arg: 1, Values: []uint32{0}}}, "barriers among the threads of this task"},
	{"setrlimit", 160, []HostArg{{Arg: 0, Values: []uint32{0, 2, 9}}}, "bounds this task's own memory and processor time"},
	{"setitimer", 38, []HostArg{{Arg: 0, Values: []uint32{1, 2}}}, "a signal to this task after so much of its own processor time"},
	{"getitimer", 36, []HostArg{{Arg: 0, Values: []uint32{1, 2}}}, "the same timers"},
	{"userfaultfd", 323, []HostArg{{Arg: 0, Values: []uint32{emul.UserFaults}}}, "what tells the nucleus of missing pages of this task's own memory (docs/decisions/0011); for threads in user mode only, never in a host call of whoever, and without ioctl nothing can be done with it here but close it"},
	{"recvfrom", 45, []HostArg{{Arg: 0, Min: emul.FirstFD}, {Arg: 3, Values: []uint32{0, 0x40}}, {Arg: 4, Values: []uint32{0}}}, "takes what comes by a connection that the net server has made or accepted for it; of descriptors that it was granted only those are sockets, and the channel of the task that is made ahead for its next child, as which it could speak anyway"},
	{"sendto", 44, []HostArg{{Arg: 0, Min: emul.FirstFD}, {Arg: 3, Values: []uint32{0x4000, 0x4040, 0xc040}}, {Arg: 4, Values: []uint32{0}}}, "sends by such a connection, to its other end and to nobody else (no address)"},
	{"epoll_pwait", 281, []HostArg{{Arg: 0, Min: emul.FirstFD}, {Arg: 4, Values: []uint32{0}}}, "waits for such connections, by an epoll set that the unix server has made of them; without epoll_ctl nothing else can be watched by it"},
	{"exit", 60, nil, "ends a thread"},
	{"exit_group", 231, nil, "ends the task"},
}

// ReaperCalls is the authority table of the machine's pid 1.
var ReaperCalls = []HostCall{
	{"wait4", 61, nil, "sleeps until the machine is empty"},
	{"exit_group", 231, nil, "ends the machine"},
}

// Classic BPF (linux/filter.h) and seccomp (linux/seccomp.h).
const (
	bpfLoad  = 0x20 // A = data[k]
	bpfJeq   = 0x15
	bpfJge   = 0x35
	bpfJset  = 0x45
	bpfAnd   = 0x54
	bpfRet   = 0x06
	retAllow = 0x7fff0000
	retTrap  = 0x00030000
	retKill  = 0x80000000

	dataNr   = 0
	dataArch = 4
	dataIPHi = 12
	dataArgs = 16
)

// filterProgram is an array of struct sock_filter.
type filterProgram []byte

func (p *filterProgram) add(code uint16, jt, jf uint8, k uint32) {
	*p = binary.LittleEndian.AppendUint16(*p, code)
	*p = append(*p, jt, jf)
	*p = binary.LittleEndian.AppendUint32(*p, k)
}

func (p filterProgram) len() int { return len(p) / 8 }

// assembleFilter makes the program that lets the calls of the table pass when
// the upper half of the instruction pointer is window, and answers deny to all
// else.
func assembleFilter(calls []HostCall, window uint32, deny uint32) filterProgram {
	var p filterProgram
	p.add(bpfLoad, 0, 0, dataArch)
	p.add(bpfJeq, 1, 0, emul.ArchX86_64)
	p.add(bpfRet, 0, 0, deny)
	p.add(bpfLoad, 0, 0, dataIPHi)
	p.add(bpfJeq, 1, 0, window)
	p.add(bpfRet, 0, 0, deny)
	p.add(bpfLoad, 0, 0, dataNr)
	for _, c := range calls {
		n := 1 // the final ALLOW
		for _, a := range c.Args {
			n += a.len()
		}
		p.add(bpfJeq, 0, uint8(n+1), c.Nr)
		left := n
		for _, a := range c.Args {
			left -= a.len()
			// left instructions follow this condition before the denial.
			a.assemble(&p, left)
		}
		p.add(bpfRet, 0, 0, retAllow)
		p.add(bpfRet, 0, 0, deny)
	}
	p.add(bpfRet, 0, 0, deny)
	return p
}

// len counts the instructions of the condition.
func (a HostArg) len() int {
	n := 1
	if !a.Wide {
		n += 2
	}
	if a.Mask != 0 {
		n++
	}
	switch {
	case len(a.Values) > 0:
		n += len(a.Values)
	case a.Deny != 0:
		n++
	default:
		n++
	}
	return n
}

// assemble appends the condition; a failure jumps over what is left of the
// condition and rest more instructions.
func (a HostArg) assemble(p *filterProgram, rest int) {
	end := p.len() + a.len()
	fail := func() uint8 { return uint8(end + rest - p.len() - 1) }
	if !a.Wide {
		p.add(bpfLoad, 0, 0, uint32(dataArgs+8*a.Arg+4))
		p.add(bpfJeq, 0, fail(), 0)
	}
	p.add(bpfLoad, 0, 0, uint32(dataArgs+8*a.Arg))
	if a.Mask != 0 {
		p.add(bpfAnd, 0, 0, ^a.Mask)
	}
	switch {
	case len(a.Values) > 0:
		for i, v := range a.Values {
			if i == len(a.Values)-1 {
				p.add(bpfJeq, 0, fail(), v)
			} else {
				p.add(bpfJeq, uint8(len(a.Values)-1-i), 0, v)
			}
		}
	case a.Deny != 0:
		p.add(bpfJset, fail(), 0, a.Deny)
	default:
		p.add(bpfJge, 0, fail(), a.Min)
	}
}
