package wasi

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the module that the functions are imported from.
const ModuleName = "wasi_snapshot_preview1"

// A function is one of preview 1: its name, the types of its parameters ('i' for i32,
// 'I' for i64), and what it does. All answer an error number, but for proc_exit.
type function struct {
	name, params string
	trace        string // how the tracer shows them (traceBefore)
	do           func(p *Process, a args) Errno
}

// args are a call's parameters as the engine hands them over.
type args []uint64

func (a args) u32(i int) uint32 { return uint32(a[i]) }

// functions is the support matrix: all of preview 1, none of them partial.
var functions = []function{
	{"args_get", "ii", "xx", (*Process).argsGet},
	{"args_sizes_get", "ii", "nn", (*Process).argsSizesGet},
	{"environ_get", "ii", "xx", (*Process).environGet},
	{"environ_sizes_get", "ii", "nn", (*Process).environSizesGet},
	{"clock_res_get", "ii", "kN", (*Process).clockResGet},
	{"clock_time_get", "iIi", "kuN", (*Process).clockTimeGet},
	{"fd_advise", "iIIi", "fuuu", (*Process).fdAdvise},
	{"fd_allocate", "iII", "fuu", (*Process).fdAllocate},
	{"fd_close", "i", "f", (*Process).fdClose},
	{"fd_datasync", "i", "f", (*Process).fdDatasync},
	{"fd_fdstat_get", "ii", "fD", (*Process).fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", "fF", (*Process).fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", "fxx", (*Process).fdFdstatSetRights},
	{"fd_filestat_get", "ii", "fS", (*Process).fdFilestatGet},
	{"fd_filestat_set_size", "iI", "fu", (*Process).fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", "fuuT", (*Process).fdFilestatSetTimes},
	{"fd_pread", "iiiIi", "fvuun", (*Process).fdPread},
	{"fd_prestat_get", "ii", "fx", (*Process).fdPrestatGet},
	{"fd_prestat_dir_name", "iii", "fBu", (*Process).fdPrestatDirName},
	{"fd_pwrite", "iiiIi", "fcuun", (*Process).fdPwrite},
	{"fd_read", "iiii", "fvun", (*Process).fdRead},
	{"fd_readdir", "iiiIi", "fBuun", (*Process).fdReaddir},
	{"fd_renumber", "ii", "ff", (*Process).fdRenumber},
	{"fd_seek", "iIii", "fdwN", (*Process).fdSeek},
	{"fd_sync", "i", "f", (*Process).fdSync},
	{"fd_tell", "ii", "fN", (*Process).fdTell},
	{"fd_write", "iiii", "fcun", (*Process).fdWrite},
	{"path_create_directory", "iii", "fs-", (*Process).pathCreateDirectory},
	{"path_filestat_get", "iiiii", "fLs-S", (*Process).pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", "fLs-uuT", (*Process).pathFilestatSetTimes},
	{"path_link", "iiiiiii", "fLs-fs-", (*Process).pathLink},
	{"path_open", "iiiiiIIii", "fLs-OxxFn", (*Process).pathOpen},
	{"path_readlink", "iiiiii", "fs-Bun", (*Process).pathReadlink},
	{"path_remove_directory", "iii", "fs-", (*Process).pathRemoveDirectory},
	{"path_rename", "iiiiii", "fs-fs-", (*Process).pathRename},
	{"path_symlink", "iiiii", "s-fs-", (*Process).pathSymlink},
	{"path_unlink_file", "iii", "fs-", (*Process).pathUnlinkFile},
	{"poll_oneoff", "iiii", "xxun", (*Process).pollOneoff},
	{"proc_exit", "i", "u", (*Process).procExit},
	{"proc_raise", "i", "u", (*Process).procRaise},
	{"sched_yield", "", "", (*Process).schedYield},
	{"random_get", "ii", "xu", (*Process).randomGet},
	{"sock_accept", "iii", "fFn", (*Process).sockAccept},
	{"sock_recv", "iiiiii", "fvuxnn", (*Process).sockRecv},
	{"sock_send", "iiiii", "fcuxn", (*Process).sockSend},
	{"sock_shutdown", "ii", "fh", (*Process).sockShutdown},
}

// export makes the functions importable.
func (p *Process) export(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(ModuleName)
	for i := range functions {
		f := &functions[i]
		params := make([]api.ValueType, len(f.params))
		for j, t := range f.params {
			params[j] = api.ValueTypeI32
			if t == 'I' {
				params[j] = api.ValueTypeI64
			}
		}
		results := []api.ValueType{api.ValueTypeI32}
		if f.name == "proc_exit" {
			results = nil
		}
		answers := len(results) > 0
		call := func(_ context.Context, stack []uint64) {
			var t *traced
			if p.trace != nil {
				t = p.traceBefore(f, stack)
				if !answers { // it does not come back
					p.traceLine(t, false, "?")
				}
			}
			e := f.do(p, stack)
			if answers {
				stack[0] = uint64(e)
				if t != nil {
					p.traceAfter(t, e)
				}
			}
		}
		b = b.NewFunctionBuilder().WithGoFunction(api.GoFunc(call), params, results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}
