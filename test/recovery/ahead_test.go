package recovery

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// TestForkAhead: a program forks again and again, so that its next child's task is there before, while
// the unix server is killed again and again; and then a child of it does, which begins without.
func TestForkAhead(t *testing.T) {
	bin := subject.Binary(t)
	// A command in brackets is a child that the shell forks and does not execute.
	script := `n=0
forks() {
	i=0
	while [ $i -lt 100 ]; do
		(exit $((i%7))); s=$?
		[ $s = $((i%7)) ] || echo bad $i $s
		i=$((i+1))
	done
}
while [ $n -lt 6 ]; do
	echo step $n
	forks
	(forks; echo child $n)
	n=$((n+1))
done
echo the end`
	var want strings.Builder
	for n := range 6 {
		fmt.Fprintf(&want, "step %d\nchild %d\n", n, n)
	}
	want.WriteString("the end\n")
	rng := rand.New(rand.NewPCG(uint64(seed(t)), 7))
	r := start(t, bin, []string{"/bin/sh", "-c", script}, 2*time.Minute)
	got := r.end(t, func(int) { r.kill(t, "unix", rng.IntN(3e7)) })
	if got != want.String() {
		t.Errorf("got %q, want %q", got, want.String())
	}
}
