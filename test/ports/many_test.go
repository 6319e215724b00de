package ports

import "testing"

// TestMany: a thousand ports in one round trip, a thousand rights and an object copy-on-write
// in one request, and messages in batches, between guests.
func TestMany(t *testing.T) {
	m := machine(t)
	p := build(t, "./testdata/many")
	want := "1000 rights, 1000 sent, the object begins with o; 1000 came, then ETIMEDOUT; it still begins with o\n"
	if got := sh(t, m, "%s serve & %s ask; wait", p, p); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
