package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"hythe"
	"hythe/cmd/hythe/internal/control"
	"hythe/personality/linux"
)

// chosen holds the flags by which a command finds its machine and shows what it
// found.
type chosen struct {
	id   string
	json bool
}

func (s *chosen) machineFlag(c *cobra.Command) {
	c.Flags().StringVarP(&s.id, "machine", "m", "", "the machine's `ID` (default the only one that runs)")
}

func (s *chosen) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&s.json, "json", false, "answer in JSON")
}

// machines answers the machine that was named, or all.
func (s *chosen) machines() ([]*control.Client, error) {
	if s.id != "" {
		return []*control.Client{{ID: s.id}}, nil
	}
	ids, err := control.List()
	if err != nil {
		return nil, err
	}
	var out []*control.Client
	for _, id := range ids {
		out = append(out, &control.Client{ID: id})
	}
	return out, nil
}

// machine answers the machine that was named, or the only one.
func (s *chosen) machine() (*control.Client, error) {
	all, err := s.machines()
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 0:
		return nil, errors.New("no machine is running")
	case 1:
		return all[0], nil
	}
	var ids []string
	for _, k := range all {
		ids = append(ids, k.ID)
	}
	return nil, fmt.Errorf("several machines are running; choose one with -m: %s", strings.Join(ids, " "))
}

// group is what a command answers of one machine in JSON.
type group[T any] struct {
	Machine string `json:"machine"`
	Items   []T    `json:"items"`
}

// encode writes v as the answer in JSON.
func (a *app) encode(v any) error {
	e := json.NewEncoder(a.std.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// errText is what an answer in JSON says of an error.
func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// column is one column of a table.
type column[T any] struct {
	title string
	value func(*T) string
}

// show prints one kind of thing of all chosen machines. A machine that ended
// while it was asked, and was not named, is passed over; one that fails does not
// hide the others.
func show[T any](a *app, s *chosen, cols []column[T], get func(*control.Client, context.Context) ([]T, error)) error {
	all, err := s.machines()
	if err != nil {
		return err
	}
	groups := []group[T]{}
	var failed []error
	for _, k := range all {
		v, err := get(k, context.Background())
		if err != nil {
			if s.id != "" {
				return err
			}
			if !errors.Is(err, hythe.ErrClosed) {
				failed = append(failed, fmt.Errorf("machine %s: %w", k.ID, err))
			}
			continue
		}
		if v == nil {
			v = []T{}
		}
		groups = append(groups, group[T]{k.ID, v})
	}
	if s.json {
		return errors.Join(append(failed, a.encode(groups))...)
	}
	w := tabwriter.NewWriter(a.std.out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "MACHINE")
	for _, c := range cols {
		fmt.Fprint(w, "\t", c.title)
	}
	fmt.Fprintln(w)
	for _, g := range groups {
		for i := range g.Items {
			fmt.Fprint(w, g.Machine)
			for _, c := range cols {
				fmt.Fprint(w, "\t", plain(c.value(&g.Items[i])))
			}
			fmt.Fprintln(w)
		}
	}
	return errors.Join(append(failed, w.Flush())...)
}

// plain takes out of a guest's text what a terminal would act upon.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%dG", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%dM", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%dK", n>>10)
	}
	return strconv.FormatInt(n, 10)
}

// classText is a class with its value.
func classText(s *hythe.Schedule) string {
	switch {
	case s.Class == "":
		return "-"
	case s.Priority != 0:
		return fmt.Sprintf("%s %d", s.Class, s.Priority)
	case s.Nice != 0:
		return fmt.Sprintf("%s %d", s.Class, s.Nice)
	}
	return s.Class
}

func cpuText(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }

