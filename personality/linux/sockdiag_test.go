package linux

import (
	"testing"

	"hythe/server/unix/core"
)

// FuzzDiagFilter: whatever a program sends as a filter of sockets is refused or comes to an
// end, within the bytes that it has.
func FuzzDiagFilter(f *testing.F) {
	f.Add([]byte{bcNop, 4, 0, 0})
	f.Add([]byte{bcSEq, 8, 12, 0, 0, 0, 80, 0})
	f.Add([]byte{bcSEq, 8, 16, 0, 0, 0, 80, 0, bcJmp, 4, 12, 0, bcDEq, 8, 12, 0, 0, 0, 80, 0})
	f.Add([]byte{bcSCond, 16, 20, 0, core.FamilyInet, 9, 0, 0, 255, 255, 255, 255, 127, 128, 0, 0})
	f.Add([]byte{bcDCond, 12, 16, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{bcMark, 12, 16, 0, 1, 0, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{bcJmp, 4, 4, 0, bcJmp, 4, 0, 0})
	s := &core.Socket{Inet: core.InetSocket{
		Local: core.InetAddr{IP: [16]byte{10: 255, 11: 255, 12: 127, 15: 1}, Port: 80},
		Far:   core.InetAddr{IP: [16]byte{15: 1}, Port: 40000},
	}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if diagFilterOK(b) {
			diagFilter(b, s)
		}
	})
}
