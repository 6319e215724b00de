package netswitch

import (
	"fmt"
	"strconv"
)

// ListenFD is the descriptor at which a switch's process gets the socket that listens.
const ListenFD = 3

// idleTime is how long a switch waits for its first machine, in ms: who has started it is about
// to join.
const idleTime = 10_000

// Main is a switch's process, for the machines of a user (in decimal). ready is called when it is
// about to serve (to confine the process).
func Main(user string, ready func() error) error {
	uid, err := strconv.ParseUint(user, 10, 32)
	if err != nil {
		return fmt.Errorf("switch: user %q", user)
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
