package depots

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// serverMethods are those that opsi's tools call at the depot server itself.
// They are the administrators'.
func serverMethods() []*methods.Method {
	file := methods.Param{Name: "filename"}
	optional := func(name string) methods.Param { return methods.Param{Name: name, Optional: true} }
	list := []*methods.Method{
		{
			Name: "depot_installPackage", Do: installPackage, Writes: true,
			Doc: "Installs a package that lies in this server's repository or workbench.",
			Params: []methods.Param{file, optional("force"), optional("propertyDefaultValues"), optional("tempDir"), optional("forceProductId"),
				optional("suppressPackageContentFileGeneration")},
		},
		{
			Name: "depot_uninstallPackage", Do: uninstallPackage, Writes: true,
			Doc:    "Removes a product from this server's depot.",
			Params: []methods.Param{{Name: "productId"}, optional("force"), optional("deleteFiles")},
		},
		{
			Name: "depot_createPackageContentFile", Do: contentFile, Writes: true,
			Doc:    "Makes the list of a product's files anew; a tree that was changed by hand is refused.",
			Params: []methods.Param{{Name: "productId"}},
		},
		{
			Name: "depot_getMD5Sum", Do: md5Sum,
			Doc:    "The MD5 sum of a file in this server's repository or workbench.",
			Params: []methods.Param{file, optional("forceCalculation")},
		},
		{
			Name: "depot_createMd5SumFile", Do: md5File, Writes: true,
			Doc:    "Writes the MD5 sum of a file in the repository beside it.",
			Params: []methods.Param{file, {Name: "md5sumFilename"}},
		},
		{
			Name: "depot_getDiskSpaceUsage", Do: diskSpace,
			Doc:    "Room on the disk that holds a folder of this server: {capacity, available, used, usage}.",
			Params: []methods.Param{{Name: "path"}},
		},
	}
	for _, m := range list {
		m.Roles = []methods.Role{}
	}
	return list
}

func portOf(c *methods.Call) (methods.DepotServer, error) {
	if d := c.Ports().Depot; d != nil {
		return d, nil
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: there is no depot here", c.Method.Name), "ask the depot's own server")
}

// withText has fn work with the depot and a text argument.
func withText(c *methods.Call, param string, fn func(d methods.DepotServer, text string) (any, error)) (any, error) {
	d, err := portOf(c)
	if err != nil {
		return nil, err
	}
	text, err := c.Text(param)
	if err != nil {
		return nil, err
	}
	return fn(d, text)
}

func installPackage(c *methods.Call) (any, error) {
	return withText(c, "filename", func(d methods.DepotServer, file string) (any, error) {
		for _, p := range []string{"forceProductId"} {
			if v := c.Args[p]; v != nil && v != "" {
				return nil, fleet.Errorf(fleet.NotHere, "cannot call %s with %s: it is not supported", c.Method.Name, p)
			}
		}
		if c.Flag("suppressPackageContentFileGeneration", false) {
			return nil, fleet.Errorf(fleet.NotHere, "cannot call %s without a content file: clients that cache need it", c.Method.Name)
		}
		// opsi's tools name the depot's present values here, or none.
		values, err := Values(c.Args["propertyDefaultValues"])
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: %w", c.Method.Name, err)
		}
		return nil, d.InstallFile(c.Context, c.Actor, file, methods.DepotInstall{Force: c.Flag("force", false), Values: values})
	})
}

func uninstallPackage(c *methods.Call) (any, error) {
	return withText(c, "productId", func(d methods.DepotServer, product string) (any, error) {
		if !c.Flag("deleteFiles", true) {
			return nil, fleet.Errorf(fleet.NotHere, "cannot call %s and keep the files: a tree without a product is served to nobody", c.Method.Name)
		}
		return nil, d.Uninstall(c.Context, c.Actor, product, c.Flag("force", false))
	})
}

func contentFile(c *methods.Call) (any, error) {
	return withText(c, "productId", func(d methods.DepotServer, product string) (any, error) {
		return nil, d.ContentFile(c.Context, product)
	})
}

func md5Sum(c *methods.Call) (any, error) {
	return withText(c, "filename", func(d methods.DepotServer, file string) (any, error) { return d.MD5(c.Context, file) })
}

func md5File(c *methods.Call) (any, error) {
	return withText(c, "filename", func(d methods.DepotServer, file string) (any, error) {
		into, err := c.Text("md5sumFilename")
		if err != nil {
			return nil, err
		}
		return nil, d.WriteMD5(c.Context, file, into)
	})
}

func diskSpace(c *methods.Call) (any, error) {
	return withText(c, "path", func(d methods.DepotServer, path string) (any, error) {
		capacity, available, err := d.DiskSpace(path)
		if err != nil || capacity == 0 {
			return nil, err
		}
		used := capacity - min(available, capacity)
		return map[string]any{"capacity": int64(capacity), "available": int64(available), "used": int64(used),
			"usage": float64(used) / float64(capacity)}, nil
	})
}