func (a *app) psCommand() *cobra.Command {
	var s chosen
	var sockets bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "List the processes, or the sockets, of running machines",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if sockets {
				return show(a, &s, []column[hythe.SocketInfo]{
					{"PROTO", func(v *hythe.SocketInfo) string { return v.Proto }},
					{"STATE", func(v *hythe.SocketInfo) string { return cmp.Or(v.State, "-") }},
					{"WAITING", func(v *hythe.SocketInfo) string { return strconv.Itoa(int(v.Waiting)) }},
					{"LOCAL", func(v *hythe.SocketInfo) string { return v.Local }},
					{"REMOTE", func(v *hythe.SocketInfo) string { return cmp.Or(v.Remote, "-") }},
					{"UID", func(v *hythe.SocketInfo) string { return strconv.Itoa(int(v.UID)) }},
					{"PIDS", func(v *hythe.SocketInfo) string { return strings.Trim(fmt.Sprint(v.PIDs), "[]") }},
				}, (*control.Client).Sockets)
			}
			return show(a, &s, []column[hythe.ProcessInfo]{
				{"PID", func(p *hythe.ProcessInfo) string { return strconv.Itoa(p.PID) }},
				{"PPID", func(p *hythe.ProcessInfo) string { return strconv.Itoa(p.PPID) }},
				{"UID", func(p *hythe.ProcessInfo) string { return strconv.Itoa(int(p.UID)) }},
				{"STATE", func(p *hythe.ProcessInfo) string { return p.State }},
				{"THREADS", func(p *hythe.ProcessInfo) string { return strconv.Itoa(p.Threads) }},
				{"ABI", func(p *hythe.ProcessInfo) string { return p.Personality }},
				{"RSS", func(p *hythe.ProcessInfo) string { return bytesText(p.Resident) }},
				{"CPU", func(p *hythe.ProcessInfo) string { return cpuText(p.CPU) }},
				{"CLASS", func(p *hythe.ProcessInfo) string { return classText(&p.Schedule) }},
				{"CPUS", func(p *hythe.ProcessInfo) string { return cmp.Or(p.Processors, "-") }},
				{"COMMAND", func(p *hythe.ProcessInfo) string { return strings.Join(p.Args, " ") }},
			}, (*control.Client).Processes)
		},
	}
	c.Flags().BoolVarP(&sockets, "network", "n", false, "list IP sockets that have an address, and who has them open")
	s.machineFlag(c)
	s.jsonFlag(c)
	return c
}

