package conformance

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestOwnStatus: what Hythe itself answers, each with one line that says why.
func TestOwnStatus(t *testing.T) {
	bin := subject.Binary(t)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"run", "--", "/no/such/program"}, 127},
		{[]string{"run", "--", "no-such-program"}, 127},
		{[]string{"run", "--", "/etc/passwd"}, 126},
		{[]string{"run", "--", "/etc"}, 126},
		{[]string{"run", "--root", "/no/such/place", "--", "/bin/true"}, 125},
		{[]string{"run", "-w", "/no/such/place", "--", "/bin/true"}, 125},
		{[]string{"run", "--no-such-flag", "--", "/bin/true"}, 125},
	} {
		r := run(t, append([]string{bin}, c.args...), "/", os.Environ())
		if r.code != c.code || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "hythe: ") || r.out != "" {
			t.Errorf("hythe %q: exit %d out %q err %q, want %d and one line", c.args, r.code, r.out, r.err, c.code)
		}
	}
}

// TestHome: HOME is the guest's user's, where it can be read, unless it is given.
func TestHome(t *testing.T) {
	bin := subject.Binary(t)
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := os.Open(root.HomeDir); err != nil {
		root.HomeDir = "/"
	} else {
		d.Close()
	}
	path := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, path + "HOME=" + root.HomeDir + "\n"},
		{[]string{"-u", "3999999999"}, path + "HOME=/\n"},
		{[]string{"-e", "HOME=/x"}, path + "HOME=/x\n"},
		{[]string{"--env-clear", "-e", "A=b"}, "A=b\n"},
	} {
		argv := append(append([]string{bin, "run"}, c.args...), "--", "/usr/bin/env")
		if r := run(t, argv, "/", os.Environ()); r.out != c.want || r.code != 0 {
			t.Errorf("%q: %+v, want %q", c.args, r, c.want)
		}
	}
}

// TestChanges: changes below the root are refused, or kept in memory and gone
// afterwards; those on a mount reach the host.
func TestChanges(t *testing.T) {
	bin := subject.Binary(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "new")
	write := "echo x >" + name
	if r := run(t, []string{bin, "run", "--read-only", "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code == 0 {
		t.Errorf("--read-only: %+v", r)
	}
	if r := run(t, []string{bin, "run", "--", "/bin/sh", "-c", write + " && cat " + name}, "/", os.Environ()); r.out != "x\n" {
		t.Errorf("a change was not kept: %+v", r)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("a change reached the host")
	}
	if r := run(t, []string{bin, "run", "-v", dir + ":" + dir + ":ro", "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code == 0 {
		t.Errorf("-v :ro: %+v", r)
	}
	if r := run(t, []string{bin, "run", "-v", dir + ":" + dir, "--", "/bin/sh", "-c", write}, "/", os.Environ()); r.code != 0 {
		t.Errorf("-v: %+v", r)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "x\n" {
		t.Errorf("on the mount: %q, %v", b, err)
	}
}

// TestLayerBelow: a file of the layer below is read without its server after a
// while, until somebody changes it: by writing, by truncating its name, by a
// mapping; each new reader and mapping sees that, and the layer below keeps
// what it had. A file that is made shorter ends there for them.
func TestLayerBelow(t *testing.T) {
	bin := subject.Binary(t)
	dir := t.TempDir()
	want := strings.Repeat("below---", 1000)
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const script = `
import mmap, os
def often(fd):
    for i in range(8):
        assert os.pread(fd, 16, 8*i) == b"below---below---", i
def mapped(name):
    with open(name, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        return m[:8]
def seen(fd, name, first, size):
    for i in range(8):
        got = os.pread(fd, 8, 0)
        assert got == first, got
    assert os.fstat(fd).st_size == size and len(open(name, "rb").read()) == size
    assert mapped(name) == first
a = os.open("a", os.O_RDONLY)
often(a)
assert mapped("a") == b"below---"
w = os.open("a", os.O_RDWR)
os.pwrite(w, b"written-", 0)
seen(a, "a", b"written-", 8000)
os.pwrite(w, b"again---", 0)
seen(a, "a", b"again---", 8000)
b = os.open("b", os.O_RDONLY)
often(b)
os.truncate("b", 9)
seen(b, "b", b"below---", 9)
assert os.pread(b, 100, 0) == b"below---b"
c = os.open("c", os.O_RDONLY)
often(c)
w = os.open("c", os.O_RDWR)
with mmap.mmap(w, 0) as m:
    m[:8] = b"mapping-"
    seen(c, "c", b"mapping-", 8000)
for n in 9, 6, 7, 3, 0, 5:
    with open("d", "wb") as f:
        f.write(b"above----"[:n])
    for i in range(8):
        f = os.open("d", os.O_RDONLY)
        got = os.read(f, 8192), os.pread(f, 8192, n), os.pread(f, 2, max(n - 1, 0))
        assert got == (b"above----"[:n], b"", b"above----"[max(n-1, 0):n]), (n, got)
        os.close(f)
    os.truncate("d", n // 2)
    assert open("d", "rb", 0).read(8192) == b"above----"[:n // 2]
print("ok")
`
	r := run(t, []string{bin, "run", "-w", dir, "--", "/usr/bin/python3", "-c", script}, "/", os.Environ())
	if r.out != "ok\n" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"a", "b", "c"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s changed on the host: %v", name, err)
		}
	}
}

// TestManyFiles: files that are read often take no more descriptors of the host
// than there are, be they open all the time or no more.
func TestManyFiles(t *testing.T) {
	bin := subject.Binary(t)
	const script = `
import os, resource, subprocess
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
n = 2500
os.mkdir("/tmp/many-files")
os.chdir("/tmp/many-files")
fds = []
for i in range(n):
    fd = os.open(str(i), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"file %d" % i)
    fds.append(fd)
for i, fd in enumerate(fds):
    for j in range(5):
        assert os.pread(fd, 100, 0) == b"file %d" % i
print(subprocess.check_output(["echo", "open"]).decode(), end="")
os.closerange(fds[0], fds[-1] + 1)
print(subprocess.check_output(["echo", "closed"]).decode(), end="")
for i in range(n):
    assert open(str(i), "rb").read() == b"file %d" % i
`
	r := run(t, []string{"/bin/sh", "-c", "ulimit -n 4000 && exec \"$@\"", "sh", bin, "run", "--", "/usr/bin/python3", "-c", script}, "/", os.Environ())
	if r.out != "open\nclosed\n" || r.code != 0 {
		t.Errorf("%+v", r)
	}
}
