package conf_test

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

func TestLoadSigned(t *testing.T) {
	file, err := conf.Parse(strings.NewReader("[control_server]\nport = 5001\n[global]\nlog_level = 4\n"))
	if err != nil {
		t.Fatal(err)
	}
	signed := []conf.Signed{
		{Name: "conf/all.conf", Text: []byte("[control_server]\nport = 5002\ninterface = 0.0.0.0\n[global]\nlog_level = 5\n[event_nightly]\ntype = timer\ninterval = 7\n")},
		{Name: "conf/vnode.conf", Text: []byte("[control_server]\nport = 5003\n[depot_server]\ncontent_policy = plain-opsi\n")},
	}
	s, err := conf.LoadSigned(file, signed, map[fleet.ConfigID][]any{"opsiclientd.global.log_level": {"6"}, "opsiclientd.control_server.port": {"6666"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[[2]string]string{{"control_server", "port"}: "5003", {"control_server", "interface"}: "0.0.0.0",
		{"global", "log_level"}: "6", {"depot_server", "content_policy"}: "plain-opsi", {"event_nightly", "interval"}: "7"} {
		if got := s.String(key[0], key[1]); got != want {
			t.Errorf("%v is %q, not %q", key, got, want)
		}
	}
	if r := s.Refused(); len(r) != 1 || !strings.Contains(r[0].Error(), "opsiclientd.control_server.port") || !strings.Contains(r[0].Error(), "class trust") {
		t.Errorf("refused %v", r)
	}
}

// A mistake in a signed file costs its key and no other.
func TestLoadSigned_Mistakes(t *testing.T) {
	for text, want := range map[string]string{
		"[control_server]\nport = many\ninterface = ::1\n":                   "line 2: [control_server] port: \"many\" is not a whole number",
		"[control_server]\nprot = 1\ninterface = ::1\n":                      `conf/all.conf: no such key; did you mean "port"?`,
		"[global]\nhost_id = pc1.x.org\n[control_server]\ninterface = ::1\n": "only the machine's own file may set it",
		"[global]\nbase_dir = /evil\n[control_server]\ninterface = ::1\n":    "only the machine's own file may set it",
		"no section": "conf/all.conf: ",
	} {
		s, err := conf.LoadSigned(nil, []conf.Signed{{Name: "conf/all.conf", Text: []byte(text)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Refused(); len(r) != 1 || !strings.Contains(r[0].Error(), want) || !strings.HasPrefix(r[0].Error(), "signed configuration, ") {
			t.Errorf("%q: refused %v", text, r)
		}
		if got := s.String("control_server", "interface"); text != "no section" && got != "::1" {
			t.Errorf("%q: the rest does not count: %q", text, got)
		}
		if got := s.String("control_server", "port"); got != "4441" {
			t.Errorf("%q: port %q", text, got)
		}
	}
}
