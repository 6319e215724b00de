package plan9

import (
	"hythe/abi"
	"hythe/personality/calls"
	"hythe/server/unix/core"
)

// Entry is one system call.
type Entry = calls.Entry[Personality]

func pre(p ...abi.Pre) []abi.Pre { return p }

func str(arg uint8) abi.Pre { return abi.Pre{Kind: abi.PreStr, Arg: arg} }

// table has the calls by sys.h's numbers.
func table() []Entry {
	return []Entry{
		{Nr: 0, Name: "sysr1", Fn: func(*Personality, *core.Call) (uint64, abi.Errno) { return 0, 0 }},
		{Nr: 2, Name: "bind", Fn: sysBind, Pre: pre(str(0), str(1)), Sig: "ssx"},
		{Nr: 3, Name: "chdir", Fn: sysChdir, Pre: pre(str(0)), Sig: "s"},
		{Nr: 4, Name: "close", Fn: sysClose, Sig: "i"},
		{Nr: 5, Name: "dup", Fn: sysDup, Sig: "ii"},
		{Nr: 6, Name: "alarm", Fn: sysAlarm, Sig: "u"},
		{Nr: 7, Name: "exec", Fn: sysExec, Pre: pre(str(0)), Sig: "sp"},
		{Nr: 8, Name: "exits", Fn: sysExits, Pre: pre(), Sig: "s"},
		{Nr: 10, Name: "fauth", Fn: sysFauth, Sig: "is"},
		{Nr: 12, Name: "segbrk", Fn: sysSegbrk, Sig: "pp"},
		{Nr: 14, Name: "open", Fn: sysOpen, Pre: pre(str(0)), Sig: "sx", Level: calls.Partial, Note: "ORCLOSE: files of the machine stay when a note ends the process, or another user closes them last"},
		{Nr: 15, Name: "_read", Fn: sysRead, Sig: "iBi"},
		{Nr: 16, Name: "oseek", Fn: sysOseek, Sig: "iii"},
		{Nr: 17, Name: "sleep", Fn: sysSleep, Sig: "i"},
		{Nr: 19, Name: "rfork", Fn: sysRfork, Sig: "x"},
		{Nr: 20, Name: "_write", Fn: sysWrite, Sig: "ibi"},
		{Nr: 21, Name: "pipe", Fn: sysPipe, Sig: "p"},
		{Nr: 22, Name: "create", Fn: sysCreate, Pre: pre(str(0)), Sig: "sxm"},
		{Nr: 23, Name: "fd2path", Fn: sysFd2path, Sig: "iZi"},
		{Nr: 24, Name: "brk_", Fn: sysBrk, Sig: "p"},
		{Nr: 25, Name: "remove", Fn: sysRemove, Pre: pre(str(0)), Sig: "s"},
		{Nr: 28, Name: "notify", Fn: sysNotify, Sig: "p"},
		{Nr: 29, Name: "noted", Fn: sysNoted, Sig: "i"},
		{Nr: 30, Name: "segattach", Fn: sysSegattach, Pre: pre(str(1)), Sig: "xspu", Level: calls.Partial, Note: "class memory, of whoever shares the data segment; SG_RONLY is refused"},
		{Nr: 31, Name: "segdetach", Fn: sysSegdetach, Sig: "p", Level: calls.Partial, Note: "text, data, bss and stack stay"},
		{Nr: 32, Name: "segfree", Fn: sysSegfree, Sig: "pu"},
		{Nr: 33, Name: "segflush", Fn: sysSegflush, Sig: "pu"},
		{Nr: 34, Name: "rendezvous", Fn: sysRendezvous, Sig: "pp"},
		{Nr: 35, Name: "unmount", Fn: sysUnmount, Sig: "ss"},
		{Nr: 37, Name: "semacquire", Fn: sysSem, Local: abi.LocalSemAcquire, Sig: "pi"},
		{Nr: 38, Name: "semrelease", Fn: sysSem, Local: abi.LocalSemRelease, Sig: "pi"},
		{Nr: 39, Name: "seek", Fn: sysSeek, Sig: "pidi"},
		{Nr: 40, Name: "fversion", Fn: sysFversion, Sig: "iisi"},
		{Nr: 41, Name: "errstr", Fn: sysErrstr, Sig: "Zi"},
		{Nr: 42, Name: "stat", Fn: sysStat, Pre: pre(str(0)), Sig: "spi"},
		{Nr: 43, Name: "fstat", Fn: sysFstat, Sig: "ipi"},
		{Nr: 44, Name: "wstat", Fn: sysWstat, Pre: pre(str(0)), Sig: "spi", Level: calls.Partial, Note: "owner and group stay"},
		{Nr: 45, Name: "fwstat", Fn: sysFwstat, Sig: "ipi", Level: calls.Partial, Note: "owner and group stay"},
		{Nr: 46, Name: "mount", Fn: sysMount, Pre: pre(str(2)), Sig: "iisxs", Level: calls.Partial, Note: "9P2000 over pipes and connections"},
		{Nr: 47, Name: "await", Fn: sysAwait, Sig: "Bi"},
		{Nr: 50, Name: "pread", Fn: sysPread, Sig: "iBid"},
		{Nr: 51, Name: "pwrite", Fn: sysPwrite, Pre: pre(abi.Pre{Kind: abi.PreBuf, Arg: 1, Size: 2}), Sig: "ibid"},
		{Nr: 52, Name: "tsemacquire", Fn: sysSem, Local: abi.LocalSemTimed, Sig: "pu"},
		{Nr: 53, Name: "nsec", Fn: sysNsec, Sig: "p"},
	}
}
