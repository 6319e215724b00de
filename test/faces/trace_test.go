package faces

import (
	"encoding/json"
	"testing"

	"hythe/test/subject"
)

type callRow struct {
	Name     string
	Nr       int
	Count    int
	Unserved bool
}

// calls answers what trace --json shows of a machine, by name.
func calls(t *testing.T, id string, flags ...string) map[string]callRow {
	t.Helper()
	var v []struct{ Items []callRow }
	r := hythe(t, "", append([]string{"trace", "--json", "-m", id}, flags...)...)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v) != 1 {
		t.Fatalf("trace: %v %+v", err, r)
	}
	m := map[string]callRow{}
	for _, c := range v[0].Items {
		m[c.Name] = c
	}
	return m
}

// Calls that are not served are counted by name, also across the unix server's
// death, and answer ENOSYS.
func TestUnservedCalls(t *testing.T) {
	subject.Need(t, "/usr/bin/perl")
	id, m := machine(t)
	prog := []string{"exec", "-m", id, "--", "/usr/bin/perl", "-MPOSIX", "-e",
		"for (64, 64, 500, 5000) { print syscall($_, 1, 2, 3), $! == ENOSYS ? q( ENOSYS) : $!, qq(\\n) }"}
	want := map[string]int{"semget": 2, "syscall_500": 1, "others": 1}
	for round := 1; round <= 2; round++ {
		if r := hythe(t, "", prog...); r.out != "-1 ENOSYS\n-1 ENOSYS\n-1 ENOSYS\n-1 ENOSYS\n" || r.status != 0 {
			t.Fatalf("%+v", r)
		}
		if r := hythe(t, "", "restart", "-m", id, "unix"); r.status != 0 {
			t.Fatalf("restart: %+v", r)
		}
		got := calls(t, id, "--unserved")
		for name, n := range want {
			if c := got[name]; c.Count != n*round || !c.Unserved {
				t.Errorf("round %d: %s: %+v, want %d", round, name, c, n*round)
			}
		}
		// Each exec of perl, and the shell's of cat.
		if c := calls(t, id)["execve"]; c.Unserved || c.Count < 1 {
			t.Errorf("round %d: %+v", round, c)
		}
	}
	m.in.Close()
	m.end(3)
}
