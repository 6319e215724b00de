package hythe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/confine"
	"hythe/emul"
	protocol "hythe/idl/console"
	unixctl "hythe/idl/unix"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
	"hythe/personality/dragonfly"
	"hythe/personality/freebsd"
	personality "hythe/personality/linux"
	"hythe/personality/netbsd"
	"hythe/personality/plan9"
	"hythe/server/console"
	hostfs "hythe/server/fs/host"
	"hythe/server/fs/overlay"
	"hythe/server/fs/tmpfs"
	"hythe/server/names"
	netserver "hythe/server/net"
	"hythe/server/netswitch"
	unixserver "hythe/server/unix"
	"hythe/server/unix/core"
)

// This file wires one machine: the nucleus over the Linux host, the supervisor,
// the servers, and what the control socket asks of them.

// wired is the engine of a machine.
type wired struct {
	cfg  *Config
	host *linux.Machine
	k    *nucleus.Kernel

	sup  *nucleus.Server // our own place in the nucleus
	conn *ipc.Conn
	ctl  abi.Name // the unix server's control port

	mu      sync.Mutex
	svcs    map[string]*service
	order   []string
	session uint32 // the last session's number
	closed  bool
	stop    chan struct{} // closed with closed
	failure error         // why the supervisor gave the machine up

	begun    chan struct{} // closed when the first servers' processes are there, or are not
	beginErr error         // then: why not

	traced chan struct{} // closed when all that was traced of ports from the start is written; nil if nothing is
	// tracers are who the nucleus tells of messages.
	pcap    *pcap      // nil: nobody wants packets. Guarded by mu
	tracing sync.Mutex // guards tracers
	tracers []*tracer
	calling callTracing
	zygote  *linux.Zygote // set when begun is closed

	ending sync.Once
	ended  chan struct{} // closed when the machine is

	housing sync.Mutex // held while servers of one process begin; not with mu

	reclaiming sync.Mutex // held while a process is killed for its memory, until that is said

}

// service is a server as the supervisor keeps it. Guarded by wired.mu.
type service struct {
	name     string
	srv      *nucleus.Server
	config   []byte
	begun    time.Time
	restarts int
	deaths   int // in a row, each soon after the start
	failures int // in a row, each before it served
	cut      int // the same, killed from outside
	last     string
	waiting  bool // for its back-off to end
	own      bool // the embedding program's
	process  machine.ServerSpec
	house    *service   // the server in whose process it runs; nil: its own
	lodgers  []*service // that run in its process; constant once the servers are begun
	owed     bool       // of one with lodgers: it begins when the last of the process is gone
	trial    *trial     // the same: its process is new (replaceHouse); else nil
	ready    chan struct{}
	files    []machine.Handle // ours of the process's
	// configure, where it is set, makes config anew for each incarnation.
	configure func() []byte
}

// newEngine starts the nucleus, the guests' side of the host, and the servers
// that every program needs.
func newEngine(ctx context.Context, c *Config) (engine, error) {
	w := &wired{cfg: c, svcs: map[string]*service{}, stop: make(chan struct{}), ended: make(chan struct{}), begun: make(chan struct{})}
	var err error
	if w.host, err = linux.New(linux.Options{Log: w.log, Processors: processors(c.Processors),
		Nice: int32(c.Scheduling.Nice), Priority: uint32(c.Scheduling.Priority), Deadline: c.Scheduling.Deadline}); err != nil {
		return nil, err
	}
	if c.Pcap != nil {
		w.pcap = newPcap(c.Pcap, w.log)
	}
	w.k = nucleus.New(w.host, nucleus.Limits{}, nucleus.Hooks{
		Dead: w.dead, Ready: w.isReady, Wanted: w.wanted, Log: w.serverLog, Traffic: w.tracePorts(),
	})
	if err := w.assemble(); err != nil {
		w.close()
		return nil, w.reason(err)
	}
	if line := schedulingLine(c, w.host.Scheduling()); line != "" {
		w.log(line)
	}
	if line := limitsLine(c); line != "" {
		w.log(line)
	}
	if c.Memory > 0 {
		go w.watchMemory(uint64(c.Memory), w.stop)
	}
	return w, nil
}

func (w *wired) log(line string) {
	if w.cfg.Log != nil {
		w.cfg.Log(line)
	}
}

// serverLog takes a server's line: the tracer's go to Trace, packets to Pcap.
func (w *wired) serverLog(s *nucleus.Server, level int, line string) {
	if s.Name() == "unix" && (level == unixserver.LogPackets || level == unixserver.LogPacketsOn) {
		if w.pcap != nil {
			w.mu.Lock()
			w.pcap.line(level, line)
			w.mu.Unlock()
		}
		return
	}
	if s.Name() == "unix" && level == unixserver.LogTrace {
		if line = w.calling.line(line); line != "" && w.cfg.Trace != nil {
			w.mu.Lock()
			fmt.Fprintln(w.cfg.Trace, line)
			w.mu.Unlock()
		}
		return
	}
	w.log(s.Name() + ": " + line)
}

