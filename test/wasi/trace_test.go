package wasi

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hythe"
	"hythe/test/subject"
)

// TestTrace: a traced machine shows the functions that modules call, in preview 1's terms,
// and not what the engine makes of them; bad addresses and arbitrary arguments answer what
// they do without it.
func TestTrace(t *testing.T) {
	mod, _ := tool(t)
	engine, err := filepath.Abs("../../bin/hythe-wasi")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.Create(filepath.Join(t.TempDir(), "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	traced, err := hythe.New(context.Background(), hythe.Config{WASI: engine, Trace: lines, Mounts: []hythe.Mount{{Source: work, Target: "/w"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer traced.Close()
	was := m
	m = traced
	defer func() { m = was }()

	if r := guest(t, "some text", &hythe.Cmd{Path: "/w/" + mod, Args: []string{"tool", "upper"}, Dir: "/w"}); r.out != "SOME TEXT\n" || r.status != 0 {
		t.Errorf("%+v", r)
	}
	data := make([]byte, 256)
	copy(data, "name")
	raw(t, data, []call{
		{"path_open", []uint64{3, 1, 0, 4, 1 | 8, 1<<28 - 1, 0, 5, 1024}}, // creat|trunc, append|nonblock
		{"fd_filestat_get", []uint64{4, 2048}},
		{"fd_seek", []uint64{4, 1<<64 - 1, 0, 1024}},
		{"path_unlink_file", []uint64{3, 0, 4}},
		{"path_unlink_file", []uint64{3, 0, 4}},
		{"fd_write", []uint64{1, outside, 1, 1024}},
	})
	if r := runModule(t, "exit", module(1, nil, call{"proc_exit", []uint64{42}}.emit())); r.status != 42 {
		t.Errorf("%+v", r)
	}
	t.Run("addresses", TestBadAddresses)
	t.Run("arbitrary", TestArbitrary)
	subject.Need(t, "/usr/bin/perl")
	r := guest(t, "", &hythe.Cmd{Path: "/usr/bin/perl", Args: []string{"perl", "-e", `my $s = "fd_fake() = 0"; print syscall(157, 0x48797468, $s, 13), " ", $! + 0`}})
	if r.out != "-1 22" {
		t.Errorf("a program that is no module gives the tracer a line: %+v", r)
	}
	traced.Close()

	b, err := os.ReadFile(lines.Name())
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		`execve\("/w/tool.wasip1", \["tool", "upper"\], /\* \d+ vars \*/\) = 0`,
		`args_sizes_get\(\[2\], \[11\]\) = 0`,
		`fd_prestat_dir_name\(3, "/", 1\) = 0`,
		`fd_read\(0, \["some text"\], 1, \[9\]\) = 0`,
		`fd_write\(1, \["SOME TEXT\\n"\], 1, \[10\]\) = 0`,
		`proc_exit\(0\) = \?`,
		`\+\+\+ exited with 0 \+\+\+`,
		`path_open\(3, symlink_follow, "name", creat\|trunc, 0xfffffff, 0x0, append\|nonblock, \[4\]\) = 0`,
		`fd_filestat_get\(4, {filetype=regular_file, size=0, \.\.\.}\) = 0`,
		`fd_seek\(4, -1, set, 0x400\) = EINVAL`,
		`path_unlink_file\(3, "name"\) = 0`,
		`path_unlink_file\(3, "name"\) = ENOENT`,
		`fd_write\(1, 0x10000, 1, 0x400\) = EFAULT`,
		`proc_exit\(42\) = \?`,
		`\+\+\+ exited with 42 \+\+\+`,
	} {
		at := regexp.MustCompile(`(?m)^\[pid +\d+\] ` + want + `$`).FindStringIndex(text)
		if at == nil {
			t.Fatalf("no line %s in\n%.4000s", want, text)
		}
		text = text[at[1]:]
	}
	modules, _, _ := strings.Cut(string(b), `execve("/usr/bin/perl"`)
	for _, no := range []string{" futex(", " rt_sigaction(", " mmap(", " --- "} {
		if strings.Contains(modules, no) {
			t.Errorf("%q is in the trace of modules", no)
		}
	}
	if strings.Contains(text, "] fd_fake") {
		t.Error("there is a line of what is no module")
	}
}
