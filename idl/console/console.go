package console

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
