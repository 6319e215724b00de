package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"hythe"
	"hythe/cmd/hythe/internal/control"
)

// program holds the flags that say how a program is run: common to run and exec.
type program struct {
	interactive bool
	tty         bool
	env         []string
	envClear    bool
	dir         string
	user        string
}

func (p *program) flags(c *cobra.Command) {
	f := c.Flags()
	f.SetInterspersed(false) // what follows the program is the program's
	f.BoolVarP(&p.interactive, "interactive", "i", false, "connect standard input")
	f.BoolVarP(&p.tty, "tty", "t", false, "give the program a terminal")
	f.StringArrayVarP(&p.env, "env", "e", nil, "set `K=V` in the environment; K alone takes the host's value")
	f.BoolVar(&p.envClear, "env-clear", false, "start with an empty environment, not with PATH, HOME and TERM")
	f.StringVarP(&p.dir, "workdir", "w", "", "working `DIR`ectory in the machine")
	f.StringVarP(&p.user, "user", "u", "", "run as `UID[:GID]` of the machine (default 0:0)")
}

// cmd makes a command of the flags and the arguments.
func (p *program) cmd(args []string) (*hythe.Cmd, error) {
	c := &hythe.Cmd{Path: args[0], Args: args, Dir: p.dir, TTY: p.tty, Env: hythe.DefaultEnv(), Home: !p.envClear}
	if c.Path == "" {
		return nil, errors.New("no program given")
	}
	if p.envClear {
		c.Env = []string{} // not nil, which would be the default again
	} else if p.tty {
		term := os.Getenv("TERM")
		if term == "" {
			term = "xterm"
		}
		c.Env = append(c.Env, "TERM="+term)
	}
	for _, s := range p.env {
		kv, ok, err := parseEnv(s)
		if err != nil {
			return nil, err
		}
		if ok {
			c.Env = append(c.Env, kv)
		}
	}
	if p.user != "" {
		u, err := parseUser(p.user)
		if err != nil {
			return nil, err
		}
		c.User = u
	}
	if p.dir != "" && !filepath.IsAbs(p.dir) {
		return nil, fmt.Errorf("-w %s: not an absolute path", p.dir)
	}
	return c, nil
}

// runFlags are those of run alone.
type runFlags struct {
	program
	volumes  []string
	root     string
	readOnly bool
	hostname string
	name     string
	memory   string
	pids     int
	cpuset   string
	sched    string
	trace    string
	ports    string // where messages between ports are traced
	pcap     string // where packets go
	network  string
	publish  []string
	noPatch  bool
	insecure bool
	place    string
}

// beside is a program that a machine may need and that is installed where hythe itself is: hythe-wasi,
// which runs WebAssembly modules, and hythe-net. Empty if it was not installed.
func beside(program string) string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	self, err := os.Stat("/proc/self/exe") // exe may be gone
	if err != nil {
		return ""
	}
	return besideIn(self, filepath.Dir(exe), program)
}

// besideIn is program in dir, where hythe is, if it comes from who hythe comes
// from: in a directory like /tmp anybody can lay a file beside another's. So it is root's
// or hythe's owner's, no link, and written by nobody who could not write hythe.
func besideIn(hythe os.FileInfo, dir, program string) string {
	name := filepath.Join(dir, program)
	st, err := os.Lstat(name)
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&^hythe.Mode().Perm()&0o022 != 0 {
		return ""
	}
	if uid := st.Sys().(*syscall.Stat_t).Uid; uid != 0 && uid != hythe.Sys().(*syscall.Stat_t).Uid {
		return ""
	}
	return name
}

