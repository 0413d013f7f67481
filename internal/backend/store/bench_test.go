package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// BenchmarkUpdate_64Writers is how many small durable changes a second a store
// takes from many callers at once, as check-ins come.
func BenchmarkUpdate_64Writers(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			c := newClock()
			s := openStore(b, database{b, e.fresh(b)}.conn(), c)
			const writers = 64
			work := make(chan int, b.N)
			for i := range b.N {
				work <- i
			}
			close(work)
			before := c.reads.Load()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for i := range work {
						err := s.Update(context.Background(), here, func(tx *store.Tx) error {
							return putGroup(tx, fmt.Sprintf("g%d", i%1000), fmt.Sprint(i))
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
			b.ReportMetric(float64(b.N)/float64(c.reads.Load()-before), "updates/commit")
			b.ReportMetric(0, "ns/op")
		})
	}
}
