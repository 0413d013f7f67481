package fleet

// Identifiers are types of their own, so that arguments cannot be swapped.
type (
	// HostID is a host's full name in lower case, at least three labels.
	HostID string
	// ProductID names a product in all its versions.
	ProductID string
	// ConfigID names a host parameter, such as "opsiclientd.event_timer.active".
	ConfigID string
	// ObjectID is a host id or, in product groups, a product id.
	ObjectID string
)

// Action is what shall be done, or was done, with a product on a host.
type Action string

// The actions. Setup, Uninstall, Update, Once and Custom are done once;
// Always at every event. The order is opsi's rank among several for one product.
const (
	Setup     Action = "setup"
	Update    Action = "update"
	Always    Action = "always"
	Once      Action = "once"
	Custom    Action = "custom"
	Uninstall Action = "uninstall"
	None      Action = "none"
)

// Installation status of a product on a host.
const (
	Installed    = "installed"
	NotInstalled = "not_installed"
	Unknown      = "unknown"
)

// Action results.
const (
	Successful = "successful"
	Failed     = "failed"
)

// Concrete types that code names.
const (
	OpsiClient       = "OpsiClient"
	OpsiDepotserver  = "OpsiDepotserver"
	OpsiConfigserver = "OpsiConfigserver"
	LocalbootProduct = "LocalbootProduct"
	NetbootProduct   = "NetbootProduct"
	BoolConfig       = "BoolConfig"
	UnicodeConfig    = "UnicodeConfig"
	ProductGroup     = "ProductGroup"
	HostGroup        = "HostGroup"
)
