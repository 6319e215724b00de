// Package control is the conversation between a running machine and the
// commands about it (ps, services, kill, exec...).
//
// Each machine listens on an abstract unix socket named after its user and
// itself. Such a name lives as long as a process holds it, so a machine that
// was killed leaves nothing to clean up, and it is seen in one network
// namespace only, so guests and servers, which are in others, cannot reach it.
// Both ends check by the host's word (SO_PEERCRED) that the other one is of
// the same user, or root.
//
// A conversation is one line of JSON each way. The request of exec carries
// three descriptors beside it and may be followed by more lines (signals); see
// docs/decisions/0001-control-socket.md.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"hythe"
)

// Machine is what can be asked of a machine. Every method may be called from
// any goroutine.
type Machine interface {
	Processes(ctx context.Context) ([]hythe.ProcessInfo, error)
	Sockets(ctx context.Context) ([]hythe.SocketInfo, error)
	Counters(ctx context.Context) ([]hythe.CounterInfo, error)
	Services(ctx context.Context) ([]hythe.ServiceInfo, error)
	Ports(ctx context.Context) ([]hythe.PortInfo, error)
	Calls(ctx context.Context) ([]hythe.CallInfo, error)
	FollowPorts(ctx context.Context, out io.Writer) error
	FollowCalls(ctx context.Context, out io.Writer, f hythe.Follow) error
	Kill(ctx context.Context, pid, sig int) error
	Restart(ctx context.Context, server string) error
	Replace(ctx context.Context, server string, v hythe.Version) error
	Start(ctx context.Context, c *hythe.Cmd) (Process, error)
}

// Process is a program that exec started.
type Process interface {
	PID() int
	Signal(sig int) error
	// Resized: the terminal that was handed over may have another size.
	Resized()
	Wait() error
}

// Stopper is a Machine that ends when it is asked to, not with a program of its own.
type Stopper interface{ Stop() }

// Of makes a Machine of a *hythe.Machine.
func Of(m *hythe.Machine) Machine { return machine{m} }

type machine struct{ *hythe.Machine }

func (m machine) Start(ctx context.Context, c *hythe.Cmd) (Process, error) {
	p, err := m.Machine.Start(ctx, c)
	if err != nil {
		return nil, err // not a nil *hythe.Process in a Process
	}
	return p, nil
}

// maxLine bounds a line of a conversation.
const maxLine = 4 << 20

// request is the first line of a client, and, with Op "signal" or "resized", a
// later one.
type request struct {
	Op      string     `json:"op"`
	PID     int        `json:"pid,omitempty"`
	PIDs    []int      `json:"pids,omitempty"`
	Signal  int        `json:"signal,omitempty"`
	Server  string     `json:"server,omitempty"`
	Program string     `json:"program,omitempty"`
	Cmd     *hythe.Cmd `json:"cmd,omitempty"`
}