// assemble makes the servers, gives each the rights it needs and no more, and
// starts those that are not started on demand.
func (w *wired) assemble() error {
	c := w.cfg
	w.sup = w.k.NewServer(nucleus.ServerSpec{Name: "supervisor"})
	un := w.add("unix", machine.ServerSpec{Name: "unix"}, nucleus.PowerTasks|nucleus.PowerMemory|nucleus.PowerImport)
	ucfg := unixserver.Config{Hostname: c.Hostname, MemoryLimit: uint64(c.Memory), PidsLimit: uint32(c.Pids),
		Sniff: c.Pcap != nil, CPUInfo: cpuInfo()}

	if os.Geteuid() != 0 && hostIsolation()&machine.IsolateUser != 0 {
		w.log("the host has no Landlock: files of others than you appear as nobody's")
	}
	// The root: the host's directory, under an overlay unless it is read-only.
	root, err := w.addHost("host", c.Root, true)
	if err != nil {
		return err
	}
	rootFS := unixserver.Mount{Path: "/", FS: "host", Type: "hythe", Source: "host", ReadOnly: true}
	if !c.ReadOnly {
		ov := w.add("overlay", machine.ServerSpec{Name: "overlay"}, 0)
		// Of a machine with a limit, half may be files, as tmpfs(5) has it.
		ov.config = fmt.Appendf(nil, `{"lower":"lower","size":%d}`, c.Memory/2)
		if err := serve(ov.srv, "fs"); err != nil {
			return err
		}
		w.lodge(un, ov)
		if _, err := ov.srv.GiveSend("lower", root.srv, "fs"); err != nil {
			return err
		}
		rootFS = unixserver.Mount{Path: "/", FS: "overlay", Type: "overlay", Source: "overlay"}
		root = ov
	}
	ucfg.Mounts = append(ucfg.Mounts, rootFS)
	if _, err := un.srv.GiveSend(rootFS.FS, root.srv, "fs"); err != nil {
		return err
	}
	// Memory files and /dev/shm live in a tmpfs that starts when it is used.
	tmp := w.add("tmpfs", machine.ServerSpec{Name: "tmpfs"}, 0)
	tmp.config = fmt.Appendf(nil, `{"size":%d}`, c.Memory/2)
	if err := serve(tmp.srv, "fs"); err != nil {
		return err
	}
	w.lodge(un, tmp)
	if _, err := un.srv.GiveSend(memfdLabel, tmp.srv, "fs"); err != nil {
		return err
	}
	for i, m := range c.Mounts {
		name := fmt.Sprintf("host-%d", i+1)
		h, err := w.addHost(name, m.Source, m.ReadOnly)
		if err != nil {
			return err
		}
		if _, err := un.srv.GiveSend(name, h.srv, "fs"); err != nil {
			return err
		}
		ucfg.Mounts = append(ucfg.Mounts, unixserver.Mount{Path: path.Clean(m.Target), FS: name, Type: "hythe", Source: m.Source, ReadOnly: m.ReadOnly})
	}
	if err := w.addNames(un.srv); err != nil {
		return err
	}
	if err := w.addOwn(c.Servers); err != nil {
		return err
	}
	if c.Network.Outside || c.Network.packets() {
		var n *service
		var published []core.Published
		var err error
		if c.Network.packets() {
			n, published, ucfg.Link, err = w.addPackets()
		} else {
			n, published, err = w.addNet()
		}
		if err != nil {
			return err
		}
		if _, err := un.srv.GiveSend("net", n.srv, "net"); err != nil {
			return err
		}
		ucfg.Network, ucfg.Published = true, published
		if ucfg.Link != nil {
			ucfg.Network6 = ucfg.Link.Addr6.IsValid()
		} else {
			ucfg.Network6 = c.Network.six()
		}
	}
	if err := giveEngine(un.srv, c.WASI); err != nil {
		return err
	}
	if err := serve(un.srv, "control"); err != nil {
		return err
	}
	if w.ctl, err = w.sup.GiveSend("unix", un.srv, "control"); err != nil {
		return err
	}
	un.configure = func() []byte { return w.configureUnix(ucfg) }

	if w.conn, _, err = attach(w.sup); err != nil {
		return err
	}
	go func() { _ = w.conn.Run(&ipc.Handlers{}) }()

	// Processes start side by side; each waits for those it asks something.
	names := []string{"unix", "host"}
	if !c.ReadOnly && root.house == nil {
		names = append(names, root.name)
	}
	errs := make(chan error, len(names))
	for _, n := range names {
		go func() { errs <- w.begin(n) }()
	}
	// Nobody waits for them here: the first program's console starts beside them.
	// The guests' side is needed last, and while it is forked no server can be.
	go func() {
		defer close(w.begun)
		for range names {
			if err := <-errs; err != nil && w.beginErr == nil {
				w.beginErr = err
			}
		}
		if err := w.startGuests(); err != nil && w.beginErr == nil {
			w.beginErr = err
		}
	}()
	return nil
}

// attach begins a task's incarnation in this process.
func attach(s *nucleus.Server) (*ipc.Conn, *ipc.Inheritance, error) {
	far, err := s.Attach(nil)
	if err != nil {
		return nil, nil, err
	}
	fd, err := linux.TakeFD(far)
	if err != nil {
		return nil, nil, err
	}
	conn, err := ipc.Dial(fd)
	if err != nil {
		return nil, nil, err
	}
	in, err := ipc.Startup(conn)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, in, nil
}

