package fleet

// AuditSoftware is a piece of software found on some client.
type AuditSoftware struct {
	Name                  string `col:"name,ident"`
	Version               string `col:"version,ident,default="`
	SubVersion            string `col:"subVersion,ident,default="`
	Language              string `col:"language,ident,default="`
	Architecture          string `col:"architecture,ident,default=,in=x86|x64|arm64|"`
	WindowsSoftwareID     string `col:"windowsSoftwareId,merge=client"`
	WindowsDisplayName    string `col:"windowsDisplayName,merge=client"`
	WindowsDisplayVersion string `col:"windowsDisplayVersion,merge=client"`
	InstallSize           int64  `col:"installSize,merge=client"`
}

// AuditSoftwares is the class of AuditSoftware.
var AuditSoftwares = NewClass[AuditSoftware]("auditSoftware")

// AuditSoftwareOnClient says that a client has, or had, the software.
type AuditSoftwareOnClient struct {
	Name            string `col:"name,ident"`
	Version         string `col:"version,ident,default="`
	SubVersion      string `col:"subVersion,ident,default="`
	Language        string `col:"language,ident,default="`
	Architecture    string `col:"architecture,ident,default=,in=x86|x64|arm64|"`
	ClientID        HostID `col:"clientId,ident,lower,valid=host,owner=host.id"`
	UninstallString string `col:"uninstallString,merge=client"`
	BinaryName      string `col:"binaryName,merge=client"`
	FirstSeen       string `col:"firstseen,time,volatile,stamp=create"`
	LastSeen        string `col:"lastseen,time,volatile,stamp=write"`
	State           int64  `col:"state,default=1,merge=client"`
	UsageFrequency  int64  `col:"usageFrequency,default=-1,merge=client"`
	LastUsed        string `col:"lastUsed,time,merge=client"`
	LicenseKey      string `col:"licenseKey,secret,merge=client"`
}

// AuditSoftwareOnClients is the class of AuditSoftwareOnClient.
var AuditSoftwareOnClients = NewClass[AuditSoftwareOnClient]("auditSoftwareOnClient")

// AuditHardware is a kind of device; its further fields depend on its
// hardwareClass and are its identity.
type AuditHardware struct {
	HardwareClass string         `col:"hardwareClass,ident,valid=hwclass"`
	Fields        map[string]any `col:"*"`
}

// AuditHardwares is the class of AuditHardware.
var AuditHardwares = NewClass[AuditHardware]("auditHardware")

// AuditHardwareOnHost is a device in a host, with fields by its hardwareClass.
type AuditHardwareOnHost struct {
	HostID        HostID         `col:"hostId,ident,lower,valid=host,owner=host.id"`
	HardwareClass string         `col:"hardwareClass,ident,valid=hwclass"`
	FirstSeen     string         `col:"firstseen,time,volatile,stamp=create"`
	LastSeen      string         `col:"lastseen,time,volatile,stamp=write"`
	State         int64          `col:"state,default=1,volatile,merge=client"`
	Fields        map[string]any `col:"*"`
}

// AuditHardwareOnHosts is the class of AuditHardwareOnHost.
var AuditHardwareOnHosts = NewClass[AuditHardwareOnHost]("auditHardwareOnHost")

// Classes lists every class of the fleet; owners come before what they own.
func Classes() []*Class {
	return []*Class{
		Hosts, Configs, ConfigStates,
		Products, ProductProperties, ProductDependencies, ProductsOnDepots, ProductsOnClients, ProductPropertyStates,
		Groups, Memberships,
		LicenseContracts, SoftwareLicenses, LicensePools, LicensesInPools, LicensesOnClients, AuditSoftwareInPools,
		AuditSoftwares, AuditSoftwareOnClients, AuditHardwares, AuditHardwareOnHosts,
		Users, NodeTypes,
	}
}
