package conf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Kind is the form of a key's value.
type Kind string

// The kinds. A Bool is true, yes, on, 1 or false, no, off, 0; a List is
// separated by commas.
const (
	Bool   Kind = "boolean"
	Int    Kind = "integer"
	String Kind = "string"
	List   Kind = "list"
)

// Class says who may set a key.
type Class string

// The classes.
const (
	Data  Class = "data"  // the file and host parameters
	Code  Class = "code"  // executed: the machine's file and signed ones
	Trust Class = "trust" // decides whom to believe, what is exposed, where root writes: likewise
)

// Key is a key that the agent knows.
type Key struct {
	Section  string // a name, or "event_*" and "precondition_*" for all of that beginning
	Name     string
	Kind     Kind
	Default  string
	Class    Class
	Unit     string   // of integers
	Min, Max int64    // of integers; both 0: any
	Values   []string // of strings, when only these make sense
	Doc      string   // one line
}

var keys = []Key{
	{Section: "global", Name: "host_id", Kind: String, Class: Trust, Doc: "this client's opsi-host-Id, its full name; joining sets it"},
	{Section: "global", Name: "base_dir", Kind: String, Class: Trust, Doc: "the agent's data folder"},
	{Section: "global", Name: "log_level", Kind: Int, Default: "5", Class: Data, Max: 9, Doc: "0 logs nothing, 4 warnings, 5 notices, 6 information, 7 and more everything"},
	{Section: "global", Name: "verify_server_cert", Kind: Bool, Default: "true", Class: Trust, Doc: "connect only servers whose certificate can be verified"},

	{Section: "config_service", Name: "url", Kind: String, Class: Trust, Doc: "address of the config service, https://host:4447/rpc; joining sets it"},
	{Section: "config_service", Name: "connection_timeout", Kind: Int, Default: "30", Class: Data, Unit: "seconds", Min: 1, Max: 3600, Doc: "how long to wait for a connection"},

	{Section: "config_service", Name: "permanent_connection", Kind: Bool, Default: "false", Class: Data, Doc: "stay connected to the server's message bus, by which events are fired at once"},
	{Section: "config_service", Name: "reconnect_wait_min", Kind: Int, Default: "5", Class: Data, Unit: "seconds", Min: 1, Max: 86400, Doc: "least time before the message bus is connected again"},
	{Section: "config_service", Name: "reconnect_wait_max", Kind: Int, Default: "120", Class: Data, Unit: "seconds", Min: 1, Max: 86400, Doc: "most time; it is drawn between the two, so that not all come at once"},

	{Section: "config_service", Name: "contact_interval", Kind: Int, Default: "1800", Class: Data, Unit: "seconds", Min: 5, Max: 86400, Doc: "time between two contacts, by which revocations and renewed certificates come; a fifth more or less, so that not all come at once"},

	{Section: "cache_service", Name: "storage_dir", Kind: String, Default: "%global.base_dir%/cache", Class: Trust, Doc: "folder that holds the caches: depot and config"},
	{Section: "cache_service", Name: "product_cache_max_size", Kind: Int, Default: "20000000000", Class: Data, Unit: "bytes", Max: math.MaxInt64, Doc: "upper limit of the product cache"},
	{Section: "cache_service", Name: "include_product_group_ids", Kind: List, Class: Data, Doc: "product groups whose products are cached and installed, with what they depend on; none: all products"},
	{Section: "cache_service", Name: "exclude_product_group_ids", Kind: List, Class: Data, Doc: "product groups whose products are neither cached nor installed, unless another product depends on them"},

	{Section: "feed", Name: "url", Kind: String, Class: Trust, Doc: "folder of a foreign feed to follow, http://SERVER:8080/feed; empty: none"},
	{Section: "feed", Name: "fingerprint", Kind: String, Class: Trust, Doc: "the key of that feed, 40 hexadecimal digits"},
	{Section: "feed", Name: "site", Kind: String, Class: Trust, Doc: "take only scripts of this site; empty: any that the key signed"},
	{Section: "feed", Name: "ca", Kind: String, Class: Trust, Doc: "PEM file of the authority of an https:// address; empty: the system's"},
	{Section: "feed", Name: "interval", Kind: Int, Default: "900", Class: Data, Unit: "seconds", Min: 5, Max: 604800, Doc: "time between two looks at the feed"},

	{Section: "depot_server", Name: "master_depot_id", Kind: String, Class: Data, Doc: "the client's depot; empty: the host parameter clientconfig.depot.id"},
	{Section: "depot_server", Name: "depot_id", Kind: String, Class: Data, Doc: "the depot to fetch from, whatever would be chosen"},
	{Section: "depot_server", Name: "url", Kind: String, Class: Trust, Doc: "address of the depot, webdavs:// or smb://, in place of its own"},
	{Section: "depot_server", Name: "username", Kind: String, Class: Data, Doc: "user of the depot's share; empty: the host parameter clientconfig.depot.user"},
	{Section: "depot_server", Name: "password", Kind: String, Class: Trust, Doc: "its password; empty: the server is asked"},
	{Section: "depot_server", Name: "content_policy", Kind: String, Default: "verified", Class: Trust, Values: []string{"verified", "plain-opsi"}, Doc: "verified: products only with a manifest of ours (SHA-256); plain-opsi: also by .files alone (MD5)"},

	{Section: "updates", Name: "interval", Kind: Int, Default: "3600", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "time between two questions for run-once updates; 0: only at the agent's start"},
	{Section: "updates", Name: "spread", Kind: Int, Default: "600", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "up to so much later, drawn each time, so that not all hosts ask at once; at the start at most a minute"},

	{Section: "tunnel_*", Name: "active", Kind: Bool, Default: "false", Class: Trust, Doc: "enter the server's tunnel of that name with openvpn, and stay in it"},
	{Section: "tunnel_*", Name: "dns", Kind: String, Default: "auto", Class: Trust, Values: []string{"auto", "resolvectl", "resolvconf", "file", "none"}, Doc: "who is told of the DNS servers that the tunnel brings: systemd-resolved, resolvconf, /etc/resolv.conf itself, nobody; auto takes the first that the machine has"},
	{Section: "mesh", Name: "enabled", Kind: Bool, Default: "false", Class: Trust, Doc: "take this machine into the mesh of its server, if its node type uses it"},
	{Section: "mesh", Name: "port", Kind: Int, Default: "4243", Class: Trust, Min: 1, Max: 65535, Doc: "UDP port by which other nodes reach this machine"},
	{Section: "mesh", Name: "device", Kind: String, Default: "fwmesh", Class: Trust, Doc: "the mesh's network interface; on macOS utun and a number"},
	{Section: "mesh", Name: "dns", Kind: String, Default: "auto", Class: Trust, Values: []string{"auto", "resolvectl", "resolvconf", "file", "none"}, Doc: "who is told of the DNS servers that the mesh brings: systemd-resolved, resolvconf, /etc/resolv.conf itself, nobody; auto takes the first that the machine has"},
	{Section: "mesh", Name: "program", Kind: String, Class: Trust, Doc: "path of fernwerk-mesh; empty: beside the agent, or where the system looks for programs"},

	{Section: "files", Name: "root", Kind: String, Default: "/", Class: Trust, Doc: "folder that the paths of the node type's files are in"},
	{Section: "files", Name: "restart", Kind: String, Class: Code, Doc: "command that restarts a service whose file changed, %u in the service's place; empty: systemctl try-restart"},
	{Section: "reboot", Name: "command", Kind: List, Class: Code, Doc: "program and arguments that restart the machine; empty: the system's own, if a service manager runs the agent, else nothing does"},
	{Section: "reboot", Name: "notifier", Kind: List, Class: Code, Doc: "program and arguments that tell people of a reboot that waits, with the text as one more argument; empty: wall, where there is one"},

	{Section: "control_server", Name: "interface", Kind: String, Default: "127.0.0.1", Class: Trust, Doc: "address that the agent's own service listens on"},
	{Section: "control_server", Name: "port", Kind: Int, Default: "4441", Class: Trust, Min: 1, Max: 65535, Doc: "port of the agent's own service"},

	{Section: "event_*", Name: "type", Kind: String, Class: Data, Values: eventTypes, Doc: "what makes the event occur"},
	{Section: "event_*", Name: "super", Kind: String, Class: Data, Doc: "name of the event that lends the keys that are missing here"},
	{Section: "event_*", Name: "active", Kind: Bool, Default: "true", Class: Data, Doc: "whether this event configuration counts"},
	{Section: "event_*", Name: "start_interval", Kind: Int, Default: "0", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "timer: from the agent's start to the first event; 0: as interval"},
	{Section: "event_*", Name: "interval", Kind: Int, Default: "0", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "timer: from one event to the next; 0: no further one"},
	{Section: "event_*", Name: "preconditions", Kind: List, Class: Data, Doc: "preconditions that must hold, beside the one in the section's name"},
	{Section: "event_*", Name: "sync_config_to_server", Kind: Bool, Default: "false", Class: Data, Doc: "transfer tracked changes to the server, and wait for it"},
	{Section: "event_*", Name: "sync_config_from_server", Kind: Bool, Default: "false", Class: Data, Doc: "replicate the configuration from the server"},
	{Section: "event_*", Name: "use_cached_config", Kind: Bool, Default: "false", Class: Data, Doc: "process actions with the Client-Cache-Backend; stop with an error when it is not synchronised"},
	{Section: "event_*", Name: "post_sync_config_to_server", Kind: Bool, Default: "false", Class: Data, Doc: "as sync_config_to_server, after the actions"},
	{Section: "event_*", Name: "post_sync_config_from_server", Kind: Bool, Default: "false", Class: Data, Doc: "as sync_config_from_server, after the actions"},
	{Section: "event_*", Name: "cache_products", Kind: Bool, Default: "false", Class: Data, Doc: "cache the products that have an action request"},
	{Section: "event_*", Name: "use_cached_products", Kind: Bool, Default: "false", Class: Data, Doc: "process actions from the product cache; stop with an error when it is not complete"},
	{Section: "event_*", Name: "depot_protocol", Kind: String, Class: Data, Values: []string{"webdav", "cifs"}, Doc: "how the depot is read; empty: the host parameter clientconfig.depot.protocol"},
	{Section: "event_*", Name: "cache_max_bandwidth", Kind: Int, Default: "0", Class: Data, Unit: "bytes a second", Doc: "upper limit of caching; 0 or less: unlimited"},
	{Section: "event_*", Name: "cache_dynamic_bandwidth", Kind: Bool, Default: "false", Class: Data, Doc: "let caching yield to other traffic"},
	{Section: "event_*", Name: "include_product_group_ids", Kind: List, Class: Data, Doc: "as in cache_service, for this event; both must let a product through"},
	{Section: "event_*", Name: "exclude_product_group_ids", Kind: List, Class: Data, Doc: "as in cache_service, for this event"},
	{Section: "event_*", Name: "process_actions", Kind: Bool, Default: "true", Class: Data, Doc: "process the product actions"},
	{Section: "event_*", Name: "reboot", Kind: Bool, Default: "false", Class: Data, Doc: "request a reboot at the end of the event"},

	{Section: "event_*", Name: "process_shutdown_requests", Kind: Bool, Default: "true", Class: Data, Doc: "carry out the reboots that product actions ask for; else they are shown only"},
	{Section: "event_*", Name: "shutdown_warning_time", Kind: Int, Default: "0", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "time from a reboot's request until it is carried out unasked"},
	{Section: "event_*", Name: "shutdown_user_cancelable", Kind: Int, Default: "0", Class: Data, Max: 1000, Doc: "how often people may put the reboot off"},
	{Section: "event_*", Name: "shutdown_warning_repetition_time", Kind: Int, Default: "3600", Class: Data, Unit: "seconds", Min: 1, Max: maxSeconds, Doc: "for how long it is put off, each time"},
	{Section: "event_*", Name: "shutdown_last_time", Kind: Int, Default: "0", Class: Data, Unit: "seconds", Max: maxSeconds, Doc: "time from the request on after which it is carried out whatever was put off; 0: no such limit"},

	{Section: "precondition_*", Name: "config_cached", Kind: Bool, Class: Data, Doc: "the config cache is synchronised"},
	{Section: "precondition_*", Name: "products_cached", Kind: Bool, Class: Data, Doc: "the product cache holds all that is needed"},
	{Section: "precondition_*", Name: "installation_pending", Kind: Bool, Class: Data, Doc: "an installation waits to go on"},
	{Section: "precondition_*", Name: "user_logged_in", Kind: Bool, Class: Data, Doc: "somebody is logged in"},
}

