// Command hythe-net is the net server of a machine whose outside is made of packets: a network
// that machines share, or a tap device (docs/network.md). Nobody calls it by hand: the machine's
// supervisor starts it with a control channel, in place of the server "net" of hythe itself.
// It is a program of its own because its stack of protocols costs each start of a process that
// has it.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"gvisor.dev/gvisor/pkg/log"

	"hythe/confine"
	"hythe/ipc"
	"hythe/server/net"
	"hythe/server/net/core"
	"hythe/server/net/stack"
)

// profile is what it can do (package confine), and the name under which it is started.
const profile = "packets"

// scheduledArg is the last argument of a server that may go before others (machine/linux).
const scheduledArg = "scheduled"

func main() {
	if len(os.Args) < 3 || os.Args[1] != "server" || os.Args[2] != profile {
		fmt.Fprintln(os.Stderr, "hythe-net: started by a machine of Hythe that has a network of packets")
		os.Exit(2)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	log.SetLevel(log.Warning) // of packets that it drops gVisor writes lines, and others send them
	// One waits for the unix server, the other for the link.
	runtime.GOMAXPROCS(2)
	if err := serve(); err != nil {
		fmt.Fprintf(os.Stderr, "hythe-net: %v\n", err)
		os.Exit(1)
	}
}

func serve() error {
	conn, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	return net.Main(conn, func() error {
		rep, err := confine.Apply(profile, os.Args[len(os.Args)-1] == scheduledArg)
		if err != nil {
			return err
		}
		if m := rep.Missing(); m != "" {
			fmt.Fprintln(os.Stderr, m)
		}
		return nil
	}, func(cfg *core.LinkConfig, notify func(uint64, uint32, bool), lost func(error)) (core.Link, error) {
		return stack.New(cfg, notify, lost)
	})
}
