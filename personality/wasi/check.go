package wasi

import "fmt"

// The engine makes room for what a module says it has before it looks whether it has it: a
// file of thirty bytes could have it ask the host for more memory than there is, which ends
// a Go program. So what is counted in a module is compared with what is there first. What is
// malformed otherwise is the engine's to say.

// maxLocals is how many variables a function may have beside its parameters: what all
// engines agree on (the JS API's implementation limits).
const maxLocals = 50000

// section ids (WebAssembly core specification, binary format, modules).
const (
	secCustom = 0
	secType   = 1
	secImport = 2
	secExport = 7
	secStart  = 8
	secElem   = 9
	secCode   = 10
	secData   = 11
	secCount  = 12
)

// checkCounts says whether a module, behind its header, claims to have more than it holds.
func checkCounts(b []byte) error {
	r := &reader{b: b}
	for len(r.b) > 0 && !r.odd && !r.over {
		id := r.byte()
		r.part(func(s *reader, n int) { s.section(id, n) })
	}
	if r.over {
		return fmt.Errorf("%w: it claims to have more than it holds", ErrModule)
	}
	return nil
}

// reader reads what is left of a module. over: it claims more than there is; odd: something
// that is not known here, or malformed. Both end it.
type reader struct {
	b         []byte
	over, odd bool
}

func (r *reader) byte() (v byte) {
	if len(r.b) == 0 {
		r.odd = true
		return 0
	}
	v, r.b = r.b[0], r.b[1:]
	return v
}

// leb is an unsigned number, or a signed one of which only the length matters.
func (r *reader) leb() (v uint64) {
	for i := 0; i < 10; i++ {
		c := r.byte()
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
	}
	r.odd = true
	return 0
}

// count is how many of something follow, each at least a byte.
func (r *reader) count() int {
	n := r.leb()
	if n > uint64(len(r.b)) {
		r.over = true
	}
	if r.over || r.odd {
		return 0
	}
	return int(n)
}

// take is what n, a count, are.
func (r *reader) take(n int) (b []byte) {
	b, r.b = r.b[:n], r.b[n:]
	return b
}

// part calls f for a part of so many bytes. The engine reads on where a part says too little
// of its size, and looks at that afterwards; so does f.
func (r *reader) part(f func(s *reader, n int)) {
	n := r.count()
	s := &reader{b: r.b}
	f(s, n)
	r.over, r.odd = r.over || s.over, r.odd || s.odd
	r.take(n)
}

// each calls f for each of what is counted.
func (r *reader) each(f func()) {
	for n := r.count(); n > 0 && !r.over && !r.odd; n-- {
		f()
	}
}

func (r *reader) name() { r.take(r.count()) }

// typ is a type: a byte, and of a reference to what is not a byte's affair a number.
func (r *reader) typ() {
	if c := r.byte(); c == 0x63 || c == 0x64 {
		r.leb()
	}
}

func (r *reader) limits() {
	flags := r.byte()
	if r.leb(); flags&1 != 0 {
		r.leb()
	}
}

// constant is an expression of constants, up to its end.
func (r *reader) constant() {
	for !r.odd {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x23, 0x41, 0x42, 0xd0, 0xd2: // global.get, i32.const, i64.const, ref.null, ref.func
			r.leb()
		case 0x43: // f32.const
			r.skip(4)
		case 0x44: // f64.const
			r.skip(8)
		case 0xfd: // v128.const, the only one of its kind
			r.skip(17)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // add, sub, mul
		default:
			r.odd = true
		}
	}
}

func (r *reader) skip(n int) {
	if n > len(r.b) {
		r.odd = true
		return
	}
	r.take(n)
}

func (r *reader) section(id byte, size int) {
	switch id {
	case secCustom:
		left := len(r.b)
		if n := r.count(); string(r.take(n)) == "name" {
			r.names(size - (left - len(r.b)))
		}
	case secType:
		r.each(func() {
			r.odd = r.byte() != 0x60
			r.each(r.typ)
			r.each(r.typ)
		})
	case secImport:
		r.each(r.imported)
	case secExport:
		r.each(func() {
			r.name()
			r.byte()
			r.leb()
		})
	case secElem:
		r.each(r.elements)
	case secCode:
		r.each(func() {
			r.part(func(f *reader, _ int) {
				locals := uint64(0)
				f.each(func() {
					locals = min(locals+f.leb(), maxLocals+1)
					f.typ()
				})
				f.over = f.over || locals > maxLocals
			})
		})
	case secData:
		r.each(func() {
			switch kind := r.leb(); kind {
			case 2:
				r.leb()
				fallthrough
			case 0:
				r.constant()
			case 1:
			default:
				r.odd = true
			}
			r.name()
		})
	case secStart, secCount:
	default: // functions, tables, memories, globals, tags: as many as there are
		r.count()
	}
}

func (r *reader) imported() {
	r.name()
	r.name()
	switch r.byte() {
	case 0: // a function
		r.leb()
	case 1: // a table
		r.typ()
		r.limits()
	case 2: // a memory
		r.limits()
	case 3: // a global
		r.typ()
		r.byte()
	case 4: // a tag
		r.byte()
		r.leb()
	default:
		r.odd = true
	}
}

// elements are those of a table: kind has bits for without a place, with a table or without
// any place ever, and as expressions.
func (r *reader) elements() {
	kind := r.leb()
	if kind > 7 {
		r.odd = true
		return
	}
	if kind&1 == 0 {
		if kind&2 != 0 {
			r.leb()
		}
		r.constant()
	}
	if kind&3 != 0 {
		r.typ()
	}
	if kind&4 != 0 {
		r.each(r.constant)
	} else {
		r.each(func() { r.leb() })
	}
}

// names are those that debuggers show, in so many bytes: of the module, of functions, of
// their variables.
func (r *reader) names(size int) {
	pair := func(s *reader) {
		s.leb()
		s.name()
	}
	for end := len(r.b) - size; len(r.b) > end && !r.odd && !r.over; {
		id := r.byte()
		r.part(func(s *reader, _ int) {
			switch id {
			case 0:
				s.name()
			case 1:
				s.each(func() { pair(s) })
			case 2:
				s.each(func() {
					s.leb()
					s.each(func() { pair(s) })
				})
			}
		})
	}
}
