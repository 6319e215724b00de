// Package crash numbers the moments at which the death of a server process
// makes a difference: between two stores of its state of record, before and
// after it takes a request, answers one, sends one, or speaks to the nucleus.
//
// A test that runs a machine counts a server's points and kills it at each of
// them, one by one. Elsewhere nothing happens at a point.
package crash

var hook func(point string)

// Hook makes f be called at each point from now on, by the goroutine that is
// there. It is called before the process starts any goroutine, once.
func Hook(f func(point string)) { hook = f }

// Point is a moment at which the process may die; name says which kind.
func Point(name string) {
	if hook != nil {
		hook(name)
	}
}