// addNames makes the name server, which starts when it is asked first. The unix server
// hands rights to it on, to guests that want to speak to the nucleus.
func (w *wired) addNames(un *nucleus.Server) error {
	n := w.add("names", machine.ServerSpec{Name: "names"}, 0)
	if err := serve(n.srv, ipc.RequestLabel); err != nil {
		return err
	}
	_, err := un.GiveSend(unixserver.NamesLabel, n.srv, ipc.RequestLabel)
	return err
}

// addOwn makes the embedding program's servers. Guests find them by their names.
func (w *wired) addOwn(l []Server) error {
	for _, s := range l {
		own := w.add(s.Name, machine.ServerSpec{Name: ownKind, Args: []string{s.Name}}, 0)
		own.own = true
		if err := serve(own.srv, ipc.RequestLabel); err != nil {
			return err
		}
	}
	for _, s := range l {
		if _, err := w.svcs["names"].srv.GiveSend(s.Name, w.svcs[s.Name].srv, ipc.RequestLabel); err != nil {
			return err
		}
		for _, u := range s.Uses {
			if _, err := w.svcs[s.Name].srv.GiveSend(u, w.svcs[u].srv, ipc.RequestLabel); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect implements engine.
func (w *wired) connect(servers []string) (conn *ipc.Conn, in *ipc.Inheritance, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, ErrClosed
	}
	t := w.k.NewServer(nucleus.ServerSpec{Name: embedder})
	defer func() {
		if err != nil {
			t.Discard()
		}
	}()
	for _, n := range append([]string{"names"}, servers...) {
		s := w.svcs[n]
		if s == nil || !s.own && n != "names" {
			return nil, nil, fmt.Errorf("%s: %w", n, ErrNoService)
		}
		if _, err := t.GiveSend(n, s.srv, ipc.RequestLabel); err != nil {
			return nil, nil, err
		}
	}
	return attach(t)
}

// personalities are the systems whose programs a machine runs, in the order in which they
// are asked whether a file is theirs: Linux takes what nobody else wants. k nil: only
// the tables are wanted.
func personalities(k *core.Kernel) []core.Personality {
	return []core.Personality{freebsd.New(k), netbsd.New(k), dragonfly.New(k), plan9.New(k), personality.New(k)}
}

// callTables makes what the guests' library is told of each personality's calls, and how
// they are passed. whole: it leaves to the server what that can serve too.
func callTables(whole bool) (tables [][]byte, conv []uint8) {
	all := personalities(nil)
	tables, conv = make([][]byte, emul.MaxTables), make([]uint8, emul.MaxTables)
	for i := range tables {
		tables[i] = make([]byte, emul.TableSize)
	}
	for _, p := range all {
		tables[p.Index()] = linux.TableBytes((*[abi.CallTableSize]abi.CallDesc)(p.Descriptors(whole)))
		switch {
		case p.Convention()&abi.ReplyCarry != 0:
			conv[p.Index()] = emul.ConvBSD
		case p.Convention()&abi.ReplyMinus != 0:
			conv[p.Index()] = emul.ConvPlan9
		}
	}
	return tables, conv
}

// startGuests starts the host side of guests: reaper and zygote.
func (w *wired) startGuests() error {
	w.calling.whole = w.cfg.Trace != nil
	tables, conv := callTables(w.calling.whole)
	z, err := linux.StartZygote(linux.GuestConfig{Tables: tables, Conv: conv, Spin: linux.SpinDefault, Processes: hostThreads(w.cfg.Pids), NoPatch: w.cfg.NoPatch,
		Processors: processors(w.cfg.Processors)})
	if err != nil {
		return err
	}
	w.zygote = z
	w.host.SetSpawner(z)
	go func() {
		select {
		case <-z.Lost():
			w.giveUp(ErrZygote)
		case <-w.ended:
		}
	}()
	return nil
}

// ErrZygote is why a machine ended: somebody on the host has killed the process from
// which its tasks are forked, so that no program could be executed any more.
var ErrZygote = errors.New("the machine's zygote was killed: no program can be executed any more")

// giveUp ends the machine, for the first such reason.
func (w *wired) giveUp(err error) {
	w.mu.Lock()
	if !w.closed && w.failure == nil {
		w.failure = err
		go w.close() // it waits for the hooks, of which the caller may be one
	}
	w.mu.Unlock()
}

// giveEngine gives the unix server the program that runs WebAssembly modules, to
// read and to map. Guests get it from there, not through a name of the machine's tree.
func giveEngine(un *nucleus.Server, file string) error {
	if file == "" {
		return nil
	}
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("engine of WebAssembly modules: %s: %w", file, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return fmt.Errorf("engine of WebAssembly modules: %s: not a regular file", file)
	}
	_, err = un.GiveObject(unixserver.EngineLabel, linux.HandleOf(fd), uint64(st.Size), true)
	return err
}

// cpuInfo is the host's /proc/cpuinfo for its first processor; empty if the
// host has none. One read gives that much; all processors would take the host a
// while where there are many.
func cpuInfo() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, 16<<10)
	n, err := f.Read(b)
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(b[:n]), "\n\n")
	return text + "\n"
}

// serve makes the port on which a server is asked.
func serve(s *nucleus.Server, label string) error {
	_, err := s.MakePort(label)
	return err
}

