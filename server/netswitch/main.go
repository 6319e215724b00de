package netswitch

import (
	"fmt"
	"os"
	"strconv"
)

// ListenFD is the descriptor at which a switch's process gets the socket that listens.
const ListenFD = 3

// idleTime is how long a switch waits for its first machine, in ms: who has started it is about
// to join.
const idleTime = 10_000

// nobody is who the switch is when root has started it.
const nobody = 65534

// Main is a switch's process, for the machines of a user (in decimal). In a user name space of its
// own he has another number, its own (linux.StartAlone). ready is called when it is about to serve
// (to confine the process).
func Main(user string, ready func() error) error {
	uid, err := strconv.ParseUint(user, 10, 32)
	if err != nil {
		return fmt.Errorf("switch: user %q", user)
	}
	if me := os.Getuid(); me != nobody {
		uid = uint64(me)
	}
	s, err := New(ListenFD, uint32(uid))
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	return s.Run(idleTime)
}
