package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// EventType is what makes an event occur.
type EventType string

// The types of events. A template only lends its keys.
const (
	DaemonStartup EventType = "daemon startup"
	GUIStartup    EventType = "gui startup"
	Timer         EventType = "timer"
	NetConnection EventType = "net connection"
	SyncCompleted EventType = "sync completed"
	Custom        EventType = "custom" // fired by hand or by another program, by its name
	Template      EventType = "template"
)

var eventTypes = []string{
	string(DaemonStartup), string(GUIStartup), string(Timer), string(NetConnection),
	string(SyncCompleted), string(Custom), string(Template),
}

// EventConfig is one event configuration, complete.
type EventConfig struct {
	ID      string // "sync_completed{cache_ready}"
	Name    string // "sync_completed"
	Variant string // "cache_ready", "" for the main one
	Type    EventType
	Active  bool
	// Preconditions are the state flags that must have the given value.
	Preconditions map[string]bool

	StartInterval time.Duration // timer: from the agent's start; 0: as Interval
	Interval      time.Duration // timer: between events; 0: only one

	SyncConfigToServer       bool
	SyncConfigFromServer     bool
	UseCachedConfig          bool
	PostSyncConfigToServer   bool
	PostSyncConfigFromServer bool
	CacheProducts            bool
	UseCachedProducts        bool
	DepotProtocol            string // webdav, cifs; "": as the host parameter says
	CacheMaxBandwidth        int64  // bytes a second; 0: unlimited
	CacheDynamicBandwidth    bool
	ProcessActions           bool
	Reboot                   bool
	Shutdown                 Shutdown
	Groups                   ProductGroups
}

// Shutdown is how reboots that come from an event are carried out.
type Shutdown struct {
	Requests bool          // of product actions, too
	Warning  time.Duration // from the request until it is carried out unasked
	Deferral int64         // how often people may put it off
	Repeat   time.Duration // for how long, each time
	Last     time.Duration // from the request on: not later; 0 is no limit
}

// ProductGroups are the product groups that a selection names.
type ProductGroups struct {
	Include []string // if any: only products of these
	Exclude []string // no product of these
}

// CacheGroups select what the caches hold, whatever the event.
func (s *Settings) CacheGroups() ProductGroups { return s.groups("cache_service") }

func (s *Settings) groups(section string) ProductGroups {
	return ProductGroups{
		Include: s.List(section, "include_product_group_ids"),
		Exclude: s.List(section, "exclude_product_group_ids"),
	}
}

// Resolve lists the event configurations by id, without templates, each with
// what it inherits.
func (s *Settings) Resolve() []EventConfig {
	events := slices.Clone(s.events)
	for i := range events {
		events[i].Preconditions = maps.Clone(events[i].Preconditions)
	}
	return events
}

const (
	eventPrefix        = "event_"
	preconditionPrefix = "precondition_"
)

func splitVariant(section string) (main, variant string) {
	main, variant, _ = strings.Cut(strings.TrimSuffix(section, "}"), "{")
	return main, variant
}

// sections lists those of a prefix that stand in some layer.
func (s *Settings) sections(prefix string) []string {
	found := map[string]bool{}
	for section := range s.headers {
		found[section] = true
	}
	for n := range s.values {
		found[n.section] = true
	}
	maps.DeleteFunc(found, func(section string, _ bool) bool { return !strings.HasPrefix(section, prefix) })
	return slices.Sorted(maps.Keys(found))
}

// line lists the sections that a section takes its values from: itself, those
// that super names, then the main event's.
func (s *Settings) line(section string) []string {
	if !strings.HasPrefix(section, eventPrefix) {
		return []string{section}
	}
	var line []string
	walk := func(at string) {
		for at != "" && !slices.Contains(line, at) {
			line = append(line, at)
			if super := s.raw(name{at, "super"}); super != "" {
				at = eventPrefix + super
			} else {
				return
			}
		}
	}
	walk(section)
	if main, variant := splitVariant(section); variant != "" {
		walk(main)
	}
	return line
}

// lends tells whether a section's value at from counts for section.
func (s *Settings) lends(section string, from name) bool {
	if len(s.values[from]) == 0 {
		return false
	}
	if from.section == section {
		return true
	}
	switch from.key {
	case "active", "preconditions", "super":
		return false
	case "type":
		return s.raw(from) != string(Template)
	}
	return true
}

