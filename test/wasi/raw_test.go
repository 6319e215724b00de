package wasi

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hythe"
)

// Where the modules of raw calls have what.
const (
	answersAt = 0x8000
	vectorAt  = 0x7ff0
	writtenAt = 0x7fe8
	outside   = 0x10000 // the end of the memory
)

func put(addr, v uint32) []byte { return cat(i32(addr), i32(v), []byte{opStore, 2, 0}) }

// exec runs a module that is made here and answers how it ended.
func runModule(t *testing.T, name string, mod []byte, args ...string) result {
	t.Helper()
	if err := os.WriteFile(filepath.Join(work, name), mod, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(work, name))
	return guest(t, "", &hythe.Cmd{Path: "/w/" + name, Args: append([]string{name}, args...)})
}

// raw makes calls in one process and answers what each answered. The memory begins with
// data.
func raw(t *testing.T, data []byte, calls []call) []uint32 {
	t.Helper()
	var body []byte
	for i, c := range calls {
		body = cat(body, i32(uint32(answersAt+4*i)), c.emit(), []byte{opStore, 2, 0})
	}
	body = cat(body, put(vectorAt, answersAt), put(vectorAt+4, uint32(4*len(calls))),
		call{"fd_write", []uint64{1, vectorAt, 1, writtenAt}}.emit(), []byte{opDrop})
	r := runModule(t, "raw.wasm", module(1, data, body))
	if r.status != 0 || len(r.out) != 4*len(calls) {
		t.Fatalf("status %d, %d bytes, err %q", r.status, len(r.out), r.errs)
	}
	out := make([]uint32, len(calls))
	for i := range out {
		out[i] = binary.LittleEndian.Uint32([]byte(r.out[4*i:]))
	}
	return out
}

// Error numbers of preview 1 that the tests expect.
const (
	eBadf       = 8
	eExist      = 20
	eFault      = 21
	eInval      = 28
	eNoEnt      = 44
	eNotDir     = 54
	eNotSock    = 57
	eNotCapable = 76
)

