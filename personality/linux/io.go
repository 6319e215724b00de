package linux

func ioCalls() []Entry { return nil }
