package main

import (
	"testing"

	"hythe/cmd/internal/document"
)

func TestFresh(t *testing.T) {
	for i := range systems {
		if err := document.Fresh("../../docs/"+systems[i].name+"-calls.md", systems[i].write); err != nil {
			t.Error(err)
		}
	}
}
