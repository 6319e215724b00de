// Package emul is the emulation library: the only code of Hythe that runs
// inside a guest's address space. It turns the guest's traps into calls on the
// task's message area, serves what needs no server, and carries out the
// actions of a reply. It knows no personality and holds no authority.
//
// The package is freestanding: it is compiled by the ordinary go build, but it
// runs where there is no Go runtime, in a copy of the running binary's text
// that is mapped at another address (Window), on a signal stack, with a fake g
// in R14 and the guest's FS base. So the following are forbidden in it:
// interfaces, maps, channels, defer, append, closures, heap allocation,
// package-level variables, function values but those of call_unsafe.go, calls to
// assembly declared in Go, switch statements that become jump tables (use if),
// and calls out of the package but memmove and memclr. The test in test/trap
// disassembles the package and fails on each of them. Entries is the one
// function that runs on the host side instead.
//
// docs/trap.md describes the states and the lay-out.
package emul
