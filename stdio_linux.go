package hythe

import (
	"errors"
	"syscall"
)

// isPipeGone reports a write to a pipe that nobody reads any more.
func isPipeGone(err error) bool { return errors.Is(err, syscall.EPIPE) }