// TestBadAddresses gives each function an address outside of the memory in the place of
// each of those that it takes.
func TestBadAddresses(t *testing.T) {
	// At 0: "name". At 16: a vector of one part, 8 bytes at 64. At 32: a vector whose
	// part is outside. At 200: subscriptions to a clock, at once.
	data := make([]byte, 256)
	copy(data, "name")
	binary.LittleEndian.PutUint32(data[16:], 64)
	binary.LittleEndian.PutUint32(data[20:], 8)
	binary.LittleEndian.PutUint32(data[32:], outside-4)
	binary.LittleEndian.PutUint32(data[36:], 8)
	const bad = 1 << 63 // stands for an address outside, in what follows
	var calls []call
	for _, c := range []call{
		{"args_get", []uint64{bad, 1024}}, {"args_get", []uint64{1024, bad}},
		{"args_sizes_get", []uint64{bad, 1024}}, {"args_sizes_get", []uint64{1024, bad}},
		{"environ_get", []uint64{bad, 1024}}, {"environ_get", []uint64{1024, bad}},
		{"environ_sizes_get", []uint64{bad, 1024}}, {"environ_sizes_get", []uint64{1024, bad}},
		{"clock_res_get", []uint64{0, bad}}, {"clock_time_get", []uint64{1, 0, bad}},
		{"fd_fdstat_get", []uint64{1, bad}}, {"fd_filestat_get", []uint64{1, bad}},
		{"fd_pread", []uint64{4, bad, 1, 0, 1024}}, {"fd_pread", []uint64{4, 16, 1, 0, bad}}, {"fd_pread", []uint64{4, 32, 1, 0, 1024}},
		{"fd_prestat_get", []uint64{3, bad}}, {"fd_prestat_dir_name", []uint64{3, bad, 16}},
		{"fd_pwrite", []uint64{4, bad, 1, 0, 1024}}, {"fd_pwrite", []uint64{4, 16, 1, 0, bad}}, {"fd_pwrite", []uint64{4, 32, 1, 0, 1024}},
		{"fd_read", []uint64{0, bad, 1, 1024}}, {"fd_read", []uint64{0, 16, 1, bad}}, {"fd_read", []uint64{0, 32, 1, 1024}},
		{"fd_read", []uint64{0, 16, 0x20000000, 1024}}, {"fd_write", []uint64{1, 16, 0xffffffff, 1024}},
		{"fd_write", []uint64{2, bad, 1, 1024}}, {"fd_write", []uint64{2, 16, 1, bad}}, {"fd_write", []uint64{2, 32, 1, 1024}},
		{"fd_readdir", []uint64{3, bad, 64, 0, 1024}}, {"fd_readdir", []uint64{3, 1024, 64, 0, bad}},
		{"fd_seek", []uint64{4, 0, 0, bad}}, {"fd_tell", []uint64{4, bad}},
		{"path_create_directory", []uint64{3, bad, 4}},
		{"path_filestat_get", []uint64{3, 0, bad, 4, 1024}}, {"path_filestat_get", []uint64{3, 0, 0, 4, bad}},
		{"path_filestat_set_times", []uint64{3, 0, bad, 4}},
		{"path_link", []uint64{3, 0, bad, 4, 3, 0, 4}},
		{"path_open", []uint64{3, 0, bad, 4, 0, 2, 2, 0, 1024}}, {"path_open", []uint64{3, 0, 0, 4, 1, 2, 2, 0, bad}},
		{"path_readlink", []uint64{3, bad, 4, 1024, 16, 1024}}, {"path_readlink", []uint64{3, 0, 4, bad, 16, 1024}},
		{"path_readlink", []uint64{3, 0, 4, 1024, 16, bad}},
		{"path_remove_directory", []uint64{3, bad, 4}},
		{"path_rename", []uint64{3, bad, 4, 3, 0, 4}}, {"path_rename", []uint64{3, 0, 4, 3, bad, 4}},
		{"path_symlink", []uint64{bad, 4, 3, 0, 4}}, {"path_symlink", []uint64{0, 4, 3, bad, 4}},
		{"path_unlink_file", []uint64{3, bad, 4}},
		{"poll_oneoff", []uint64{bad, 1024, 1, 2048}}, {"poll_oneoff", []uint64{200, bad, 1, 2048}}, {"poll_oneoff", []uint64{200, 1024, 1, bad}},
		{"random_get", []uint64{bad, 16}}, {"random_get", []uint64{16, outside}}, {"random_get", []uint64{16, 0xffffffff}},
	} {
		// Where it begins outside, and where only its end is.
		for _, addr := range []uint64{outside, outside - 1, 0xffffffff, 0xfffffff0} {
			d := call{c.fn, append([]uint64(nil), c.args...)}
			for i := range d.args {
				if d.args[i] == bad {
					d.args[i] = addr
				}
			}
			calls = append(calls, d)
		}
	}
	for i, got := range raw(t, data, append([]call{openName()}, calls...))[1:] {
		if got != eFault {
			t.Errorf("%v: %d, want %d", calls[i], got, eFault)
		}
	}
}

// openName opens the file "name" of "/", which is the only directory of a module that
// begins there, for reading and writing: it becomes descriptor 4.
func openName() call { return call{"path_open", []uint64{3, 1, 0, 4, 1, 1<<28 - 1, 0, 0, 1024}} }

// TestArbitrary makes calls with arguments of all kinds: whatever they answer, the
// process goes on and says so.
func TestArbitrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := []uint64{0, 1, 2, 3, 4, 8, 16, 200, 1024, outside - 8, outside, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	data := make([]byte, 256)
	copy(data, "a")
	var calls []call
	for _, s := range signatures {
		if s.name == "proc_exit" || s.name == "proc_raise" || s.name == "fd_close" || s.name == "fd_renumber" || s.name == "fd_fdstat_set_rights" {
			continue // of these it may be the last
		}
		for range 40 {
			c := call{fn: s.name}
			for i := range s.params {
				v := values[rng.IntN(len(values))]
				if i == 0 && strings.Contains(s.name, "d_") && v < 3 && rng.IntN(2) == 0 {
					v = 3
				}
				if s.name == "path_link" && i >= 4 || s.name == "path_rename" || s.name == "path_symlink" {
					v |= 1 << 20 // nothing is to be left in the tree
				}
				c.args = append(c.args, v)
			}
			if strings.HasSuffix(s.name, "_write") || s.name == "sock_send" {
				c.args[0] = 3 // what is written is the answer
			}
			calls = append(calls, c)
		}
	}
	raw(t, data, calls)
}