// maxSeconds is a year, far from where a time.Duration ends.
const maxSeconds = 366 * 24 * 3600

// Keys lists all keys, by section, as documentation shows them.
func Keys() []Key { return slices.Clone(keys) }

func (k Key) covers(section string) bool {
	if prefix, ok := strings.CutSuffix(k.Section, "*"); ok {
		return strings.HasPrefix(section, prefix) && len(section) > len(prefix) &&
			(prefix == eventPrefix || !strings.Contains(section, "{"))
	}
	return k.Section == section
}

// find returns the key, or why there is none.
func find(section, name string) (Key, error) {
	var names []string
	for _, k := range keys {
		if k.covers(section) {
			if k.Name == name {
				return k, nil
			}
			names = append(names, k.Name)
		}
	}
	if names == nil {
		return Key{}, unknownSection(section)
	}
	return Key{}, fmt.Errorf("no such key%s", fleet.DidYouMean(name, names))
}

func knownSection(section string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.covers(section) })
}

func unknownSection(section string) error {
	head, rest, _ := strings.Cut(section, "_")
	var names []string
	for _, k := range keys {
		name, free := strings.CutSuffix(k.Section, "*")
		if free { // what comes after the prefix is no mistake
			if fleet.DidYouMean(head+"_", []string{name}) == "" {
				continue
			}
			name += rest
		}
		if name != section && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return fmt.Errorf("no such section%s", fleet.DidYouMean(section, names))
}

// check tells what is wrong with a value, placeholders already replaced.
func (k Key) check(value string) error {
	switch k.Kind {
	case Bool:
		_, err := parseBool(value)
		return err
	case Int:
		n, err := parseInt(value)
		if err != nil {
			return err
		}
		if (k.Min != 0 || k.Max != 0) && (n < k.Min || n > k.Max) {
			return fmt.Errorf("%d is not between %d and %d", n, k.Min, k.Max)
		}
	case String:
		if len(k.Values) > 0 && !slices.Contains(k.Values, value) {
			return fmt.Errorf("%q is not one of %s%s", value, strings.Join(k.Values, ", "), fleet.DidYouMean(value, k.Values))
		}
	}
	return nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

func parseList(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
