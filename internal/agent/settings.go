package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods/params"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// ConfFile is where an agent's configuration lies.
func ConfFile(dataDir string) string { return filepath.Join(dataDir, "agent.conf") }

// LoadConf reads the configuration file, or an empty one if there is none, with
// the data folder as its base.
func LoadConf(dataDir string) (*conf.File, error) {
	data, err := os.ReadFile(ConfFile(dataDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	file, err := conf.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %s: %w", ConfFile(dataDir), err)
	}
	if _, given := file.Get("global", "base_dir"); !given {
		abs, err := filepath.Abs(dataDir)
		if err != nil {
			return nil, err
		}
		if err := file.Set("global", "base_dir", abs); err != nil {
			return nil, fmt.Errorf("cannot use data folder %s: %w", abs, err)
		}
	}
	if _, err := conf.Load(file, nil); err != nil {
		return nil, fmt.Errorf("cannot use the configuration %s: %w", ConfFile(dataDir), err)
	}
	return file, nil
}

// settings are the configuration file's, under what was signed for this machine,
// under the host parameters that the cache has now.
func (a *Agent) settings(tx *store.Tx) (*conf.Settings, error) {
	params, err := params.Of(tx, a.id.HostID, "opsiclientd.*")
	if err != nil {
		return nil, err
	}
	s, err := conf.LoadSigned(a.file, a.trust.Configuration(a.id.NodeType), params)
	if err != nil {
		return nil, err
	}
	a.report(s)
	return s, nil
}

// now are the settings as they are.
func (a *Agent) now(ctx context.Context) (s *conf.Settings, err error) {
	err = a.store.View(ctx, func(tx *store.Tx) error { s, err = a.settings(tx); return err })
	return s, err
}

// own are the settings that the server has no word in: the configuration file's,
// and what was signed for this machine.
func (a *Agent) own() (*conf.Settings, error) {
	return conf.LoadSigned(a.file, a.trust.Configuration(a.id.NodeType), nil)
}

// report logs what of the configuration does not count here, when that changed:
// the settings are read at every event.
func (a *Agent) report(s *conf.Settings) {
	var all []string
	for _, p := range s.Refused() {
		all = append(all, p.Error())
	}
	for _, e := range s.Resolve() {
		all = append(all, missing(e)...)
	}
	text := strings.Join(all, "; ")
	a.mu.Lock()
	defer a.mu.Unlock()
	if text != a.refused && text != "" {
		a.cfg.Log.Warn("configuration that does not count here", "problems", text)
	}
	a.refused = text
}

// missing says what an active event configuration asks for that this agent
// does not have.
func missing(e conf.EventConfig) (texts []string) {
	if !e.Active {
		return nil
	}
	if e.Type == conf.GUIStartup {
		texts = append(texts, fmt.Sprintf("event %s: nothing here notices a %s, it occurs only when it is fired", e.ID, e.Type))
	}
	if e.CacheDynamicBandwidth {
		texts = append(texts, fmt.Sprintf("event %s: cache_dynamic_bandwidth is not here, cache_max_bandwidth counts alone", e.ID))
	}
	return texts
}