// response is the one line of the machine; exec has two, the first with PID.
type response struct {
	Error *wireError      `json:"error,omitempty"`
	PID   int             `json:"pid,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// wireError is an error that keeps its meaning for hythe.ExitCode.
type wireError struct {
	Text   string `json:"text"`
	Kind   string `json:"kind,omitempty"`
	Code   int    `json:"code,omitempty"`
	Signal int    `json:"signal,omitempty"`
	Core   bool   `json:"core,omitempty"`
	Path   string `json:"path,omitempty"`
}

// sentinels are errors that are the same on both sides.
var sentinels = []struct {
	kind string
	err  error
}{
	{"process", hythe.ErrNoProcess},
	{"service", hythe.ErrNoService},
	{"closed", hythe.ErrClosed},
	{"format", hythe.ErrFormat},
	{"exist", os.ErrNotExist},
	{"permission", os.ErrPermission},
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			w.Kind = s.kind
			break
		}
	}
	var exit *hythe.ExitError
	var start *hythe.StartError
	switch {
	case errors.As(err, &exit):
		w.Kind, w.Code, w.Signal, w.Core = "exit", exit.Code, exit.Signal, exit.Core
	case errors.As(err, &start):
		w.Path, w.Text = start.Path, start.Err.Error()
	}
	return w
}

// remoteError has the text of the other side's error and its meaning.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

func (w *wireError) err() error {
	if w == nil {
		return nil
	}
	if w.Kind == "exit" {
		return &hythe.ExitError{Code: w.Code, Signal: w.Signal, Core: w.Core}
	}
	e := &remoteError{text: w.Text}
	for _, s := range sentinels {
		if s.kind == w.Kind {
			e.is = s.err
		}
	}
	if w.Path != "" {
		return &hythe.StartError{Path: w.Path, Err: e}
	}
	return e
}

// prefix opens the names of this user's machines.
func prefix(uid int) string { return fmt.Sprintf("hythe/%d/", uid) }

func addr(uid int, id string) *net.UnixAddr {
	return &net.UnixAddr{Name: "@" + prefix(uid) + id, Net: "unix"}
}

// sameUser reports whether the other end of c is this user or root.
func sameUser(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if cerr != nil {
		return cerr
	}
	if cred.Uid != uint32(os.Geteuid()) && cred.Uid != 0 {
		return fmt.Errorf("the other end is user %d: %w", cred.Uid, os.ErrPermission)
	}
	return nil
}

// Server answers for one machine.
type Server struct {
	m  Machine
	ln *net.UnixListener

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	execs  sync.WaitGroup
}

// Listen offers machine m under its id until Close. It fails if another machine
// of this user has the same id.
func Listen(m Machine, id string) (*Server, error) {
	ln, err := net.ListenUnix("unix", addr(os.Geteuid(), id))
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("a machine %q is already running", id)
		}
		return nil, err
	}
	s := &Server{m: m, ln: ln}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Drain takes no new conversations and waits, for a bounded time, until the
// programs of exec have ended and their clients know. It is for the time between
// the end of the machine's main program, with which all others end, and Close.
func (s *Server) Drain(within time.Duration) {
	s.ln.Close()
	done := make(chan struct{})
	go func() {
		s.execs.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(within):
	}
}

// closeGrace is how long an answer may take when the machine ends.
const closeGrace = time.Second

// Close ends all conversations and returns when they have ended. Programs that
// they started are killed.
func (s *Server) Close() {
	s.cancel()
	s.ln.Close()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.ln.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // this one was gone again, or descriptors are short
		}
		s.wg.Go(func() {
			defer c.Close()
			stop := context.AfterFunc(s.ctx, func() {
				// What was asked is answered still: whoever killed the machine's
				// first process is told that it worked.
				_ = c.CloseRead()
				time.AfterFunc(closeGrace, func() { c.Close() })
			})
			defer stop()
			s.serve(c)
		})
	}
}

func reply(c *net.UnixConn, data any, err error) {
	r := response{Error: toWire(err)}
	if err == nil {
		b, e := json.Marshal(data)
		if e != nil {
			r.Error = toWire(e)
		}
		r.Data = b
	}
	send(c, &r)
}

// send writes one line. Who does not read it has gone, and needs no error.
func send(c *net.UnixConn, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	c.Write(append(b, '\n'))
}

func (s *Server) serve(c *net.UnixConn) {
	if err := sameUser(c); err != nil {
		reply(c, nil, err)
		return
	}
	r, files, err := receive(c)
	defer closeAll(files)
	if err != nil {
		reply(c, nil, err)
		return
	}
	var req request
	line, err := readLine(r)
	if err == nil {
		err = json.Unmarshal(line, &req)
	}
	if err != nil {
		reply(c, nil, fmt.Errorf("bad request: %w", err))
		return
	}
	ctx := s.ctx
	switch req.Op {
	case "ps":
		v, err := s.m.Processes(ctx)
		reply(c, v, err)
	case "sockets":
		v, err := s.m.Sockets(ctx)
		reply(c, v, err)
	case "counters":
		v, err := s.m.Counters(ctx)
		reply(c, v, err)
	case "services":
		v, err := s.m.Services(ctx)
		reply(c, v, err)
	case "ports":
		v, err := s.m.Ports(ctx)
		reply(c, v, err)
	case "calls":
		v, err := s.m.Calls(ctx)
		reply(c, v, err)
	case "follow", "follow calls":
		// Nothing more is said to us: what can be read is the client's end.
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		s.wg.Go(func() {
			_, _ = r.ReadByte()
			stop()
		})
		if req.Op == "follow" {
			reply(c, nil, nil)
			_ = s.m.FollowPorts(ctx, c)
			return
		}
		begun := false
		err := s.m.FollowCalls(ctx, c, hythe.Follow{PIDs: req.PIDs, Begun: func() {
			begun = true
			reply(c, nil, nil)
		}})
		if !begun {
			reply(c, nil, err)
		}
	case "kill":
		reply(c, nil, s.m.Kill(ctx, req.PID, req.Signal))
	case "restart":
		if req.Program != "" {
			reply(c, nil, s.m.Replace(ctx, req.Server, hythe.Version{Program: req.Program}))
			return
		}
		reply(c, nil, s.m.Restart(ctx, req.Server))
	case "stop":
		m, ok := s.m.(Stopper)
		if !ok {
			reply(c, nil, errors.New("it ends with its program: hythe kill 1"))
			return
		}
		m.Stop()
		reply(c, nil, nil)
	case "exec":
		s.execs.Add(1)
		defer s.execs.Done()
		s.exec(c, r, &req, files)
	default:
		reply(c, nil, fmt.Errorf("bad request: %q is not known", req.Op))
	}
}

// exec runs a program on the client's descriptors. The client's end is the
// program's end.
func (s *Server) exec(c *net.UnixConn, r *bufio.Reader, req *request, files []*os.File) {
	if req.Cmd == nil || len(files) != 3 {
		reply(c, nil, errors.New("bad request: exec needs a command and three descriptors"))
		return
	}
	cmd := *req.Cmd
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	p, err := s.m.Start(s.ctx, &cmd)
	if err != nil {
		reply(c, nil, err)
		return
	}
	send(c, &response{PID: p.PID()})
	gone := make(chan struct{})
	var ended atomic.Bool
	s.wg.Go(func() {
		defer close(gone)
		for {
			line, err := readLine(r)
			if err != nil {
				if !ended.Load() { // the client has gone
					p.Signal(int(unix.SIGKILL))
				}
				return
			}
			var q request
			if json.Unmarshal(line, &q) != nil {
				continue
			}
			switch q.Op {
			case "signal":
				p.Signal(q.Signal)
			case "resized":
				p.Resized()
			}
		}
	})
	err = p.Wait()
	ended.Store(true)
	reply(c, struct{}{}, err)
	c.CloseRead()
	<-gone
}

// readLine reads a line of at most maxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errors.New("line too long")
		}
		if err == nil {
			return line, nil
		}
		if err != bufio.ErrBufferFull {
			return nil, err
		}
	}
}

// receive reads the first bytes of a conversation and the descriptors that came
// with them; the reader goes on from there.
func receive(c *net.UnixConn) (*bufio.Reader, []*os.File, error) {
	buf := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stdio"))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, files, errors.New("bad request: too many descriptors")
	}
	return bufio.NewReader(&joined{first: buf[:n], rest: c}), files, nil
}

// joined reads first, then rest.
type joined struct {
	first []byte
	rest  *net.UnixConn
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.first) > 0 {
		n := copy(p, j.first)
		j.first = j.first[n:]
		return n, nil
	}
	return j.rest.Read(p)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// List answers the ids of this user's running machines, sorted.
func List() ([]string, error) {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	return parseList(string(b), prefix(os.Geteuid())), nil
}

// parseList finds the listening abstract sockets with a prefix in the text of
// /proc/net/unix (proc_net_unix of the host's net/unix/af_unix.c: the flags
// are the fourth column, with 0x10000 for a listening socket, the path the last,
// with @ for its first zero byte). What has another part behind the prefix is no machine:
// networks have their switches there.
func parseList(text, prefix string) []string {
	var out []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 8 || f[3] != "00010000" {
			continue
		}
		if id, ok := strings.CutPrefix(f[7], "@"+prefix); ok && id != "" && !strings.Contains(id, "/") {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// goneError: no machine of that id is running (any more): hythe.ErrClosed.
type goneError struct{ id string }

func (e *goneError) Error() string        { return fmt.Sprintf("no machine %q is running", e.id) }
func (e *goneError) Is(target error) bool { return target == hythe.ErrClosed }

// Client speaks to one machine of this user.
type Client struct{ ID string }

func (k *Client) dial() (*net.UnixConn, error) {
	c, err := net.DialUnix("unix", nil, addr(os.Geteuid(), k.ID))
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil, &goneError{k.ID}
		}
		return nil, err
	}
	if err := sameUser(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (k *Client) ask(ctx context.Context, req *request, out any) error {
	c, err := k.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	send(c, req)
	return answer(ctx, bufio.NewReader(c), out)
}

// answer reads one response.
func answer(ctx context.Context, r *bufio.Reader, out any) error {
	line, err := readLine(r)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the machine ended: %w", hythe.ErrClosed)
	}
	var res response
	if err := json.Unmarshal(line, &res); err != nil {
		return fmt.Errorf("bad answer: %w", err)
	}
	if res.Error != nil {
		return res.Error.err()
	}
	if p, ok := out.(*int); ok {
		*p = res.PID
		return nil
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(res.Data, out)
}

// Processes is the machine's method of that name; so are the others.
func (k *Client) Processes(ctx context.Context) (v []hythe.ProcessInfo, err error) {
	err = k.ask(ctx, &request{Op: "ps"}, &v)
	return v, err
}

// Services answers the machine's servers.
func (k *Client) Services(ctx context.Context) (v []hythe.ServiceInfo, err error) {
	err = k.ask(ctx, &request{Op: "services"}, &v)
	return v, err
}

// Ports answers the machine's ports.
func (k *Client) Ports(ctx context.Context) (v []hythe.PortInfo, err error) {
	err = k.ask(ctx, &request{Op: "ports"}, &v)
	return v, err
}

// Sockets answers the machine's sockets.
func (k *Client) Sockets(ctx context.Context) (v []hythe.SocketInfo, err error) {
	err = k.ask(ctx, &request{Op: "sockets"}, &v)
	return v, err
}

// Counters answers the machine's counters.
func (k *Client) Counters(ctx context.Context) (v []hythe.CounterInfo, err error) {
	err = k.ask(ctx, &request{Op: "counters"}, &v)
	return v, err
}

// Calls answers the machine's call counts.
func (k *Client) Calls(ctx context.Context) (v []hythe.CallInfo, err error) {
	err = k.ask(ctx, &request{Op: "calls"}, &v)
	return v, err
}

// FollowPorts gives each line of the machine's to f, until it or ctx ends.
func (k *Client) FollowPorts(ctx context.Context, f func(line string)) error {
	return k.follow(ctx, &request{Op: "follow"}, func() {}, f)
}

// FollowCalls gives each line of the machine's to f after it has called begun, until it, ctx
// or the processes end.
func (k *Client) FollowCalls(ctx context.Context, pids []int, begun func(), f func(line string)) error {
	return k.follow(ctx, &request{Op: "follow calls", PIDs: pids}, begun, f)
}

func (k *Client) follow(ctx context.Context, req *request, begun func(), f func(line string)) error {
	c, err := k.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	send(c, req)
	r := bufio.NewReader(c)
	if err := answer(ctx, r, nil); err != nil {
		return err
	}
	begun()
	for {
		line, err := readLine(r)
		if err != nil {
			return nil // the machine has ended, or we are not to look any more
		}
		f(strings.TrimSuffix(string(line), "\n"))
	}
}

// Kill sends a signal to a process of the machine.
func (k *Client) Kill(ctx context.Context, pid, sig int) error {
	return k.ask(ctx, &request{Op: "kill", PID: pid, Signal: sig}, nil)
}

// Stop has the machine end if it is none of a single program (Stopper); its programs are killed.
func (k *Client) Stop(ctx context.Context) error {
	return k.ask(ctx, &request{Op: "stop"}, nil)
}

// Restart restarts a server of the machine, or replaces it by that of another program.
func (k *Client) Restart(ctx context.Context, server, program string) error {
	return k.ask(ctx, &request{Op: "restart", Server: server, Program: program}, nil)
}

// Start runs c in the machine on three open files (its own Stdin, Stdout and
// Stderr are not looked at). The program is killed when this process ends.
func (k *Client) Start(ctx context.Context, c *hythe.Cmd, stdio [3]*os.File) (Process, error) {
	conn, err := k.dial()
	if err != nil {
		return nil, err
	}
	cmd := *c
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, nil, nil
	b, err := json.Marshal(&request{Op: "exec", Cmd: &cmd})
	if err != nil {
		conn.Close()
		return nil, err
	}
	// Descriptors travel with the first byte; the rest is an ordinary stream.
	rights := unix.UnixRights(int(stdio[0].Fd()), int(stdio[1].Fd()), int(stdio[2].Fd()))
	if _, _, err := conn.WriteMsgUnix(b[:1], rights, nil); err != nil {
		conn.Close()
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil, &goneError{k.ID} // it ended before it had taken the conversation
		}
		return nil, err
	}
	conn.Write(append(b[1:], '\n'))
	p := &remoteProcess{c: conn, r: bufio.NewReader(conn)}
	if err := answer(ctx, p.r, &p.pid); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

type remoteProcess struct {
	c   *net.UnixConn
	r   *bufio.Reader
	pid int

	once sync.Once
	err  error
}

func (p *remoteProcess) PID() int { return p.pid }

func (p *remoteProcess) Signal(sig int) error {
	send(p.c, &request{Op: "signal", Signal: sig})
	return nil
}

func (p *remoteProcess) Resized() { send(p.c, &request{Op: "resized"}) }

func (p *remoteProcess) Wait() error {
	p.once.Do(func() {
		p.err = answer(context.Background(), p.r, nil)
		p.c.Close()
	})
	return p.err
}
