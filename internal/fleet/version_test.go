package fleet

import "testing"

func TestCompareVersions(t *testing.T) {
	ordered := []string{"0-1", "1-1", "1-2", "1.0-1", "1.2-1", "1.2-10", "1.10-1", "1.10a-1", "1.10b-1", "2-1", "128.3.1esr-1"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := CompareVersions(a, b), min(1, max(-1, i-j)); got != want {
				t.Errorf("CompareVersions(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if CompareVersions("1.02-1", "1.2-1") != 0 {
		t.Error("leading zeros count")
	}
}
