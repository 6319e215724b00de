package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

func spin(d time.Duration) int {
	n := 0
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		for i := 0; i < 1000000; i++ {
			n += i
		}
	}
	return n
}

func nilDeref() (s string) {
	defer func() { s = fmt.Sprint(recover()) }()
	var p *int
	*p = 1
	return "no"
}

func div(a, b int) (s string) {
	defer func() { s = fmt.Sprint(recover()) }()
	return fmt.Sprint(a / b)
}

func main() {
	fmt.Println(nilDeref())
	fmt.Println(div(1, 0))
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for i := 0; i < 16; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			spin(20 * time.Millisecond)
			mu.Lock()
			total += i
			mu.Unlock()
		}()
	}
	tick := time.NewTicker(time.Millisecond)
	for i := 0; i < 20; i++ {
		<-tick.C
	}
	wg.Wait()
	ch := make(chan []byte)
	for i := 0; i < 50; i++ {
		go func() { b := make([]byte, 1<<20); b[i] = byte(i); ch <- b }()
	}
	sum := 0
	for i := 0; i < 50; i++ {
		b := <-ch
		for _, x := range b {
			sum += int(x)
		}
	}
	runtime.GC()
	fmt.Println(total, sum)
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, os.Args[1:])
		os.Exit(7)
	}
}
