// Command mirror is the machine of somebody who has taken over a server: it answers in the
// server's place, with the server's own certificate, and lies as it is told. The
// end-to-end tests let agents join through it.
//
//	mirror serve --server https://HOST:PORT --data DIR --hosts DIR
//	mirror steal --data DIR
//
// What it is not told to change it hands on to the true server, as the host that
// asked: it finds the host's certificate and key in --hosts DIR/ID, because a
// request that it hands on must be that host's. What to change is put to
// /-/rules/ID as a list of rules in JSON; an empty list is an honest server.
//
// Steal prints the private keys that the server has of content trust, from its
// database and its cluster.key: what a thief of its disk has.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/run"
)

func main() { run.Main(command) }

func command(ctx context.Context) error {
	if len(os.Args) < 2 {
		return errors.New("usage: mirror serve|steal")
	}
	f := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	data := f.String("data", "", "the server's data folder")
	server := f.String("server", "", "the true server's address")
	hosts := f.String("hosts", "", "folder with a folder for each host, its agent's data")
	if err := f.Parse(os.Args[2:]); err != nil {
		return err
	}
	switch os.Args[1] {
	case "serve":
		m, err := newMirror(*server, *data, *hosts)
		if err != nil {
			return err
		}
		return m.serve(ctx)
	case "steal":
		keys, err := steal(ctx, *data)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(keys)
	}
	return fmt.Errorf("unknown command %q", os.Args[1])
}

func (m *mirror) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: m, TLSConfig: m.tls, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(listener, "", "") }()
	fmt.Printf("ready https://%s\n", listener.Addr())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return srv.Close()
	}
}
