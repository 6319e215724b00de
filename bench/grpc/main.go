// Command grpc is the peer of bench that calls by gRPC over a unix socket. It has a
// module of its own, so that nothing of it is the product's.
//
//	grpc server SOCKET
//	grpc client SOCKET BYTES CLIENTS SECONDS
//
// The client prints how many calls it made and in how many nanoseconds. Messages are
// bytes: nothing is marshalled.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
)

// raw is a codec that leaves bytes as they are.
type raw struct{}

func (raw) Name() string                  { return "raw" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append((*v.(*[]byte))[:0], b...)
	return nil
}

const method = "/bench.Echo/Call"

func main() {
	encoding.RegisterCodec(raw{})
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "server":
		return serve(args[1])
	case len(args) == 5 && args[0] == "client":
		var n [3]int
		for i, a := range args[2:] {
			var err error
			if n[i], err = strconv.Atoi(a); err != nil {
				return err
			}
		}
		return client(args[1], n[0], n[1], time.Duration(n[2])*time.Millisecond)
	}
	return fmt.Errorf("want: server SOCKET, or client SOCKET BYTES CLIENTS MILLISECONDS")
}

func serve(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(16<<20))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var b []byte
			if err := dec(&b); err != nil {
				return nil, err
			}
			b = b[:min(len(b), 8)]
			return &b, nil
		}}}}, struct{}{})
	return s.Serve(l)
}

func client(socket string, size, clients int, d time.Duration) error {
	var wg sync.WaitGroup
	conns := make([]*grpc.ClientConn, clients)
	calls := make([]int, clients)
	errs := make(chan error, clients)
	call := func(c *grpc.ClientConn, q, a *[]byte) error { return c.Invoke(context.Background(), method, q, a) }
	for i := range conns {
		c, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			return err
		}
		defer c.Close()
		conns[i] = c
		q, a := make([]byte, size), []byte(nil)
		if err := call(c, &q, &a); err != nil {
			return err
		}
	}
	start := time.Now()
	for i, c := range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			q, a := make([]byte, size), []byte(nil)
			for time.Since(start) < d {
				if err := call(c, &q, &a); err != nil {
					errs <- err
					return
				}
				calls[i]++
			}
		}()
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return err
	default:
	}
	n := 0
	for _, c := range calls {
		n += c
	}
	fmt.Println(n, took.Nanoseconds())
	return nil
}
