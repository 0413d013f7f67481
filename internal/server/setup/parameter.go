package setup

import "github.com/fernwerk/fernwerk/internal/fleet"

// serverURL is the parameter by which clients learn where their server is.
const serverURL = "clientconfig.configserver.url"

func one(v any) []any { return []any{v} }

// parameters are the host parameters that opsi makes at its setup and clients
// ask for, with its defaults; the depot's protocol is WebDAV, as opsi has it
// where there is no file server beside it.
func parameters(self Self) []fleet.Config {
	return []fleet.Config{
		text(serverURL, "Where clients find their config server.", rpc(self.Reach)),
		text("clientconfig.depot.id", "The depot that serves a client.", self.ID),
		flag("clientconfig.depot.dynamic", "Whether a client chooses among the depots that have what it needs.", false),
		choice("clientconfig.depot.selection_mode", "How a client chooses its depot.", "network_address",
			"master_and_latency", "latency", "network_address", "random"),
		choice("clientconfig.depot.protocol", "How a client reads its depot.", "webdav", "cifs", "webdav"),
		choice("clientconfig.depot.protocol.netboot", "How a machine that boots from the network reads its depot.", "webdav", "cifs", "webdav"),
		text("clientconfig.depot.drive", "The drive letter under which Windows sees its depot.", "p:"),
		text("clientconfig.depot.user", "The user name for the depot's file share.", "pcpatch"),
		flag("clientconfig.suspend_bitlocker_on_reboot", "Whether BitLocker is suspended for the reboots of an installation.", false),
		text("clientconfig.windows.domain", "The Windows domain that a machine joins.", ""),
		flag("clientconfig.wan_vpn", "Whether a client caches its products, being often away.", false),
		flag("opsiclientd.global.verify_server_cert", "Whether a client checks its server's certificate.", true),
		flag("opsiclientd.global.install_opsi_ca_into_os_store", "Whether a client makes its system trust the server's authority.", true),
		text("opsiclientd.global.max_log_transfer_size", "How much of a log a client sends, in MB.", "1"),
		flag("opsiclientd.config_service.permanent_connection", "Whether a client stays connected to the message bus.", true),
		flag("opsiclientd.event_timer.active", "Whether a client acts by its timer.", false),
		flag("opsiclientd.event_net_connection.active", "Whether a client acts when its network comes up.", false),
		flag("opsiclientd.event_gui_startup.active", "Whether a client acts when its desktop starts.", true),
		flag("opsiclientd.event_gui_startup{user_logged_in}.active", "Whether a client acts when its desktop starts and somebody is logged in.", true),
		flag("license-management.use", "Whether licences are counted.", false),
		flag("software-on-demand.active", "Whether users may install products of the groups below by themselves.", false),
		text("software-on-demand.product-group-ids", "The product groups that users may install from.", "software-on-demand"),
		text("opsiconfd.transfer.slots_opsiclientd_product_sync", "How many clients may fill their product cache from one depot at once.", "100"),
	}
}

func flag(id, description string, value bool) fleet.Config {
	return fleet.Config{Type: fleet.BoolConfig, ID: fleet.ConfigID(id), Description: description,
		PossibleValues: []any{true, false}, DefaultValues: one(value)}
}

// text is a parameter that takes any text; "" is no value.
func text(id, description, value string) fleet.Config {
	c := fleet.Config{Type: fleet.UnicodeConfig, ID: fleet.ConfigID(id), Description: description, Editable: true}
	if value != "" {
		c.PossibleValues, c.DefaultValues = one(value), one(value)
	}
	return c
}

func choice(id, description, value string, possible ...any) fleet.Config {
	return fleet.Config{Type: fleet.UnicodeConfig, ID: fleet.ConfigID(id), Description: description,
		PossibleValues: possible, DefaultValues: one(value)}
}
