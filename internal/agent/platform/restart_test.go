package platform

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func TestBySystemd(t *testing.T) {
	tests := []struct {
		name   string
		env    map[string]string
		parent int
		want   bool
	}{
		{"by hand", nil, 500, false},
		{"by hand in a container", nil, 1, false},
		{"a service", map[string]string{"SYSTEMD_EXEC_PID": "77", "INVOCATION_ID": "a"}, 1, true},
		{"what a service started", map[string]string{"SYSTEMD_EXEC_PID": "76", "INVOCATION_ID": "a"}, 1, false},
		{"a service of an older systemd", map[string]string{"INVOCATION_ID": "a"}, 1, true},
		{"what a service of an older systemd started", map[string]string{"INVOCATION_ID": "a"}, 76, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := bySystemd(func(name string) string { return tt.env[name] }, 77, tt.parent); got != tt.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// Nobody's machine goes down because somebody tried an agent out.
func TestRestartCommand_NotByHand(t *testing.T) {
	if _, err := RestartCommand(); fleet.CodeOf(err) != fleet.NotHere {
		t.Errorf("a test would restart the machine: %v", err)
	}
	t.Setenv(BootIDEnv, "boot 1")
	if _, err := RestartCommand(); fleet.CodeOf(err) != fleet.NotHere {
		t.Errorf("with a boot id that is given: %v", err)
	}
	if c := WarnCommand(); c != nil {
		t.Errorf("people would be told: %v", c)
	}
}
