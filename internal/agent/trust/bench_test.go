package trust_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

// A machine checks all documents, from the pinned root on, and 100 updates of 4 KiB.
func BenchmarkVerify100(b *testing.B) {
	r := trusttest.New(b)
	updates := map[string][]byte{}
	for i := range 100 {
		name := trust.UpdateName(fmt.Sprintf("%03d", i))
		updates[name] = bytes.Repeat(fmt.Appendf(nil, "echo %03d\n", i), 450)
		r.Add(name, updates[name])
	}
	r.Publish(b)
	for b.Loop() {
		t, err := trust.NewTrusted(r.Root)
		if err == nil {
			err = r.Follow(t)
		}
		if err != nil {
			b.Fatal(err)
		}
		for name, content := range updates {
			target, _, ok := t.Find(name)
			if !ok {
				b.Fatal(name)
			}
			if err := target.Check(content); err != nil {
				b.Fatal(err)
			}
		}
	}
}
