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
	do           func(p *Process, a args) Errno
}

// args are a call's parameters as the engine hands them over.
type args []uint64

func (a args) u32(i int) uint32 { return uint32(a[i]) }

// functions is the support matrix: all of preview 1, none of them partial.
var functions = []function{
	{"args_get", "ii", (*Process).argsGet},
	{"args_sizes_get", "ii", (*Process).argsSizesGet},
	{"environ_get", "ii", (*Process).environGet},
	{"environ_sizes_get", "ii", (*Process).environSizesGet},
	{"clock_res_get", "ii", (*Process).clockResGet},
	{"clock_time_get", "iIi", (*Process).clockTimeGet},
	{"fd_advise", "iIIi", (*Process).fdAdvise},
	{"fd_allocate", "iII", (*Process).fdAllocate},
	{"fd_close", "i", (*Process).fdClose},
	{"fd_datasync", "i", (*Process).fdDatasync},
	{"fd_fdstat_get", "ii", (*Process).fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", (*Process).fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", (*Process).fdFdstatSetRights},
	{"fd_filestat_get", "ii", (*Process).fdFilestatGet},
	{"fd_filestat_set_size", "iI", (*Process).fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", (*Process).fdFilestatSetTimes},
	{"fd_pread", "iiiIi", (*Process).fdPread},
	{"fd_prestat_get", "ii", (*Process).fdPrestatGet},
	{"fd_prestat_dir_name", "iii", (*Process).fdPrestatDirName},
	{"fd_pwrite", "iiiIi", (*Process).fdPwrite},
	{"fd_read", "iiii", (*Process).fdRead},
	{"fd_readdir", "iiiIi", (*Process).fdReaddir},
	{"fd_renumber", "ii", (*Process).fdRenumber},
	{"fd_seek", "iIii", (*Process).fdSeek},
	{"fd_sync", "i", (*Process).fdSync},
	{"fd_tell", "ii", (*Process).fdTell},
	{"fd_write", "iiii", (*Process).fdWrite},
	{"path_create_directory", "iii", (*Process).pathCreateDirectory},
	{"path_filestat_get", "iiiii", (*Process).pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", (*Process).pathFilestatSetTimes},
	{"path_link", "iiiiiii", (*Process).pathLink},
	{"path_open", "iiiiiIIii", (*Process).pathOpen},
	{"path_readlink", "iiiiii", (*Process).pathReadlink},
	{"path_remove_directory", "iii", (*Process).pathRemoveDirectory},
	{"path_rename", "iiiiii", (*Process).pathRename},
	{"path_symlink", "iiiii", (*Process).pathSymlink},
	{"path_unlink_file", "iii", (*Process).pathUnlinkFile},
	{"poll_oneoff", "iiii", (*Process).pollOneoff},
	{"proc_exit", "i", (*Process).procExit},
	{"proc_raise", "i", (*Process).procRaise},
	{"sched_yield", "", (*Process).schedYield},
	{"random_get", "ii", (*Process).randomGet},
	{"sock_accept", "iii", (*Process).sockAccept},
	{"sock_recv", "iiiiii", (*Process).sockRecv},
	{"sock_send", "iiiii", (*Process).sockSend},
	{"sock_shutdown", "ii", (*Process).sockShutdown},
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
			e := f.do(p, stack)
			if answers {
				stack[0] = uint64(e)
			}
		}
		b = b.NewFunctionBuilder().WithGoFunction(api.GoFunc(call), params, results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}
