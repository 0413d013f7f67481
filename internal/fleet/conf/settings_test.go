package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

type params = map[fleet.ConfigID][]any

func load(t testing.TB, text string, p params) *conf.Settings {
	t.Helper()
	s, err := conf.Load(parse(t, text), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refused(s *conf.Settings) []string {
	var texts []string
	for _, p := range s.Refused() {
		texts = append(texts, p.Error())
	}
	return texts
}

func TestKeys_AreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range conf.Keys() {
		id := k.Section + "." + k.Name
		if seen[id] {
			t.Errorf("%s stands twice", id)
		}
		seen[id] = true
		if k.Doc == "" || k.Kind == "" || k.Class == "" || k.Kind == conf.Int && k.Unit == "" && k.Max == 0 {
			t.Errorf("%s lacks something: %+v", id, k)
		}
		// What is executed must never be settable from afar.
		if strings.Contains(k.Name, "command") && k.Class != conf.Code {
			t.Errorf("%s is executed and not of class code", id)
		}
	}
	// The seed's own keys, by name.
	for _, id := range []string{
		"global.verify_server_cert", "cache_service.product_cache_max_size", "cache_service.storage_dir",
		"event_*.cache_products", "event_*.cache_max_bandwidth", "event_*.cache_dynamic_bandwidth", "event_*.use_cached_products",
		"event_*.sync_config_to_server", "event_*.sync_config_from_server", "event_*.use_cached_config",
		"event_*.post_sync_config_to_server", "event_*.post_sync_config_from_server", "event_*.active",
	} {
		if !seen[id] {
			t.Errorf("no key %s", id)
		}
	}
}

func TestLoad_Defaults(t *testing.T) {
	s, err := conf.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.String("cache_service", "storage_dir"); got != "/var/lib/fernwerk-agent/cache" {
		t.Errorf("storage_dir = %q", got)
	}
	if got := s.Int("cache_service", "product_cache_max_size"); got != 20_000_000_000 {
		t.Errorf("product_cache_max_size = %d", got)
	}
	if !s.Bool("global", "verify_server_cert") || s.Int("control_server", "port") != 4441 {
		t.Error("defaults of the key table are not used")
	}
}

func TestLoad_LaterLayersWin(t *testing.T) {
	s := load(t, "[global]\nbase_dir = /data\nlog_level = 6\n[event_timer]\nactive = yes\n",
		params{"opsiclientd.global.log_level": {int64(7)}, "clientconfig.depot.id": {"x"}, `opsiclientd.event_opsiclientd_start\{cache_ready\}.active`: {false}})
	if len(s.Refused()) > 0 {
		t.Errorf("refused %v", refused(s))
	}
	tests := []struct{ section, key, want string }{
		{"global", "log_level", `[global] log_level = 7: host parameter opsiclientd.global.log_level; instead of "6" (file line 3)`},
		{"cache_service", "storage_dir", `[cache_service] storage_dir = /data/cache: default`},
		{"global", "base_dir", `[global] base_dir = /data: file line 2; instead of "/var/lib/fernwerk-agent" (built-in line 5)`},
		{"event_timer", "active", `[event_timer] active = yes: file line 5; instead of "false" (built-in line 76)`},
		{"event_timer", "cache_products", `[event_timer] cache_products = true: built-in line 31, inherited from [event_sync]`},
		{"event_opsiclientd_start{cache_ready}", "active", `[event_opsiclientd_start{cache_ready}] active = false: host parameter opsiclientd.event_opsiclientd_start{cache_ready}.active`},
		{"event_opsiclientd_start{cache_ready}", "type", `[event_opsiclientd_start{cache_ready}] type = daemon startup: built-in line 36, inherited from [event_opsiclientd_start]`},
	}
	for _, tt := range tests {
		e, err := s.Explain(tt.section, tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, e.String()); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := s.Explain("event_timer", "intervall"); err == nil || err.Error() != `cannot explain [event_timer] intervall: no such key; did you mean "interval"?` {
		t.Error(err)
	}
}

func TestLoad_NamesEveryMistakeOfTheFile(t *testing.T) {
	_, err := conf.Load(parse(t, `[global]
log_levle = 5
log_level = loud
verify_server_cert = maybe
base_dir = %global.base_dir%/x
host_id = %global.hostid%
[cache_servise]
storage_dir = /x
[event_tiemr]
[evnt_timer]
active = true
[control_server]
port = 70000
[event_x]
type = daemon startp
[precondition_y{z}]
config_cached = true
[precondition_cache_ready]
config_cachd = true
`), nil)
	want := `line 2: [global] log_levle: no such key; did you mean "log_level"?
line 3: [global] log_level: "loud" is not a whole number
line 4: [global] verify_server_cert: "maybe" is neither true nor false
line 5: [global] base_dir: %global.base_dir% contains itself
line 6: [global] host_id: %global.hostid%: no such key; did you mean "host_id"?
line 7: [cache_servise] no such section; did you mean "cache_service"?
line 10: [evnt_timer] no such section; did you mean "event_timer"?
line 13: [control_server] port: 70000 is not between 1 and 65535
line 15: [event_x] type: "daemon startp" is not one of daemon startup, gui startup, timer, net connection, sync completed, custom, template; did you mean "daemon startup"?
line 16: [precondition_y{z}] no such section
line 19: [precondition_cache_ready] config_cachd: no such key; did you mean "config_cached"?`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" || fleet.CodeOf(err) != fleet.Invalid {
		t.Errorf("%s (-want +got):\n%s", fleet.CodeOf(err), diff)
	}
}

func TestLoad_NamesMistakesBetweenSections(t *testing.T) {
	_, err := conf.Load(parse(t, `[event_a]
type = custom
super = snyc
[event_b]
super = c
[event_c]
super = b
type = custom
[event_d]
active = true
[event_e{cache_ready}]
active = true
[event_on_demand{cache_redy}]
[event_f]
type = timer
[event_g]
type = custom
preconditions = cache_ready, not_ready
[precondition_not_ready]
config_cached = false
`), nil)
	want := `line 3: [event_a] super: there is no event "snyc"; did you mean "sync"?
line 5: [event_b] super: the event inherits from itself
line 7: [event_c] super: the event inherits from itself
line 9: [event_d] type: the event has no type, so that nothing makes it occur; the types are daemon startup, gui startup, timer, net connection, sync completed, custom, template
line 11: [event_e{cache_ready}] is a variant of [event_e], which is not there; did you mean "event_a"?
line 13: [event_on_demand{cache_redy}] preconditions: there is no section [precondition_cache_redy]; did you mean "cache_ready"?
line 14: [event_f] interval: a timer with neither interval nor start_interval never occurs
line 18: [event_g] preconditions: config_cached cannot be both true and false`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoad_RefusesHostParameters(t *testing.T) {
	s := load(t, "[global]\nlog_level = 6\n", params{
		"opsiclientd.global.verify_server_cert":                {false},
		"opsiclientd.config_service.url":                       {"https://evil:4447/rpc"},
		"opsiclientd.cache_service.storage_dir":                {"/"},
		"opsiclientd.control_server.interface":                 {"0.0.0.0"},
		"opsiclientd.action_processor.command":                 {"rm -rf /"},
		"opsiclientd.event_timer.post_event_command":           {"x"},
		"opsiclientd.global.log_level":                         {"loud"},
		"opsiclientd.event_timer.interval":                     {int64(60), int64(70)},
		"opsiclientd.event_user_login.active":                  {false},
		"opsiclientd.event_sync.super":                         {"nobody"},
		"opsiclientd.event_timer.super":                        {"x\n[global]"},
		"opsiclientd.global":                                   {"x"},
		"opsiclientd.event_timer.active":                       {true},
		"opsiclientd.event_new.type":                           {"timer"},
		"opsiclientd.event_new.interval":                       {int64(60)},
		"opsiclientd.event_new{cache_ready}.reboot":            {true},
		"opsiclientd.event_bad}.type":                          {"timer"},
		"opsiclientd.event_on_demand.preconditions":            {"cache_ready", "user_logged_in"},
		"opsiclientd.event_net_connection.cache_max_bandwidth": {"-5"},
	})
	want := []string{
		`host parameter opsiclientd.action_processor.command: no such section`,
		`host parameter opsiclientd.cache_service.storage_dir: is of class trust: only the machine's own file and a signed one may set it`,
		`host parameter opsiclientd.config_service.url: is of class trust: only the machine's own file and a signed one may set it`,
		`host parameter opsiclientd.control_server.interface: is of class trust: only the machine's own file and a signed one may set it`,
		`host parameter opsiclientd.event_bad}.type: wants opsiclientd.<section>.<key>`,
		`host parameter opsiclientd.event_sync.super: there is no event "nobody"`,
		`host parameter opsiclientd.event_timer.interval: has 2 values, not one`,
		`host parameter opsiclientd.event_timer.post_event_command: no such key`,
		`host parameter opsiclientd.event_timer.super: is not one line of at most 16384 bytes`,
		`host parameter opsiclientd.event_user_login.active: the event has no type, so that nothing makes it occur; the types are daemon startup, gui startup, timer, net connection, sync completed, custom, template`,
		`host parameter opsiclientd.global.log_level: "loud" is not a whole number`,
		`host parameter opsiclientd.global.verify_server_cert: is of class trust: only the machine's own file and a signed one may set it`,
		`host parameter opsiclientd.global: wants opsiclientd.<section>.<key>`,
	}
	if diff := cmp.Diff(want, refused(s)); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	// What was right counts all the same.
	if !s.Bool("event_timer", "active") || s.Int("global", "log_level") != 6 || !s.Bool("event_new{cache_ready}", "reboot") {
		t.Error("a wrong host parameter costs a right one")
	}
	for _, e := range s.Resolve() {
		if e.ID == "on_demand" && len(e.Preconditions) != 3 || e.ID == "net_connection" && e.CacheMaxBandwidth != 0 {
			t.Errorf("%+v", e)
		}
	}
}

// Only data may come from the server, whatever keys are added to the table.
// Nobody is warned of the parameters that every server has for opsi's own client.
func TestLoad_DefaultsForOpsisClient(t *testing.T) {
	s := load(t, "", params{"opsiclientd.global.verify_server_cert": {true}, "opsiclientd.global.install_opsi_ca_into_os_store": {true},
		"opsiclientd.global.max_log_transfer_size": {"1"}, "opsiclientd.config_service.permanent_connection": {true}})
	if refused := s.Refused(); len(refused) > 0 || !s.Bool("global", "verify_server_cert") {
		t.Error(refused)
	}
}

func TestLoad_OnlyDataComesFromHostParameters(t *testing.T) {
	for _, k := range conf.Keys() {
		section := strings.Replace(k.Section, "*", "sync", 1)
		value := map[conf.Kind]string{conf.Bool: "false", conf.Int: "5", conf.String: "sync_completed", conf.List: ""}[k.Kind]
		if len(k.Values) > 0 {
			value = k.Values[0]
		}
		s := load(t, "[precondition_sync]\n", params{fleet.ConfigID("opsiclientd." + section + "." + k.Name): {value}})
		e, err := s.Explain(section, k.Name)
		if err != nil {
			t.Fatal(err)
		}
		if took := e.Layer == conf.FromParameter; took != (k.Class == conf.Data) {
			t.Errorf("%s.%s of class %s: taken %v, refused %v", section, k.Name, k.Class, took, refused(s))
		}
	}
}

func TestLoad_BoundsWhatAServerSends(t *testing.T) {
	p := params{}
	for i := range 3000 {
		p[fleet.ConfigID("opsiclientd.event_x"+strings.Repeat("y", i%90)+string(rune('a'+i/90%26))+".active")] = []any{true}
	}
	p["opsiclientd.event_a.type"] = []any{"custom"}
	s := load(t, "", p)
	if len(s.Refused()) < 1000 || len(s.Resolve()) == 0 {
		t.Errorf("%d refused", len(s.Refused()))
	}
	bomb := "[global]\nhost_id = x" + strings.Repeat("%global.base_dir%", 16) + "\nbase_dir = " + strings.Repeat("%config_service.url%", 16) +
		"\n[config_service]\nurl = " + strings.Repeat("%cache_service.storage_dir%", 16) + "\n[cache_service]\nstorage_dir = " + strings.Repeat("%control_server.interface%", 16) +
		"\n[control_server]\ninterface = " + strings.Repeat("x", 1000)
	if _, err := conf.Load(parse(t, bomb), nil); err == nil {
		t.Error("a bomb of placeholders is taken")
	}
}