// TestDescriptors: numbers, rights and kinds.
func TestDescriptors(t *testing.T) {
	data := make([]byte, 256)
	copy(data, "name")
	copy(data[128:], "../w")
	copy(data[136:], "/etc")
	rows := []struct {
		call
		want uint32
	}{
		{call{"fd_read", []uint64{77, 16, 1, 1024}}, eBadf},
		{call{"fd_write", []uint64{0xffffffff, 16, 1, 1024}}, eBadf},
		{call{"fd_close", []uint64{77}}, eBadf},
		{call{"fd_renumber", []uint64{3, 77}}, eBadf},
		{call{"fd_renumber", []uint64{77, 3}}, eBadf},
		{call{"fd_renumber", []uint64{3, 3}}, 0},
		{call{"fd_prestat_get", []uint64{1, 1024}}, eBadf},
		{call{"fd_prestat_dir_name", []uint64{3, 1024, 0}}, 37},
		{call{"fd_fdstat_set_rights", []uint64{3, 1 << 40, 0}}, eNotCapable},
		{call{"fd_read", []uint64{3, 16, 1, 1024}}, 31}, // EISDIR
		{call{"fd_seek", []uint64{3, 0, 0, 1024}}, eBadf},
		{call{"fd_read", []uint64{1, 16, 1, 1024}}, eNotCapable},
		{call{"clock_time_get", []uint64{4, 0, 1024}}, eInval},
		{call{"clock_res_get", []uint64{2, 1024}}, 0},
		{call{"path_open", []uint64{3, 0, 128, 4, 0, 2, 2, 0, 1024}}, eNotCapable},
		{call{"path_open", []uint64{3, 0, 136, 4, 0, 2, 2, 0, 1024}}, eNotCapable},
		{call{"path_open", []uint64{3, 0, 200, 4, 0, 2, 2, 0, 1024}}, eInval},
		{call{"path_open", []uint64{3, 0, 0, 0, 0, 2, 2, 0, 1024}}, eNoEnt},
		{call{"path_open", []uint64{1, 0, 0, 4, 0, 2, 2, 0, 1024}}, eNotCapable},
		{call{"path_open", []uint64{3, 0, 0, 4, 3, 2, 2, 0, 1024}}, eInval},
		{call{"path_open", []uint64{3, 0, 0, 4, 16, 2, 2, 0, 1024}}, eInval},
		{call{"path_filestat_get", []uint64{3, 2, 0, 4, 1024}}, eInval},
		{call{"path_filestat_set_times", []uint64{3, 0, 0, 4, 0, 0, 3}}, eInval},
		{call{"poll_oneoff", []uint64{200, 1024, 0, 2048}}, eInval},
		{call{"poll_oneoff", []uint64{200, 1024, 1, 2048}}, 0},
		{call{"sock_accept", []uint64{0, 0, 1024}}, eNotSock},
		{call{"sock_recv", []uint64{3, 16, 1, 0, 1024, 1028}}, eNotSock},
		{call{"sock_send", []uint64{77, 16, 1, 0, 1024}}, eBadf},
		{call{"sock_shutdown", []uint64{1, 3}}, eNotSock},
		{call{"sched_yield", nil}, 0},
		{call{"proc_raise", []uint64{31}}, eInval},
		{call{"proc_raise", []uint64{0}}, 0},
		{call{"proc_raise", []uint64{27}}, 0}, // SIGWINCH does nothing
		{call{"random_get", []uint64{1024, 1024}}, 0},
		{call{"random_get", []uint64{outside, 0}}, 0},
	}
	calls := make([]call, len(rows))
	for i, r := range rows {
		calls[i] = r.call
	}
	for i, got := range raw(t, data, calls) {
		if got != rows[i].want {
			t.Errorf("%v: %d, want %d", rows[i].call, got, rows[i].want)
		}
	}
}

