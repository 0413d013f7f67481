package nodefile

import (
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// What a host tells is written, and stays in its history; a content is up to 1 MiB
// that is unsealed. So each host has so many in one go, and one more in each interval.
const (
	tellBurst, tellEvery = 20, 10 * time.Second
	blobBurst, blobEvery = 256, time.Second // all files of a type, four times
)

// pace counts what hosts cost.
type pace struct {
	mu                sync.Mutex
	telling, fetching map[string]*bucket
}

// bucket is what a host has left.
type bucket struct {
	left float64
	at   time.Time
}

func newPace() *pace { return &pace{telling: map[string]*bucket{}, fetching: map[string]*bucket{}} }

func (p *pace) mayTell(hostID string) error {
	if p.take(p.telling, hostID, tellBurst, tellEvery) {
		return nil
	}
	return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot take what %s tells of its files: it tells something else too often", hostID), "wait a minute")
}

func (p *pace) mayFetch(hostID string) error {
	if p.take(p.fetching, hostID, blobBurst, blobEvery) {
		return nil
	}
	return fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot give %s this content: it asks too often", hostID), "wait a minute")
}

func (p *pace) take(all map[string]*bucket, hostID string, burst float64, every time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	b := all[hostID]
	if b == nil {
		for id, o := range all { // who asked nothing for long has all of it again
			if now.Sub(o.at) > time.Duration(burst)*every {
				delete(all, id)
			}
		}
		b = &bucket{burst, now}
		all[hostID] = b
	}
	b.left, b.at = min(burst, b.left+float64(now.Sub(b.at))/float64(every)), now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
