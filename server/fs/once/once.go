// Package once makes the operations of a file server take effect once each.
//
// A client that lost its server (or a server whose client was restarted) asks
// again under the same fs.Req. Log keeps, in the server's state of record, the
// answer to the last operation of each flow of control of each client that
// changed something, committed in the transaction that made the change: a
// repetition finds it and nothing happens twice. Operations that failed changed
// nothing and leave no record; a repetition of one runs again.
//
// A Log belongs to the goroutine that holds its server's lock.
package once

import (
	"hythe/abi"
	"hythe/idl/fs"
	"hythe/store"
)

// Reply is the answer of any operation that changes something: the fields that
// an operation does not use are zero.
type Reply struct {
	Err   uint32 // neutral errno
	Made  uint32 // Create: 1 when the file was made
	N     uint64 // Write: bytes stored
	At    uint64 // Write: where
	Size  uint64 // Write: the file's size afterwards
	Entry fs.Entry
}

// record is the last answer of one flow of one client. The reply lies outside
// the key so that the table stays readable in a dump.
type record struct {
	Binding uint64
	Seq     uint64
	Client  uint32
	_       uint32
	Reply   Reply
}

type key struct {
	binding uint64
	client  uint32
}

// Log is the record of answers. See the package comment.
type Log struct {
	tab   *store.Table[record]
	index map[key]store.Ref[record] // derived from tab
	// clock of a cheap second-chance order over index, for eviction when the
	// table is full: the oldest records go first.
	order []key
}

// DefaultFlows is how many flows of control (threads of all clients) a log
// remembers unless told otherwise.
const DefaultFlows = 1 << 16

// New declares the log's table under the given id of the heap and rebuilds the
// index. It must be called at the same place of the declaration order at each
// start.
func New(h *store.Heap, table int, flows uint32) *Log {
	if flows == 0 {
		flows = DefaultFlows
	}
	l := &Log{tab: store.NewTable[record](h, table, flows), index: map[key]store.Ref[record]{}}
	l.tab.Each(func(r store.Ref[record], rec *record) bool {
		k := key{rec.Binding, rec.Client}
		l.index[k] = r
		l.order = append(l.order, k)
		return true
	})
	return l
}

// Seen answers the recorded reply of a request that was executed already. A
// request 0, 0 is never recorded.
func (l *Log) Seen(r fs.Req) (Reply, bool) {
	if r.Client == 0 && r.Seq == 0 {
		return Reply{}, false
	}
	ref, ok := l.index[key{r.Binding, r.Client}]
	if !ok {
		return Reply{}, false
	}
	rec := l.tab.Get(ref)
	if rec == nil || rec.Binding != r.Binding || rec.Client != r.Client || rec.Seq != r.Seq {
		return Reply{}, false
	}
	return rec.Reply, true
}

// Done records the answer of a request. It must be called in the transaction
// that holds the request's effect. ENOSPC when no record can be had.
func (l *Log) Done(r fs.Req, rep *Reply) abi.Errno {
	if r.Client == 0 && r.Seq == 0 {
		return 0
	}
	k := key{r.Binding, r.Client}
	if ref, ok := l.index[k]; ok {
		if old := l.tab.Get(ref); old != nil && old.Binding == k.binding && old.Client == k.client {
			rec := l.tab.Mut(ref)
			rec.Seq, rec.Reply = r.Seq, *rep
			return 0
		}
	}
	ref, rec := l.tab.New()
	for rec == nil && len(l.order) > 0 {
		// Full: the flow that was first heard of longest ago most likely ended.
		// Its record is taken over in place, because a freed one could not be
		// used again within this transaction.
		old := l.order[0]
		l.order = l.order[1:]
		oldRef, ok := l.index[old]
		delete(l.index, old)
		if ok && l.tab.Get(oldRef) != nil {
			ref, rec = oldRef, l.tab.Mut(oldRef)
		}
	}
	if rec == nil {
		return abi.ENOSPC
	}
	rec.Binding, rec.Client, rec.Seq, rec.Reply = k.binding, k.client, r.Seq, *rep
	l.index[k] = ref
	l.order = append(l.order, k)
	return 0
}

// Unbind forgets all flows of a binding whose client is gone for good. It must
// be called inside a transaction.
func (l *Log) Unbind(binding uint64) {
	keep := l.order[:0]
	for _, k := range l.order {
		if k.binding != binding {
			keep = append(keep, k)
			continue
		}
		if ref, ok := l.index[k]; ok {
			if l.tab.Get(ref) != nil {
				l.tab.Free(ref)
			}
			delete(l.index, k)
		}
	}
	l.order = keep
}
