package command

import (
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

// The unit that is shipped is the one that is installed, and systemd finds nothing wrong
// with it.
func TestService_Unit(t *testing.T) {
	text, err := unit("/usr/bin/fernwerkd", options{}).Text()
	if err != nil {
		t.Fatal(err)
	}
	require.Unit(t, "fernwerkd", text)
}
