package freespace

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/test/require"
)

func TestOf_AgreesWithDf(t *testing.T) {
	if runtime.GOOS != "linux" {
		require.Skip(t, "GNU df", "this is "+runtime.GOOS)
	}
	df := require.Tool(t, "df")
	dir := t.TempDir()
	out, err := exec.Command(df, "--output=avail", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	want, err := strconv.ParseFloat(lines[len(lines)-1], 64)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Others write meanwhile.
	if got := float64(n); got < 0.9*want || got > 1.1*want {
		t.Errorf("Of = %d, df says %.0f", n, want)
	}
}

func TestOf_MissingPath(t *testing.T) {
	if _, err := Of(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v", err)
	}
}
