package conf

import (
	"bytes"
	"slices"
	"strings"
)

// Signed is a configuration file that was signed offline for many machines. It may
// set keys of every class; the caller has verified it.
type Signed struct {
	Name string // for messages: conf/all.conf
	Text []byte
}

// ownKeys say who one machine is and where its things lie: no file for many
// machines can.
var ownKeys = []name{{"global", "host_id"}, {"global", "base_dir"}, {"config_service", "url"}}

// laySigned lays a signed file over what is there. Whoever signs is far away, so a
// mistake costs the key that it is in, and the rest still counts.
func (s *Settings) laySigned(f Signed) {
	file, err := Parse(bytes.NewReader(f.Text))
	if err != nil {
		s.refuse(name{}, origin{layer: FromSigned}, f.Name+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	given := map[name]origin{}
	for e := range file.Entries() {
		n, o := name{e.Section, e.Key}, origin{e.Value, FromSigned, e.Line}
		_, err := find(e.Section, e.Key)
		switch {
		case err != nil:
			s.refuse(n, o, f.Name+": "+err.Error())
		case slices.Contains(ownKeys, n):
			s.refuse(n, o, f.Name+": only the machine's own file may set it")
		default:
			given[n] = o
		}
	}
	s.accept(given)
}
