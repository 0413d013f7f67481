package depots

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// certificate signs what a depot server shows to its clients. It gets its id and
// the name by which its row says that clients reach it, and no name that is
// another server's: with such a certificate it could pass for that one.
func certificate(c *methods.Call) (any, error) {
	depot, err := c.Text("depotId")
	if err == nil {
		err = own(c, depot)
	}
	if err != nil {
		return nil, err
	}
	request, err := c.Text("request")
	if err != nil {
		return nil, err
	}
	authority := c.Ports().Certificates
	if authority == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there is no authority here", c.Method.Name)
	}
	var names []string
	err = c.View(func(tx *store.Tx) (err error) { names, err = namesOf(tx, depot); return err })
	if err != nil {
		return nil, err
	}
	signed, err := authority.Sign([]byte(request), names)
	return string(signed), err
}

func namesOf(tx *store.Tx, depot string) ([]string, error) {
	servers, err := store.All[fleet.Host](tx, fleet.Hosts, fleet.Filter{"type": []string{fleet.OpsiDepotserver, fleet.OpsiConfigserver}})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(servers, func(h fleet.Host) bool { return string(h.ID) == depot && h.Type == fleet.OpsiDepotserver })
	if i < 0 {
		return nil, fleet.Errorf(fleet.NotFound, "cannot make a certificate for %.300q: there is no such depot server", depot)
	}
	names := []string{depot}
	if at := reachedAt(servers[i]); at != "" && at != depot {
		names = append(names, at)
	}
	for _, other := range servers {
		if string(other.ID) == depot {
			continue
		}
		for _, n := range names {
			if shared := n == string(other.ID) || n == reachedAt(other); shared && !loopback(n) {
				return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot make a certificate for %s: %s is the name of %s", depot, n, other.ID),
					"two servers need two names: set address in the depot's fernwerkd.toml")
			}
		}
	}
	return names, nil
}

// reachedAt is the name or address by which clients reach a depot.
func reachedAt(h fleet.Host) string {
	u, err := url.Parse(h.DepotWebdavURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

func loopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
