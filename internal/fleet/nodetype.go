package fleet

// NodeType is a kind of node: where its addresses and names come from, which
// tunnel it uses, and how it stands in the scheduler. It is the seed's
// `idhaltype`. Package node has the rules that span several columns, and the
// plan of addresses and names.
type NodeType struct {
	ID          string `col:"id,ident,lower,valid=nodetype"`
	Description string `col:"description,default="`

	// AddressRange is the prefix that tunnel addresses are taken of, "" for none;
	// NamePattern makes a name of an address, and Domain follows it.
	AddressRange string `col:"addressRange,lower,valid=network"`
	NamePattern  string `col:"namePattern,lower,default="`
	Domain       string `col:"domain,lower,default="`

	// Groups are host groups that a node of the type joins.
	Groups []string `col:"groups,default="`
	// Routes are prefixes that a tunnel leads to, DNSServers and SearchDomain what
	// the node asks for names while it is up.
	Routes       []string `col:"routes,default="`
	DNSServers   []string `col:"dnsServers,default="`
	SearchDomain string   `col:"searchDomain,lower,default="`

	Tunnel string `col:"tunnel,in=openvpn|mesh|both|none,default=none"`
	// LanDirect has names answered with a neighbour's LAN address to whoever is on
	// that LAN; DeadName says whether the name of a node that is down resolves.
	LanDirect bool   `col:"lanDirect,default=false"`
	DeadName  string `col:"deadName,in=keep|remove,default=keep"`

	Scheduler string `col:"scheduler,in=oar|slurm|exec|none,default=none"`
	// Resources is how many resources a node is: one a core, or one.
	Resources string `col:"resources,in=core|node,default=core"`
	// Properties are key=value for the scheduler, such as besteffort=YES.
	Properties []string `col:"properties,default="`
}

// NodeTypes is the class of NodeType.
var NodeTypes = NewClass[NodeType]("nodeType")
