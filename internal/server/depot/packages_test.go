package depot_test

import (
	"github.com/fernwerk/fernwerk/internal/server/depot"
	"github.com/fernwerk/fernwerk/internal/server/depot/packages"
)

func init() { depot.PackagesHandler = packages.Handler }
