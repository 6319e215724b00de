package unix

import (
	"container/heap"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hythe/ipc"
)

// clock is the host's clock, monotonic as guests see it (CLOCK_MONOTONIC); it
// implements core.Clock. What is due is kept here and the host is asked for the
// first of it by one timerfd: that is in time, where the Go runtime's own timers
// are rounded up to a millisecond and are as late as the process's timer
// slack, which servers have a lot of (machine/linux), lets them be.
type clock struct {
	timer *os.File
	fd    int // the timer's

	mu     sync.Mutex
	alarms alarms
}

// alarm is something to be called.
type alarm struct {
	at    int64 // CLOCK_MONOTONIC, ns
	fn    func()
	index int // in alarms, -1 when it is not there any more
}

// alarms implements heap.Interface: the first is due first.
type alarms []*alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at < a[j].at }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}
func (a *alarms) Push(x any) {
	m := x.(*alarm)
	m.index = len(*a)
	*a = append(*a, m)
}
func (a *alarms) Pop() any {
	n := len(*a) - 1
	m := (*a)[n]
	(*a)[n] = nil
	*a = (*a)[:n]
	m.index = -1
	return m
}

// newClock makes the clock; before the process is confined.
func newClock() (*clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	c := &clock{timer: os.NewFile(uintptr(fd), "timer"), fd: fd}
	go c.run()
	return c, nil
}

// Mono implements core.Clock.
func (*clock) Mono() int64 { return ipc.Monotonic() }

// Real implements core.Clock.
func (*clock) Real() int64 { return time.Now().UnixNano() }

// After implements core.Clock. fn has a goroutine of its own.
func (c *clock) After(t int64, fn func()) func() {
	a := &alarm{at: t, fn: fn}
	c.mu.Lock()
	defer c.mu.Unlock()
	heap.Push(&c.alarms, a)
	if a.index == 0 {
		c.set()
	}
	return func() { c.cancel(a) }
}

// cancel leaves the timer as it is: it goes off for nothing at worst, and most
// alarms are cancelled before.
func (c *clock) cancel(a *alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.index >= 0 {
		heap.Remove(&c.alarms, a.index)
	}
}

// set asks for the first alarm. c.mu is held.
func (c *clock) set() {
	// Zero would mean never; what is past goes off at once.
	its := unix.ItimerSpec{Value: unix.NsecToTimespec(max(c.alarms[0].at, 1))}
	if err := unix.TimerfdSettime(c.fd, unix.TFD_TIMER_ABSTIME, &its, nil); err != nil {
		panic("clock: " + err.Error()) // no guest's sleep would end: the next incarnation may do better
	}
}

// run waits for the timer and calls what is due.
func (c *clock) run() {
	var b [8]byte
	for {
		if _, err := c.timer.Read(b[:]); err != nil {
			panic("clock: " + err.Error())
		}
		now := c.Mono()
		c.mu.Lock()
		for len(c.alarms) > 0 && c.alarms[0].at <= now {
			go heap.Pop(&c.alarms).(*alarm).fn()
		}
		if len(c.alarms) > 0 {
			c.set()
		}
		c.mu.Unlock()
	}
}
