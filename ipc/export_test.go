package ipc

import "hythe/abi"

// SetGlances has the Poller look n times before it does anything else.
func (p *Poller) SetGlances(n int) { p.close = n }

// Expects says whether Wait takes it that a client may soon be back.
func (p *Poller) Expects() bool { return p.expects() }

// SetGen is the word of an epoll set (abi.LentSet.Gen).
func (s *ServerBinding) SetGen(i int) uint64 { return s.hdr.Sets[i].Gen }

// SetHeader is the record of an epoll set, SetList where its items are.
func (s *ServerBinding) SetHeader(i int) *abi.LentSet { return &s.hdr.Sets[i] }
func (s *ServerBinding) SetList(i int) []abi.LentItem { return s.items(i)[:] }
