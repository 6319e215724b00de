// Package relay passes work between goroutines, processes and signal handlers.
package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Sum adds 1 to n with a number of workers.
func Sum(n, workers int) int {
	jobs, sums := make(chan int), make(chan int, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			s := 0
			for j := range jobs {
				s += j
			}
			sums <- s
		})
	}
	for i := 1; i <= n; i++ {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	close(sums)
	total := 0
	for s := range sums {
		total += s
	}
	return total
}

// Child is what a program does that this package starts: "exit N", "kill SIG"
// (itself), "lines N" (to write), "count WORD" (lines read that have it), or "orders".
func Child(args []string, in io.Reader, out io.Writer) int {
	switch args[0] {
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "kill":
		n, _ := strconv.Atoi(args[1])
		syscall.Kill(os.Getpid(), syscall.Signal(n))
		select {}
	case "count":
		n := 0
		for s := bufio.NewScanner(in); s.Scan(); {
			if strings.Contains(s.Text(), args[1]) {
				n++
			}
		}
		fmt.Fprintln(out, n)
	case "lines":
		n, _ := strconv.Atoi(args[1])
		w := bufio.NewWriter(out)
		for i := range n {
			fmt.Fprintf(w, "line %d\n", i)
		}
		w.Flush()
	case "orders":
		return orders(out)
	}
	return 0
}

// orders says which signals it was sent, until SIGTERM.
func orders(out io.Writer) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM)
	fmt.Fprintln(out, "ready")
	for s := range c {
		fmt.Fprintln(out, s)
		if s == syscall.SIGTERM {
			return 3
		}
	}
	return 1
}

// Signals sends this process signals, one after the other is seen.
func Signals(string) (string, error) {
	c := make(chan os.Signal, 1)
	all := []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGWINCH, syscall.Signal(40)}
	var seen []string
	for _, s := range all {
		signal.Notify(c, s)
		for range 20 {
			if err := syscall.Kill(syscall.Getpid(), s); err != nil {
				return "", err
			}
			if got := <-c; got != s {
				return "", fmt.Errorf("sent %v, came %v", s, got)
			}
		}
		seen = append(seen, s.String())
	}
	signal.Stop(c)
	signal.Ignore(syscall.SIGUSR1)
	defer signal.Reset(syscall.SIGUSR1)
	err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
	return "signals " + strings.Join(seen, ", "), err
}

// Exits starts children at once and collects how they end.
func Exits(self string) (string, error) {
	kinds := [][]string{{"exit", "0"}, {"exit", "1"}, {"exit", "200"}, {"kill", "15"}, {"kill", "9"}, {"kill", "1"}}
	ends := make([]string, len(kinds))
	var wg sync.WaitGroup
	for i, k := range kinds {
		wg.Go(func() {
			err := exec.Command(self, k...).Run()
			ends[i] = fmt.Sprint(err)
		})
	}
	wg.Wait()
	_, err := exec.Command(self + "-missing").Output()
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("a missing program: %v", err)
	}
	return "exits " + strings.Join(ends, ", "), nil
}

// Pipeline connects two children by a pipe.
func Pipeline(self string) (string, error) {
	a, b := exec.Command(self, "lines", "20000"), exec.Command(self, "count", "7")
	p, err := a.StdoutPipe()
	if err != nil {
		return "", err
	}
	b.Stdin = p
	if err := a.Start(); err != nil {
		return "", err
	}
	out, err := b.Output()
	if err != nil {
		return "", err
	}
	return "pipeline " + strings.TrimSpace(string(out)), a.Wait()
}

// Orders sends a child signals, each after it has told of the one before.
func Orders(self string) (string, error) {
	cmd := exec.Command(self, "orders")
	p, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	in := bufio.NewScanner(p)
	var told []string
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM} {
		if !in.Scan() {
			return "", fmt.Errorf("the child said nothing: %v", cmd.Wait())
		}
		told = append(told, in.Text())
		if err := cmd.Process.Signal(s); err != nil {
			return "", err
		}
	}
	in.Scan()
	told = append(told, in.Text())
	return fmt.Sprintf("orders %s, %v", strings.Join(told, ", "), cmd.Wait()), nil
}

// Deadline ends a child by its context.
func Deadline(self string) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "orders")
	p, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	bufio.NewReader(p).ReadString('\n')
	cancel()
	return fmt.Sprintf("cancelled: %v", cmd.Wait()), nil
}
