// Command systems is a workload that is built for each system: it does what its arguments
// name and prints "NAME NANOSECONDS", the time of one operation; without any it only ends.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

func main() {
	for _, name := range os.Args[1:] {
		var do func() (ops int, err error)
		switch name {
		case "calls":
			do = calls
		case "files":
			do = files
		case "cpu":
			do = cpu
		default:
			fail(fmt.Errorf("no workload %s", name))
		}
		start := time.Now()
		ops, err := do()
		if err != nil {
			fail(err)
		}
		fmt.Println(name, time.Since(start).Nanoseconds()/int64(ops))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "systems:", err)
	os.Exit(1)
}

// calls makes one cheap call again and again.
func calls() (int, error) {
	f, err := os.Open(os.Args[0])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const n = 30000
	for range n {
		if _, err := f.Seek(0, io.SeekCurrent); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// files makes files, looks at them, reads, lists and removes them.
func files() (int, error) {
	const dir, n = "systems.dir", 200
	page := make([]byte, 4096)
	if err := os.Mkdir(dir, 0o777); err != nil {
		return 0, err
	}
	for i := range n {
		name := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(name, page, 0o666); err != nil {
			return 0, err
		}
		if _, err := os.Stat(name); err != nil {
			return 0, err
		}
		if b, err := os.ReadFile(name); err != nil || len(b) != len(page) {
			return 0, fmt.Errorf("%d bytes, %v", len(b), err)
		}
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) != n {
		return 0, fmt.Errorf("%d files, %v", len(l), err)
	}
	return n, os.RemoveAll(dir)
}

// cpu computes: bytes in a row, a map, sorting.
func cpu() (int, error) {
	const n = 2000000
	sieve := make([]bool, n)
	var primes []uint32
	for i := 2; i < n; i++ {
		if sieve[i] {
			continue
		}
		primes = append(primes, uint32(i))
		for j := i * i; j < n; j += i {
			sieve[j] = true
		}
	}
	last := map[uint32]uint32{}
	for _, p := range primes {
		last[p*2654435761>>12] = p
	}
	all := make([]uint32, 0, len(last))
	for k := range last {
		all = append(all, k)
	}
	slices.Sort(all)
	if len(primes) != 148933 || len(all) < n/20 {
		return 0, fmt.Errorf("%d primes, %d of them", len(primes), len(all))
	}
	return 1, nil
}
