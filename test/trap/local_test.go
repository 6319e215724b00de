package trap

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// TestLocal runs the calls that the library serves, with good and bad
// arguments. The program walks a table of (nr, six arguments) and reports each
// result.
func TestLocal(t *testing.T) {
	calls := maps.Clone(localCalls)
	calls[13] = abi.CallDesc{Local: abi.LocalSigAction}
	calls[14] = abi.CallDesc{Local: abi.LocalSigMask}
	calls[218] = abi.CallDesc{Local: abi.LocalSetTid}
	calls[273] = abi.CallDesc{Local: abi.LocalSetRobust}
	calls[302] = abi.CallDesc{Local: abi.LocalLimit}
	calls[8] = abi.CallDesc{Local: abi.LocalSeek}
	calls[16] = abi.CallDesc{Local: abi.LocalIoctl}
	calls[72] = abi.CallDesc{Local: abi.LocalFcntl}
	calls[233] = abi.CallDesc{Local: abi.LocalEpollCtl}
	calls[232] = abi.CallDesc{Local: abi.LocalEpoll}
	calls[281] = abi.CallDesc{Local: abi.LocalEpollMask}
	calls[318] = abi.CallDesc{Local: abi.LocalRandom}
	calls[334] = abi.CallDesc{Local: abi.LocalNosys}
	w := newWorld(t, calls)
	win := uint64(w.z.Window())
	type row struct {
		what string
		nr   uint64
		a    [6]uint64
		want uint64 // any: see below
	}
	const (
		any  = 0x123456789 // no check
		rw   = 3
		priv = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
		fix  = unix.MAP_FIXED
		base = 0x50000000
		max  = ^uint64(0)
	)
	e := func(n abi.Errno) uint64 { return err(n) }
	rows := []row{
		{"mmap", 9, [6]uint64{base, 0x10000, rw, priv | fix, max, 0}, base},
		{"mmap shared", 9, [6]uint64{base + 0x10000, 0x1000, rw, unix.MAP_SHARED | unix.MAP_ANONYMOUS | fix, max, 0}, base + 0x10000},
		{"mmap of nothing", 9, [6]uint64{0, 0, rw, priv, max, 0}, e(abi.EINVAL)},
		{"mmap of all", 9, [6]uint64{0, max - 4095, rw, priv, max, 0}, e(abi.ENOMEM)},
		{"mmap huge", 9, [6]uint64{0, 0x1000, rw, priv | 0x40000, max, 0}, e(abi.ENOMEM)},
		{"mmap over the library", 9, [6]uint64{win + 0x400000, 0x1000, rw, priv | fix, max, 0}, e(abi.ENOMEM)},
		{"mmap into the library", 9, [6]uint64{win - 0x1000, 0x2000, rw, priv | fix, max, 0}, e(abi.ENOMEM)},
		{"mmap locked", 9, [6]uint64{base + 0x20000, 0x1000, rw, priv | fix | 0x2000, max, 0}, base + 0x20000},
		{"mmap on top", 9, [6]uint64{base, 0x1000, rw, priv | 0x100000, max, 0}, e(abi.EEXIST)},
		{"mprotect", 10, [6]uint64{base, 0x1000, 1}, 0},
		{"mprotect exec", 10, [6]uint64{base, 0x1000, 5}, 0},
		{"mprotect of a hole", 10, [6]uint64{0x60000000, 0x1000, 1}, e(abi.ENOMEM)},
		{"mprotect odd", 10, [6]uint64{base + 1, 0x1000, 1}, e(abi.EINVAL)},
		{"mprotect of the library", 10, [6]uint64{win + 0x400000, 0x1000, 7}, e(abi.ENOMEM)},
		{"munmap of the library", 11, [6]uint64{win, 0x1000}, e(abi.EINVAL)},
		{"munmap of all", 11, [6]uint64{0x1000, max - 0x2000}, e(abi.EINVAL)},
		{"munmap", 11, [6]uint64{base + 0x8000, 0x1000}, 0},
		{"munmap of nothing", 11, [6]uint64{base, 0}, e(abi.EINVAL)},
		{"mremap", 25, [6]uint64{base + 0x20000, 0x1000, 0x3000, 1, 0, 0}, base + 0x20000},
		{"mremap fixed", 25, [6]uint64{base + 0x20000, 0x3000, 0x3000, 3, base + 0x30000, 0}, base + 0x30000},
		{"mremap into the library", 25, [6]uint64{base + 0x30000, 0x1000, 0x1000, 3, win, 0}, e(abi.EINVAL)},
		{"mremap of the library", 25, [6]uint64{win + 0x400000, 0x1000, 0x1000, 1, 0, 0}, e(abi.EFAULT)},
		{"madvise dontneed", 28, [6]uint64{base, 0x1000, 4}, 0},
		{"madvise mergeable", 28, [6]uint64{base, 0x1000, 12}, e(abi.EINVAL)},
		{"madvise poison", 28, [6]uint64{base, 0x1000, 100}, e(abi.EINVAL)},
		{"madvise of the library", 28, [6]uint64{win, 0x1000, 4}, e(abi.ENOMEM)},
		{"mincore", 27, [6]uint64{base, 0x4000, dataBase}, 0},
		{"mincore into nothing", 27, [6]uint64{base, 0x4000, 16}, e(abi.EFAULT)},
		{"msync", 26, [6]uint64{base, 0x4000, 4}, 0},
		{"msync of a hole", 26, [6]uint64{0x60000000, 0x4000, 4}, e(abi.ENOMEM)},
		{"mlock", 149, [6]uint64{base, 0x4000}, 0},
		{"mlock of a hole", 149, [6]uint64{base + 0x7000, 0x4000}, e(abi.ENOMEM)},
		{"brk query", 12, [6]uint64{0}, 0x44000000},
		{"brk grows", 12, [6]uint64{0x44003001}, 0x44003001},
		{"brk shrinks", 12, [6]uint64{0x44001000}, 0x44001000},
		{"brk below", 12, [6]uint64{0x43000000}, 0x44001000},
		{"brk into a mapping", 12, [6]uint64{base + 0x1000}, 0x44001000},
		{"brk too far", 12, [6]uint64{win + 4096}, 0x44001000},
		{"word", 39, [6]uint64{}, 4711},
		{"tid", 186, [6]uint64{}, 4712},
		{"set fs", 158, [6]uint64{0x1002, dataBase + 0x100}, 0},
		{"get fs", 158, [6]uint64{0x1003, dataBase + 8}, 0},
		{"set bad fs", 158, [6]uint64{0x1002, 1 << 63}, e(abi.EPERM)},
		{"set kernel fs", 158, [6]uint64{0x1002, max - 4095}, e(abi.EPERM)},
		{"set gs", 158, [6]uint64{0x1001, dataBase + 0x100}, 0},
		{"get gs", 158, [6]uint64{0x1004, dataBase + 16}, 0},
		{"get fs to nothing", 158, [6]uint64{0x1003, 8}, e(abi.EFAULT)},
		{"get fs to the library", 158, [6]uint64{0x1003, win + 0x40000000}, e(abi.EFAULT)},
		{"arch_prctl unknown", 158, [6]uint64{0x5001, 8}, 90158},
		{"clock", 228, [6]uint64{1, dataBase + 32}, 0},
		{"clock to nothing", 228, [6]uint64{1, 32}, e(abi.EFAULT)},
		{"clock of another process", 228, [6]uint64{0xfffffffffffffffa, dataBase + 32}, 90228},
		{"yield", 24, [6]uint64{}, 0},
		{"getcpu", 309, [6]uint64{dataBase + 48, 0}, 0},
		{"getcpu to nothing", 309, [6]uint64{16, 0}, e(abi.EFAULT)},
		{"membarrier query", 324, [6]uint64{0}, any},
		{"membarrier register", 324, [6]uint64{16}, any},
		{"membarrier global", 324, [6]uint64{1}, e(abi.EINVAL)},
		{"membarrier bad", 324, [6]uint64{8, 1}, e(abi.EINVAL)},
		{"futex wake", 202, [6]uint64{dataBase, 1, 1}, 0},
		{"futex wrong value", 202, [6]uint64{dataBase + 0x40, 0, 77}, e(abi.EAGAIN)},
		{"futex timeout", 202, [6]uint64{dataBase + 0x40, 128, 0, dataBase + 0x200}, e(abi.ETIMEDOUT)},
		{"futex past deadline", 202, [6]uint64{dataBase + 0x40, 9 | 256, 0, dataBase + 0x200, 0, max}, e(abi.ETIMEDOUT)},
		{"futex no bits", 202, [6]uint64{dataBase + 0x40, 9, 0, 0, 0, 0}, e(abi.EINVAL)},
		{"futex bad time", 202, [6]uint64{dataBase + 0x40, 0, 0, dataBase + 0x300}, e(abi.EINVAL)},
		{"futex bad timeout pointer", 202, [6]uint64{dataBase + 0x40, 0, 0, 64}, e(abi.EFAULT)},
		{"futex bad address", 202, [6]uint64{64, 0, 0, 0}, e(abi.EFAULT)},
		{"futex odd address", 202, [6]uint64{dataBase + 1, 0, 0, 0}, e(abi.EINVAL)},
		{"futex on the library", 202, [6]uint64{win + 0x40000000, 1, 1}, e(abi.EFAULT)},
		{"futex requeue", 202, [6]uint64{dataBase, 3, 1, 1, dataBase + 64}, 0},
		{"futex wake op", 202, [6]uint64{dataBase + 0x40, 5, 1, 1, dataBase + 0x44, 1 << 12}, 0},
		{"futex PI", 202, [6]uint64{dataBase, 6, 0, 0}, 0},
		{"futex PI odd address", 202, [6]uint64{dataBase + 1, 6}, e(abi.EINVAL)},
		{"futex PI bad address", 202, [6]uint64{64, 6}, e(abi.EFAULT)},
		{"futex PI on the library", 202, [6]uint64{win + 0x40000000, 6}, e(abi.EFAULT)},
		{"futex PI try on the library", 202, [6]uint64{win + 0x40000000, 8}, e(abi.EFAULT)},
		{"futex PI unlock on the library", 202, [6]uint64{win + 0x40000000, 7}, e(abi.EFAULT)},
		{"futex PI requeue to the library", 202, [6]uint64{dataBase, 12, 1, 1, win + 0x40000000, 0}, e(abi.EFAULT)},
		{"futex PI wait for the library's", 202, [6]uint64{dataBase, 11, 0, 0, win + 0x40000000, 0}, e(abi.EFAULT)},
		{"set_tid_address", 218, [6]uint64{dataBase + 0x500}, 4712},
		{"set_tid_address again, of the library's", 218, [6]uint64{win + 0x40000000}, 4712},
		{"set_robust_list", 273, [6]uint64{dataBase + 0x600, 24}, 0},
		{"set_robust_list of another size", 273, [6]uint64{dataBase, 32}, e(abi.EINVAL)},
		{"no such call", 334, [6]uint64{dataBase, 32}, e(abi.ENOSYS)},
		{"getrandom", 318, [6]uint64{dataBase + 0x400, 16, 1}, 16},
		{"getrandom of nothing", 318, [6]uint64{dataBase + 0x400, 0, 0}, 0},
		{"getrandom of much", 318, [6]uint64{dataBase + 0x400, 257, 0}, 90318},
		{"getrandom, both", 318, [6]uint64{dataBase + 0x400, 16, 6}, 90318},
		{"getrandom, unknown flag", 318, [6]uint64{dataBase + 0x400, 16, 8}, 90318},
		{"getrandom to nothing", 318, [6]uint64{16, 16, 0}, e(abi.EFAULT)},
		{"getrandom to the library", 318, [6]uint64{win + 0x40000000, 16, 0}, e(abi.EFAULT)},
		{"limit of the stack", 302, [6]uint64{0, 3, 0, dataBase + 0x420}, 0},
		{"limit of the stack to the library", 302, [6]uint64{0, 3, 0, win + 0x40000000}, e(abi.EFAULT)},
		{"limit of another process", 302, [6]uint64{1, 3, 0, dataBase + 0x420}, 90302},
		{"another limit", 302, [6]uint64{0, 4, 0, dataBase + 0x420}, 90302},
		{"a new limit", 302, [6]uint64{0, 3, dataBase, dataBase + 0x420}, 90302},
		{"no limit", 302, [6]uint64{0, 3, 0, 0}, 90302},
		{"epoll_wait", 232, [6]uint64{5, dataBase + 0x900, 2, max}, 2},
		{"epoll_wait for none", 232, [6]uint64{5, dataBase + 0x900, 0}, 90232},
		{"epoll_wait for too many", 232, [6]uint64{5, dataBase + 0x900, 1 << 30}, 90232},
		{"epoll_wait of another set", 232, [6]uint64{9, dataBase + 0x900, 2}, 90232},
		{"epoll_wait to nothing", 232, [6]uint64{5, 16, 2}, 90232},
		{"epoll_wait to the library", 232, [6]uint64{5, win + 0x40000000, 2}, 90232},
		{"epoll_wait into the library", 232, [6]uint64{5, win - 12, 2}, 90232},
		{"epoll_wait to the end of the memory", 232, [6]uint64{5, dataBase + dataSize - 13, 2}, 1},
		{"epoll_wait, a forged count", 232, [6]uint64{6, dataBase + 0x900, 2}, 90232},
		{"epoll_wait, a forged place", 232, [6]uint64{7, dataBase + 0x1000, 1000}, abi.LentSetItems},
		{"epoll_wait, a forged stream", 232, [6]uint64{8, dataBase + 0x900, 2}, 90232},
		{"seek in a file that does not wait", 8, [6]uint64{20, 0, 1}, 5},
		{"seek as far as there is room", 8, [6]uint64{20, abi.LentAt, 0}, abi.LentAt},
		{"seek farther", 8, [6]uint64{20, 1, 1}, 90008},
		{"flags", 72, [6]uint64{20, 3}, 0x8800},
		{"flags that are set", 72, [6]uint64{20, 4, 0x8001}, 0},
		{"flags then", 72, [6]uint64{20, 3}, 0x8000},
		{"where it is then", 8, [6]uint64{20, 0, 1}, abi.LentAt},
		{"other flags that are set", 72, [6]uint64{20, 4, 0xc00}, 90072},
		{"flags of another file", 72, [6]uint64{21, 3}, 90072},
		{"flags of a pipe", 72, [6]uint64{22, 3}, 90072},
		{"flags of nothing", 72, [6]uint64{1 << 40, 3}, 90072},
		{"another fcntl", 72, [6]uint64{20, 1}, 90072},
		{"is it a terminal", 16, [6]uint64{20, 0x5401, 8}, e(abi.ENOTTY)},
		{"is a pipe", 16, [6]uint64{22, 0x5401}, 90016},
		{"another ioctl", 16, [6]uint64{20, 0x5402}, 90016},
		{"epoll_ctl", 233, [6]uint64{22, 1, 21, dataBase}, e(abi.EPERM)},
		{"epoll_ctl, no event", 233, [6]uint64{22, 1, 21, 16}, 90233},
		{"epoll_ctl, no set", 233, [6]uint64{23, 1, 21, dataBase}, 90233},
		{"epoll_ctl, a forged set", 233, [6]uint64{1 << 61, 1, 21, dataBase}, 90233},
		{"epoll_ctl of a pipe", 233, [6]uint64{22, 1, 22, dataBase}, 90233},
		{"epoll_ctl that removes", 233, [6]uint64{22, 2, 21, dataBase}, 90233},
		{"epoll_wait, to wait", 232, [6]uint64{8, dataBase + 0x900, 2, 5}, 90232},
		{"epoll_pwait", 281, [6]uint64{5, dataBase + 0x900, 2, max}, 2},
		{"epoll_pwait with a mask", 281, [6]uint64{5, dataBase + 0x900, 2, max, dataBase, 8}, 90281},
		{"mask: none yet", 14, [6]uint64{0, 0, dataBase + 0x440, 8}, 0},
		{"mask: block", 14, [6]uint64{0, dataBase + 0x700, 0, 8}, 0},
		{"mask: block more, and which were", 14, [6]uint64{0, dataBase + 0x708, dataBase + 0x448, 8}, 0},
		{"mask: unblock", 14, [6]uint64{1, dataBase + 0x710, dataBase + 0x450, 8}, 0},
		{"mask: of nothing", 14, [6]uint64{0, 16, 0, 8}, e(abi.EFAULT)},
		{"mask: of the library's", 14, [6]uint64{0, win + 0x40000000, 0, 8}, e(abi.EFAULT)},
		{"mask: to the library", 14, [6]uint64{0, 0, win + 0x40000000, 8}, e(abi.EFAULT)},
		{"mask: in no way", 14, [6]uint64{3, dataBase + 0x700, 0, 8}, e(abi.EINVAL)},
		{"mask: in no way, of nothing", 14, [6]uint64{3, 0, 0, 8}, 0},
		{"mask: another size", 14, [6]uint64{0, 0, 0, 16}, 90014},
		{"mask: set", 14, [6]uint64{2, dataBase + 0x718, dataBase + 0x458, 8}, 0},
		{"mask: what is", 14, [6]uint64{0, 0, dataBase + 0x460, 8}, 0},
		{"action: nobody's", 13, [6]uint64{10, 0, dataBase + 0x720, 8}, 0},
		{"action: nobody's, to nowhere", 13, [6]uint64{10, 0, 0, 8}, 0},
		{"action: nobody's, to nothing", 13, [6]uint64{10, 0, 16, 8}, e(abi.EFAULT)},
		{"action: nobody's, to the library", 13, [6]uint64{10, 0, win + 0x40000000, 8}, e(abi.EFAULT)},
		{"action: somebody's", 13, [6]uint64{11, 0, dataBase + 0x720, 8}, 90013},
		{"action: a new one", 13, [6]uint64{10, dataBase + 0x720, 0, 8}, 90013},
		{"action: the last", 13, [6]uint64{64, 0, dataBase + 0x720, 8}, 0},
		{"action: none", 13, [6]uint64{0, 0, dataBase + 0x720, 8}, 90013},
		{"action: one more", 13, [6]uint64{65, 0, dataBase + 0x720, 8}, 90013},
		{"action: another size", 13, [6]uint64{10, 0, dataBase + 0x720, 16}, 90013},
		{"futex PI limit in the library", 202, [6]uint64{dataBase, 6, 0, win + 0x40000000}, e(abi.EFAULT)},
	}
	code := assemble(t, asmHead+`
	mov $0x20010000, %rbx
1:	mov (%rbx), %rax
	cmp $-1, %rax
	je 2f
	mov 8(%rbx), %rdi
	mov 16(%rbx), %rsi
	mov 24(%rbx), %rdx
	mov 32(%rbx), %r10
	mov 40(%rbx), %r8
	mov 48(%rbx), %r9
	syscall
	report %rax
	add $56, %rbx
	jmp 1b
2:	mov %fs:0, %rdi
	mov %gs:0, %rsi
	mov 0x20000008, %rdx
	mov 0x20000010, %r10
	mov 0x20000020, %r8
	mov $900, %eax
	syscall
	mov 0x20000420, %rdi
	mov 0x20000428, %rsi
	mov 0x20000400, %rdx
	mov 0x20000410, %r10
	mov $900, %eax
	syscall
	mov 0x20000440, %rdi
	mov 0x20000448, %rsi
	mov 0x20000450, %rdx
	mov 0x20000458, %r10
	mov 0x20000460, %r8
	mov $900, %eax
	syscall
	done`)
	h := &harness{w: w, code: code, reports: make(chan report, 1000)}
	var table []byte
	word := func(v uint64) {
		for range 8 {
			table = append(table, byte(v))
			v >>= 8
		}
	}
	for _, r := range rows {
		word(r.nr)
		for _, v := range r.a {
			word(v)
		}
	}
	word(max)
	h.extra = func(c *call) bool { c.reply(90000 + c.s.Nr); return c.s.Kind == abi.KindTrap }
	late := make(chan [3]uint64, 10)
	masks := make(chan uint64, 100)
	task := w.spawn(func(c *call) {
		if c.s.Late&abi.LateIsMask != 0 {
			masks <- c.s.LateMask
		}
		if c.s.Late != 0 && c.s.Late != abi.LateIsMask {
			late <- [3]uint64{uint64(c.s.Late), c.s.LateRobust, c.s.LateTid}
		}
		if c.s.Kind == abi.KindStart {
			c.t.header().Told[abi.ToldStack] = 8<<20 + 1
			for i := range abi.LentSets * abi.LentSetItems {
				c.t.area[abi.LentSetOff+i/abi.LentSetItems*abi.LentSetSize+i%abi.LentSetItems*32+8] = 1 // abi.LentItem.Events
			}
			c.t.area[abi.LentSetOff+3*abi.LentSetSize+16] = 1 // a stream that is lent to nobody
			c.t.header().Sets = [abi.LentSets]abi.LentSet{{Gen: 1, FD: 5, N: 3, Next: 1<<32 | 2}, {Gen: 3, FD: 6, N: 1 << 31},
				{Gen: 5, FD: 7, N: abi.LentSetItems, Next: 5<<32 | 1<<32 - 1}, {Gen: 7, FD: 8, Next: 9, N: 1, Streams: 1}}
			lent := uint64(abi.LentPos | 7<<abi.LentShift)
			c.t.header().Lent[20].Pos = lent | abi.LentNonblock | 5
			c.t.header().Lent[21].Pos = lent
			c.t.header().Lent[22].Pos = lent | abi.LentIsPipe<<abi.LentKind
			c.t.header().Open[20] = abi.LentOpen | 7<<abi.LentOpenNo | 0x8000
			c.t.header().Open[21] = abi.LentOpen | 6<<abi.LentOpenNo | 0x8000
			c.t.header().Open[22] = abi.LentOpen | 7<<abi.LentOpenNo | 2
			c.t.header().Told[abi.ToldQuiet] = 1
			c.t.header().Told[abi.ToldDefault] = 1<<63 | 1<<9
		}
		if c.s.Kind != abi.KindStart {
			h.handle(c)
			return
		}
		c.act(abi.ActTask, 0, abi.TaskPid, 4711)
		c.act(abi.ActThreadWord, 0, abi.ThreadTid, 4712)
		c.act(abi.ActThreadWord, 0, abi.ThreadMask, abi.MaskKnown)
		c.act(abi.ActTask, 0, abi.TaskBrkStart, 0x44000000)
		c.act(abi.ActTask, 0, abi.TaskBrk, 0x44000000)
		c.act(abi.ActMapAnon, 0, dataBase, dataSize, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
		c.act(abi.ActCopyOut, 0, dataBase+0x10000, c.out(table), uint64(len(table)))
		c.act(abi.ActStore32, 0, dataBase+0x100, 0x5151)
		c.act(abi.ActStore32, 0, dataBase+0x208, 1000)
		c.act(abi.ActStore32, 0, dataBase+0x700, 0xf0f)
		c.act(abi.ActStore32, 0, dataBase+0x708, 0x40010)
		c.act(abi.ActStore32, 0, dataBase+0x710, 0x11)
		c.act(abi.ActStore32, 0, dataBase+0x71c, 0xffffffff)
		c.act(abi.ActStore32, 0, dataBase+0x720, 5)
		c.act(abi.ActStore32, 0, dataBase+0x73c, 5)
		c.act(abi.ActStore32, 0, dataBase+0x30c, 0xffffffff)
		c.act(abi.ActMapAnon, 0, codeBase, 4096, 7, unix.MAP_PRIVATE|unix.MAP_FIXED)
		c.act(abi.ActCopyOut, 0, codeBase, c.out(code), uint64(len(code)))
		c.regs(abi.Regs{IP: codeBase, SP: 0x28000000, Flags: 0x202}, 0)
		c.reply(0)
	})
	for _, r := range rows {
		got := waitFor(t, r.what, h.reports).args[0]
		if r.want != any && got != r.want {
			t.Errorf("%s: %#x, want %#x", r.what, got, r.want)
		}
	}
	r := h.expect("bases", 0x5151, 0x5151, dataBase+0x100, dataBase+0x100)
	if r.args[4] == 0 {
		t.Error("the clock stands at 0")
	}
	r = waitFor(t, "limit", h.reports)
	if r.args[0] != 8<<20 || r.args[1] != max {
		t.Errorf("limit of the stack: %d, %d", r.args[0], r.args[1])
	}
	if r.args[2] == 0 || r.args[3] != 0 {
		t.Errorf("getrandom of 16 bytes: %#x, and behind them %#x", r.args[2], r.args[3])
	}
	// SIGKILL and SIGSTOP are in no set.
	r = waitFor(t, "masks", h.reports)
	if want := [5]uint64{0, 0xe0f, 0xe1f, 0xe0e, 0xffffffff << 32}; [5]uint64(r.args[:5]) != want {
		t.Errorf("masks: %#x, want %#x", r.args, want)
	}
	close(masks)
	var told []uint64
	for m := range masks {
		told = append(told, m)
	}
	if want := []uint64{0xe0f, 0xe1f, 0xe0e, 0xffffffff << 32}; !slices.Equal(told, want) {
		t.Errorf("masks that came late: %#x, want %#x", told, want)
	}
	for _, want := range [][3]uint64{{abi.LateIsTid, 0, dataBase + 0x500}, {abi.LateIsTid, 0, win + 0x40000000}, {abi.LateIsRobust, dataBase + 0x600, win + 0x40000000}} {
		if got := waitFor(t, "what comes late", late); got != want {
			t.Errorf("what comes late: %#x, want %#x", got, want)
		}
	}
	if len(late) != 0 {
		t.Errorf("more came late: %#x", <-late)
	}
	h.end(task)
}

// TestCopies runs prefetches and actions with good and bad guest addresses.
func TestCopies(t *testing.T) {
	desc := map[int]abi.CallDesc{
		1: {Pre: [3]abi.Pre{{Kind: abi.PreStr, Arg: 0}, {Kind: abi.PreBuf, Arg: 1, Size: 2}, {Kind: abi.PreFixed, Arg: 3, Size: 24}}},
		2: {Pre: [3]abi.Pre{{Kind: abi.PreIov, Arg: 1, Size: 2}}},
		3: {Pre: [3]abi.Pre{{Kind: abi.PreIovRO, Arg: 1, Size: 2}}},
		4: {Flags: abi.CallRobust, Pre: [3]abi.Pre{{Kind: abi.PreStrs, Arg: 0}, {Kind: abi.PreStrs, Arg: 1}, {Kind: abi.PreStrs, Arg: 2}}},
	}
	h := newHarness(t, desc, asmHead+`
	lea text(%rip), %rdi
	mov $0x200ffff0, %rsi
	mov $100, %edx
	xor %r10d, %r10d
	sys 1
	mov $0x200ffff0, %rdi
	movb $65, 0x200fffff
	movabs $0x4141414141414141, %rax
	mov %rax, 0x200ffff0
	mov %rax, 0x200ffff8
	mov $-8, %rsi
	mov $16, %edx
	mov $0x20000000, %r10d
	sys 1
	mov $0x20000000, %rdi
	mov %rdi, %rax
1:	movb $66, (%rax)
	inc %rax
	cmp $0x20002000, %rax
	jne 1b
	mov $0x20000000, %esi
	mov $-1, %rdx
	mov $0x8000000000000000, %r10
	sys 1
	lea iov(%rip), %rsi
	mov $4, %edx
	sys 2
	mov $5, %edx
	sys 2
	mov $-1, %rdx
	sys 2
	xor %esi, %esi
	mov $3, %edx
	sys 3
	lea iov(%rip), %rsi
	mov $2, %edx
	sys 3
	lea strs(%rip), %rdi
	xor %esi, %esi
	lea nostrs(%rip), %rdx
	sys 4
	lea badstr(%rip), %rdi
	mov $0x200ffff8, %rsi
	mov $0x20000000, %rax
	mov %rax, (%rsi)
	movb $0, 0x20001000
	lea strs(%rip), %rdx
	sys 4
	lea longs(%rip), %rdi
	lea toolong(%rip), %rsi
	mov $1, %edx
	sys 909
	sys 4
	movb $66, 0x20001000
	sys 910
	report %rax
	sys 911
	report %rax
	sys 912
	report %rax
	sys 913
	report %rax
	sys 914
	report %rax
	done
	.balign 8
text:	.asciz "a path"
iov:	.quad text, 2, 0, 0, text+2, 4, text, 0, 8, 1
strs:	.quad text, text+6, text+2
nostrs:	.quad 0
badstr:	.quad text, 8, 0
longs:	.fill 7, 8, 0x20000000
	.quad 0x20000fff, 0
toolong: .fill 8, 8, 0x20000000
	.quad 0`)
	win := uint64(h.w.z.Window())
	type ext struct {
		data  string
		fault uint8
	}
	seen := make(chan []ext, 100)
	mored := map[uint64]bool{}
	h.extra = func(c *call) bool {
		if c.s.Nr < 10 {
			var l []ext
			for i := range int(c.s.NIn) {
				l = append(l, ext{string(c.in(i)), c.s.In[i].Fault})
			}
			seen <- l
			c.reply(0)
			return true
		}
		nr := c.s.Nr
		x := c.out(bytes.Repeat([]byte{0xee}, 8192))
		switch {
		case nr == 909:
			c.act(abi.ActThreadWord, 0, abi.ThreadRobust, codeText(h))
			c.reply(0)
		case nr == 910: // the end of the data area is the end of the copy
			c.act(abi.ActCopyOut, 0, dataBase+dataSize-100, x, 8192)
			c.reply(0)
		case nr == 911: // ignored, then fine
			c.act(abi.ActCopyOut, abi.ActIgnore, 0x10, x, 8)
			c.act(abi.ActCopyOut, abi.ActIgnore, win+0x40000000, x, 8)
			c.act(abi.ActCopyOut, abi.ActIgnore, win-4, x, 8)
			c.act(abi.ActCopyOut, abi.ActIgnore, ^uint64(0)-4, x, 8)
			c.act(abi.ActCopyOut, abi.ActIgnore, codeBase, uint64(abi.SlotSize)-4, 8)
			c.act(abi.ActStore32, abi.ActIgnore, win, 8)
			c.act(abi.ActZero, abi.ActIgnore, dataBase+dataSize, 16)
			c.act(9999, abi.ActIgnore)
			c.act(abi.ActCopyOut, abi.ActResult, dataBase, x, 8)
			c.reply(0)
		case nr == 912:
			c.act(abi.ActStore32, 0, 1<<63, 1)
			c.reply(0)
		case nr == 913 && !mored[nr]:
			mored[nr] = true
			c.act(abi.ActCopyIn, 0, dataBase+dataSize-10, abi.SlotInOff, 100)
			c.act(abi.ActCopyStr, 0, dataBase+dataSize-3, abi.SlotInOff+4096, 100)
			c.act(abi.ActCopyStr, 0, dataBase+0x1000, abi.SlotInOff+4096, 100)
			c.act(abi.ActCopyStr, 0, dataBase+0x1ff0, abi.SlotInOff+4096, 100)
			c.act(abi.ActMapAnon, 0, win, 4096, 3, unix.MAP_PRIVATE|unix.MAP_FIXED)
			c.act(abi.ActStore32, 0, dataBase, 0x77)
			c.more()
		case nr == 913:
			a := c.s.Acts
			if a[0].A[3] != 10 || a[1].A[3] != 3 || a[1].A[4] != 2 || a[2].A[3] != 100 || a[2].A[4] != 0 || a[3].A[3] != 16 || a[3].A[4] != 1 {
				t.Errorf("copies in: %v", a[:4])
			}
			if c.s.Flags != uint32(abi.ENOMEM) {
				t.Errorf("error of the actions: %d", c.s.Flags)
			}
			c.reply(913)
		case nr == 914:
			b := bytes.Repeat([]byte{1}, 8)
			c.act(abi.ActCopyOut, 0, dataBase, c.out(b), 8)
			c.s.RFlags = abi.ReplyCarry
			c.fail(abi.ENOENT)
		}
		return true
	}
	task := h.run()
	check := func(what string, want ...ext) {
		t.Helper()
		got := waitFor(t, what, seen)
		if len(got) != len(want) {
			t.Errorf("%s: %d extents: %q", what, len(got), got)
			return
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: extent %d: %d bytes %.40q fault %d, want %d bytes %.40q fault %d", what, i, len(got[i].data), got[i].data, got[i].fault, len(want[i].data), want[i].data, want[i].fault)
			}
		}
	}
	check("short buffer", ext{"a path", 0}, ext{strings.Repeat("\x00", 16), 1}, ext{"", 1})
	check("unended string", ext{"AAAAAAAAAAAAAAAA", 1}, ext{"", 1}, ext{strings.Repeat("\x00", 24), 0})
	const space = abi.SlotInSize - 4096
	check("long", ext{strings.Repeat("B", 4096), 0},
		ext{strings.Repeat("B", 8192) + strings.Repeat("\x00", space/2-8192), 0}, ext{"", 1})
	iov := func(n int) string {
		b := c8(codeText(h), 2, 0, 0, codeText(h)+2, 4, codeText(h), 0, 8, 1)
		return string(b[:16*n])
	}
	check("iov", ext{iov(4), 0}, ext{"a path", 0})
	check("iov with a bad address", ext{iov(5), 0}, ext{"a path", 1})
	check("too many", ext{"", 0}, ext{"", 0})
	check("null array", ext{"", 1})
	check("array only", ext{iov(2), 0})
	check("strings", ext{"a path\x00\x00path\x00", 0}, ext{"", 0}, ext{"", 0})
	check("bad strings", ext{"", 1}, ext{"", 1}, ext{"a path\x00\x00path\x00", 0})
	many := strings.Repeat(strings.Repeat("B", 4096)+"\x00", 7)
	check("long strings, and the robust list", ext{many + "B\x00", 0}, ext{"", 1}, ext{"", 1},
		ext{string(c8(codeText(h))) + "a path\x00" + string(iov(2))[:abi.RobustSize-7], 0})
	h.expect("copy out over the end", err(abi.EFAULT))
	h.expect("ignored failures", 8)
	h.expect("bad store", err(abi.EFAULT))
	h.expect("more", 913)
	if r := h.expect("carry", uint64(abi.ENOENT)); r.regs.Flags&1 == 0 {
		t.Logf("flags at the next call %#x", r.regs.Flags)
	}
	h.end(task)
}

// codeText is the address of "a path" in TestCopies' program.
func codeText(h *harness) uint64 {
	return codeBase + uint64(bytes.Index(h.code, []byte("a path\x00")))
}

func c8(v ...uint64) (b []byte) {
	for _, x := range v {
		for range 8 {
			b = append(b, byte(x))
			x >>= 8
		}
	}
	return b
}
