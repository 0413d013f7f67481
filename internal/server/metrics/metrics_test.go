package metrics

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

type refusing struct{}

func (refusing) Call(_ context.Context, _ methods.Actor, method string, _ methods.Params) (any, error) {
	if method == "host_getObjects" {
		return nil, nil
	}
	return nil, fleet.Errorf(fleet.Denied, "no")
}

func TestMetrics(t *testing.T) {
	m := New("1.2", "one", []string{"host_getObjects", "host_delete"})
	b := m.Backend(refusing{})
	for _, name := range []string{"host_getObjects", "host_getObjects", "host_delete", "made\nup", "anything"} {
		b.Call(t.Context(), methods.Actor{}, name, methods.Params{})
	}
	m.Request("/rpc", 200, 100, 3*time.Millisecond)
	m.Request("/rpc", 503, 20, time.Second)
	m.Ask(Gauge, "hosts_connected", "Hosts on the message bus.", func() float64 { return 7 })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, line := range []string{
		`fernwerk_calls_total{code="ok",method="host_getObjects"} 2`,
		`fernwerk_calls_total{code="denied",method="host_delete"} 1`,
		`fernwerk_calls_total{code="denied",method="unknown"} 2`,
		`fernwerk_http_requests_total{route="/rpc",status="200"} 1`,
		`fernwerk_http_request_seconds_bucket{route="/rpc",le="0.005"} 1`,
		`fernwerk_http_sent_bytes_total 120`,
		`fernwerk_hosts_connected 7`,
		`replica="one",version="1.2"`,
		`process_resident_memory_bytes`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(text, "made") || t.Failed() {
		t.Log(text)
	}
}
