package bench

import (
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// samples holds at least two objects of every class, which differ in more than
// their identity.
var samples = map[string][]fleet.Row{
	"host": {
		{"type": "OpsiClient", "id": "pc1.example.org", "description": "Müller's 50%_off laptop", "opsiHostKey": "0123456789abcdef0123456789abcdef", "hardwareAddress": "52:54:00:12:34:56", "oneTimePassword": "secret"},
		{"type": "OpsiDepotserver", "id": "depot1.example.org", "depotWebdavUrl": "webdavs://depot1.example.org:4447/depot", "depotRemoteUrl": "smb://depot1/opsi_depot", "isMasterDepot": true, "maxBandwidth": int64(125000), "opsiHostKey": "1123456789abcdef0123456789abcdef"},
		{"type": "OpsiConfigserver", "id": "server.example.org", "networkAddress": "10.0.0.0/8", "isMasterDepot": true, "opsiHostKey": "2123456789abcdef0123456789abcdef"},
	},
	"config": {
		{"type": "UnicodeConfig", "id": "clientconfig.depot.protocol", "description": "how", "possibleValues": []any{"cifs", "webdav"}, "defaultValues": []any{"webdav"}, "editable": false},
		{"type": "BoolConfig", "id": "opsiclientd.event_gui_startup{user_logged_in}.active", "description": "gui_startup", "possibleValues": []any{true, false}, "defaultValues": []any{true}, "editable": false},
	},
	"configState": {
		{"configId": "clientconfig.depot.protocol", "objectId": "pc1.example.org", "values": []any{"cifs"}},
		{"configId": "opsiclientd.event_timer.active", "objectId": "pc1.example.org", "values": []any{false}},
	},
	"product": {
		{"type": "LocalbootProduct", "id": "firefox", "productVersion": "115.0", "packageVersion": "1", "name": "Firefox", "setupScript": "setup.sh", "priority": int64(10), "windowsSoftwareIds": []any{"{a}", "{b}"}, "productClassIds": []any{}},
		{"type": "NetbootProduct", "id": "debian12", "productVersion": "1.0", "packageVersion": "2", "name": "Debian", "pxeConfigTemplate": "install", "licenseRequired": true},
	},
	"productProperty": {
		{"type": "UnicodeProductProperty", "productId": "firefox", "productVersion": "115.0", "packageVersion": "1", "propertyId": "language", "possibleValues": []any{"de", "en"}, "defaultValues": []any{"de"}, "multiValue": true},
		{"type": "BoolProductProperty", "productId": "firefox", "productVersion": "115.0", "packageVersion": "1", "propertyId": "icon", "possibleValues": []any{true, false}, "defaultValues": []any{true}, "editable": false},
	},
	"productDependency": {
		{"productId": "firefox", "productVersion": "115.0", "packageVersion": "1", "productAction": "setup", "requiredProductId": "runtime", "requiredInstallationStatus": "installed", "requirementType": "before"},
		{"productId": "firefox", "productVersion": "115.0", "packageVersion": "1", "productAction": "uninstall", "requiredProductId": "cleaner", "requiredAction": "once", "requirementType": "after"},
	},
	"productOnDepot": {
		{"productId": "firefox", "productType": "LocalbootProduct", "productVersion": "115.0", "packageVersion": "1", "depotId": "depot1.example.org", "locked": true},
		{"productId": "runtime", "productType": "LocalbootProduct", "productVersion": "3", "packageVersion": "1", "depotId": "depot1.example.org"},
	},
	"productOnClient": {
		{"productId": "firefox", "productType": "LocalbootProduct", "clientId": "pc1.example.org", "actionRequest": "setup", "installationStatus": "installed", "actionResult": "successful", "lastAction": "setup", "productVersion": "114.0", "packageVersion": "3"},
		{"productId": "runtime", "productType": "LocalbootProduct", "clientId": "pc1.example.org", "actionRequest": "none", "actionProgress": "caching", "actionSequence": int64(4)},
	},
	"productPropertyState": {
		{"productId": "firefox", "propertyId": "language", "objectId": "pc1.example.org", "values": []any{"en", "fr"}},
		{"productId": "firefox", "propertyId": "icon", "objectId": "pc1.example.org", "values": []any{false}},
	},
	"group": {
		{"type": "HostGroup", "id": "Office", "description": "all of it"},
		{"type": "ProductGroup", "id": "basics", "parentGroupId": "all", "notes": "n"},
	},
	"objectToGroup": {
		{"groupType": "HostGroup", "groupId": "Office", "objectId": "pc1.example.org"},
		{"groupType": "ProductGroup", "groupId": "basics", "objectId": "firefox"},
	},
	"nodeType": {
		{"id": "vnode", "description": "leased machines", "addressRange": "10.134.0.0/16", "namePattern": "vnode-{a}-{b}", "domain": "grid.example.org", "tunnel": "openvpn", "scheduler": "oar", "routes": []any{"192.0.2.0/26"}, "properties": []any{"besteffort=YES"}},
		{"id": "gpu", "tunnel": "mesh", "resources": "node", "groups": []any{"Office"}},
	},
	"licenseContract": {
		{"type": "LicenseContract", "id": "c1", "description": "paper", "partner": "Vendor", "expirationDate": "2030-01-01 00:00:00"},
		{"type": "LicenseContract", "id": "c2", "notes": "second"},
	},
	"softwareLicense": {
		{"type": "VolumeSoftwareLicense", "id": "l1", "licenseContractId": "c1", "maxInstallations": int64(10)},
		{"type": "OEMSoftwareLicense", "id": "l2", "licenseContractId": "c1", "boundToHost": "pc1.example.org"},
		{"type": "RetailSoftwareLicense", "id": "l3", "licenseContractId": "c1", "expirationDate": "2031-01-01 00:00:00"},
		{"type": "ConcurrentSoftwareLicense", "id": "l4", "licenseContractId": "c2", "maxInstallations": int64(0)},
	},
	"licensePool": {
		{"type": "LicensePool", "id": "pool1", "description": "office", "productIds": []any{"firefox", "runtime"}},
		{"type": "LicensePool", "id": "pool2", "productIds": []any{}},
	},
	"softwareLicenseToLicensePool": {
		{"softwareLicenseId": "l1", "licensePoolId": "pool1", "licenseKey": "AAAA-BBBB"},
		{"softwareLicenseId": "l2", "licensePoolId": "pool1"},
	},
	"licenseOnClient": {
		{"softwareLicenseId": "l1", "licensePoolId": "pool1", "clientId": "pc1.example.org", "licenseKey": "AAAA-BBBB"},
		{"softwareLicenseId": "l2", "licensePoolId": "pool1", "clientId": "pc1.example.org", "notes": "spare"},
	},
	"auditSoftwareToLicensePool": {
		{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64", "licensePoolId": "pool1"},
		{"name": "Office; old", "version": "15", "subVersion": "", "language": "", "architecture": "", "licensePoolId": "pool1"},
	},
	"auditSoftware": {
		{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64", "windowsDisplayName": "Office 16", "installSize": int64(4_000_000_000)},
		{"name": "a;b", "version": "c", "subVersion": "", "language": "", "architecture": ""},
	},
	"auditSoftwareOnClient": {
		{"name": "Office", "version": "16", "subVersion": "", "language": "de", "architecture": "x64", "clientId": "pc1.example.org", "uninstallString": `C:\x "y"`, "usageFrequency": int64(3)},
		{"name": "a;b", "version": "c", "subVersion": "", "language": "", "architecture": "", "clientId": "pc1.example.org", "state": int64(0)},
	},
	"auditHardware": {
		{"hardwareClass": "CHASSIS", "vendor": "Acme", "chassisType": "Desktop"},
		{"hardwareClass": "MEMORY_MODULE", "capacity": int64(8589934592)},
	},
	"auditHardwareOnHost": {
		{"hostId": "pc1.example.org", "hardwareClass": "CHASSIS", "vendor": "Acme", "serialNumber": "1;2"},
		{"hostId": "pc1.example.org", "hardwareClass": "MEMORY_MODULE", "capacity": int64(8589934592), "deviceLocator": "DIMM 0"},
	},
	"user": {
		{"id": "anna", "mfaState": "inactive"},
		{"id": "bert", "mfaState": "totp_active"},
	},
}

// Sample returns a copy of a class's samples.
func Sample(class *fleet.Class) []fleet.Row {
	var out []fleet.Row
	for _, r := range samples[class.Name] {
		out = append(out, r.Clone())
	}
	return out
}
