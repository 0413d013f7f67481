package fleet

// Host is a managed machine (OpsiClient), a depot server or the config server.
// Its fields stand in the order in which opsi's create methods take them.
type Host struct {
	Type string
	ID   HostID `col:"id,ident,lower,valid=host"`
	// HostKey authenticates the host to /rpc and WebDAV, as opsi clients do.
	HostKey string `col:"opsiHostKey,lower,secret,valid=hostkey"`

	// Depot and config servers only.
	DepotLocalURL       string `col:"depotLocalUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`
	DepotRemoteURL      string `col:"depotRemoteUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`
	DepotWebdavURL      string `col:"depotWebdavUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`
	RepositoryLocalURL  string `col:"repositoryLocalUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`
	RepositoryRemoteURL string `col:"repositoryRemoteUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`

	Description     string `col:"description,private,default="`
	Notes           string `col:"notes,private,default="`
	HardwareAddress string `col:"hardwareAddress,lower,private,valid=mac"`
	IPAddress       string `col:"ipAddress,lower,valid=ip,volatile"`
	InventoryNumber string `col:"inventoryNumber,private,default="`

	// Clients only.
	OneTimePassword string `col:"oneTimePassword,secret,types=OpsiClient"`
	Created         string `col:"created,time,stamp=create,types=OpsiClient"`
	LastSeen        string `col:"lastSeen,time,private,volatile,types=OpsiClient"`

	// Depot and config servers only.
	NetworkAddress string `col:"networkAddress,lower,valid=network,types=OpsiDepotserver|OpsiConfigserver"`
	// MaxBandwidth of the depot in bytes a second; 0 is unlimited.
	MaxBandwidth       int64  `col:"maxBandwidth,default=0,types=OpsiDepotserver|OpsiConfigserver"`
	IsMasterDepot      bool   `col:"isMasterDepot,types=OpsiDepotserver|OpsiConfigserver"`
	MasterDepotID      HostID `col:"masterDepotId,lower,valid=host,types=OpsiDepotserver|OpsiConfigserver"`
	WorkbenchLocalURL  string `col:"workbenchLocalUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`
	WorkbenchRemoteURL string `col:"workbenchRemoteUrl,valid=url,types=OpsiDepotserver|OpsiConfigserver"`

	SystemUUID string `col:"systemUUID,lower,valid=uuid,merge=client"`
}

// Hosts is the class of Host.
var Hosts = NewClass[Host]("host", OpsiClient, OpsiDepotserver, OpsiConfigserver)

// Group is a host group or a product group; groups form a tree.
type Group struct {
	Type          string `col:"type,ident,in=HostGroup|ProductGroup"`
	ID            string `col:"id,ident,valid=group"`
	Description   string `col:"description,default="`
	Notes         string `col:"notes,default="`
	ParentGroupID string `col:"parentGroupId,valid=group"`
}

// Groups is the class of Group. Its type is part of the identity.
var Groups = NewClass[Group]("group", HostGroup, ProductGroup)

// ObjectToGroup puts a host or a product into a group.
type ObjectToGroup struct {
	GroupType string   `col:"groupType,ident,in=HostGroup|ProductGroup,owner=group.type"`
	GroupID   string   `col:"groupId,ident,valid=group,owner=group.id"`
	ObjectID  ObjectID `col:"objectId,ident,lower,valid=object,owner=host.id"`
}

// Memberships is the class of ObjectToGroup.
var Memberships = NewClass[ObjectToGroup]("objectToGroup")

// User is a person's account as clients may see it; its password is not here.
type User struct {
	ID        string `col:"id,ident,lower,valid=user"`
	Created   string `col:"created,time,stamp=create"`
	LastLogin string `col:"lastLogin,time,volatile"`
	MFAState  string `col:"mfaState,in=inactive|totp_active,default=inactive"`
	OTPSecret string `col:"otpSecret,secret"`
}

// Users is the class of User.
var Users = NewClass[User]("user")
