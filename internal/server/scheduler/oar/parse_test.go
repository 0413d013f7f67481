package oar

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"168":{"network_address":"vnode-2-98.grid.test","state":"Absent","next_state":"UnChanged","available_upto":1,"ip":"10.134.2.98","idhalepoch":"7","cluster":null}}`))
	f.Add([]byte("{}\n"))
	f.Add([]byte("/!\\ No nodes to display...\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parse(text)
		if err != nil && all != nil {
			t.Error("resources beside an error")
		}
		if len(all) > 0 {
			if s := state(all); s.Word == "" && all[0]["state"] != "" || s.Up != strings.Contains("+"+up(all), "+yes") {
				t.Errorf("%+v", s)
			}
		}
	})
}

func up(all []resource) (words string) {
	for _, r := range all {
		if r["state"] == alive {
			return "yes"
		}
	}
	return "no"
}

func TestParse_Refuses(t *testing.T) {
	for _, text := range []string{"", "null x", "{} {}", `{"1":{}`, `{"x":{}}`, `{"01":{}}`, "/!\\ No nodes to display...\n"} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
