package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"hythe"
	"hythe/cmd/hythe/internal/control"
)

func (a *app) poolCommand() *cobra.Command {
	var r runFlags
	var idle time.Duration
	var detach, detachedNow bool
	c := &cobra.Command{
		Use:   "pool [flags]",
		Short: "Keep a machine ready, in which exec starts programs at once",
		Long: `Pool starts a machine without a program, prints its id once exec finds it, and
keeps it until it is told to end (hythe stop; INT, TERM, HUP), or has been idle for as
long as --idle says. What programs change below the root stays for those that come after
them, and so do processes that they leave behind, until the machine ends.`,
		Example: `  id=$(hythe pool -d --idle 1m)
  hythe exec -m "$id" -- /bin/echo hello`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if idle < 0 {
				return fmt.Errorf("--idle %v: negative", idle)
			}
			conf, err := r.config()
			if err != nil {
				return err
			}
			if detach && !detachedNow {
				id, err := detached(a.args[1:])
				if err == nil {
					_, err = fmt.Fprintln(a.std.out, id)
				}
				return err
			}
			if detachedNow {
				if err := os.Chdir("/"); err != nil { // no file system is kept busy
					return err
				}
			}
			return a.pool(conf, idle)
		},
	}
	r.machineFlags(c)
	c.Flags().DurationVar(&idle, "idle", 0, "end when no program of exec ran for so long (0: never)")
	c.Flags().BoolVarP(&detach, "detach", "d", false, "go on in the background once the machine is ready")
	c.Flags().BoolVar(&detachedNow, "detached", false, "")
	c.Flags().Lookup("detached").Hidden = true // what detached starts
	return c
}

func (a *app) stopCommand() *cobra.Command {
	var s chosen
	c := &cobra.Command{
		Use:   "stop",
		Short: "End a machine that pool keeps, and all programs on it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			k, err := s.machine()
			if err != nil {
				return err
			}
			return k.Stop(context.Background())
		},
	}
	s.machineFlag(c)
	return c
}

// pool keeps a machine until a signal comes or it was idle.
func (a *app) pool(conf hythe.Config, idle time.Duration) error {
	conf.Log = func(line string) { fmt.Fprintln(a.std.err, "hythe:", line) }
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(sigs)
	// Who reads the id, or what is said, may go before this does. (To ignore the signal
	// would be inherited.)
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	m, err := hythe.New(context.Background(), conf)
	if err != nil {
		return err
	}
	k := keep(control.Of(m), idle)
	s, err := control.Listen(k, m.ID())
	if err != nil {
		return errors.Join(err, m.Close())
	}
	_, err = fmt.Fprintln(a.std.out, m.ID())
	if err == nil {
		select {
		case <-sigs:
		case <-k.idle:
		}
	}
	s.Drain(0)
	if e := m.Close(); err == nil {
		err = e
	}
	s.Close()
	return err
}

// kept is a machine that counts the programs that run.
type kept struct {
	control.Machine
	idle  chan struct{} // closed when it was idle for long enough, or stopped
	after time.Duration

	mu      sync.Mutex
	running int
	timer   *time.Timer
	over    bool
}

// keep counts m's programs; after 0 it is never idle.
func keep(m control.Machine, after time.Duration) *kept {
	k := &kept{Machine: m, idle: make(chan struct{}), after: after}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest()
	return k
}

// rest begins a time without programs. The lock is held.
func (k *kept) rest() {
	if k.after == 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(k.after, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.timer == t && k.running == 0 {
			k.end()
		}
	})
	k.timer = t
}

// end is the end of the machine's time. The lock is held.
func (k *kept) end() {
	if !k.over {
		k.over = true
		close(k.idle)
	}
}

// Stop implements control.Stopper.
func (k *kept) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end()
}

// Start implements control.Machine. Who comes after the machine's time hears that it
// is gone, and has started nothing.
func (k *kept) Start(ctx context.Context, c *hythe.Cmd) (control.Process, error) {
	k.mu.Lock()
	if k.over {
		k.mu.Unlock()
		return nil, hythe.ErrClosed
	}
	k.running++
	if k.timer != nil {
		k.timer.Stop()
	}
	k.mu.Unlock()
	p, err := k.Machine.Start(ctx, c)
	if err != nil {
		k.ended()
		return nil, err
	}
	return &counted{Process: p, ended: sync.OnceFunc(k.ended)}, nil
}

func (k *kept) ended() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running--; k.running == 0 && !k.over {
		k.rest()
	}
}

// counted is a program of a kept machine.
type counted struct {
	control.Process
	ended func()
}

func (p *counted) Wait() error {
	defer p.ended()
	return p.Process.Wait()
}

// detached starts a pool with these flags in a session of its own and answers what it
// says first, the id of its machine. It has none of this process's files.
func detached(flags []string) (id string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	errs, errw, err := os.Pipe()
	if err != nil {
		w.Close()
		return "", err
	}
	defer errs.Close()
	c := exec.Command("/proc/self/exe", append([]string{"pool", "--detached"}, flags...)...)
	c.Args[0] = "hythe"
	c.Stdout, c.Stderr = w, errw
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.Start()
	w.Close()
	errw.Close()
	if err != nil {
		return "", err
	}
	id, err = bufio.NewReader(r).ReadString('\n')
	if err == nil {
		return strings.TrimSuffix(id, "\n"), c.Process.Release()
	}
	why := bufio.NewScanner(errs)
	var last string
	for why.Scan() {
		last = why.Text()
	}
	_ = c.Wait()
	if last == "" {
		last = "it ended without a word"
	}
	return "", errors.New(strings.TrimPrefix(last, "hythe: "))
}
