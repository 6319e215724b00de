package ipc

import (
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

// MaxCrashes is how many panics a request may cause before it is refused.
const MaxCrashes = 2

// Crashes knows how often serving a request made this server panic: the next
// incarnation finds the request again, and would die of it for ever. The counts
// are in a memory object of their own, which is made when there is something to
// count. A server that is killed from outside counts nothing.
type Crashes struct {
	conn *Conn

	mu   sync.Mutex   // guards what follows
	fd   int          // -1: there was no crash yet
	seen []crashCount // as the object has it
}

// crashCount counts for one request: the seq-th on a slot of a binding.
type crashCount struct{ Binding, Slot, Seq, Count uint64 }

const (
	crashLabel = "crashes"
	crashSlots = 64 // further ones take the place of those that say least
	crashSize  = 4 * 8
)

// NewCrashes answers what the incarnations before have counted.
func NewCrashes(c *Conn, in *Inheritance) (*Crashes, error) {
	k := &Crashes{conn: c, fd: -1}
	r := in.Find(abi.RightObject, crashLabel)
	if r == nil {
		return k, nil
	}
	fd, e := r.FD, abi.Errno(0)
	if fd < 0 {
		if fd, e = c.ObjectFD(r.Name, false); e != 0 {
			return nil, fmt.Errorf("crashes: %w", e)
		}
	}
	k.fd, r.FD = fd, -1
	var b [crashSlots * crashSize]byte
	if _, err := unix.Pread(fd, b[:], 0); err != nil {
		return nil, fmt.Errorf("crashes: %w", err)
	}
	k.seen = make([]crashCount, crashSlots)
	_, err := binary.Decode(b[:], binary.LittleEndian, k.seen)
	return k, err
}

// Note counts a panic. The process ends then: what cannot be noted is lost.
func (k *Crashes) Note(binding uint64, slot int, seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fd < 0 {
		_, fd, e := k.conn.CreateObject(crashSlots*crashSize, crashLabel)
		if e != 0 {
			return
		}
		k.fd, k.seen = fd, make([]crashCount, crashSlots)
	}
	// A slot has one request under way; else the place that says least.
	at := 0
	for i, c := range k.seen {
		if c.Binding == binding && c.Slot == uint64(slot) {
			at = i
			break
		}
		if c.Count < k.seen[at].Count {
			at = i
		}
	}
	c := crashCount{binding, uint64(slot), seq, 1 + k.count(binding, slot, seq)}
	k.seen[at] = c
	var b [crashSize]byte
	_, _ = binary.Encode(b[:], binary.LittleEndian, c)
	_, _ = unix.Pwrite(k.fd, b[:], int64(at*crashSize))
}

func (k *Crashes) count(binding uint64, slot int, seq uint64) uint64 {
	for _, c := range k.seen {
		if c.Binding == binding && c.Slot == uint64(slot) && c.Seq == seq {
			return c.Count
		}
	}
	return 0
}

// Refuses says whether the request on a slot has made the server panic too often,
// and then answers it EIO.
func (k *Crashes) Refuses(b *ServerBinding, slot int, q *Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fd < 0 || !b.Load(slot, q) {
		return false
	}
	n := k.count(b.ID, slot, q.Seq)
	if n < MaxCrashes {
		return false
	}
	k.conn.Log(1, fmt.Sprintf("a request (operation %d) crashed the server %d times and is answered EIO", q.Nr, n))
	b.Answer(slot, q.Seq, 0, abi.EIO, 0)
	b.Complete(slot)
	return true
}
