// Package setup puts into the store what every server has: its own row among
// the hosts, and opsi's standard host parameters.
//
// The row and the parameters are made together, once, in one transaction. The
// server's id is the row's and never changes afterwards, whatever becomes of
// the machine's name: clients, depots and the journal refer to it. What follows
// the configuration at every start is where the server is reached, in the row
// and in clientconfig.configserver.url; everything else is the administrator's.
package setup

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/methods/credential"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Self is what the server knows of itself.
type Self struct {
	ID    string // for the first start
	Reach string // HOST:PORT by which clients reach it
	Depot string // the depot's folder; those for packages lie beside it
	// Beside others the server leaves the address in the rows alone: it is theirs
	// too.
	Beside bool
}

// Server makes sure that the store knows its own server, and returns its id.
func Server(ctx context.Context, s *store.Store, self Self) (id string, err error) {
	err = s.Update(ctx, store.Origin{Actor: "server"}, func(tx *store.Tx) error {
		if err := credential.Ensure(tx); err != nil {
			return err
		}
		rows, err := store.All[fleet.Host](tx, fleet.Hosts, fleet.Filter{"type": fleet.OpsiConfigserver})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			id = self.ID
			return first(tx, self)
		}
		id = string(rows[0].ID)
		if self.Beside {
			return nil
		}
		return move(tx, rows[0], self)
	})
	return id, err
}

// first fills an empty store.
func first(tx *store.Tx, self Self) error {
	host, _, err := net.SplitHostPort(self.Reach)
	if err != nil {
		return err
	}
	err = tx.Put(fleet.Hosts, fleet.Hosts.Encode(fleet.Host{
		Type:           fleet.OpsiConfigserver,
		ID:             fleet.HostID(self.ID),
		Description:    "Fernwerk server",
		HostKey:        methods.NewHostKey(),
		DepotLocalURL:  "file://" + self.Depot,
		DepotRemoteURL: "smb://" + host + "/opsi_depot",
		DepotWebdavURL: webdav(self.Reach),
		IsMasterDepot:  true,
	}))
	if err == nil {
		err = tx.Patch(fleet.Hosts, packages(self))
	}
	if err != nil {
		return err
	}
	for _, p := range parameters(self) {
		row := fleet.Configs.Encode(p)
		if _, err := tx.Get(fleet.Configs, fleet.Row{"id": row["id"], "type": row["type"]}); fleet.CodeOf(err) != fleet.NotFound {
			if err != nil {
				return err
			}
			continue // kept from before: it is the administrator's
		}
		if err := tx.Put(fleet.Configs, row); err != nil {
			return err
		}
	}
	return nil
}

// move notes a new place of the server. The parameter follows only if it named
// the old place.
func move(tx *store.Tx, own fleet.Host, self Self) error {
	reach := self.Reach
	if own.RepositoryLocalURL == "" { // of a server that had no such folder
		if err := tx.Patch(fleet.Hosts, packages(Self{ID: string(own.ID), Reach: reach, Depot: self.Depot})); err != nil {
			return err
		}
	}
	if own.DepotWebdavURL == webdav(reach) {
		return nil
	}
	if err := tx.Patch(fleet.Hosts, packages(Self{ID: string(own.ID), Reach: reach, Depot: self.Depot})); err != nil {
		return err
	}
	err := tx.Patch(fleet.Hosts, fleet.Row{"type": fleet.OpsiConfigserver, "id": string(own.ID), "depotWebdavUrl": webdav(reach)})
	if err != nil {
		return err
	}
	configs, err := store.All[fleet.Config](tx, fleet.Configs, fleet.Filter{"id": serverURL})
	if err != nil || len(configs) == 0 {
		return err
	}
	former := strings.TrimSuffix(strings.TrimPrefix(own.DepotWebdavURL, "webdavs://"), "/depot")
	if !slices.Equal(configs[0].DefaultValues, one(rpc(former))) {
		return nil
	}
	return tx.Patch(fleet.Configs, fleet.Row{
		"type": configs[0].Type, "id": serverURL, "defaultValues": one(rpc(reach)), "possibleValues": one(rpc(reach)),
	})
}

// packages are the columns that say where packages are uploaded.
func packages(self Self) fleet.Row {
	return fleet.Row{
		"type": fleet.OpsiConfigserver, "id": self.ID,
		"repositoryLocalUrl": "file://" + filepath.Join(filepath.Dir(self.Depot), "repository"), "repositoryRemoteUrl": "webdavs://" + self.Reach + "/repository",
		"workbenchLocalUrl": "file://" + filepath.Join(filepath.Dir(self.Depot), "workbench"), "workbenchRemoteUrl": "webdavs://" + self.Reach + "/workbench",
	}
}

// Credentials are those by which a server is known to other servers.
func Credentials(ctx context.Context, s *store.Store, id string) (user, password string, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		row, err := tx.Get(fleet.Hosts, fleet.Row{"id": id})
		password = row.Str("opsiHostKey")
		return err
	})
	return id, password, err
}

func rpc(reach string) string    { return "https://" + reach + "/rpc" }
func webdav(reach string) string { return "webdavs://" + reach + "/depot" }
