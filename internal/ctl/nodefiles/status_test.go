package nodefiles

import (
	"fmt"
	"testing"
)

// A short name that two hosts would have is nobody's, whichever of them wants it.
func TestLabels_OneHostEach(t *testing.T) {
	of, several := labels([][]string{
		{"vnode-0-2.grid.example.org", "10.134.0.2", "pc1.example.org"},
		{"vnode-0-2.elsewhere.example.org", "pc2.example.org", "pc2.grid.example.org"},
		{"pc3"},
	})
	if got := fmt.Sprint(of, several); got != "[[pc1] [pc2] []] [vnode-0-2]" {
		t.Error(got)
	}
}
