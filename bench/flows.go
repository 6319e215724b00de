package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// The table of messages that go one way, in batches: so many bytes each, which the
// receiver looks at one by one. The host's own means carry them packed as a stream of
// Hythe's is, 64 KiB at a time: a write for each message would only measure writes.

const streamLabel = "stream"

var (
	flowSizes = []int{8, 64}
	flows     = []string{"pipe", "unix socket", "bare", "stream", "nucleus"}
)

// chunk is what is packed before it is sent, chunks how many of them shared memory holds.
const (
	chunk  = 64 << 10
	chunks = 4
)

// pack fills b with messages and answers the bytes and how many.
func pack(b []byte, m []byte) (n, count int) {
	for n+4+len(m) <= len(b) {
		binary.LittleEndian.PutUint32(b[n:], uint32(len(m)))
		copy(b[n+4:], m)
		n += 4 + len(m)
		count++
	}
	return n, count
}

// unpack uses each whole message and answers how many bytes they were.
func unpack(b []byte, sum *uint64) int {
	at := 0
	for len(b)-at >= 4 {
		n := int(binary.LittleEndian.Uint32(b[at:]))
		if len(b)-at-4 < n {
			break
		}
		*sum += uint64(b[at+4])
		at += 4 + n
	}
	return at
}

// drain is the receiver of a pipe or socket.
func drain(f *os.File) error {
	buf := make([]byte, 2*chunk)
	var sum uint64
	for have := 0; ; {
		n, err := f.Read(buf[have:])
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		have += n
		used := unpack(buf[:have], &sum)
		have = copy(buf, buf[used:have])
	}
}

// ringDrain is the receiver of the floor: chunks in shared memory, a counter each way.
func ringDrain() error {
	s, err := ipctest.MapShared(3, chunks*chunk)
	if err != nil {
		return err
	}
	own := make([]byte, chunk)
	var sum uint64
	for k := uint32(0); ; k++ {
		for i := 0; s.Load(0) == k; i++ {
			if i > 1000 {
				s.Wait(0, k)
			}
		}
		if s.Load(0) == ^uint32(0) {
			return nil
		}
		at := int(k%chunks) * chunk
		copy(own, s.Payload()[at:at+chunk])
		unpack(own[4:4+binary.LittleEndian.Uint32(own)], &sum)
		s.Set(1, k+1)
	}
}

// takeMessages receives what comes to a port, with several calls under way.
func takeMessages(c *ipc.Conn, port abi.Name) {
	_, _ = c.Call(abi.CallPortLimit, [6]uint64{uint64(port), 4096}, nil, nil)
	for range 16 {
		go func() {
			for {
				if _, e := c.Receive(port); e != 0 {
					return
				}
			}
		}()
	}
}