func (a *app) statsCommand() *cobra.Command {
	var s chosen
	c := &cobra.Command{
		Use:   "stats",
		Short: "Show the counters of running machines",
		Long: `Stats shows how many processes, threads and sockets there are, and what was counted
since the machine's start: system calls, and what passed by IP sockets (lo: in the
machine; eth0: to the outside) as packets that would have been, see "run --pcap".`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return show(a, &s, []column[hythe.CounterInfo]{
				{"COUNTER", func(v *hythe.CounterInfo) string { return v.Name }},
				{"VALUE", func(v *hythe.CounterInfo) string { return strconv.FormatUint(v.Value, 10) }},
			}, (*control.Client).Counters)
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	return c
}

func (a *app) servicesCommand() *cobra.Command {
	var s chosen
	c := &cobra.Command{
		Use:   "services",
		Short: "List the servers of running machines",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return show(a, &s, []column[hythe.ServiceInfo]{
				{"SERVER", func(v *hythe.ServiceInfo) string { return v.Name }},
				{"STATE", func(v *hythe.ServiceInfo) string { return v.State }},
				{"HOSTPID", func(v *hythe.ServiceInfo) string { return strconv.Itoa(v.HostPID) }},
				{"IN", func(v *hythe.ServiceInfo) string { return cmp.Or(v.In, "-") }},
				{"RESTARTS", func(v *hythe.ServiceInfo) string { return strconv.Itoa(v.Restarts) }},
				{"REQUESTS", func(v *hythe.ServiceInfo) string { return strconv.Itoa(v.Requests) }},
				{"RSS", func(v *hythe.ServiceInfo) string { return bytesText(v.Resident) }},
				{"CPU", func(v *hythe.ServiceInfo) string { return cpuText(v.CPU) }},
				{"CLASS", func(v *hythe.ServiceInfo) string { return classText(&v.Schedule) }},
				{"CPUS", func(v *hythe.ServiceInfo) string { return cmp.Or(v.Processors, "-") }},
				{"LASTDEATH", func(v *hythe.ServiceInfo) string { return v.LastDeath }},
			}, (*control.Client).Services)
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	return c
}

func (a *app) portsCommand() *cobra.Command {
	var s chosen
	var rates time.Duration
	c := &cobra.Command{
		Use:   "ports",
		Short: "List the nucleus's ports of running machines",
		Long: `Ports lists who receives from which port and who has which right to it (once: to
answer one request; xN: N references), what waits there, and how many messages
came so far; with --rates also how many came in a second, looked at for so long.
Guests' tasks are task-N. For a line for each message use "hythe run --trace-ports".`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cols := []column[hythe.PortInfo]{
				{"RECEIVER", func(v *hythe.PortInfo) string { return v.Receiver }},
				{"NAME", func(v *hythe.PortInfo) string { return strconv.Itoa(int(v.Name)) }},
				{"LABEL", func(v *hythe.PortInfo) string { return v.Label }},
				{"QUEUED", func(v *hythe.PortInfo) string { return strconv.Itoa(v.Queued) }},
				{"LIMIT", func(v *hythe.PortInfo) string { return strconv.Itoa(v.Limit) }},
				{"BLOCKED", func(v *hythe.PortInfo) string { return strconv.Itoa(v.Blocked) }},
				{"MESSAGES", func(v *hythe.PortInfo) string { return strconv.FormatUint(uint64(v.Messages), 10) }},
				{"SENDERS", func(v *hythe.PortInfo) string { return strconv.Itoa(v.Senders) }},
				{"HELD BY", heldBy},
			}
			get := (*control.Client).Ports
			if rates > 0 {
				cols = slices.Insert(cols, 7, column[hythe.PortInfo]{"RATE", func(v *hythe.PortInfo) string { return strconv.FormatFloat(v.Rate, 'f', 1, 64) }})
				get = func(k *control.Client, ctx context.Context) ([]hythe.PortInfo, error) {
					return portRates(k, ctx, rates)
				}
			}
			return show(a, &s, cols, get)
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	c.Flags().DurationVar(&rates, "rates", 0, "count for `TIME` (1s, 500ms) how many messages come in a second")
	c.Flags().Lookup("rates").NoOptDefVal = "1s"
	return c
}

// heldBy says who has which right to a port.
func heldBy(v *hythe.PortInfo) string {
	var l []string
	for _, r := range v.Rights {
		s := r.Task
		if r.Kind == "send-once" {
			s += " once"
		}
		if r.Refs > 1 {
			s += fmt.Sprint(" x", r.Refs)
		}
		l = append(l, s)
	}
	return strings.Join(l, ", ")
}

// portRates looks at a machine's ports twice.
func portRates(k *control.Client, ctx context.Context, d time.Duration) ([]hythe.PortInfo, error) {
	type key struct {
		task string
		name uint32
	}
	old := map[key]uint32{}
	start := time.Now()
	l, err := k.Ports(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range l {
		old[key{p.Receiver, p.Name}] = p.Messages
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(d):
	}
	if l, err = k.Ports(ctx); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	for i, p := range l {
		l[i].Rate = float64(p.Messages-old[key{p.Receiver, p.Name}]) / took
	}
	return l, nil
}

func (a *app) traceCommand() *cobra.Command {
	var s chosen
	var unserved, ports, follow bool
	var pids []int
	c := &cobra.Command{
		Use:   "trace",
		Short: "Count the system calls of running machines, or follow those, or the messages, of one",
		Long: `Trace shows how often each system call was made since a machine started, and
which ones the machine does not serve. Calls that the library inside the
program's own process serves are not counted ("hythe calls" says which they are),
nor are those that still wait.

With --calls it writes a line for each call that ends, each signal that is handled
and each end of a thread, in the terms of the program's own system, from now on until
it is interrupted or the machine ends, as "hythe run --trace" does from the machine's
start. With --pid only those of that process, its threads but not its children (as which
a Plan 9 program has its threads), and until it has ended; the option may be given again. Calls that the library serves
are shown as far as a server can serve them too (getpid, read of a file...),
but for those with which it asks the host itself (mmap, futex, clock_gettime...); while
somebody looks the machine is slower. Calls of WebAssembly modules are shown if they were
executed since. Lines that come faster than they are read are counted, not shown.

With --ports it writes a line for each message between ports, from now on until
it is interrupted or the machine ends, as "hythe run --trace-ports" does from the
machine's start.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(pids) > 0 && !follow {
				return errors.New("--pid goes with --calls")
			}
			if ports || follow {
				if ports && follow {
					return errors.New("--ports and --calls do not go together")
				}
				if unserved || s.json {
					return errors.New("--ports and --calls go with neither --unserved nor --json")
				}
				k, err := s.machine()
				if err != nil {
					return err
				}
				line := func(l string) { fmt.Fprintln(a.std.out, plain(l)) }
				if ports {
					return k.FollowPorts(c.Context(), line)
				}
				return k.FollowCalls(c.Context(), pids, func() {
					fmt.Fprintf(a.std.err, "hythe: following the calls of machine %s\n", k.ID)
				}, line)
			}
			return show(a, &s, []column[hythe.CallInfo]{
				{"ABI", func(v *hythe.CallInfo) string { return v.Personality }},
				{"NR", func(v *hythe.CallInfo) string { return strconv.Itoa(v.Nr) }},
				{"CALL", func(v *hythe.CallInfo) string { return v.Name }},
				{"COUNT", func(v *hythe.CallInfo) string { return strconv.FormatUint(v.Count, 10) }},
				{"NOTE", func(v *hythe.CallInfo) string {
					if v.Unserved {
						return "not served"
					}
					return ""
				}},
			}, func(k *control.Client, ctx context.Context) ([]hythe.CallInfo, error) {
				all, err := k.Calls(ctx)
				if !unserved || err != nil {
					return all, err
				}
				var some []hythe.CallInfo
				for _, v := range all {
					if v.Unserved {
						some = append(some, v)
					}
				}
				return some, nil
			})
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	c.Flags().BoolVar(&unserved, "unserved", false, "only calls that are not served")
	c.Flags().BoolVar(&follow, "calls", false, "write a line for each system call from now on")
	c.Flags().IntSliceVar(&pids, "pid", nil, "with --calls: only those of process `N`, until it ends")
	c.Flags().BoolVar(&ports, "ports", false, "write a line for each message between ports from now on")
	return c
}

func (a *app) callsCommand() *cobra.Command {
	var s chosen
	c := &cobra.Command{
		Use:   "calls",
		Short: "List the system calls of Linux, and how far they are served",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			rows := linux.Matrix()
			if s.json {
				return a.encode(rows)
			}
			w := tabwriter.NewWriter(a.std.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NR\tCALL\tSUPPORT\tSERVED BY\tNOTE")
			for _, r := range rows {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", r.Nr, r.Name, r.Level, r.Where, r.Note)
			}
			return w.Flush()
		},
	}
	s.jsonFlag(c)
	return c
}

func (a *app) killCommand() *cobra.Command {
	var s chosen
	var sig string
	c := &cobra.Command{
		Use:   "kill [-s SIGNAL] PID...",
		Short: "Send a signal to processes of a machine",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := parseSignal(sig)
			if err != nil {
				return err
			}
			var pids []int
			for _, v := range args {
				pid, err := strconv.Atoi(v)
				if err != nil || pid <= 0 {
					return fmt.Errorf("process %q: want a number above 0", v)
				}
				pids = append(pids, pid)
			}
			k, err := s.machine()
			if err != nil {
				return err
			}
			type sent struct {
				PID    int    `json:"pid"`
				Signal int    `json:"signal"`
				Error  string `json:"error,omitempty"`
			}
			var items []sent
			var errs []error
			for _, pid := range pids {
				err := k.Kill(context.Background(), pid, n)
				items = append(items, sent{pid, n, errText(err)})
				errs = append(errs, err)
			}
			if s.json {
				errs = append(errs, a.encode([]group[sent]{{k.ID, items}}))
			}
			return errors.Join(errs...)
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	c.Flags().StringVarP(&sig, "signal", "s", "TERM", "`SIGNAL` by name or number")
	return c
}

func (a *app) restartCommand() *cobra.Command {
	var s chosen
	var program string
	c := &cobra.Command{
		Use:   "restart SERVER...",
		Short: "Kill servers of a machine and wait until their next incarnations serve",
		Long: "Restart kills servers of a machine and waits until their next incarnations serve.\n" +
			"With --program they are replaced, one after the other, by those of another\n" +
			"version of this program: it is started first, and where it does not come to\n" +
			"serve the old one goes on. Programs on the machine notice a delay.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := s.machine()
			if err != nil {
				return err
			}
			type restarted struct {
				Name  string `json:"name"`
				Error string `json:"error,omitempty"`
			}
			if program != "" {
				// The machine's process has another working directory, perhaps.
				if program, err = filepath.Abs(program); err != nil {
					return err
				}
			}
			var items []restarted
			for _, v := range args {
				err = k.Restart(context.Background(), v, program)
				items = append(items, restarted{v, errText(err)})
				if err != nil {
					break
				}
			}
			if s.json {
				err = errors.Join(err, a.encode([]group[restarted]{{k.ID, items}}))
			}
			return err
		},
	}
	s.machineFlag(c)
	s.jsonFlag(c)
	c.Flags().StringVar(&program, "program", "", "replace them by the servers of this `FILE`, another version of hythe")
	return c
}

func (a *app) execCommand() *cobra.Command {
	var s chosen
	var p program
	c := &cobra.Command{
		Use:   "exec [flags] [--] PROGRAM [ARG...]",
		Short: "Run one more program on a running machine",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, err := p.cmd(args)
			if err != nil {
				return err
			}
			k, err := s.machine()
			if err != nil {
				return err
			}
			pid, err := a.runIn(k, cmd, p.interactive)
			if s.json {
				return a.ended(k.ID, pid, err)
			}
			return exited(err)
		},
	}
	s.machineFlag(c)
	c.Flags().BoolVar(&s.json, "json", false, "say on standard error in JSON how the program ended")
	p.flags(c)
	return c
}

// runIn runs a program on a running machine and passes signals on to it. It answers the
// program's number there, 0 if it was not started, and how it ended.
func (a *app) runIn(k *control.Client, cmd *hythe.Cmd, interactive bool) (pid int, err error) {
	term, err := a.connect(cmd, interactive)
	if err != nil {
		return 0, err
	}
	defer term.restore()
	files, done, err := stdFiles(cmd)
	if err != nil {
		return 0, err
	}
	defer done()
	sigs := make(chan os.Signal, 64)
	catch(sigs, cmd.TTY)
	defer signal.Stop(sigs)
	proc, err := k.Start(context.Background(), cmd, files)
	if err != nil {
		return 0, err
	}
	return proc.PID(), follow(proc, sigs)
}

// ended says in JSON how a program ended, in a line on standard error: standard
// output is the program's.
func (a *app) ended(id string, pid int, err error) error {
	v := struct {
		Machine string `json:"machine"`
		PID     int    `json:"pid,omitempty"` // 0: it was not started
		Status  int    `json:"status"`        // of this command
		Signal  int    `json:"signal,omitempty"`
		Core    bool   `json:"core,omitempty"`
		Error   string `json:"error,omitempty"`
	}{Machine: id, PID: pid, Status: hythe.ExitCode(err)}
	var exit *hythe.ExitError
	if errors.As(err, &exit) {
		v.Signal, v.Core = exit.Signal, exit.Core
	} else {
		v.Error = errText(err)
	}
	if e := json.NewEncoder(a.std.err).Encode(v); e != nil || v.Status == 0 {
		return e
	}
	return quietError{v.Status}
}

func (a *app) versionCommand() *cobra.Command {
	var s chosen
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{"(devel)", runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
				v.Version = b.Main.Version
			}
			if s.json {
				return json.NewEncoder(a.std.out).Encode(v)
			}
			_, err := fmt.Fprintf(a.std.out, "hythe %s %s %s/%s\n", v.Version, v.Go, v.OS, v.Arch)
			return err
		},
	}
	s.jsonFlag(c)
	return c
}
