package overlay_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/ipc"
	"hythe/ipc/ipctest"
	"hythe/server/fs/host"
	"hythe/server/fs/overlay"
	"hythe/server/fs/tmpfs"
)

// world is a machine of file servers without a nucleus: each runs in this
// process, over the real descriptors and shared memory.
type world struct {
	t     *testing.T
	n     *ipctest.Nucleus
	ended map[string]chan error
	tasks map[string]*ipctest.Task
}

func (w *world) start(name, config string, run func(*ipc.Conn, *ipc.Inheritance, func() error) error, sends ...string) {
	w.t.Helper()
	task := w.n.Start(name, config, sends...)
	ended := make(chan error, 1)
	w.tasks[name], w.ended[name] = task, ended
	go func() { ended <- run(task.Conn, task.In, nil) }()
	select {
	case <-task.Ready:
	case err := <-ended:
		w.t.Fatalf("%s: %v", name, err)
	}
}

func (w *world) kill(name string) {
	w.tasks[name].Kill()
	<-w.ended[name]
}

func newWorld(t *testing.T) (*world, string) {
	dir := t.TempDir()
	w := &world{t: t, n: ipctest.New(t), ended: map[string]chan error{}, tasks: map[string]*ipctest.Task{}}
	return w, dir
}

func (w *world) hostConfig(dir string, readOnly bool) string {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { unix.Close(fd) })
	return fmt.Sprintf(`{"root_fd":%d,"readonly":%v,"attr_ttl_ns":1000000000}`, fd, readOnly)
}

func (w *world) client(server string) *fs.Client {
	w.t.Helper()
	task := w.n.Start("client of "+server, "{}", server)
	b, err := task.In.Client(task.Conn, "c", server, 16)
	if err != nil {
		w.t.Fatal(err)
	}
	go task.Conn.Run(&ipc.Handlers{})
	return fs.NewClient(b)
}

// TestProcesses writes through a client while the overlay server and the host
// server under it are killed again and again: each append arrives once.
func TestProcesses(t *testing.T) {
	w, dir := newWorld(t)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("lower "), 0o644); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 40000)
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	hostConf := w.hostConfig(dir, true)
	w.start("host", hostConf, host.Start)
	w.start("overlay", `{"lower":"host"}`, overlay.Start, "host")
	c := w.client("overlay")

	e, err := c.Lookup(fs.Req{}, fs.RootID, "f")
	if err != 0 || e.Attr.Size != 6 {
		t.Fatal(e, err)
	}
	if _, err := c.Open(fs.Req{Client: 1, Seq: 1}, e.Node, true, false); err != 0 {
		t.Fatal(err)
	}
	var killer sync.WaitGroup
	step := make(chan int)
	killer.Add(1)
	go func() {
		defer killer.Done()
		for i := range step {
			if i%2 == 0 {
				w.kill("overlay")
				w.start("overlay", `{"lower":"host"}`, overlay.Start, "host")
			} else {
				w.kill("host")
				w.start("host", hostConf, host.Start)
			}
		}
	}()
	want := "lower "
	for i := range 60 {
		if i%6 == 0 {
			step <- i / 6
		}
		s := fmt.Sprintf("%d,", i)
		n, at, size, err := c.Write(fs.Req{Client: 1, Seq: uint64(i + 2)}, e.Node, fs.AppendOff, []byte(s))
		if err != 0 || n != len(s) || at != uint64(len(want)) || size != at+uint64(n) {
			t.Fatalf("append %d: %d at %d, size %d, %v", i, n, at, size, err)
		}
		want += s
		if _, err := c.MkDir(fs.Req{Client: 2, Seq: uint64(i + 1)}, fs.RootID, fmt.Sprint("dir", i), 0o755, fs.Cred{}); err != 0 {
			t.Fatalf("mkdir %d: %v", i, err)
		}
	}
	close(step)
	killer.Wait()
	buf := make([]byte, 4096)
	if n, err := c.Read(fs.Req{}, e.Node, 0, buf); err != 0 || string(buf[:n]) != want {
		t.Fatalf("%v: %q, want %q", err, buf[:n], want)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "f")); string(b) != "lower " {
		t.Fatal("the host's file changed")
	}

	// A lower file is mapped as it is; once it is written, its copy.
	b, err := c.Lookup(fs.Req{}, fs.RootID, "big")
	if err != 0 {
		t.Fatal(err)
	}
	if got := mapped(t, c, b.Node, false, len(big)); !bytes.Equal(got, big) {
		t.Fatal("mapped lower file differs")
	}
	if _, err := c.Open(fs.Req{Client: 1, Seq: 100}, b.Node, true, false); err != 0 {
		t.Fatal(err)
	}
	if _, _, _, err := c.Write(fs.Req{Client: 1, Seq: 101}, b.Node, 3, []byte("CHANGED")); err != 0 {
		t.Fatal(err)
	}
	copy(big[3:], "CHANGED")
	if got := mapped(t, c, b.Node, false, len(big)); !bytes.Equal(got, big) {
		t.Fatal("mapped copy differs")
	}
	w.kill("overlay")
	w.start("overlay", `{"lower":"host"}`, overlay.Start, "host")
	m := mapped(t, c, b.Node, true, len(big))
	copy(m, "THROUGH THE MAP")
	copy(big, "THROUGH THE MAP")
	if n, err := c.Read(fs.Req{}, b.Node, 0, buf); err != 0 || !bytes.Equal(buf[:n], big[:n]) {
		t.Fatal("a read does not see the mapping", err)
	}
	if l, err := c.ReadDir(fs.Req{}, fs.RootID, 0, 4000); err != 0 || len(l) != 62 {
		t.Fatal(len(l), err)
	}
}

