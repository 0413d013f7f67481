package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

func TestMissing_IsSaid(t *testing.T) {
	for _, tt := range []struct {
		system string
		event  conf.EventConfig
		want   []string
	}{
		{"linux", conf.EventConfig{ID: "timer", Type: conf.Timer, Active: true}, nil},
		{"linux", conf.EventConfig{ID: "net_connection", Type: conf.NetConnection}, nil},
		{"linux", conf.EventConfig{ID: "net_connection", Type: conf.NetConnection, Active: true}, nil},
		{"linux", conf.EventConfig{ID: "gui_startup", Type: conf.GUIStartup, Active: true, Preconditions: map[string]bool{"user_logged_in": true}}, nil},
		{"windows", conf.EventConfig{ID: "x", Type: conf.Timer, Active: true, Preconditions: map[string]bool{"user_logged_in": true}},
			[]string{"event x: nothing here tells who is logged in, user_logged_in is always false"}},
		{"darwin", conf.EventConfig{ID: "gui_startup", Type: conf.GUIStartup, Active: true},
			[]string{"event gui_startup: nothing here notices a gui startup, it occurs only when it is fired"}},
		{"linux", conf.EventConfig{ID: "timer", Type: conf.Timer, Active: true, CacheDynamicBandwidth: true},
			[]string{"event timer: cache_dynamic_bandwidth is not here, cache_max_bandwidth counts alone"}},
	} {
		if d := cmp.Diff(tt.want, missing(tt.event, tt.system)); d != "" {
			t.Errorf("%s: %s", tt.event.ID, d)
		}
	}
}
