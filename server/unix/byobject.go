package unix

import (
	"sync"

	"hythe/server/unix/core"
)

// byObject are things by the names of their objects. The zero value has none.
type byObject[T any] struct {
	mu  sync.Mutex
	all map[core.ObjectName]*T // guarded by mu
}

// get answers what has the name, nil: nothing.
func (x *byObject[T]) get(o core.ObjectName) *T {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[o]
}

func (x *byObject[T]) put(o core.ObjectName, v *T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil {
		x.all = map[core.ObjectName]*T{}
	}
	x.all[o] = v
}

// take is get; it is not there any more.
func (x *byObject[T]) take(o core.ObjectName) *T {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.all[o]
	delete(x.all, o)
	return v
}
