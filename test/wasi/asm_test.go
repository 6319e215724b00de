package wasi

import "encoding/binary"

// A small assembler of modules: functions of WASI, one memory, and one function that is
// run (_start).

// Opcodes.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opEnd         = 0x0b
	opBr          = 0x0c
	opCall        = 0x10
	opDrop        = 0x1a
	opLoad        = 0x28
	opStore       = 0x36
	opMemoryGrow  = 0x40
	opConst       = 0x41
	opConst64     = 0x42
	opDiv         = 0x6d
)

func uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func sleb(v int64) []byte {
	var out []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func i32(v uint32) []byte { return append([]byte{opConst}, sleb(int64(int32(v)))...) }
func i64(v uint64) []byte { return append([]byte{opConst64}, sleb(int64(v))...) }

func cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func section(id byte, items ...[]byte) []byte {
	body := append(uleb(uint64(len(items))), cat(items...)...)
	return cat([]byte{id}, uleb(uint64(len(body))), body)
}

func name(s string) []byte { return append(uleb(uint64(len(s))), s...) }

// signatures are the functions' parameters ('i' i32, 'I' i64), from the definition of
// preview 1 (wasi_snapshot_preview1.witx). All but proc_exit answer an i32.
var signatures = []struct{ name, params string }{
	{"args_get", "ii"}, {"args_sizes_get", "ii"}, {"environ_get", "ii"}, {"environ_sizes_get", "ii"},
	{"clock_res_get", "ii"}, {"clock_time_get", "iIi"}, {"fd_advise", "iIIi"}, {"fd_allocate", "iII"},
	{"fd_close", "i"}, {"fd_datasync", "i"}, {"fd_fdstat_get", "ii"}, {"fd_fdstat_set_flags", "ii"},
	{"fd_fdstat_set_rights", "iII"}, {"fd_filestat_get", "ii"}, {"fd_filestat_set_size", "iI"},
	{"fd_filestat_set_times", "iIIi"}, {"fd_pread", "iiiIi"}, {"fd_prestat_get", "ii"}, {"fd_prestat_dir_name", "iii"},
	{"fd_pwrite", "iiiIi"}, {"fd_read", "iiii"}, {"fd_readdir", "iiiIi"}, {"fd_renumber", "ii"}, {"fd_seek", "iIii"},
	{"fd_sync", "i"}, {"fd_tell", "ii"}, {"fd_write", "iiii"}, {"path_create_directory", "iii"},
	{"path_filestat_get", "iiiii"}, {"path_filestat_set_times", "iiiiIIi"}, {"path_link", "iiiiiii"},
	{"path_open", "iiiiiIIii"}, {"path_readlink", "iiiiii"}, {"path_remove_directory", "iii"}, {"path_rename", "iiiiii"},
	{"path_symlink", "iiiii"}, {"path_unlink_file", "iii"}, {"poll_oneoff", "iiii"}, {"proc_exit", "i"},
	{"proc_raise", "i"}, {"sched_yield", ""}, {"random_get", "ii"}, {"sock_accept", "iii"}, {"sock_recv", "iiiiii"},
	{"sock_send", "iiiii"}, {"sock_shutdown", "ii"},
}

func funcIndex(fn string) int {
	for i, s := range signatures {
		if s.name == fn {
			return i
		}
	}
	panic(fn)
}

// module is one whose _start is body, with data at address 0 of a memory of so many
// pages. It imports all of preview 1.
func module(pages int, data, body []byte) []byte {
	var types, imports [][]byte
	for i, s := range signatures {
		var params []byte
		for _, p := range s.params {
			if p == 'I' {
				params = append(params, 0x7e)
			} else {
				params = append(params, 0x7f)
			}
		}
		result := []byte{1, 0x7f}
		if s.name == "proc_exit" {
			result = []byte{0}
		}
		types = append(types, cat([]byte{0x60}, uleb(uint64(len(params))), params, result))
		imports = append(imports, cat(name("wasi_snapshot_preview1"), name(s.name), []byte{0}, uleb(uint64(i))))
	}
	start := len(signatures)
	types = append(types, []byte{0x60, 0, 0})
	code := cat([]byte{0}, body, []byte{opEnd})
	return cat([]byte("\x00asm\x01\x00\x00\x00"), section(1, types...), section(2, imports...),
		section(3, uleb(uint64(start))), section(5, cat([]byte{0}, uleb(uint64(pages)))),
		section(7, cat(name("memory"), []byte{2, 0}), cat(name("_start"), []byte{0}, uleb(uint64(start)))),
		section(10, cat(uleb(uint64(len(code))), code)),
		section(11, cat([]byte{0}, i32(0), []byte{opEnd}, uleb(uint64(len(data))), data)))
}

// call is one call of a function with constants.
type call struct {
	fn   string
	args []uint64
}

// emit makes the code of a call, without what becomes of its answer.
func (c call) emit() []byte {
	i := funcIndex(c.fn)
	var out []byte
	for j, p := range signatures[i].params {
		v := uint64(0)
		if j < len(c.args) {
			v = c.args[j]
		}
		if p == 'I' {
			out = append(out, i64(v)...)
		} else {
			out = append(out, i32(uint32(v))...)
		}
	}
	return cat(out, []byte{opCall}, uleb(uint64(i)))
}
