package tunnel

import (
	"fmt"
	"testing"
	"time"
)

// The same is noted once an hour, with how often it happened; another reason is another
// note, and what is remembered is bounded.
func TestNotes(t *testing.T) {
	all, now := notes{}, time.Now()
	n := Note{HostID: "pc1.example.org", Op: "tunnel refused", Why: "the identity of pc1 was revoked"}
	if more, due := all.due(n, now); !due || more != 0 {
		t.Error("the first is not noted")
	}
	for range 100 {
		if _, due := all.due(n, now.Add(time.Minute)); due {
			t.Fatal("it is noted again")
		}
	}
	other := n
	other.Why = "another"
	if _, due := all.due(other, now); !due {
		t.Error("another reason is not noted")
	}
	if more, due := all.due(n, now.Add(time.Hour)); !due || more != 100 {
		t.Errorf("an hour later: %v, %d times", due, more)
	}
	for i := range 2 * mostNoted {
		other.HostID = fmt.Sprint("pc", i)
		all.due(other, now)
	}
	if len(all) > mostNoted {
		t.Errorf("%d are remembered", len(all))
	}
	if _, due := all.due(Note{HostID: "late"}, now.Add(2*time.Hour)); !due {
		t.Error("what is old is not forgotten")
	}
}
