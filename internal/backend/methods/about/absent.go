package about

import "strings"

// absent are methods that real clients and tools may call and that are not
// here, by the reason. What can be called answers; what cannot says why.
var absent = []struct{ names, why string }{
	{"getRawData getData backend_getData",
		"it runs SQL text of the caller; ask for objects with the methods of their class"},
	{"dispatcher_getConfig dispatcher_getBackendNames backend_setOptions backend_getOptions backend_createBase backend_deleteBase createOpsiBase",
		"there is one backend, and nothing to choose or to set up"},
	{"host_getTLSCertificate",
		"a private key is made on the machine that uses it and does not travel; a client gets its certificate by joining"},
	{"service_setAppState service_createBackup service_restoreBackup service_healthCheck",
		"it is done on the server's own machine: fernwerkd backup, fernwerkd restore, /healthz"},
	{"SSHCommand_getObject SSHCommand_getObjects SSHCommand_createObject SSHCommand_createObjects SSHCommand_updateObject SSHCommand_updateObjects SSHCommand_deleteObject SSHCommand_deleteObjects",
		"this server keeps no commands to be run elsewhere"},
	{"dhcpd_updateHost dhcpd_deleteHost dhcpd_restart",
		"this server does not configure a DHCP server"},
	{"opsipxeconfd_updatePXEBootConfiguration",
		"this server does not boot machines from the network"},
	{"updateWindowsImageMetadata updateWIMConfig updateWIMConfigFromPath",
		"this server does not read Windows images"},
	{"getPossibleImagefileValuesForHostGroup",
		"this server keeps no disk images"},
	{"depot_librsyncSignature depot_librsyncPatchFile depot_librsyncDeltaFile",
		"a depot sends the chunks that differ; see the chunk service"},
	{"setRights",
		"this server owns its files and needs nobody to set their rights"},
}

// Absent is every method of opsi that is not here, with the reason.
func Absent() map[string]string {
	out := map[string]string{}
	for _, a := range absent {
		for name := range strings.FieldsSeq(a.names) {
			out[name] = a.why
		}
	}
	return out
}
