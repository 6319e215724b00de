package core

import (
	"strings"
	"testing"

	"hythe/abi"
)

// hostsKernel is a kernel with a hosts file, and a file system on /mnt with another.
func hostsKernel(t *testing.T, name, text string) *testKernel {
	t.Helper()
	tk := newTestKernel(t)
	tk.Config.Hostname = name
	tk.do(tk.init, func(c *Call) {
		want(t, "mkdir", c.Mkdir(AtCwd, "/etc", 0o755), 0)
		want(t, "mkdir", c.Mkdir(AtCwd, "/mnt", 0o755), 0)
	})
	tk.AttachFS("sub", newTestFS(t))
	t.Cleanup(tk.end) // while that is there
	tk.Enter()
	want(t, "mount", tk.MountFS("/mnt", "sub", "tmpfs", "sub", 0), 0)
	tk.Leave()
	hostsWrite(t, tk, "/mnt/hosts", "other's")
	if text != "" {
		hostsWrite(t, tk, "/etc/hosts", text)
	}
	return tk
}

func hostsWrite(t *testing.T, tk *testKernel, path, text string) {
	t.Helper()
	tk.Enter()
	defer tk.Leave()
	c := tk.KernelCall()
	want(t, "make "+path, c.Mknod(AtCwd, path, 0o100644, 0), 0)
	w, e := c.Walk(AtCwd, path, 0)
	want(t, "find "+path, e, 0)
	f, e := c.openNode(w.node, AccessWrite, 0)
	want(t, "open "+path, e, 0)
	tk.HoldFile(f)
	_, e = tk.Ops(f).Write(c, f, []byte(text), 0)
	want(t, "write "+path, e, 0)
	tk.DropFile(c, f)
}

// nameHosts has the name added, twice, and answers the file.
func (tk *testKernel) nameHosts() string {
	tk.t.Helper()
	tk.Enter()
	defer tk.Leave()
	tk.NameHosts()
	tk.NameHosts()
	s, _ := tk.KernelCall().readFile("/etc/hosts", 1<<21)
	if o, e := tk.KernelCall().readFile("/mnt/hosts", 99); o != "other's" || e != 0 {
		tk.t.Errorf("another file system's: %q %v", o, e)
	}
	return s
}

// TestNameHosts: the machine's name is added where it is missing, once, and only as a name.
func TestNameHosts(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n"
	for _, x := range []struct{ name, text, want string }{
		{"m1", local, local + "127.0.1.1\tm1\n"},
		{"db.lab", local, local + "127.0.1.1\tdb.lab db\n"},
		{"m1", "127.0.0.1 localhost", "127.0.0.1 localhost\n127.0.1.1\tm1\n"}, // no end of the line
		{"m1", "", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tm1\n"},
		{"m1", local + "10.0.0.1 x M1 y\n", local + "10.0.0.1 x M1 y\n"},
		{"m1", local + "10.0.0.1 x #m1\n", local + "10.0.0.1 x #m1\n127.0.1.1\tm1\n"},
		{"m1", local + "m1 m10\n", local + "m1 m10\n127.0.1.1\tm1\n"},
		{"localhost", local, local},
		{"a#b", local, local},
		{"a\tb", local, local},
		{"a\r", local, local},
		{"a..b", local, local},
		{".a", local, local},
		{"-a", local, local},
		{"h\xff", local, local},
		{"m1", strings.Repeat("#", maxHostsFile+1), strings.Repeat("#", maxHostsFile+1)},
	} {
		if got := hostsKernel(t, x.name, x.text).nameHosts(); got != x.want {
			t.Errorf("%q in %.60q: %.200q, want %.200q", x.name, x.text, got, x.want)
		}
	}
}

// TestHostsWhenLookedFor: who looks for the file finds the name there, and nobody later has it added.
func TestHostsWhenLookedFor(t *testing.T) {
	const local, named = "127.0.0.1\tlocalhost\n", "127.0.0.1\tlocalhost\n127.0.1.1\tm1\n"
	tk := hostsKernel(t, "m1", local)
	read := func() string {
		tk.Enter()
		defer tk.Leave()
		s, e := tk.KernelCall().readFile("/etc/hosts", 1<<16)
		want(t, "read", e, 0)
		return s
	}
	if s := read(); s != local {
		t.Errorf("before the machine has booted: %q", s)
	}
	tk.Enter()
	tk.MutGlobals().Booted = 1
	tk.Leave()
	for range 2 {
		if s := read(); s != named {
			t.Errorf("%q", s)
		}
	}
	tk.do(tk.init, func(c *Call) { want(t, "unlink", c.Unlink(AtCwd, "/etc/hosts"), 0) })
	hostsWrite(t, tk, "/etc/hosts", "")
	if s := read(); s != "" {
		t.Errorf("what somebody has written: %q", s)
	}
}

// TestNameHostsElsewhere: what is not the root's own stays as it is, by whatever name it is reached.
func TestNameHostsElsewhere(t *testing.T) {
	tk := hostsKernel(t, "m1", "")
	tk.do(tk.init, func(c *Call) { want(t, "symlink", c.Symlink("/mnt/hosts", AtCwd, "/etc/hosts"), 0) })
	if got := tk.nameHosts(); got != "other's" {
		t.Errorf("behind a link: %q", got)
	}
	tk = hostsKernel(t, "m1", "")
	tk.do(tk.init, func(c *Call) {
		want(t, "rmdir", c.Rmdir(AtCwd, "/etc"), 0)
		want(t, "symlink", c.Symlink("/mnt", AtCwd, "/etc"), 0)
	})
	if got := tk.nameHosts(); got != "other's" {
		t.Errorf("a directory behind a link: %q", got)
	}
	tk = hostsKernel(t, "m1", "")
	tk.do(tk.init, func(c *Call) { want(t, "symlink", c.Symlink("/mnt/new", AtCwd, "/etc/hosts"), 0) })
	if got := tk.nameHosts(); got != "" {
		t.Errorf("behind a link to nothing: %q", got)
	}
	tk.do(tk.init, func(c *Call) {
		if _, e := c.Walk(AtCwd, "/mnt/new", WalkFollow); e != 0 && e != abi.ENOENT {
			t.Error("made elsewhere")
		}
	})
	tk = hostsKernel(t, "m1", "")
	tk.do(tk.init, func(c *Call) { want(t, "mkdir", c.Mkdir(AtCwd, "/etc/hosts", 0o755), 0) })
	if got := tk.nameHosts(); got != "" {
		t.Errorf("a directory: %q", got)
	}
	tk = hostsKernel(t, "m1", "")
	tk.do(tk.init, func(c *Call) { want(t, "mkfifo", c.Mknod(AtCwd, "/etc/hosts", 0o010644, 0), 0) })
	if got := tk.nameHosts(); got != "" {
		t.Errorf("a FIFO: %q", got)
	}
}
