// Package ipc is the user side of Hythe's communication, for servers and for
// native programs: the control channel to the nucleus (Conn), what a server
// inherits at its start (Startup), and both ends of a binding (ServerBinding
// with Poller, ClientBinding).
//
// What a peer writes into shared memory is an allegation: a ServerBinding
// copies a request's header out once (Load) before anything looks at it, and
// takes sizes from the nucleus, never from the shared header. Data in the In
// and Out areas may change at any time under a hostile client; a server
// copies what it must decide on.
//
// Wake-ups: a client stores its request, sets the Pending bit and then looks
// at Armed; a server sets Armed and then looks at Pending before it sleeps.
// Both are sequentially consistent, so that one of them sees the other. The
// same holds for State and Waiter, and for Done and ClientArmed.
package ipc
