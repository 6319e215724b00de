package core

import (
	"cmp"
	"slices"

	"hythe/abi"
	"hythe/idl/unix"
	"hythe/store"
)

// callCount counts the calls with one number that came to an end. It is made
// when the first one does.
type callCount struct {
	Personality uint32
	Nr          uint32 // abi.CallTableSize stands for all that are not below it
	Count       uint64
}

// callKey is what a count is found by.
type callKey struct{ personality, nr uint32 }

// findCounts makes the derived index of the counts.
func (k *Kernel) findCounts() {
	k.counts = map[callKey]store.Ref[callCount]{}
	k.CallCounts.Each(func(r store.Ref[callCount], n *callCount) bool {
		k.counts[callKey{n.Personality, n.Nr}] = r
		return true
	})
}

// count notes that a call has ended, in the transaction that also holds its
// effect: so a call is counted once, however often a server died over it. With
// the lock held.
func (k *Kernel) count(personality uint32, nr uint64) {
	key := callKey{personality, uint32(min(nr, abi.CallTableSize))}
	if r := k.counts[key]; r != 0 {
		k.CallCounts.Mut(r).Count++
		return
	}
	r, n := k.CallCounts.New()
	if r == 0 {
		return
	}
	*n = callCount{key.personality, key.nr, 1}
	k.counts[key] = r
}

// ListCalls answers how often the calls were made that the server has seen the
// end of, by personality and number.
func (k *Kernel) ListCalls() []unix.CallCount {
	k.Enter()
	defer k.Leave()
	var l []unix.CallCount
	k.CallCounts.Each(func(_ store.Ref[callCount], n *callCount) bool {
		p := k.Personality(n.Personality)
		if p == nil {
			return true
		}
		name, served := p.CallName(uint64(n.Nr))
		l = append(l, unix.CallCount{Personality: p.Name(), Name: name, Nr: int(n.Nr), Count: n.Count, Unserved: !served})
		return true
	})
	slices.SortFunc(l, func(a, b unix.CallCount) int {
		return cmp.Or(cmp.Compare(a.Personality, b.Personality), cmp.Compare(a.Nr, b.Nr))
	})
	return l
}