// add makes a server.
func (w *wired) add(name string, p machine.ServerSpec, powers nucleus.Powers) *service {
	if p.Isolation == 0 {
		p.Isolation = machine.IsolateDefault
	}
	p.Lenient = w.cfg.Insecure
	s := &service{name: name, ready: make(chan struct{}), files: p.Files, process: p}
	s.srv = w.k.NewServer(nucleus.ServerSpec{Name: name, Process: p, Powers: powers})
	w.mu.Lock()
	w.svcs[name] = s
	w.order = append(w.order, name)
	w.mu.Unlock()
	return s
}

// addHost makes a server of a host directory or file.
func (w *wired) addHost(name, dir string, readonly bool) (*service, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var args []string
	if !readonly {
		args = []string{writableArg}
	}
	s := w.add(name, machine.ServerSpec{
		Name: "host", Args: args, Files: []machine.Handle{linux.HandleOf(fd)}, KeepUser: true,
		Isolation: hostIsolation(),
	}, nucleus.PowerImport)
	s.config = fmt.Appendf(nil, `{"root_fd":4,"readonly":%v}`, readonly)
	if err := serve(s.srv, "fs"); err != nil {
		return nil, err
	}
	return s, nil
}

// hostIsolation says from what a server of host files is cut off. It sees files
// through its descriptor only, but with the rights of the invoking user, and as
// whose they are: in a user name space of an ordinary user all but his own would
// be Nobody's, and set-id programs nobody's. So it has none where Landlock and the filter
// do what the name spaces would (docs/decisions/0004-host-without-namespaces.md).
func hostIsolation() machine.Isolation {
	if confine.LandlockVersion() > 0 {
		return machine.IsolateDefault &^ machine.IsolateUser
	}
	return machine.IsolateDefault
}

// begin starts the next incarnation of a server.
func (w *wired) begin(name string) error {
	w.mu.Lock()
	s := w.svcs[name]
	if s == nil {
		w.mu.Unlock()
		return nil // a session that has ended
	}
	if s.house != nil {
		s = s.house
	}
	s.waiting = false
	if w.occupied(s) {
		s.owed = !s.runs()
		w.mu.Unlock()
		return nil
	}
	s.owed = false
	s.begun = time.Now()
	w.mu.Unlock()
	err := w.beginProcess(s)
	if errors.Is(err, nucleus.ErrRunning) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("server %s: %w", name, err)
	}
	return nil
}

// wanted: something waits for a server that was not started yet.
func (w *wired) wanted(srv *nucleus.Server) {
	w.mu.Lock()
	s := w.svcs[srv.Name()]
	if s != nil && s.house != nil {
		s = s.house
	}
	ok := s != nil && !w.closed && !s.waiting
	w.mu.Unlock()
	if ok {
		go func() {
			if err := w.begin(s.name); err != nil {
				w.again(s, err.Error(), false)
			}
		}()
	}
}

// Back-off between restarts of a server that dies soon after its start. One that
// came to serve and was then killed from outside is not to blame: a person or a
// test may do that again and again, and it costs nothing. One that was killed
// before it served waits a little, for it may be the host that has no memory. Of
// other deaths the first few cost nothing.
const (
	backoffMin    = 5 * time.Millisecond
	backoffMax    = 2 * time.Second
	backoffKilled = 20 * time.Millisecond
	shortLife     = 2 * time.Second
	deathsQuiet   = 8
	// So many starts in a row after which a server never came to serve end the
	// machine: the cause is not one that goes away.
	startTries = 16
	// The same of starts that were cut short from outside: the host may have no
	// memory for the server.
	killTries = 100
)

// ServerError is why a machine ended: a server that fails at its start again
// and again.
type ServerError struct {
	Server string
	Tries  int
	Last   string // how the last start ended
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("server %s failed at its start %d times in a row (%s)", e.Server, e.Tries, e.Last)
}

// dead: a server's process ended. The next incarnation starts at once, or
// after a pause when it died soon after its start.
func (w *wired) dead(srv *nucleus.Server, x machine.Exit) {
	if srv.Name() == embedder {
		srv.Discard() // its channel was closed: nobody will be its next incarnation
		return
	}
	w.mu.Lock()
	s := w.svcs[srv.Name()]
	if s != nil && s.house != nil {
		w.lodgerDead(s)
		w.mu.Unlock()
		return
	}
	if x.Signal == 0 && x.Reason == "" && x.Code == exitHoldsC && !w.closed {
		if w.failure == nil {
			w.failure = confine.ErrC
			go w.close() // it waits for the hooks, of which this is one
		}
		s = nil
	}
	w.mu.Unlock()
	if s != nil {
		// What we do ourselves has a reason.
		w.again(s, describe(x), x.Reason == restartReason || x.Reason == replaceReason || x.Signal == int(unix.SIGKILL) && x.Reason == "")
	}
}

// pause is how long to wait after so many short lives in a row, the last of
// which was ended from outside or not.
func pause(deaths int, killed bool) time.Duration {
	if deaths <= deathsQuiet {
		return 0
	}
	longest := backoffMax
	if killed {
		longest = backoffKilled
	}
	return min(backoffMin<<min(deaths-deathsQuiet, 10), longest)
}

