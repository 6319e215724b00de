package main

import (
	"testing"

	"hythe/cmd/internal/document"
)

func TestFresh(t *testing.T) {
	if err := document.Fresh("../../docs/linux-calls.md", write); err != nil {
		t.Error(err)
	}
}
