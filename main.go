package hythe

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"hythe/confine"
)

// serverMain is what a server process runs: descriptor 3 is its control channel
// to the nucleus, os.Args[3:] are its own arguments. It returns nil when it was told to stop.
type serverMain struct {
	name string
	main func() error
}

// Main runs a server of a machine if this process was started as one (its
// arguments are "server NAME [ARG...]"), and then ends the process; otherwise it
// returns. own are the servers that the program brings itself (Config.Servers).
// A program that embeds a machine calls it first thing in main: flags that it
// parses and connections that it opens before are time that each server pays.
//
// The program must be built without cgo (CGO_ENABLED=0): servers confine all their
// threads, and those that C code may have made cannot be known. New fails else.
//
// Exit status of a server: 0 when it was told to stop, 1 when it failed, 2 when
// there is no server of that name, 3 when this program cannot be confined.
func Main(own ...Server) {
	if len(os.Args) < 2 || os.Args[1] != "server" {
		return
	}
	// What a terminal or a user sends to the whole process group is for the
	// machine's first process, which ends the servers in order.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	os.Exit(runServer(os.Args[2:], append(serverMains(), ownMain(own))))
}

// exitHoldsC is the exit status of a server that confine.ErrC ended: the next one
// would end as it did.
const exitHoldsC = 3

func runServer(args []string, mains []serverMain) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "hythe: server: want a name")
		return 2
	}
	i := slices.IndexFunc(mains, func(s serverMain) bool { return s.name == args[0] })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "hythe: server %q: there is none of that name\n", args[0])
		return 2
	}
	err := mains[i].main()
	if errors.Is(err, confine.ErrC) {
		return exitHoldsC // the supervisor says it, once for all servers
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "hythe: server %s: %v\n", args[0], err)
		return 1
	}
	return 0
}
