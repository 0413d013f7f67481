package shell

import (
	"strings"
	"testing"
)

func TestCheckPOSIX(t *testing.T) {
	for program, good := range map[string]bool{
		"if [ -f a ]; then echo b; fi\n": true,
		"cat <<'EOF'\n(\nEOF\n":          true,
		"a=(1 2)\n":                      false,
		"echo )\n":                       false,
		"cat <<EOF\nnever ends\n":        false,
		"if true; then\n":                false,
	} {
		if err := CheckPOSIX("x", strings.NewReader(program)); (err == nil) != good {
			t.Errorf("%q: %v", program, err)
		}
	}
}
