package embed

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe"
)

// TestLongRequests: arguments and environment may have as much as the system itself
// takes, which is more than a message has room for; what is too long for it is E2BIG as
// there. Answers may be as long.
func TestLongRequests(t *testing.T) {
	m, err := hythe.New(t.Context(), hythe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, n := range []int{20_000, 30_000, 40_000, 130_000} {
		var out bytes.Buffer
		arg := strings.Repeat("x", n)
		err := m.Run(t.Context(), &hythe.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", `printf '%s %s' "$1" "${#BIG}"`, "sh", arg},
			Env: []string{"PATH=/bin", "BIG=" + arg[:n/2]}, Stdout: &out})
		if a, b, _ := strings.Cut(out.String(), " "); err != nil || a != arg || b != strconv.Itoa(n/2) {
			t.Errorf("%d bytes: %v, %d bytes and %q came", n, err, len(a), b)
		}
	}
	many := make([]string, 100_000)
	for i := range many {
		many[i] = "argument"
	}
	var out bytes.Buffer
	if err := m.Run(t.Context(), &hythe.Cmd{Path: "/bin/sh", Args: append([]string{"sh", "-c", "echo $#", "sh"}, many...), Stdout: &out}); err != nil || out.String() != "100000\n" {
		t.Errorf("many: %v %q", err, out.String())
	}
	for name, args := range map[string][]string{
		"one of 200,000 bytes": {"true", strings.Repeat("x", 200_000)},
		"all of 12 MB":         append([]string{"true"}, strings.Split(strings.Repeat("argument of 20 bytes ", 600_000), " ")...),
		"beyond all bounds":    {"true", strings.Repeat("x", 40<<20)},
	} {
		err := m.Run(t.Context(), &hythe.Cmd{Path: "/bin/true", Args: args})
		if !errors.Is(err, syscall.E2BIG) {
			t.Errorf("%s: %v, want E2BIG", name, err)
		}
	}
	// The machine is as it was, and its list longer than a message.
	const programs = 12
	for range programs {
		p, err := m.Start(t.Context(), &hythe.Cmd{Path: "/bin/sleep", Args: []string{"sleep", "1000", strings.Repeat("0", 4000)}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Signal(int(syscall.SIGKILL))
	}
	for ended := time.Now().Add(time.Minute); ; {
		l, err := m.Processes(t.Context())
		if err != nil || len(l) != programs {
			t.Fatalf("%d processes: %v", len(l), err)
		}
		// One that has only just begun is shown by its name alone.
		if !slices.ContainsFunc(l, func(p hythe.ProcessInfo) bool { return len(p.Args) != 3 }) {
			break
		}
		if time.Now().After(ended) {
			t.Fatalf("a list without all arguments: %.300q", fmt.Sprint(l))
		}
	}
}