func mapped(t *testing.T, c *fs.Client, n fs.NodeID, write bool, size int) []byte {
	t.Helper()
	use := fs.MapToShow
	if write {
		use = fs.MapToWrite
	}
	fd, out, err := c.MapFD(fs.Req{}, n, use)
	if err != 0 || out.Writable != write {
		t.Fatal(out, err)
	}
	defer unix.Close(fd)
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	m, e := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	if !write {
		if _, e := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); e == nil {
			t.Fatal("a grant for reading can be mapped for writing")
		}
	}
	return m
}

// TestTmpfsProcess keeps what is in memory over the server's death.
func TestTmpfsProcess(t *testing.T) {
	w, _ := newWorld(t)
	w.start("tmpfs", `{"size":10485760,"mode":493}`, tmpfs.Start)
	c := w.client("tmpfs")
	root, err := c.GetAttr(fs.Req{}, fs.RootID)
	if err != 0 || root.Attr.Mode != fs.TypeDir|0o755 {
		t.Fatal(root, err)
	}
	e, made, err := c.Create(fs.Req{Client: 1, Seq: 1}, fs.RootID, "f", 0o600, true, fs.Cred{UID: 5, GID: 6})
	if err != 0 || !made {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{7}, 100<<10)
	total := uint64(0)
	for seq := uint64(2); ; seq++ {
		n, at, _, err := c.Write(fs.Req{Client: 1, Seq: seq}, e.Node, fs.AppendOff, data)
		if err == abi.ENOSPC {
			break
		}
		if err != 0 || at != total {
			t.Fatal(n, at, err)
		}
		total += uint64(n)
		if seq%20 == 0 {
			w.kill("tmpfs")
			w.start("tmpfs", `{"size":10485760,"mode":493}`, tmpfs.Start)
		}
	}
	if total != 10485760 {
		t.Fatalf("%d bytes fit", total)
	}
	if err := c.Unlink(fs.Req{Client: 1, Seq: 1000}, fs.RootID, "f"); err != 0 {
		t.Fatal(err)
	}
	w.kill("tmpfs")
	w.start("tmpfs", `{"size":10485760,"mode":493}`, tmpfs.Start)
	if a, err := c.GetAttr(fs.Req{}, e.Node); err != 0 || a.Attr.Nlink != 0 || a.Attr.Size != total || a.Attr.UID != 5 {
		t.Fatal(a, err)
	}
	c.Release(fs.Req{Client: 1, Seq: 1001}, e.Node)
	if _, err := c.GetAttr(fs.Req{}, e.Node); err != abi.ESTALE {
		t.Fatal(err)
	}
	if s, err := c.Statfs(fs.Req{}, fs.RootID); err != 0 || s.Bfree != s.Blocks {
		t.Fatal(s, err)
	}
}
