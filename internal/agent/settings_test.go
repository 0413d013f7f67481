package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

func TestMissing_IsSaid(t *testing.T) {
	for _, tt := range []struct {
		event conf.EventConfig
		want  []string
	}{
		{conf.EventConfig{ID: "timer", Type: conf.Timer, Active: true}, nil},
		{conf.EventConfig{ID: "net_connection", Type: conf.NetConnection}, nil},
		{conf.EventConfig{ID: "net_connection", Type: conf.NetConnection, Active: true}, nil},
		{conf.EventConfig{ID: "gui_startup", Type: conf.GUIStartup, Active: true},
			[]string{"event gui_startup: nothing here notices a gui startup, it occurs only when it is fired"}},
		{conf.EventConfig{ID: "timer", Type: conf.Timer, Active: true, CacheDynamicBandwidth: true},
			[]string{"event timer: cache_dynamic_bandwidth is not here, cache_max_bandwidth counts alone"}},
	} {
		if d := cmp.Diff(tt.want, missing(tt.event)); d != "" {
			t.Errorf("%s: %s", tt.event.ID, d)
		}
	}
}
