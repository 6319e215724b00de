package core

import "hythe/abi"

// Interpreter is a Personality some of whose files no processor runs: a program of
// the machine's own does (an engine), which is started in their place.
type Interpreter interface {
	// Interpreted says whether a file that Probe took is of that kind. As with
	// scripts, the set-id bits of such a file count for nothing.
	Interpreted(head []byte) bool
}

// engine is the program that runs WebAssembly modules: a memory object which the
// supervisor has given this server, so that no guest can put another in its place.
type engine struct {
	name ObjectName
	data DataFile
}

// SetEngine says what runs WebAssembly modules. It is called before the first call
// is served.
func (k *Kernel) SetEngine(name ObjectName, data DataFile) { k.engine = engine{name, data} }

// Engine answers the memory object with the program that runs WebAssembly modules;
// 0, false when the machine has none.
func (k *Kernel) Engine() (ObjectName, bool) { return k.engine.name, k.engine.data != nil }

// ReadEngine reads up to n bytes of that program at off.
func (k *Kernel) ReadEngine(off int64, n int) ([]byte, abi.Errno) {
	if k.engine.data == nil {
		return nil, abi.ENOEXEC
	}
	b := make([]byte, n)
	n, err := k.engine.data.ReadAt(b, off)
	if n == 0 && err != nil {
		return nil, abi.EIO
	}
	return b[:n], 0
}

// SystemName is the name of the system whose programs the process runs.
func (k *Kernel) SystemName(p *Proc) string {
	if p.Flags&ProcModule != 0 {
		return "wasi"
	}
	if q := k.Personality(p.Personality); q != nil {
		return q.Name()
	}
	return ""
}