// again starts a server again whose incarnation ended, or could not be started,
// for the reason last; or it gives the machine up. killed says that somebody
// outside the machine ended it.
func (w *wired) again(s *service, last string, killed bool) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	s.last = last
	s.restarts++
	served := s.unready()
	for _, l := range s.lodgers {
		l.last = last
		l.restarts++
		served = l.unready() && served
	}
	s.tried(last)
	switch {
	case served:
		s.failures, s.cut = 0, 0
	case killed:
		s.cut++
	default:
		s.failures++
	}
	switch {
	case time.Since(s.begun) >= shortLife:
		s.deaths = 0
	case !served || !killed:
		s.deaths++
	}
	if s.failures >= startTries || s.cut >= killTries {
		w.failure = &ServerError{s.name, s.failures + s.cut, last}
		w.mu.Unlock()
		go w.close() // it waits for the hooks, of which this may be one
		return
	}
	d := pause(s.deaths, killed)
	s.waiting = d > 0
	w.mu.Unlock()
	w.log(fmt.Sprintf("server %s ended (%s); it is started again", s.name, last))
	time.AfterFunc(d, func() {
		if err := w.begin(s.name); err != nil {
			w.again(s, err.Error(), false)
		}
	})
}

// unready notes that a server does not serve any more, and says whether it did. w.mu is held.
func (s *service) unready() bool {
	select {
	case <-s.ready:
		s.ready = make(chan struct{})
		return true
	default:
		return false
	}
}

// reason is why the machine was given up, if it was, else err.
func (w *wired) reason(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure != nil {
		return w.failure
	}
	return err
}

func describe(x machine.Exit) string {
	switch {
	case x.Reason != "":
		return x.Reason
	case x.Signal != 0:
		return "signal " + unix.SignalName(syscall.Signal(x.Signal))
	}
	return fmt.Sprintf("exit status %d", x.Code)
}

func (w *wired) isReady(srv *nucleus.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.svcs[srv.Name()]; s != nil {
		select {
		case <-s.ready:
		default:
			close(s.ready)
		}
	}
}

// unix asks the unix server.
func (w *wired) unix() unixctl.Client { return unixctl.Client{C: w.conn, Port: w.ctl} }

// asked is what an error means that a request to the unix server came to.
func (w *wired) asked(e abi.Errno) error {
	switch e {
	case 0:
		return nil
	case abi.EPIPE: // there is nobody to answer
		return w.reason(ErrClosed)
	}
	return fmt.Errorf("asking the unix server: %w", syscall.Errno(e))
}

// start implements engine: a console server for the program's streams, then the
// program.
func (w *wired) start(ctx context.Context, c *Cmd, stdio [3]*os.File) (process, error) {
	p, send, streams, err := w.openSession(stdio, c.TTY)
	if err != nil {
		return nil, err
	}
	if err := w.begunWell(); err != nil {
		return nil, w.reason(err) // there is nobody to ask for the session's end
	}
	req := unixctl.Program{
		Path: c.Path, Args: c.Args, Env: c.Env, Home: c.Home, Dir: c.Dir,
		UID: c.User.UID, GID: c.User.GID, Groups: c.User.Groups,
		Session: p.session, Streams: streams, TTY: c.TTY, Init: c.Init,
	}
	if n, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		req.Nice = 20 - n // the bare call's answer (getpriority(2))
	}
	rep, e := w.unix().Start(send, &req)
	err = w.asked(e)
	switch e := abi.Errno(rep.Errno); {
	case errors.Is(err, syscall.E2BIG): // more than is sent at all
		err = &StartError{Path: c.Path, Err: syscall.E2BIG}
	case err != nil:
	case rep.BadDir:
		err = fmt.Errorf("working directory %s: %w", c.Dir, startReason(e))
	case e == abi.ESRCH:
		err = ErrClosed
	case e != 0:
		err = &StartError{Path: c.Path, Err: startReason(e)}
	default:
		p.id = rep.PID
		return p, nil
	}
	p.end()
	return nil, err
}

// begunWell waits until the first servers' processes are there, or answers why
// they are not.
func (w *wired) begunWell() error {
	<-w.begun
	return w.beginErr
}

// openSession makes a console server for three files. Without a terminal among
// them it is started when the unix server binds to it, after all that the program's
// start waits for. send is a send right to it, for the unix server.
func (w *wired) openSession(stdio [3]*os.File, tty bool) (p *guestProcess, send abi.Name, streams [protocol.Streams]protocol.Info, err error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, 0, streams, ErrClosed
	}
	w.session++
	p = &guestProcess{w: w, session: w.session, name: "console"}
	w.mu.Unlock()
	if p.session > 1 {
		p.name = fmt.Sprintf("console-%d", p.session)
	}
	spec := machine.ServerSpec{Name: "console"}
	for _, f := range stdio {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			release(spec.Files)
			return nil, 0, streams, err
		}
		spec.Files = append(spec.Files, linux.HandleOf(fd))
	}
	con := w.add(p.name, spec, 0)
	defer func() {
		switch {
		case err == nil:
		case w.begunWell() != nil: // there is nobody to ask for the session's end
			err = w.beginErr
		default:
			p.end()
		}
	}()
	ccfg := console.Config{FDs: [3]int{4, 5, 6}, Termios: console.Termios(int(stdio[0].Fd()))}
	if tty && isNull(stdio[0]) {
		ccfg.FDs[0] = -1 // a terminal where nobody types, not one that is hung up
	}
	terminal := false
	for i, f := range stdio {
		streams[i] = protocol.Info{Flags: protocol.InfoClosed}
		if ccfg.FDs[i] >= 0 {
			streams[i] = console.Inspect(int(f.Fd()))
		}
		terminal = terminal || streams[i].Flags&protocol.InfoTerminal != 0
	}
	if con.config, err = json.Marshal(ccfg); err != nil {
		return nil, 0, streams, err
	}
	if err = serve(con.srv, "console"); err != nil {
		return nil, 0, streams, err
	}
	if send, err = w.sup.GiveSend(p.name, con.srv, "console"); err == nil && terminal {
		err = w.begin(p.name)
	}
	return p, send, streams, err
}

