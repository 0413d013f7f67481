package action

import (
	"cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Apply makes of a result the row to record, as opsi means it. poc is the
// product's row on this client in the transaction that records the result, zero
// if there is none; the row returned is whole.
//
//	              installationStatus  versions   actionRequest
//	setup         installed           the job's  none
//	update        installed           the job's  none
//	uninstall     not_installed       emptied    none
//	once, custom  as before           as before  none
//	always        as before           as before  always
//	failed:
//	setup, update, uninstall
//	              unknown             as before  none
//	once, custom  as before           as before  none
//	always        as before           as before  always
//
// An action that was requested meanwhile in place of the one that ran was not
// done, so it stays. What "always" asks for is asked for at every event, also
// after a bad day.
func Apply(poc fleet.ProductOnClient, job Job, r Result) fleet.Row {
	poc.ProductID = job.Product.ID
	poc.ProductType = cmp.Or(job.Product.Type, fleet.LocalbootProduct)
	poc.ClientID = job.HostID
	poc.LastAction = job.Action
	poc.ActionResult = r.Status
	poc.ActionProgress = ""
	poc.InstallationStatus = cmp.Or(poc.InstallationStatus, fleet.NotInstalled)
	poc.ActionRequest = cmp.Or(poc.ActionRequest, fleet.None)
	if poc.ActionRequest == job.Action && job.Action != fleet.Always {
		poc.ActionRequest = fleet.None
	}
	if poc.ActionRequest == fleet.None {
		poc.ActionSequence = -1
	}
	if r.Status != fleet.Successful {
		poc.ActionProgress = short(r.Text)
	}
	switch job.Action {
	case fleet.Setup, fleet.Update, fleet.Uninstall:
		switch {
		case r.Status != fleet.Successful:
			poc.InstallationStatus = fleet.Unknown
		case job.Action == fleet.Uninstall:
			poc.InstallationStatus = fleet.NotInstalled
			poc.ProductVersion, poc.PackageVersion = "", ""
		default:
			poc.InstallationStatus = fleet.Installed
			poc.ProductVersion, poc.PackageVersion = job.Product.ProductVersion, job.Product.PackageVersion
		}
	}
	row := fleet.ProductsOnClients.Encode(poc)
	// Emptied on purpose: over the wire, no value means "leave alone".
	for _, name := range []string{"productVersion", "packageVersion", "actionProgress"} {
		if row[name] == nil {
			row[name] = ""
		}
	}
	return row
}
