package linux

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// source is something that the reactor waits for.
type source interface {
	// ready is called on the reactor's goroutine.
	ready(events uint32)
	// shut closes what the source is about, after the reactor stopped.
	shut()
}

// reactor waits on an epoll instance that is itself waited for by Go's poller,
// so that no host thread sleeps in epoll_wait and an idle machine uses none.
type reactor struct {
	ep   *os.File
	epfd int
	wake int // an eventfd: work for the reactor's goroutine
	done chan struct{}
	// Only the reactor's goroutine receives.
	buf [maxDatagram + 1]byte
	oob [1024]byte

	mu      sync.Mutex
	sources map[int32]source
	next    int32
	work    []func()
	stopped bool
}

func newReactor() (*reactor, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("machine: epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.SetNonblock(epfd, true) // os.NewFile then uses the poller
	}
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("machine: reactor: %w", err)
	}
	r := &reactor{ep: os.NewFile(uintptr(epfd), "epoll"), epfd: epfd, wake: wake,
		done: make(chan struct{}), sources: map[int32]source{}}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wake, &ev); err != nil {
		_ = r.ep.Close()
		return nil, fmt.Errorf("machine: reactor: %w", err)
	}
	conn, err := r.ep.SyscallConn()
	if err != nil {
		_ = r.ep.Close()
		return nil, fmt.Errorf("machine: reactor: %w", err)
	}
	go r.run(conn)
	return r, nil
}

func (r *reactor) run(conn syscall.RawConn) {
	defer close(r.done)
	var evs [64]unix.EpollEvent
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			for {
				var err error
				n, err = unix.EpollWait(int(fd), evs[:], 0)
				if err != unix.EINTR {
					break
				}
			}
			return n != 0
		})
		if err != nil {
			return
		}
		for i := range max(n, 0) {
			if evs[i].Fd == -1 {
				if r.runWork() {
					return
				}
				continue
			}
			r.mu.Lock()
			s := r.sources[evs[i].Fd]
			r.mu.Unlock()
			if s != nil {
				s.ready(evs[i].Events)
			}
		}
	}
}

func (r *reactor) runWork() (stopped bool) {
	var b [8]byte
	_, _ = unix.Read(r.wake, b[:])
	for {
		r.mu.Lock()
		work := r.work
		r.work = nil
		stopped := r.stopped
		r.mu.Unlock()
		if len(work) == 0 {
			return stopped
		}
		for _, f := range work {
			f()
		}
	}
}

// do runs f on the reactor's goroutine, later.
func (r *reactor) do(f func()) {
	r.mu.Lock()
	r.work = append(r.work, f)
	r.mu.Unlock()
	r.ring()
}

func (r *reactor) ring() {
	_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // EAGAIN: it is rung already
}

// add waits for events on fd and returns a key.
func (r *reactor) add(fd int, events uint32, s source) (int32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		r.next = (r.next + 1) & 0x7fffffff
		if r.sources[r.next] == nil {
			break
		}
	}
	key := r.next
	ev := unix.EpollEvent{Events: events, Fd: key}
	if err := unix.EpollCtl(r.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return 0, fmt.Errorf("machine: epoll: %w", err)
	}
	r.sources[key] = s
	return key, nil
}

func (r *reactor) modify(fd int, key int32, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: key}
	_ = unix.EpollCtl(r.epfd, unix.EPOLL_CTL_MOD, fd, &ev)
}

// leave waits for nothing of fd until back: what its end is it has another source for.
func (r *reactor) leave(fd int) { _ = unix.EpollCtl(r.epfd, unix.EPOLL_CTL_DEL, fd, nil) }

func (r *reactor) back(fd int, key int32, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: key}
	_ = unix.EpollCtl(r.epfd, unix.EPOLL_CTL_ADD, fd, &ev)
}

// remove is called before fd is closed: a copy of it in another process would
// keep the registration alive.
func (r *reactor) remove(fd int, key int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sources, key)
	_ = unix.EpollCtl(r.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

// stop ends the reactor's goroutine and waits for it.
func (r *reactor) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.ring()
	<-r.done
	r.mu.Lock()
	left := make([]source, 0, len(r.sources))
	for _, s := range r.sources {
		left = append(left, s)
	}
	r.mu.Unlock()
	for _, s := range left {
		s.shut()
	}
	_ = r.ep.Close()
	_ = unix.Close(r.wake)
}