// resolve makes the event configurations, or finds all that is wrong with them.
func (s *Settings) resolve() ([]EventConfig, []*Problem) {
	var events []EventConfig
	var problems []*Problem
	bad := func(section, key, format string, args ...any) {
		p := s.problem(name{section, key}, fmt.Sprintf(format, args...))
		if p.Layer == "" { // the key is missing: say it at the section's header
			p.Layer, p.Line = FromParameter, 0
			if h, ok := s.headers[section]; ok {
				p.Layer, p.Line = h.layer, h.line
			}
		}
		problems = append(problems, p)
	}
	ids := s.sections(eventPrefix)
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
	}
	names := func(prefix string, sections []string) []string {
		var out []string
		for _, section := range sections {
			out = append(out, strings.TrimPrefix(section, prefix))
		}
		return out
	}
	preconditions := names(preconditionPrefix, s.sections(preconditionPrefix))

	for _, section := range ids {
		main, variant := splitVariant(section)
		e := EventConfig{
			ID: strings.TrimPrefix(section, eventPrefix), Name: strings.TrimPrefix(main, eventPrefix), Variant: variant,
			Preconditions: map[string]bool{},
		}
		if super := s.raw(name{section, "super"}); super != "" {
			if !known[eventPrefix+super] {
				bad(section, "super", "there is no event %q%s", super, fleet.DidYouMean(super, names(eventPrefix, ids)))
			} else if s.inCircle(section) {
				bad(section, "super", "the event inherits from itself")
			}
		}
		if variant != "" && !known[main] {
			bad(section, "", "is a variant of [%s], which is not there%s", main, fleet.DidYouMean(main, ids))
			continue
		}
		wanted := parseList(s.raw(name{section, "preconditions"}))
		if variant != "" {
			wanted = append([]string{variant}, wanted...)
		}
		for _, p := range wanted {
			if !slices.Contains(preconditions, p) {
				bad(section, "preconditions", "there is no section [%s%s]%s", preconditionPrefix, p, fleet.DidYouMean(p, preconditions))
			}
			for _, flag := range s.flags(p) {
				want := s.Bool(preconditionPrefix+p, flag)
				if before, twice := e.Preconditions[flag]; twice && before != want {
					bad(section, "preconditions", "%s cannot be both true and false", flag)
				}
				e.Preconditions[flag] = want
			}
		}
		s.fill(&e, section)
		switch {
		case e.Type == "":
			bad(section, "type", "the event has no type, so that nothing makes it occur; the types are %s", strings.Join(eventTypes, ", "))
		case e.Type == Timer && e.Active && e.Interval == 0 && e.StartInterval == 0:
			bad(section, "interval", "a timer with neither interval nor start_interval never occurs")
		case e.Type != Template:
			events = append(events, e)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return events, nil
}

func (s *Settings) fill(e *EventConfig, section string) {
	e.Type = EventType(s.String(section, "type"))
	e.Active = s.Bool(section, "active")
	e.StartInterval, e.Interval = s.seconds(section, "start_interval"), s.seconds(section, "interval")
	e.SyncConfigToServer = s.Bool(section, "sync_config_to_server")
	e.SyncConfigFromServer = s.Bool(section, "sync_config_from_server")
	e.UseCachedConfig = s.Bool(section, "use_cached_config")
	e.PostSyncConfigToServer = s.Bool(section, "post_sync_config_to_server")
	e.PostSyncConfigFromServer = s.Bool(section, "post_sync_config_from_server")
	e.CacheProducts = s.Bool(section, "cache_products")
	e.UseCachedProducts = s.Bool(section, "use_cached_products")
	e.DepotProtocol = s.String(section, "depot_protocol")
	e.CacheMaxBandwidth = max(0, s.Int(section, "cache_max_bandwidth"))
	e.CacheDynamicBandwidth = s.Bool(section, "cache_dynamic_bandwidth")
	e.ProcessActions = s.Bool(section, "process_actions")
	e.Reboot = s.Bool(section, "reboot")
	e.Shutdown = Shutdown{Requests: s.Bool(section, "process_shutdown_requests"), Deferral: s.Int(section, "shutdown_user_cancelable"),
		Warning: s.seconds(section, "shutdown_warning_time"), Repeat: s.seconds(section, "shutdown_warning_repetition_time"),
		Last: s.seconds(section, "shutdown_last_time")}
	e.Groups = s.groups(section)
}

func (s *Settings) seconds(section, key string) time.Duration {
	return time.Duration(s.Int(section, key)) * time.Second
}

// flags lists the state flags that a precondition names.
func (s *Settings) flags(precondition string) []string {
	var flags []string
	for n := range s.values {
		if n.section == preconditionPrefix+precondition {
			flags = append(flags, n.key)
		}
	}
	slices.Sort(flags)
	return flags
}

// inCircle tells whether following super leads back to the section.
func (s *Settings) inCircle(section string) bool {
	seen := map[string]bool{}
	for at := section; !seen[at]; {
		seen[at] = true
		super := s.raw(name{at, "super"})
		if super == "" {
			return false
		}
		if at = eventPrefix + super; at == section {
			return true
		}
	}
	return false
}