// machineFlags are those that say what the machine is: common to run and pool.
func (r *runFlags) machineFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&r.volumes, "volume", "v", nil, "show the host directory or file SRC at DST: `SRC:DST[:ro]`")
	f.StringVar(&r.root, "root", "", "host `DIR`ectory that is the root (default the host's root)")
	f.BoolVar(&r.readOnly, "read-only", false, "refuse changes below the root")
	f.StringVar(&r.hostname, "hostname", "", "the machine's `NAME`, which its /etc/hosts has, too (default its ID)")
	f.StringVar(&r.name, "name", "", "the machine's `ID` for exec, ps and their like (default a random one)")
	f.StringVar(&r.memory, "memory", "", "limit the guests' memory to `N` bytes (k, m, g)")
	f.IntVar(&r.pids, "pids-limit", 0, "limit processes and threads to `N` (default: what a quarter of the host's process numbers holds)")
	f.StringVar(&r.sched, "sched", "", "let guests, and servers while they work for these, go before others on the host: `nice=-N,rtprio=N,deadline`, each if it is there and the host allows it (default no)")
	f.StringVar(&r.cpuset, "cpuset-cpus", "", "run on these processors of the host, as `0-2,5` (default those that hythe may use)")
	f.StringVar(&r.network, "network", "user", "`MODE` of the network: none (the machine's own loopback interface, and no way out) or user (TCP, UDP and ping by the host's own sockets, by a server that starts when it is needed; not to the host itself, which is 10.0.2.2 with user,allow=127.0.0.1:PORT, and fd00:10:0:2::2 with user,allow=[::1]:PORT; deny=IP[/BITS][:PORT] forbids more); or a NAME[,ip=IP]: a network of their own, 10.0.3.0/24 and fd00:10:0:3::/64, of all your machines that name it, which find each other by --hostname; or tap:IF,ip=IP/BITS[,gw=IP][,ip6=IP/BITS[,gw6=IP][,dad=off]]: a tap device of the host's (dad=off: do not ask first whether another has the addresses of IPv6)")
	f.StringArrayVarP(&r.publish, "publish", "p", nil, "publish a port of the machine on the host: `[IP:]HOST:GUEST[/udp]` (HOST 0: the host chooses)")
	f.BoolVar(&r.noPatch, "no-patch", os.Getenv("HYTHE_NO_PATCH") == "1", "leave the text of libraries and static programs alone: each system call is a trap (also: HYTHE_NO_PATCH=1)")
	f.StringVar(&r.place, "placement", os.Getenv("HYTHE_PLACEMENT"), "`WHERE` servers run: together (overlay and tmpfs in the unix server's process: faster) or apart (each in a process of its own) (default together; also: HYTHE_PLACEMENT)")
	f.BoolVar(&r.insecure, "insecure", false, "run even if the host lacks what isolation needs")
}

func (r *runFlags) config() (hythe.Config, error) {
	c := hythe.Config{ReadOnly: r.readOnly, Hostname: r.hostname, Insecure: r.insecure, ID: r.name, Placement: hythe.Placement(r.place)}
	if r.root != "" {
		root, err := filepath.Abs(r.root)
		if err != nil {
			return c, err
		}
		c.Root = root
	}
	for _, v := range r.volumes {
		m, err := parseMount(v)
		if err != nil {
			return c, err
		}
		c.Mounts = append(c.Mounts, m)
	}
	if r.memory != "" {
		n, err := parseSize(r.memory)
		if err != nil {
			return c, err
		}
		c.Memory = n
	}
	if r.pids < -1 {
		return c, fmt.Errorf("--pids-limit %d: negative", r.pids)
	}
	var err error
	if c.Processors, err = parseProcessors(r.cpuset); err != nil {
		return c, err
	}
	if c.Scheduling, err = parseScheduling(r.sched); err != nil {
		return c, err
	}
	c.NoPatch = r.noPatch
	c.WASI = beside("hythe-wasi")
	c.Pids = max(r.pids, 0) // -1 is docker's word for no limit
	n, err := parseNetwork(r.network)
	if err != nil {
		return c, err
	}
	for _, s := range r.publish {
		p, err := parsePublish(s)
		if err != nil {
			return c, err
		}
		n.Publish = append(n.Publish, p)
	}
	if len(n.Publish) > 0 && r.network == "none" {
		return c, errors.New("-p: a machine without an outside has no ports on the host; leave --network none out")
	}
	c.Network = n
	return c, nil
}

