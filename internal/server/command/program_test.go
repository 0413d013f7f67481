package command_test

import (
	"context"
	"fmt"
	"os"

	"github.com/fernwerk/fernwerk/internal/server/command"
)

// program is fernwerkd.
func program() int {
	if err := command.Run(context.Background(), "test"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
