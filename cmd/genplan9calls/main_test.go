package main

import (
	"testing"

	"hythe/cmd/internal/document"
)

func TestFresh(t *testing.T) {
	if err := document.Fresh("../../docs/plan9-calls.md", write); err != nil {
		t.Error(err)
	}
}