// TestTraps: a module that fails ends with one line and a program's status for it.
func TestTraps(t *testing.T) {
	start := uint64(len(signatures))
	for _, c := range []struct {
		name   string
		body   []byte
		status int
		line   string
	}{
		{"unreachable", []byte{opUnreachable}, 134, "trap: unreachable (in $46)"},
		{"divide", cat(i32(1), i32(0), []byte{opDiv, opDrop}), 134, "trap: integer divide by zero (in $46)"},
		{"outside", cat(i32(outside), []byte{opLoad, 2, 0, opDrop}), 134, "trap: out of bounds memory access (in $46)"},
		{"recursion", cat([]byte{opCall}, uleb(start)), 134, "trap: stack overflow"},
		{"exit", call{"proc_exit", []uint64{42}}.emit(), 42, ""},
		{"exit256", call{"proc_exit", []uint64{257}}.emit(), 1, ""},
		{"raise", cat(call{"proc_raise", []uint64{15}}.emit(), []byte{opDrop}), 128 + 15, ""},
		{"abort", cat(call{"proc_raise", []uint64{6}}.emit(), []byte{opDrop}), 128 + 6, ""},
		{"kill", cat(call{"proc_raise", []uint64{9}}.emit(), []byte{opDrop}), 128 + 9, ""},
		{"return", nil, 0, ""},
		{"grow", cat(i32(70000), []byte{opMemoryGrow, 0, opDrop}), 0, ""},
	} {
		r := runModule(t, c.name, module(1, nil, c.body))
		want := ""
		if c.line != "" {
			want = "hythe-wasi: " + c.name + ": " + c.line + "\n"
		}
		if r.status != c.status || r.errs != want {
			t.Errorf("%s: status %d, want %d; err %q, want %q", c.name, r.status, c.status, r.errs, want)
		}
	}
}

// TestNoModules: files that are none, or none that can be run.
func TestNoModules(t *testing.T) {
	good := module(1, []byte("data"), call{"proc_exit", []uint64{9}}.emit())
	spoil := func(at int, b ...byte) []byte {
		m := append([]byte(nil), good...)
		copy(m[at:], b)
		return m
	}
	rename := func(old, new string) []byte { return []byte(strings.Replace(string(good), old, new, 1)) }
	cases := map[string][]byte{
		"it ends in its header":                       []byte("\x00asm"),
		"it is a component (preview 2)":               []byte("\x00asm\x0d\x00\x01\x00"),
		"version 2 of WebAssembly":                    spoil(4, 2),
		"it exports no _start":                        rename("\x06_start", "\x06_stXrt"),
		"it wants fd_writX of":                        rename("fd_write", "fd_writX"),
		"it wants fd_write of \"wasi_snapshot_prevXe": nil,
	}
	delete(cases, "it wants fd_write of \"wasi_snapshot_prevXe")
	for i := 8; i < len(good); i += len(good)/12 + 1 {
		cases[fmt.Sprint("cut at ", i)] = good[:i]
	}
	for why, mod := range cases {
		r := runModule(t, "none.wasm", mod)
		if cut := strings.HasPrefix(why, "cut"); r.status != 126 || strings.Count(r.errs, "\n") != 1 || !strings.HasPrefix(r.errs, "hythe-wasi: none.wasm: not a module of WASI preview 1: ") ||
			!cut && !strings.Contains(r.errs, why) {
			t.Errorf("%s: status %d, err %q", why, r.status, r.errs)
		}
	}
	if r := runModule(t, "good.wasm", good); r.status != 9 {
		t.Errorf("unspoilt: status %d, err %q", r.status, r.errs)
	}
}