func (a *app) runCommand() *cobra.Command {
	var r runFlags
	c := &cobra.Command{
		Use:   "run [flags] [--] PROGRAM [ARG...]",
		Short: "Run a program on a machine of its own",
		Long: `Run starts a machine, runs one program on it, and ends the machine when the
program ends. Without --root the program sees the host's root directory; what it
changes there is kept in memory and gone afterwards.

Signals that hythe receives (INT, TERM, HUP, QUIT, USR1, USR2...) are passed to the
program; with -t the keys of the terminal are the program's.`,
		Example: `  hythe run -- /bin/echo hello
  hythe run -it -- /bin/sh
  hythe run -v "$PWD":/work -w /work -- make
  hythe run -v "$PWD":/work -w /work -- ./prog.wasm`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.run(&r, args) },
	}
	r.flags(c)
	r.machineFlags(c)
	f := c.Flags()
	f.StringVar(&r.trace, "trace", "", "write one line for each system call that reaches a server, for each signal and each end to `FILE` (default standard error)")
	f.Lookup("trace").NoOptDefVal = "-"
	f.StringVar(&r.ports, "trace-ports", "", "write one line for each message between ports, when it is sent and when it is received, to `FILE` (default standard error)")
	f.Lookup("trace-ports").NoOptDefVal = "-"
	f.StringVar(&r.pcap, "pcap", "", "write what passes by IP sockets, as packets that tcpdump and Wireshark read, to `FILE` (at most 1 GiB)")
	return c
}

func (a *app) run(r *runFlags, args []string) (err error) {
	cmd, err := r.cmd(args)
	if err != nil {
		return err
	}
	conf, err := r.config()
	if err != nil {
		return err
	}
	if cmd.Dir == "" && conf.Root == "" {
		// The root is the host's: so is the place in it.
		if cmd.Dir, err = os.Getwd(); err != nil {
			cmd.Dir = "/"
		}
	}
	cmd.Init = true // with its end the machine's comes
	for _, t := range []struct {
		flag, to string
		w        *io.Writer
	}{{"--trace", r.trace, &conf.Trace}, {"--trace-ports", r.ports, &conf.TracePorts}, {"--pcap", r.pcap, &conf.Pcap}} {
		if t.to == "" {
			continue
		}
		w, done, err := a.traceTo(t.flag, t.to)
		if err != nil {
			return err
		}
		defer func() {
			if e := done(); err == nil {
				err = e
			}
		}()
		*t.w = w
	}
	conf.Log = func(line string) { fmt.Fprintln(a.std.err, "hythe:", line) }

	term, err := a.connect(cmd, r.interactive)
	if err != nil {
		return err
	}
	defer term.restore()
	sigs := make(chan os.Signal, 64)
	catch(sigs, r.tty)
	defer signal.Stop(sigs)

	m, err := hythe.New(context.Background(), conf)
	if err != nil {
		return err
	}
	defer func() {
		if e := m.Close(); err == nil {
			err = e
		}
	}()
	p, err := m.Start(context.Background(), cmd)
	if err != nil {
		return err
	}
	// Nobody can ask about the machine before it runs something, so this is
	// done beside the program's first steps and not before.
	listening := make(chan *control.Server, 1)
	go func() {
		s, err := control.Listen(control.Of(m), m.ID())
		if err != nil {
			conf.Log("ps, exec and their like will not find this machine: " + err.Error())
		}
		listening <- s
	}()
	defer func() {
		if s := <-listening; s != nil {
			s.Drain(drainTime)
			s.Close()
		}
	}()
	return exited(follow(p, sigs))
}

// drainTime is how long the clients of exec have to learn of their programs' end.
const drainTime = 2 * time.Second

// exited makes a program's end this command's.
func exited(err error) error {
	var exit *hythe.ExitError
	if errors.As(err, &exit) {
		return quietError{hythe.ExitCode(err)}
	}
	return err
}

// follow passes signals on until the program ends.
func follow(p control.Process, sigs <-chan os.Signal) error {
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	for {
		select {
		case s := <-sigs:
			switch n, ok := s.(unix.Signal); {
			case n == unix.SIGWINCH:
				p.Resized()
			case ok:
				p.Signal(int(n)) // it may just have ended
			}
		case err := <-done:
			return err
		}
	}
}

// passed are the signals that go to the program. Not among them: those that
// tell of the terminal or of children of ours, those of the Go runtime
// (SIGURG), faults, and those that cannot be caught.
var passed = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT,
}

func catch(sigs chan<- os.Signal, tty bool) {
	if tty {
		// The terminal's keys are bytes for the program; what still comes as a
		// signal was sent on purpose.
		signal.Notify(sigs, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGWINCH)
		return
	}
	signal.Notify(sigs, passed...)
}

// traceTo opens the trace's destination.
func (a *app) traceTo(flag, name string) (io.Writer, func() error, error) {
	if name == "-" {
		return a.std.err, func() error { return nil }, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", flag, err)
	}
	return f, f.Close, nil
}
