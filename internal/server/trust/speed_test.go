package trust_test

import (
	"fmt"
	"net/http"
	"testing"

	signed "github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// BenchmarkNothingNew is what a host costs that asks whether something is new.
func BenchmarkNothingNew(b *testing.B) {
	s := alone(b)
	d := folder(b, s)
	publish(b, d, s)
	tag := s.get(b, "/v1/trust/timestamp.json").Header().Get("ETag")
	b.ReportAllocs()
	for b.Loop() {
		if w := s.get(b, "/v1/trust/timestamp.json", "If-None-Match", tag); w.Code != http.StatusNotModified {
			b.Fatal(w.Code)
		}
	}
}

// BenchmarkInstall is what signing adds to an installation, with 2,000 products on
// the list.
func BenchmarkInstall(b *testing.B) {
	s := alone(b)
	d := folder(b, s)
	for i := range 2000 {
		target := signed.TargetOf(fmt.Append(nil, i))
		target.Custom = custom(b)
		d.AddTarget(signed.ProductName(fmt.Sprintf("product%d", i), "128.0", "1", "any"), target)
	}
	sign(b, d)
	publish(b, d, s)
	n := 0
	for b.Loop() {
		n++
		s.install(b, tree("product1", fmt.Sprint(n)))
	}
}
