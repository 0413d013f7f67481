package command

import (
	"strings"
	"testing"
)

func TestTrust(t *testing.T) {
	dir := joined(t)
	digest := strings.Repeat("ab", 32)
	for _, step := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"policy"}, 0, "plain-opsi: signatures are not asked for", ""},
		{[]string{"pin"}, 0, "none\n", ""},
		{[]string{"policy", "offline"}, 1, "", "this machine has no trust root"},
		{[]string{"policy", "offlin"}, 2, "", "is no policy"},
		{[]string{"pin", "1"}, 2, "", "it wants VERSION and SHA256"},
		{[]string{"pin", "0", digest}, 2, "", "is not the VERSION and SHA256 of a root"},
		{[]string{"pin", "3", strings.ToUpper(digest)}, 0, "3 " + digest + "\n", ""},
		{[]string{"policy", "offline"}, 0, "offline: only what was signed by keys that are on no server", ""},
		{[]string{"policy"}, 0, "offline: ", ""},
		{[]string{"status"}, 4, "pin       root 3, " + digest, "agent"}, // it does not run: the identity is shown all the same
		{[]string{"policy", "plain-opsi"}, 0, "plain-opsi: ", ""},
	} {
		r := call(t.Context(), append([]string{"--data", dir, "trust"}, step.args...)...)
		if r.code != step.code || !strings.Contains(r.out, step.out) || !strings.Contains(r.err, step.errs) {
			t.Errorf("trust %q: %+v", step.args, r)
		}
	}
}
