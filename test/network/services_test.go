package network

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// services are scripts of testdata/services: servers and their clients in one machine,
// which write what they write on the host.
var services = []struct {
	name string
	need []string // programs
	long bool     // only with HYTHE_LONG=1
	user bool     // as who is not root
	n    int      // the script's second argument
	want string   // what is written, where the host cannot be asked
}{
	{name: "iproute", need: []string{"/usr/sbin/ip", "/usr/bin/ss", python}},
	{name: "node", need: []string{"/usr/bin/node"}, long: true},
	{name: "redis", need: []string{"/usr/bin/redis-server"}, long: true},
	{name: "asyncio", need: []string{python}, long: true, n: 2000},
	{name: "postgres", need: []string{"/usr/bin/psql"}, long: true, user: true, n: 50},
	// As root sshd wants a directory of the host's.
	{name: "sshd", need: []string{"/usr/sbin/sshd", "/usr/bin/ssh"}, long: true,
		want: "hello from root\nstatus 7\nsame\na terminal\ncopied\nforwarded\nended: 0\n"},
}

func TestServices(t *testing.T) {
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			if s.long && !subject.Long() {
				t.Skip("only with HYTHE_LONG=1")
			}
			subject.Need(t, s.need...)
			// The scripts take a place of their own; it is the same on both sides, but
			// for who has it.
			text := "set -u; cd \"$(mktemp -d)\" || exit 1; trap 'cd /; rm -rf \"$OLDPWD\"' EXIT\n" + testdata(t, "services/"+s.name+".sh")
			args := []string{"/bin/bash", "-c", text, s.name, free(t), fmt.Sprint(s.n)}
			if s.name == "sshd" {
				args[5] = free(t)
			}
			flags := []string{"run", "--network", "none", "-w", "/tmp"}
			want := result{out: s.want}
			if s.want == "" {
				c := exec.Command(args[0], args[1:]...)
				c.Dir, c.Env = "/tmp", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
				if s.user && os.Geteuid() == 0 { // nobody: initdb wants to know its user
					c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				want.out, want.errs, want.status = subject.Run(t, limit, c)
				if want.status != 0 {
					t.Fatalf("on the host: %+v", want)
				}
			}
			if s.user {
				flags = append(flags, "-u", "65534:65534")
			}
			got := run(t, subject.Binary(t), append(append(flags, "--"), args...)...)
			if got.out != want.out || got.status != 0 {
				t.Errorf("\n got: %+v\nwant: %+v", got, want)
			}
		})
	}
}

// daemon is a command that serves, in a machine or on the host, until it is told to end.
type daemon struct {
	machine
	process *os.Process
	gone    chan error
}

// background starts a program in a machine.
func background(t *testing.T, args ...string) *daemon {
	t.Helper()
	return serving(t, exec.Command(subject.Binary(t), append([]string{"run"}, args...)...))
}

func serving(t *testing.T, c *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{machine: machine{t: t}, gone: make(chan error, 1)}
	c.Stderr = &d.errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	d.process = c.Process
	go func() { d.gone <- c.Wait() }()
	late := time.AfterFunc(limit, func() { c.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		c.Process.Kill()
	})
	return d
}

// until asks again until it is so; the test ends if the command does before.
func (d *daemon) until(so func() bool) {
	d.t.Helper()
	for !so() {
		select {
		case err := <-d.gone:
			d.t.Fatalf("%v: %s", err, d.errs.String())
		case <-time.After(time.Millisecond):
		}
	}
}

// published is port, once the machine has said it.
func (d *daemon) published(guest string) string {
	d.t.Helper()
	d.until(func() bool { return strings.Contains(d.errs.String(), ":"+guest+"\n") })
	return d.port(guest)
}

// ended waits for its end, which has to be one in order.
func (d *daemon) ended() {
	d.t.Helper()
	if err := <-d.gone; err != nil {
		d.t.Errorf("%v: %s", err, d.errs.String())
	}
}

// free is a port of the loopback interface that nobody had a moment ago.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(l.Addr())
}

// TestNginx: 1,000 files from a machine to clients on the host, which are what they were.
func TestNginx(t *testing.T) {
	const nginx = "/usr/sbin/nginx"
	subject.Need(t, nginx)
	dir := t.TempDir()
	content := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%d.", i)), 1+i*29%9000) }
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conf := `daemon off; worker_processes 2; error_log stderr; pid /tmp/pid; user root;
events { worker_connections 200; }
http { access_log off; sendfile on; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
server { listen 80; root /srv; } }
`
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	m := background(t, "-v", dir+":/srv:ro", "-p", "127.0.0.1:0:80", "--", nginx, "-c", "/srv/nginx.conf")
	base := "http://127.0.0.1:" + m.published("80") + "/"
	// Until it listens, connections to its port end at once.
	m.until(func() bool { return get(http.DefaultClient, base+"0", content(0)) == nil })
	errs := make(chan error)
	const clients = 8
	for w := range clients {
		go func() {
			c := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: w%2 == 0}}
			var err error
			for i := w; i < 1000 && err == nil; i += clients {
				err = get(c, base+fmt.Sprint(i), content(i))
			}
			c.CloseIdleConnections()
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	m.process.Signal(syscall.SIGQUIT) // its word for an end in order
	m.ended()
}

