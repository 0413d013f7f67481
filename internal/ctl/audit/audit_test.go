package audit

import (
	"testing"
	"time"
)

func TestInert(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "reception": "reception", "a=b": "a=b", "2026-11-25": "2026-11-25",
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "  =1": "'  =1",
	} {
		if got := inert(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "", "2026-11-01": "2026-11-01 00:00:00", "2026-11-01 10:00:00": "2026-11-01 10:00:00", "24h": "2026-11-24 12:00:00",
		"30d": "2026-10-26 12:00:00", "90m": "2026-11-25 10:30:00", "2026-11-01T10:00:00+02:00": "2026-11-01 08:00:00",
	} {
		if got, err := moment(text, now); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "1", "d", "01.11.2026"} {
		if got, err := moment(text, now); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}
