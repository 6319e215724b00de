package main

import (
	"strings"

	"hythe/abi"
	"hythe/ipc"
	"hythe/store"
)

// What the server is asked for (Message.ID).
const (
	Put = 1 // body "key=value" -> nothing
	Get = 2 // body "key" -> the value, or nothing
)

// pair is a record of the server's state. What is stored survives the server.
type pair struct{ Key, Value store.Block }

// serve is the whole server.
func serve(c *ipc.Conn, in *ipc.Inheritance) error {
	heap, _, err := in.State(c, 64<<20, 1)
	if err != nil {
		return err
	}
	pairs, index := store.NewTable[pair](heap, 0, 10_000), map[string]store.Ref[pair]{}
	pairs.Each(func(r store.Ref[pair], p *pair) bool {
		index[store.String(heap, p.Key)] = r
		return true
	})
	return ipc.Serve(c, in, func(m *ipc.Message) *ipc.Message {
		key, value, _ := strings.Cut(string(m.Body), "=")
		r, found := index[key]
		switch {
		case m.ID == Put && found:
			heap.Begin()
			heap.FreeBlock(pairs.Get(r).Value)
			pairs.Mut(r).Value = store.PutString(heap, value)
			heap.Commit()
		case m.ID == Put && pairs.Len() < pairs.Max():
			heap.Begin()
			r, p := pairs.New()
			p.Key, p.Value = store.PutString(heap, key), store.PutString(heap, value)
			heap.Commit()
			index[key] = r
		case m.ID == Get && found:
			return &ipc.Message{Body: []byte(store.String(heap, pairs.Get(r).Value))}
		case m.ID != Get:
			return &ipc.Message{ID: uint32(abi.EINVAL)}
		}
		return &ipc.Message{}
	})
}