// flow measures one sender and its receiver; nanoseconds for each message.
func (b *callBench) flow(kind string, p place, size int) (float64, error) {
	m := make([]byte, size)
	// until calls send for cellTime; it answers how many messages it has sent.
	until := func(send func() (int, error), end func() error) (float64, error) {
		return onCore(p.here, func() (float64, error) {
			n, start := 0, time.Now()
			for time.Since(start) < cellTime {
				k, err := send()
				if err != nil {
					return 0, err
				}
				n += k
			}
			if err := end(); err != nil {
				return 0, err
			}
			return float64(time.Since(start).Nanoseconds()) / float64(n), nil
		})
	}
	buf := make([]byte, chunk)
	switch kind {
	case "pipe", "unix socket":
		var fds [2]int
		var err error
		if kind == "pipe" {
			err = unix.Pipe2(fds[:], unix.O_CLOEXEC)
		} else {
			fds, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		}
		if err != nil {
			return 0, err
		}
		far := os.NewFile(uintptr(fds[0]), "flow")
		cmd, err := startOn(p.far, []*os.File{far}, "/proc/self/exe", "peer", "flow", "0")
		_ = far.Close()
		if err != nil {
			return 0, err
		}
		return until(func() (int, error) {
			n, count := pack(buf, m)
			for at := 0; at < n; {
				k, err := unix.Write(fds[1], buf[at:n])
				if err != nil && err != unix.EINTR {
					return 0, err
				}
				at += max(k, 0)
			}
			return count, nil
		}, func() error { return errors.Join(unix.Close(fds[1]), cmd.Wait()) })
	case "bare":
		fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
		if err != nil {
			return 0, err
		}
		f := os.NewFile(uintptr(fd), "ring")
		defer f.Close()
		if err := f.Truncate(4096 + chunks*chunk); err != nil {
			return 0, err
		}
		s, err := ipctest.MapShared(fd, chunks*chunk)
		if err != nil {
			return 0, err
		}
		defer s.Close()
		cmd, err := startOn(p.far, []*os.File{f}, "/proc/self/exe", "peer", "ring", "0")
		if err != nil {
			return 0, err
		}
		k := uint32(0)
		room := func(left uint32) { // waits until at most so many chunks are under way
			for i := 0; ; i++ {
				v := s.Load(1)
				if k-v <= left {
					return
				}
				if i > 1000 {
					s.Wait(1, v)
				}
			}
		}
		return until(func() (int, error) {
			room(chunks - 1)
			c := s.Payload()[int(k%chunks)*chunk:][:chunk]
			n, count := pack(c[4:], m)
			binary.LittleEndian.PutUint32(c, uint32(n))
			k++
			s.Set(0, k)
			return count, nil
		}, func() error {
			room(0)
			s.Set(0, ^uint32(0))
			return cmd.Wait()
		})
	}
	conn, in, err := b.m.Connect("echo")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	to := in.Send("echo")
	var send func() (int, error)
	var end func() error
	if kind == "stream" {
		cb, e := conn.Bind(to, chunks, streamLabel)
		if e != 0 {
			return 0, e
		}
		defer cb.Close()
		s := cb.Stream(opStream)
		send = func() (int, error) {
			for range 1000 {
				if e := s.Send(m); e != 0 {
					return 0, e
				}
			}
			return 1000, nil
		}
		end = func() error {
			if e := s.Wait(); e != 0 {
				return e
			}
			return nil
		}
	} else {
		q := conn.Batch()
		send = func() (int, error) {
			for range 200 {
				q.Send(to, &ipc.Message{ID: 1, Body: m}, abi.NameNull, abi.Forever)
			}
			var failed abi.Errno
			e := q.Do(func(_ int, _ ipc.Reply, err abi.Errno) {
				if err != 0 {
					failed = err
				}
			})
			if e == 0 {
				e = failed
			}
			if e != 0 {
				return 0, e
			}
			return 200, nil
		}
		end = func() error { return nil }
	}
	if _, err := send(); err != nil { // the server is there
		return 0, err
	}
	pid, err := b.pid()
	if err != nil {
		return 0, err
	}
	all := cores()
	if err := pinProcess(pid, p.far, all); err != nil {
		return 0, err
	}
	// Others of this process's threads see to the answers.
	if err := pinProcess(os.Getpid(), p.here, all); err != nil {
		return 0, err
	}
	defer func() { _, _ = pinProcess(pid, -1, all), pinProcess(os.Getpid(), -1, all) }()
	return until(send, end)
}

// formatFlows is the table of messages one way.
func formatFlows(got map[string][]float64) string {
	var s strings.Builder
	s.WriteString("\nSmall messages one way, packed, from one sender to one receiver: millions a second, and of each\ncore that the two have.\n\n")
	head := append(append([]string{"both on", "bytes"}, flows...), "stream / bare")
	for _, l := range [][]string{head, slices.Repeat([]string{"---"}, len(head))} {
		s.WriteString("| " + strings.Join(l, " | ") + " |\n")
	}
	for _, p := range places[:3] {
		n := 2.0
		if p.here == p.far && p.here >= 0 {
			n = 1
		}
		for _, size := range flowSizes {
			fmt.Fprintf(&s, "| %s | %d |", p.name, size)
			rate := func(k string) float64 {
				v := got[fmt.Sprint("flow", p.name, size, k)]
				if len(v) == 0 {
					return 0
				}
				return 1e3 / median(v)
			}
			for _, k := range flows {
				if r := rate(k); r == 0 {
					s.WriteString(" - |")
				} else {
					fmt.Fprintf(&s, " %.3g, %.3g |", r, r/n)
				}
			}
			if b := rate("bare"); b == 0 {
				s.WriteString(" - |\n")
			} else {
				fmt.Fprintf(&s, " %.2f |\n", rate("stream")/b)
			}
		}
	}
	return s.String()
}