// isNull says whether f is the null device.
func isNull(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

func startReason(e abi.Errno) error {
	switch e {
	case abi.ENOENT:
		return fs.ErrNotExist
	case abi.EACCES, abi.EPERM:
		return fs.ErrPermission
	case abi.ENOEXEC:
		return ErrFormat
	}
	return syscall.Errno(e)
}

// guestProcess implements process.
type guestProcess struct {
	w       *wired
	id      int
	session uint32
	name    string // of its console server
}

func (p *guestProcess) pid() int { return p.id }

func (p *guestProcess) signal(sig int) error {
	return p.w.signal(0, sig, p.session, p.id)
}

// resized implements resizer: the console server asks the terminal when it is
// told.
func (p *guestProcess) resized() {
	p.w.mu.Lock()
	con := p.w.svcs[p.name]
	p.w.mu.Unlock()
	if con == nil {
		return
	}
	if i, ok := con.srv.Info(); ok {
		_ = unix.Kill(int(i.Pid), unix.SIGWINCH)
	}
}

// end implements process: it gives the session up.
func (p *guestProcess) end() {
	_ = p.w.unix().End(p.session) // without the machine there is no session
	w := p.w
	w.mu.Lock()
	con := w.svcs[p.name]
	delete(w.svcs, p.name)
	if i := slices.Index(w.order, p.name); i >= 0 {
		w.order = slices.Delete(w.order, i, i+1)
	}
	closed := w.closed
	w.mu.Unlock()
	if con == nil {
		return // close has seen to it
	}
	if !closed {
		con.srv.Discard()
	}
	release(con.files)
}

func release(files []machine.Handle) {
	for _, f := range files {
		f.Release()
	}
}

func (p *guestProcess) wait() error {
	status, e := p.w.unix().Wait(p.session)
	// Why it was killed is said before its end is known.
	p.w.reclaiming.Lock()
	p.w.reclaiming.Unlock() //lint:ignore SA2001 waits for the holder
	if e != 0 {
		return p.w.asked(e)
	}
	switch {
	case status == 0:
		return nil
	case status&0x7f == uint32(syscall.SIGKILL) && p.w.reason(nil) != nil:
		return p.w.reason(nil) // it ended with the machine, not by itself
	case status&0x7f != 0:
		return &ExitError{Signal: int(status & 0x7f), Core: status&0x80 != 0}
	}
	return &ExitError{Code: int(status >> 8 & 0xff)}
}

// policies and schedClasses are what Schedule calls the host's policies and the nucleus's classes.
var (
	policies = map[uint32]string{unix.SCHED_NORMAL: "normal", unix.SCHED_BATCH: "batch", unix.SCHED_IDLE: "idle",
		unix.SCHED_FIFO: "fifo", unix.SCHED_RR: "rr", unix.SCHED_DEADLINE: "deadline"}
	schedClasses = map[uint32]string{abi.ClassNormal: "normal", abi.ClassBatch: "batch", abi.ClassIdle: "idle",
		abi.ClassFixed: "fifo", abi.ClassRound: "rr", abi.ClassDeadline: "deadline"}
)

// processes implements engine.
func (w *wired) processes(context.Context) ([]ProcessInfo, error) {
	rows, e := w.unix().Processes()
	if e != 0 {
		return nil, w.asked(e)
	}
	var out []ProcessInfo
	for _, p := range rows {
		var cpus machine.Processors
		copy(cpus[:], p.CPUs)
		out = append(out, ProcessInfo{Schedule: Schedule{policies[p.Policy], p.Nice, int(p.Priority), cpus.String()},
			PID: p.PID, PPID: p.PPID, UID: p.UID, State: p.State, Threads: p.Threads,
			Personality: p.Personality, Resident: p.Resident, CPU: time.Duration(p.CPU),
			Started: time.Unix(0, p.StartedReal), Args: p.Args})
	}
	slices.SortFunc(out, func(a, b ProcessInfo) int { return a.PID - b.PID })
	return out, nil
}

// services implements engine.
func (w *wired) services(context.Context) ([]ServiceInfo, error) {
	w.mu.Lock()
	names := slices.Clone(w.order)
	w.mu.Unlock()
	slices.Sort(names)
	var out []ServiceInfo
	for _, n := range names {
		w.mu.Lock()
		s := w.svcs[n]
		i := ServiceInfo{Name: n, Restarts: s.restarts, LastDeath: s.last, Started: s.begun}
		waiting := s.waiting
		if h := s.house; h != nil {
			i.In, i.Started, waiting = h.name, h.begun, h.waiting
		}
		w.mu.Unlock()
		running, ready, inc := s.srv.State()
		i.Incarnation = int(inc)
		i.Requests = s.srv.Requests()
		switch {
		case waiting:
			i.State = "backing off"
		case !running:
			i.State = "stopped"
		case !ready:
			i.State = "starting"
		default:
			i.State = "running"
		}
		if info, ok := s.srv.Info(); ok {
			i.HostPID, i.Resident, i.CPU = int(info.Pid), int64(info.Resident), time.Duration(info.UserNS+info.SystemNS)
			i.Schedule = Schedule{schedClasses[info.Policy.Class], int(info.Policy.Nice), int(info.Policy.Priority), info.Runs.String()}
		}
		out = append(out, i)
	}
	return out, nil
}

// ports implements engine.
func (w *wired) ports(context.Context) ([]PortInfo, error) {
	kinds := map[uint8]string{abi.RightSend: "send", abi.RightSendOnce: "send-once"}
	var out []PortInfo
	for _, p := range w.k.Receivers() {
		i := PortInfo{Receiver: p.Task, Name: uint32(p.Name), Label: p.Label, Queued: p.Queued, Limit: p.Limit,
			Senders: p.Sends, Blocked: p.Blocked, Messages: p.Messages, Holders: p.Holders}
		for _, r := range p.Rights {
			i.Rights = append(i.Rights, PortRight{r.Task, kinds[r.Kind], r.Refs})
		}
		out = append(out, i)
	}
	return out, nil
}

// sockets implements engine.
func (w *wired) sockets(context.Context) ([]SocketInfo, error) {
	rows, e := w.unix().Sockets()
	if e != 0 {
		return nil, w.asked(e)
	}
	var out []SocketInfo
	for _, s := range rows {
		out = append(out, SocketInfo(s))
	}
	return out, nil
}

// counters implements engine.
func (w *wired) counters(ctx context.Context) ([]CounterInfo, error) {
	rows, e := w.unix().Counters()
	if e != 0 {
		return nil, w.asked(e)
	}
	var out []CounterInfo
	for _, c := range rows {
		out = append(out, CounterInfo(c))
	}
	l, err := w.services(ctx)
	if err != nil {
		return nil, err
	}
	n := CounterInfo{Name: "servers.restarts"}
	for _, s := range l {
		if s.In == "" {
			n.Value += uint64(s.Restarts)
		}
	}
	return append(out, n), nil
}

// calls implements engine.
func (w *wired) calls(context.Context) ([]CallInfo, error) {
	rows, e := w.unix().Calls()
	if e != 0 {
		return nil, w.asked(e)
	}
	var out []CallInfo
	for _, c := range rows {
		out = append(out, CallInfo(c))
	}
	return out, nil
}

// kill implements engine.
func (w *wired) kill(_ context.Context, pid, sig int) error {
	return w.signal(pid, sig, 0, pid)
}

// signal sends one to process, or (0) to the program of a session; pid is the number that
// the caller has for it.
func (w *wired) signal(process, sig int, session uint32, pid int) error {
	e := w.unix().Kill(process, sig, session)
	switch e {
	case 0, abi.EPIPE:
		return w.asked(e)
	case abi.ESRCH:
		return fmt.Errorf("process %d: %w", pid, ErrNoProcess)
	}
	return syscall.Errno(e)
}

// restartReason is why a server ends that a person wants to start again.
const restartReason = "restart asked for"

// restart implements engine.
func (w *wired) restart(ctx context.Context, name string) error {
	w.mu.Lock()
	s := w.svcs[name]
	var all []*service
	if s != nil {
		if s.house != nil {
			s = s.house
		}
		all = s.whole()
		for _, l := range all {
			if l.unready() {
				l.failures, l.cut = 0, 0 // it served; again cannot see that any more
			}
		}
	}
	w.mu.Unlock()
	if s == nil {
		return fmt.Errorf("%s: %w", name, ErrNoService)
	}
	if running, _, _ := s.srv.State(); !running {
		return fmt.Errorf("server %s does not run", name)
	}
	s.srv.Kill(restartReason)
	return w.serving(ctx, all)
}

// serving waits until all of these serve.
func (w *wired) serving(ctx context.Context, all []*service) error {
	for _, s := range all {
		w.mu.Lock()
		ready := s.ready
		w.mu.Unlock()
		select {
		case <-ready:
		case <-w.ended:
			return w.reason(ErrClosed)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// stopPatience is how long a server may take to do what it has taken when it is replaced.
const stopPatience = 2 * time.Second

// replace implements engine.
func (w *wired) replace(ctx context.Context, name string, v Version) error {
	w.mu.Lock()
	s := w.svcs[name]
	closed := w.closed
	w.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case s == nil:
		return fmt.Errorf("%s: %w", name, ErrNoService)
	case v.Name != "" && !s.own:
		return fmt.Errorf("server %s is the machine's: it has its name in every program", name)
	}
	if s.house != nil {
		s = s.house
	}
	w.mu.Lock()
	p, config := s.process, s.config
	w.mu.Unlock()
	p.Program = nil
	if v.Program != "" {
		fd, err := unix.Open(v.Program, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Program, err)
		}
		p.Program = linux.HandleOf(fd)
		defer p.Program.Release() // not the server's, if it has one by then
	}
	if s.own {
		p.Args = []string{s.name}
		if v.Name != "" {
			p.Args = []string{v.Name}
		}
	}
	if s.configure != nil {
		config = s.configure()
	}
	// Who was never wanted is not there yet.
	if running, _, _ := s.srv.State(); !running {
		if err := w.begin(name); err != nil {
			return err
		}
		if err := w.serving(ctx, []*service{s}); err != nil {
			return err
		}
	}
	if len(s.lodgers) > 0 {
		if err := w.replaceHouse(ctx, s, p); err != nil {
			return err
		}
		w.replaced(s, p)
		return nil
	}
	over := make(chan error, 1)
	if err := s.srv.Replace(p, config, func(err error) { over <- err }); err != nil {
		return fmt.Errorf("server %s: %w", name, err)
	}
	// The machine's own servers lose nothing when they are killed, and not all of them
	// end sooner.
	patience := time.Duration(0)
	if s.own || name == "names" {
		patience = stopPatience
	}
	t := time.AfterFunc(patience, func() { s.srv.Hurry(replaceReason) })
	defer t.Stop()
	stop := context.AfterFunc(ctx, func() {
		s.srv.Recall("it did not come to serve in time")
		s.srv.Hurry(replaceReason)
	})
	defer stop()
	select {
	case err := <-over:
		if err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
	case <-w.ended:
		return w.reason(ErrClosed)
	}
	w.replaced(s, p)
	return nil
}

// replaced notes that a server's process is of another kind from now on.
func (w *wired) replaced(s *service, p machine.ServerSpec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := s.process.Program; old != nil {
		old.Release()
	}
	if p.Program != nil {
		p.Program.Retain()
	}
	s.process, s.begun, s.deaths, s.failures, s.cut = p, time.Now(), 0, 0, 0
}

// replaceReason is why a server was ended that did not stop for its successor.
const replaceReason = "replaced"

// close implements engine. Whoever calls it returns when nothing is left.
func (w *wired) close() error {
	w.ending.Do(func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		close(w.stop)
		w.k.Stop()
		if w.conn != nil {
			_ = w.conn.Close()
		}
		w.host.Close()
		w.mu.Lock()
		for _, s := range w.svcs {
			release(s.files)
			if s.process.Program != nil {
				s.process.Program.Release()
			}
		}
		clear(w.svcs)
		if w.pcap != nil {
			w.pcap.end()
		}
		w.mu.Unlock()
		close(w.ended)
		if w.traced != nil {
			<-w.traced
		}
	})
	return nil
}

// ownKind is how the embedding program's servers are started: "server own NAME". It
// is the name of their profile too.
const ownKind = "own"

// embedder is the name of the tasks of Connect.
const embedder = "embedder"

// ownMain runs one of the embedding program's servers.
func ownMain(own []Server) serverMain {
	return serverMain{ownKind, func() error {
		i := slices.IndexFunc(own, func(s Server) bool { return len(os.Args) > 3 && s.Name == os.Args[3] })
		if i < 0 {
			return fmt.Errorf("%v: Main was not given it", os.Args[3:])
		}
		return withConn(func(c *ipc.Conn) error {
			in, err := ipc.Startup(c)
			if err != nil {
				return err
			}
			if err := confined(ownKind)(); err != nil {
				return err
			}
			return own[i].Main(c, in)
		})
	}}
}

// serverMains are the servers of this executable.
func serverMains() []serverMain {
	return []serverMain{
		{"host", func() error {
			return withConn(func(c *ipc.Conn) error {
				return hostfs.Main(c, confined("host", confine.Dir{FD: 4, Write: hostWrite()}))
			})
		}},
		{"overlay", func() error { return withConn(func(c *ipc.Conn) error { return overlay.Main(c, confined("overlay")) }) }},
		{"tmpfs", func() error { return withConn(func(c *ipc.Conn) error { return tmpfs.Main(c, confined("tmpfs")) }) }},
		{"names", func() error { return withConn(func(c *ipc.Conn) error { return names.Main(c, confined("names")) }) }},
		{"console", func() error { return console.Main(confined("console")) }},
		{"net", func() error {
			return withConn(func(c *ipc.Conn) error { return netserver.Main(c, confined("net"), nil) })
		}},
		{switchKind, func() error {
			if len(os.Args) < 4 {
				return errors.New("switch: of which user?")
			}
			return netswitch.Main(os.Args[3], confined(switchKind))
		}},
		{"unix", func() error {
			return withConn(unixMain)
		}},
	}
}

// confined makes what a server calls when it is about to serve: from then on it
// can do what the profile of its kind says and no more (package confine).
func confined(profile string, dirs ...confine.Dir) func() error {
	return func() error {
		rep, err := confine.Apply(profile, os.Args[len(os.Args)-1] == linux.ScheduledArg, dirs...)
		if err != nil {
			return err
		}
		if m := rep.Missing(); m != "" {
			fmt.Fprintln(os.Stderr, m)
		}
		return nil
	}
}

// hostWrite says whether a host server was started for a writable directory.
func hostWrite() bool { return slices.Contains(os.Args, writableArg) }

// writableArg is the argument of a host server that may change its directory.
const writableArg = "writable"

// withConn runs a server's main on its control channel.
func withConn(main func(*ipc.Conn) error) error {
	c, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	return main(c)
}
