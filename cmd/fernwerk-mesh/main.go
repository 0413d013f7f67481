// Command fernwerk-mesh is the process of a mesh. The agent and the server start
// it by themselves; it is a program of its own so that they stay small.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fernwerk/fernwerk/internal/kit/nebula/child"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

var version = "devel"

func main() {
	run.Main(func(ctx context.Context) error {
		switch {
		case len(os.Args) == 2 && os.Args[1] == "--version":
			fmt.Println("fernwerk-mesh version", version)
			return nil
		case len(os.Args) == 3 && os.Args[1] == "run":
			return child.Run(ctx, os.Args[2])
		}
		return errors.New("fernwerk-mesh is started by fernwerk-agent and fernwerkd: fernwerk-mesh run FOLDER")
	})
}
