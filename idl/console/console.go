// Package console is the console server's protocol: the host's standard
// streams (a terminal, pipes, files) for the unix server. It moves bytes only;
// line discipline, job control and signals are the unix server's.
//
// A console server serves one set of three streams: that of `hythe run`, or
// of one `hythe exec`.
//
// Requests travel in slots of kind abi.KindService; Nr is the operation,
// Args[0] the stream (0, 1, 2), Args[1] and the areas as noted; Args[7] is the
// number of a Read or Write. For each stream and direction one request is under
// way at most. The server keeps the answer of the last numbered one: asked
// again with the same number it answers the same and does nothing anew. A
// request that is repeated while the first is still waiting takes its place;
// the first is answered with ECANCELED, which only a client's dead incarnation
// would have received.
//
// What the host has done when a server dies cannot be undone or, in the last
// nanoseconds, be known. The residue: input that was read from the host and not
// yet recorded is lost (read at most once); of output, the at most WriteChunk
// bytes whose write was under way count as written (at most once), except to
// regular files, where the file's offset tells exactly.
package console

// Operations (Nr).
const (
	// OpRead waits for input of stream Args[0] and takes at most Args[1] bytes:
	// Out and Result; none at the end of the input. EBADF: the host gave no
	// such stream; EIO and others as the host's read(2).
	OpRead = 1
	// OpWrite writes In to stream Args[0]: Result is how much the host took;
	// less than all comes with an error (EPIPE: nobody reads any more).
	OpWrite = 2
	// OpWatch waits until a Read of stream Args[0] would not wait.
	OpWatch = 3
	// OpSize answers the terminal's size in Result, see Size; 0 if the streams
	// are no terminal.
	OpSize = 4
	// OpSetRaw sets the host's terminal raw (Args[0] = 1) or as it was (0).
	// ENOTTY: there is none.
	OpSetRaw = 5
	// OpResize waits until the terminal's size is not Args[0] (as in Result of
	// OpSize) and answers it.
	OpResize = 6
)

// Streams is the number of streams.
const Streams = 3

// MaxData bounds the bytes of one Read or Write.
const MaxData = 64 << 10

// WriteChunk is how much is written to the host at a time.
const WriteChunk = 4096

// Size is a terminal's size.
type Size struct {
	Rows, Cols, XPixel, YPixel uint16
}

// Word packs a size into a result or argument.
func (s Size) Word() uint64 {
	return uint64(s.Rows) | uint64(s.Cols)<<16 | uint64(s.XPixel)<<32 | uint64(s.YPixel)<<48
}

// SizeOf unpacks what Word packed.
func SizeOf(w uint64) Size {
	return Size{uint16(w), uint16(w >> 16), uint16(w >> 32), uint16(w >> 48)}
}

// Info says what the host gave as a stream: the supervisor, which has the files,
// tells the unix server when it starts a program.
type Info struct {
	// Mode is the type and permissions of the host's file, as st_mode.
	Mode uint32 `json:"mode"`
	// Flags are Info... bits.
	Flags uint32 `json:"flags,omitempty"`
	// Size is that of a regular file, in bytes.
	Size uint64 `json:"size,omitempty"`
}

// Bits of Info.Flags.
const (
	InfoClosed   = 1 // the host gave none
	InfoTerminal = 2
)
