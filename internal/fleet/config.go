package fleet

// Config is a host parameter: its meaning and its default for all hosts.
type Config struct {
	Type           string
	ID             ConfigID `col:"id,ident,lower,valid=config"`
	Description    string   `col:"description,default="`
	PossibleValues []any    `col:"possibleValues,default="`
	DefaultValues  []any    `col:"defaultValues,default="`
	Editable       bool     `col:"editable,default=true"`
	MultiValue     bool     `col:"multiValue,default=false"`
}

// Configs is the class of Config.
var Configs = NewClass[Config]("config", UnicodeConfig, BoolConfig)

// ConfigState is a host parameter's value for one client, or for all clients
// of one depot.
type ConfigState struct {
	ConfigID ConfigID `col:"configId,ident,lower,valid=config,owner=config.id"`
	ObjectID HostID   `col:"objectId,ident,lower,valid=host,owner=host.id"`
	Values   []any    `col:"values,default=,merge=unchanged"`
}

// ConfigStates is the class of ConfigState.
var ConfigStates = NewClass[ConfigState]("configState")
