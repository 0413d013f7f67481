package fleet

// Product is one version of a piece of software and what can be done with it.
type Product struct {
	Type              string
	ID                ProductID `col:"id,ident,lower,valid=product"`
	ProductVersion    string    `col:"productVersion,ident,valid=version"`
	PackageVersion    string    `col:"packageVersion,ident,valid=package"`
	Name              string    `col:"name,default="`
	LicenseRequired   bool      `col:"licenseRequired,default=false"`
	SetupScript       string    `col:"setupScript,valid=scriptname,default="`
	UninstallScript   string    `col:"uninstallScript,valid=scriptname,default="`
	UpdateScript      string    `col:"updateScript,valid=scriptname,default="`
	AlwaysScript      string    `col:"alwaysScript,valid=scriptname,default="`
	OnceScript        string    `col:"onceScript,valid=scriptname,default="`
	CustomScript      string    `col:"customScript,valid=scriptname,default="`
	UserLoginScript   string    `col:"userLoginScript,valid=scriptname,default=,types=LocalbootProduct"`
	PXEConfigTemplate string    `col:"pxeConfigTemplate,default=,types=NetbootProduct"`
	// Priority from -100 to 100; higher goes first.
	Priority           int64    `col:"priority,default=0,within=-100|100"`
	Description        string   `col:"description,default="`
	Advice             string   `col:"advice,default="`
	Changelog          string   `col:"changelog,default="`
	ProductClassIDs    []string `col:"productClassIds,default="`
	WindowsSoftwareIDs []string `col:"windowsSoftwareIds,default="`
}

// Products is the class of Product.
var Products = NewClass[Product]("product", LocalbootProduct, NetbootProduct)

// Script is the product's script for an action, "" if it has none.
func (p Product) Script(a Action) string {
	switch a {
	case Setup:
		return p.SetupScript
	case Update:
		return p.UpdateScript
	case Always:
		return p.AlwaysScript
	case Once:
		return p.OnceScript
	case Custom:
		return p.CustomScript
	case Uninstall:
		return p.UninstallScript
	}
	return ""
}

// ProductProperty is a question that a product's script may ask.
type ProductProperty struct {
	Type           string
	ProductID      ProductID `col:"productId,ident,lower,valid=product,owner=product.id"`
	ProductVersion string    `col:"productVersion,ident,valid=version,owner=product.productVersion"`
	PackageVersion string    `col:"packageVersion,ident,valid=package,owner=product.packageVersion"`
	PropertyID     string    `col:"propertyId,ident,lower,valid=property"`
	Description    string    `col:"description,default="`
	PossibleValues []any     `col:"possibleValues,default="`
	DefaultValues  []any     `col:"defaultValues,default="`
	Editable       bool      `col:"editable,default=true"`
	MultiValue     bool      `col:"multiValue,default=false"`
}

// ProductProperties is the class of ProductProperty.
var ProductProperties = NewClass[ProductProperty]("productProperty", "UnicodeProductProperty", "BoolProductProperty")

// ProductPropertyState is a property's value for a client, or a depot's default.
type ProductPropertyState struct {
	ProductID  ProductID `col:"productId,ident,lower,valid=product"`
	PropertyID string    `col:"propertyId,ident,lower,valid=property"`
	ObjectID   HostID    `col:"objectId,ident,lower,valid=host,owner=host.id"`
	Values     []any     `col:"values,default=,merge=unchanged"`
}

// ProductPropertyStates is the class of ProductPropertyState.
var ProductPropertyStates = NewClass[ProductPropertyState]("productPropertyState")

// ProductDependency says that an action of one product needs another product,
// in a status or by an action of its own.
type ProductDependency struct {
	ProductID                  ProductID `col:"productId,ident,lower,valid=product,owner=product.id"`
	ProductVersion             string    `col:"productVersion,ident,valid=version,owner=product.productVersion"`
	PackageVersion             string    `col:"packageVersion,ident,valid=package,owner=product.packageVersion"`
	ProductAction              Action    `col:"productAction,ident,in=setup|uninstall|update|always|once|custom"`
	RequiredProductID          ProductID `col:"requiredProductId,ident,lower,valid=product"`
	RequiredProductVersion     string    `col:"requiredProductVersion,valid=version"`
	RequiredPackageVersion     string    `col:"requiredPackageVersion,valid=package"`
	RequiredAction             Action    `col:"requiredAction,in=setup|uninstall|update|always|once|custom|none"`
	RequiredInstallationStatus string    `col:"requiredInstallationStatus,in=installed|not_installed|unknown"`
	RequirementType            string    `col:"requirementType,in=before|after"`
}

// ProductDependencies is the class of ProductDependency.
var ProductDependencies = NewClass[ProductDependency]("productDependency")

// ProductOnDepot says which version of a product a depot holds.
type ProductOnDepot struct {
	ProductID      ProductID `col:"productId,ident,lower,valid=product"`
	ProductType    string    `col:"productType,ident,in=LocalbootProduct|NetbootProduct,default=LocalbootProduct"`
	ProductVersion string    `col:"productVersion,ident,valid=version"`
	PackageVersion string    `col:"packageVersion,ident,valid=package"`
	DepotID        HostID    `col:"depotId,ident,lower,valid=host,owner=host.id"`
	Locked         bool      `col:"locked,default=false"`
}

// ProductsOnDepots is the class of ProductOnDepot.
var ProductsOnDepots = NewClass[ProductOnDepot]("productOnDepot")

// ProductOnClient is what a client has of a product, and what shall be done.
type ProductOnClient struct {
	ProductID           ProductID `col:"productId,ident,lower,valid=product"`
	ProductType         string    `col:"productType,ident,in=LocalbootProduct|NetbootProduct,default=LocalbootProduct"`
	ClientID            HostID    `col:"clientId,ident,lower,valid=host,owner=host.id"`
	TargetConfiguration string    `col:"targetConfiguration,in=installed|always|forbidden|undefined,merge=version"`
	InstallationStatus  string    `col:"installationStatus,in=installed|not_installed|unknown,default=not_installed,merge=client"`
	ActionRequest       Action    `col:"actionRequest,in=setup|uninstall|update|always|once|custom|none,default=none,merge=version"`
	LastAction          Action    `col:"lastAction,in=setup|uninstall|update|always|once|custom|none,merge=client"`
	ActionProgress      string    `col:"actionProgress,volatile,merge=client"`
	ActionResult        string    `col:"actionResult,in=failed|successful|none,merge=client"`
	ProductVersion      string    `col:"productVersion,valid=version,merge=client"`
	PackageVersion      string    `col:"packageVersion,valid=package,merge=client"`
	ModificationTime    string    `col:"modificationTime,time,volatile,stamp=write,merge=client"`
	ActionSequence      int64     `col:"actionSequence,default=-1,volatile"`
}

// ProductsOnClients is the class of ProductOnClient.
var ProductsOnClients = NewClass[ProductOnClient]("productOnClient")
