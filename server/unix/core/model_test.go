package core

import "testing"

// checkModel explores a model: in each case nothing is wrong, in no less than so many states; and each rule is
// needed, so that something is wrong in some case without it.
func checkModel[R, C any](t *testing.T, explore func(r *R, c C) (states int, bad string), all R, cases []C, least int, without map[string]func(r *R)) {
	t.Helper()
	for i, c := range cases {
		if n, bad := explore(&all, c); bad != "" || n < least {
			t.Errorf("case %d: %d states: %s", i, n, bad)
		} else {
			t.Logf("case %d: %d states", i, n)
		}
	}
	for what, leave := range without {
		r, bad, at := all, "", 0
		leave(&r)
		for i := 0; i < len(cases) && bad == ""; i++ {
			at = i
			_, bad = explore(&r, cases[i])
		}
		if bad == "" {
			t.Errorf("nothing is wrong without %q", what)
		}
		t.Logf("without %q, case %d: %s", what, at, bad)
	}
}
