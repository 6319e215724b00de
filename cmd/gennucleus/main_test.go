package main

import (
	"testing"

	"hythe/cmd/internal/document"
)

func TestFresh(t *testing.T) {
	if err := document.Fresh("../../docs/nucleus-calls.md", write); err != nil {
		t.Error(err)
	}
}