// TestGit: git in a machine clones from servers on the host, by http and its own protocol,
// and pushes.
func TestGit(t *testing.T) {
	const core = "/usr/lib/git-core/"
	subject.Need(t, "/usr/bin/git", core+"git-http-backend", core+"git-daemon")
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		c := exec.Command("/usr/bin/git", args...)
		c.Dir = dir
		c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
		out, errs, status := subject.Run(t, limit, c)
		if status != 0 {
			t.Fatalf("git %q: %s%s", args, out, errs)
		}
		return out
	}
	git("init", "-q", "-b", "main", "work")
	for i := range 200 {
		name := filepath.Join(dir, "work", fmt.Sprintf("d%d", i%7), fmt.Sprint(i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Repeat([]byte(fmt.Sprint(i, "\n")), i*40), 0o666); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			git("-C", "work", "add", ".")
			git("-C", "work", "commit", "-q", "-m", fmt.Sprint(i))
		}
	}
	git("clone", "-q", "--bare", "work", "repo.git")
	git("-C", "repo.git", "config", "http.receivepack", "true")
	head := git("-C", "work", "rev-parse", "HEAD")

	s := httptest.NewServer(&cgi.Handler{Path: core + "git-http-backend", Root: "/",
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "PATH=/usr/bin:/bin", "HOME=" + dir}, Stderr: os.Stderr})
	defer s.Close()
	gitPort := free(t)
	c := exec.Command(core+"git-daemon", "--listen=127.0.0.1", "--port="+gitPort, "--base-path="+dir, "--export-all", "--reuseaddr", dir)
	c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir}
	serving(t, c).until(func() bool {
		c, err := net.Dial("tcp4", "127.0.0.1:"+gitPort)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	port := portOf(s.Listener.Addr())
	got := run(t, subject.Binary(t), append(append([]string{"run", "-w", "/tmp"}, allow(port, gitPort)...), "--", "/bin/bash", "-c", `
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
set -e
git clone -q "http://10.0.2.2:$1/repo.git" http
git clone -q "git://10.0.2.2:$2/repo.git" git
for d in http git; do
	git -C $d rev-parse HEAD
	git -C $d fsck --full 2>&1
	git -C $d status --porcelain
done
cd http
head -c 300000 /dev/zero >new
git add new
git commit -q -m new
git push -q origin main
git rev-parse HEAD
`, "git", port, gitPort)...)
	pushed := git("-C", "repo.git", "rev-parse", "main")
	if want := head + head + pushed; got.out != want || got.status != 0 || pushed == head {
		t.Errorf("%+v, want %q", got, want)
	}
	git("-C", "repo.git", "fsck", "--full")
}

// TestRedisPublished: the same server's load from the host, and from another machine.
func TestRedisPublished(t *testing.T) {
	subject.Need(t, "/usr/bin/redis-server")
	m := background(t, "-w", "/tmp", "-p", "127.0.0.1:0:6379", "--",
		"/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "")
	port := m.published("6379")
	cli := func(args ...string) result {
		return run(t, "/usr/bin/redis-cli", append([]string{"-h", "127.0.0.1", "-p", port}, args...)...)
	}
	m.until(func() bool { return cli("ping").out == "PONG\n" })
	load := []string{"-p", port, "-t", "set,get", "-n", "1000", "-c", "10", "-P", "4", "--csv"}
	for _, c := range []struct {
		what string
		r    result
	}{
		{"the host", run(t, "/usr/bin/redis-benchmark", append([]string{"-h", "127.0.0.1"}, load...)...)},
		{"another machine", run(t, subject.Binary(t), append(append(append([]string{"run"}, allow(port)...), "--", "/usr/bin/redis-benchmark", "-h", "10.0.2.2"), load...)...)},
	} {
		if l := strings.Split(c.r.out, "\n"); c.r.status != 0 || len(l) != 4 || !strings.HasPrefix(l[1], `"SET"`) || !strings.HasPrefix(l[2], `"GET"`) {
			t.Errorf("%s: %+v", c.what, c.r)
		}
	}
	cli("set", "a", "b")
	if r := cli("get", "a"); r.out != "b\n" {
		t.Errorf("%+v", r)
	}
	cli("shutdown", "nosave")
	m.ended()
}
