package hythe

import (
	"context"
	"errors"
)

// newEngine wires a machine: nucleus over the host's machine layer, supervisor,
// servers, guests.
func newEngine(ctx context.Context, c *Config) (engine, error) {
	return nil, errors.New("this build holds no machine")
}

// serverMains are the servers of this executable.
func serverMains() []serverMain { return nil }
