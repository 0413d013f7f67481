package fleet

// LicenseContract is the paper behind software licences.
type LicenseContract struct {
	Type             string
	ID               string `col:"id,ident,valid=license"`
	Description      string `col:"description,default="`
	Notes            string `col:"notes,default="`
	Partner          string `col:"partner,default="`
	ConclusionDate   string `col:"conclusionDate,time"`
	NotificationDate string `col:"notificationDate,time"`
	ExpirationDate   string `col:"expirationDate,time"`
}

// LicenseContracts is the class of LicenseContract.
var LicenseContracts = NewClass[LicenseContract]("licenseContract", "LicenseContract")

// SoftwareLicense is a right to install, of one of four kinds.
type SoftwareLicense struct {
	Type              string
	ID                string `col:"id,ident,valid=license"`
	LicenseContractID string `col:"licenseContractId,ident,valid=license,owner=licenseContract.id"`
	// MaxInstallations at one time; 0 is unlimited.
	MaxInstallations int64  `col:"maxInstallations,default=1,least=0"`
	BoundToHost      HostID `col:"boundToHost,lower,valid=host"`
	ExpirationDate   string `col:"expirationDate,time"`
}

// SoftwareLicenses is the class of SoftwareLicense.
var SoftwareLicenses = NewClass[SoftwareLicense]("softwareLicense",
	"RetailSoftwareLicense", "OEMSoftwareLicense", "VolumeSoftwareLicense", "ConcurrentSoftwareLicense")

// LicensePool groups licences that serve the same products.
type LicensePool struct {
	Type        string
	ID          string      `col:"id,ident,lower,valid=license"`
	Description string      `col:"description,default="`
	ProductIDs  []ProductID `col:"productIds,default="`
}

// LicensePools is the class of LicensePool.
var LicensePools = NewClass[LicensePool]("licensePool", "LicensePool")

// SoftwareLicenseToLicensePool puts a licence with its key into a pool.
type SoftwareLicenseToLicensePool struct {
	SoftwareLicenseID string `col:"softwareLicenseId,ident,valid=license,owner=softwareLicense.id"`
	LicensePoolID     string `col:"licensePoolId,ident,lower,valid=license,owner=licensePool.id"`
	LicenseKey        string `col:"licenseKey,secret,default="`
}

// LicensesInPools is the class of SoftwareLicenseToLicensePool.
var LicensesInPools = NewClass[SoftwareLicenseToLicensePool]("softwareLicenseToLicensePool")

// LicenseOnClient is one seat in use or reserved.
type LicenseOnClient struct {
	SoftwareLicenseID string `col:"softwareLicenseId,ident,valid=license,owner=softwareLicense.id"`
	LicensePoolID     string `col:"licensePoolId,ident,lower,valid=license,owner=licensePool.id"`
	ClientID          HostID `col:"clientId,ident,lower,valid=host,owner=host.id"`
	LicenseKey        string `col:"licenseKey,secret,default=,merge=client"`
	Notes             string `col:"notes,default=,merge=client"`
}

// LicensesOnClients is the class of LicenseOnClient.
var LicensesOnClients = NewClass[LicenseOnClient]("licenseOnClient")

// AuditSoftwareToLicensePool counts found software against a pool.
type AuditSoftwareToLicensePool struct {
	Name          string `col:"name,ident"`
	Version       string `col:"version,ident,default="`
	SubVersion    string `col:"subVersion,ident,default="`
	Language      string `col:"language,ident,default="`
	Architecture  string `col:"architecture,ident,default=,in=x86|x64|arm64|"`
	LicensePoolID string `col:"licensePoolId,ident,lower,valid=license,owner=licensePool.id"`
}

// AuditSoftwareInPools is the class of AuditSoftwareToLicensePool.
var AuditSoftwareInPools = NewClass[AuditSoftwareToLicensePool]("auditSoftwareToLicensePool")
