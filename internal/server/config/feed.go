package config

import "fmt"

// Feed says where bare nodes find their update script besides the server's own
// port.
type Feed struct {
	// Listen is HOST:PORT without TLS for the paths of the feed, and no others;
	// empty for nowhere.
	Listen string `toml:"listen"`
}

func (f Feed) check() []error {
	if _, err := splitPort(f.Listen); f.Listen != "" && err != nil {
		return []error{fmt.Errorf("feed.listen: %q is not HOST:PORT, such as :8080", f.Listen)}
	}
	return nil
}
