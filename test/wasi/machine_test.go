package wasi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hythe"
)

// hungry makes a module that wants so many pages more, exits 3 if it does not get them,
// and fills them.
func hungry(pages uint32) []byte {
	const opIf, opEmpty, opEq, opFC, fill = 0x04, 0x40, 0x46, 0xfc, 0x0b
	return module(1, nil, cat(i32(pages), []byte{opMemoryGrow, 0}, i32(0xffffffff), []byte{opEq, opIf, opEmpty},
		call{"proc_exit", []uint64{3}}.emit(), []byte{opEnd}, i32(0x10000), i32(1), i32(pages<<16), []byte{opFC, fill, 0}))
}

// TestMemory: a module gets the memory that it asks for, unless a limit of its process
// forbids it; the machine's limit ends it.
func TestMemory(t *testing.T) {
	if err := os.WriteFile(filepath.Join(work, "hungry"), hungry(4000), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		script string
		status int
	}{{"./hungry", 0}, {"ulimit -v 1000000; ./hungry", 3}} {
		if r := guest(t, "", &hythe.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", c.script}, Dir: "/w"}); r.status != c.status {
			t.Errorf("%s: status %d, want %d; err %q", c.script, r.status, c.status, r.errs)
		}
	}
	engine, err := filepath.Abs("../../bin/hythe-wasi")
	if err != nil {
		t.Fatal(err)
	}
	small, err := hythe.New(context.Background(), hythe.Config{WASI: engine, Memory: 100 << 20, Mounts: []hythe.Mount{{Source: work, Target: "/w", ReadOnly: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var x *hythe.ExitError
	if err := small.Run(ctx, &hythe.Cmd{Path: "/w/hungry"}); !errors.As(err, &x) || x.Signal != 9 {
		t.Errorf("on a machine of 100 MiB: %v", err)
	}
}

// TestRestart: the unix server's next incarnation has the engine, too, and modules that
// run do not notice.
func TestRestart(t *testing.T) {
	mod, _ := tool(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Start(context.Background(), &hythe.Cmd{Path: "/w/" + mod, Args: []string{mod, "upper"}, Stdin: in, Stdout: w})
	in.Close()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(feed, "one")
	if err := m.Restart(context.Background(), "unix"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(feed, "two")
	if got := guest(t, "", &hythe.Cmd{Path: "/w/" + mod, Args: []string{mod, "exit", "4"}}); got.status != 4 {
		t.Errorf("a module after the restart: %+v", got)
	}
	feed.Close()
	var out [len("ONE\nTWO\n")]byte
	if n, err := io.ReadFull(r, out[:]); string(out[:]) != "ONE\nTWO\n" {
		t.Errorf("out %q, %v", out[:n], err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// TestCache: compiled modules are kept where only the user who runs them can write, and
// nowhere else.
func TestCache(t *testing.T) {
	const mod = "kept.wasm"
	data := make([]byte, 80<<10) // large enough to be kept
	copy(data, "hello\n")
	binary.LittleEndian.PutUint32(data[20:], 6)
	mb := module(2, data, cat(call{"fd_write", []uint64{1, 16, 1, 24}}.emit(), []byte{opDrop}))
	if err := os.WriteFile(filepath.Join(work, mod), mb, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `
mkdir /tmp/cache; cd /tmp/cache
mkdir own wide link others hers real; mkdir wide/.cache link/.cache hers/.cache
mkdir -m 755 wide/.cache/hythe-wasi; mkdir -m 700 hers/.cache/hythe-wasi target
ln -s /tmp/cache/target link/.cache/hythe-wasi
chown 1000:1000 others hers/.cache/hythe-wasi
run() { "$@" /w/MOD >out && echo "$(cat out) $(find own real wide link target others hers -type f | wc -l)"; }
for h in own own wide link others hers none; do HOME=/tmp/cache/$h run; done
XDG_CACHE_HOME=/tmp/cache/real run
HOME=/ XDG_CACHE_HOME= run
HOME=relative XDG_CACHE_HOME=relative run
find own real others none -printf '%p %m\n' 2>/dev/null | sed -E 's,wazero-[^/ ]*,V,; s,[0-9a-f]{64},F,' | LC_ALL=C sort
# A process that has become root from another user keeps nothing.
chmod 777 .
python3 -c 'import os, sys
os.setresuid(1000, 0, 0)
os.execve("/w/MOD", ["x"], {"HOME": "/tmp/cache/set"})'
ls set
# What is not as it was written does no harm.
printf spoilt | dd of=$(find own -type f) bs=1 seek=100 conv=notrunc status=none
HOME=/tmp/cache/own run
rm -r /tmp/cache`
	want := `hello 1
hello 1
hello 1
hello 1
hello 1
hello 1
hello 1
hello 2
hello 2
hello 2
others 755
own 755
own/.cache 700
own/.cache/hythe-wasi 700
own/.cache/hythe-wasi/V 700
own/.cache/hythe-wasi/V/F 600
real 755
real/hythe-wasi 700
real/hythe-wasi/V 700
real/hythe-wasi/V/F 600
hello
hello 2
`
	got := guest(t, "", &hythe.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", strings.ReplaceAll(script, "MOD", mod)}})
	if got.out != want {
		t.Errorf("out %s\nwant %s\nerr %q", got.out, want, got.errs)
	}
}

// TestIgnored: a signal that was ignored when the module was executed does not end it,
// whoever sends it.
func TestIgnored(t *testing.T) {
	body := cat(call{"proc_raise", []uint64{1}}.emit(), []byte{opDrop}, call{"proc_exit", []uint64{5}}.emit())
	if err := os.WriteFile(filepath.Join(work, "raise"), module(1, nil, body), 0o755); err != nil {
		t.Fatal(err)
	}
	got := guest(t, "", &hythe.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", "./raise; echo $?; trap '' HUP; ./raise; echo $?"}, Dir: "/w"})
	if got.out != "129\n5\n" {
		t.Errorf("out %q, err %q", got.out, got.errs)
	}
}

// TestNoEngine: a machine without the engine knows no modules.
func TestNoEngine(t *testing.T) {
	none, err := hythe.New(context.Background(), hythe.Config{Mounts: []hythe.Mount{{Source: work, Target: "/w", ReadOnly: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if err := os.WriteFile(filepath.Join(work, "none"), hungry(1), 0o755); err != nil {
		t.Fatal(err)
	}
	var s *hythe.StartError
	if err := none.Run(context.Background(), &hythe.Cmd{Path: "/w/none"}); !errors.As(err, &s) {
		t.Errorf("%v, want that it cannot be executed", err)
	}
	if _, err := hythe.New(context.Background(), hythe.Config{WASI: "/nonexistent"}); err == nil {
		t.Error("a machine with an engine that is not there started")
	}
}

// TestSockets: a module serves on a socket that it inherited, waiting for connections
// and bytes with poll.
func TestSockets(t *testing.T) {
	src := `
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
int main(void) {
	int fd = 5; // behind "/" and "."
	struct pollfd p = {fd, POLLIN, 0};
	printf("poll %d %d\n", poll(&p, 1, 20000), p.revents == POLLIN);
	int c = accept(fd, 0, 0);
	char b[16] = {0};
	p.fd = c;
	printf("poll %d\n", poll(&p, 1, 20000));
	printf("peek %d\n", (int)recv(c, b, 4, MSG_PEEK));
	for (int n = 0; n < 8;) n += recv(c, b + n, 8 - n, 0);
	printf("recv %s\n", b);
	printf("send %d\n", (int)send(c, "answer\n", 7, 0));
	printf("shutdown %d\n", shutdown(c, SHUT_WR));
	printf("end %d\n", (int)recv(c, b, 8, 0));
	printf("closed %d\n", close(c));
	printf("not a socket %d\n", (int)recv(0, b, 8, 0) < 0 && errno == ENOTSOCK);
	return 0;
}`
	if err := os.WriteFile(filepath.Join(work, "serve.c"), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o", filepath.Join(work, "serve.wasm"), filepath.Join(work, "serve.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	for _, family := range []string{"AF_INET", "AF_UNIX"} {
		script := `
import os, socket, sys
s = socket.socket(socket.` + family + `)
s.bind(("127.0.0.1", 0) if s.family == socket.AF_INET else "/tmp/wasi.sock")
s.listen()
at = s.getsockname()
pid = os.fork()
if pid == 0:
    os.set_inheritable(s.fileno(), True)
    os.execv("./serve.wasm", ["serve"])
s.close()
c = socket.socket(socket.` + family + `)
c.connect(at)
c.sendall(b"ques")
c.sendall(b"tion")
got = b""
while b := c.recv(16): got += b
c.close()
print(got, os.waitpid(pid, 0)[1])
`
		got := guest(t, "", &hythe.Cmd{Path: "/usr/bin/python3", Args: []string{"python3", "-c", script}, Dir: "/w"})
		want := "poll 1 1\npoll 1\npeek 4\nrecv question\nsend 7\nshutdown 0\nend 0\nclosed 0\nnot a socket 1\nb'answer\\n' 0\n"
		if got.out != want {
			t.Errorf("%s: out %s\nwant %s\nerr %q", family, got.out, want, got.errs)
		}
	}
}
