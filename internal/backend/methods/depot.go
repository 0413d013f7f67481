package methods

import "context"

// DepotServer is the depot that a server keeps. Errors carry a fleet.Code.
type DepotServer interface {
	// InstallFile installs a package that lies in the repository or the
	// workbench; file is its name there, or its path on the depot's disk.
	InstallFile(ctx context.Context, actor Actor, file string, o DepotInstall) error
	// Uninstall removes a product. Without deleteFiles the folder of a product
	// that the depot does not know is left alone.
	Uninstall(ctx context.Context, actor Actor, product string, force bool) error
	// ContentFile makes the list of a product's files anew.
	ContentFile(ctx context.Context, product string) error
	// MD5 is the sum of a file of the repository, in hexadecimal.
	MD5(ctx context.Context, file string) (string, error)
	// WriteMD5 writes it into another file there.
	WriteMD5(ctx context.Context, file, into string) error
	// DiskSpace tells of the disk that holds a folder of the depot.
	DiskSpace(path string) (capacity, available uint64, err error)
}

// DepotInstall says how a package is installed.
type DepotInstall struct {
	Force bool
	// PackageDefaults replaces the depot's property values by the package's.
	PackageDefaults bool
	// Values are property values for the depot, by property.
	Values map[string][]any
}

// Certificates is the fleet's authority.
type Certificates interface {
	// Sign makes a server's certificate with the names, from a signing request;
	// both are PEM.
	Sign(request []byte, names []string) ([]byte, error)
}
