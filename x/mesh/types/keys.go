package types

const (
	// ModuleName is the codespace of the errors registered here.
	ModuleName = "mesh"

	// PortProvider is the port, module name and store key of the provider module.
	PortProvider = "meshprovider"
	// PortConsumer is the port, module name and store key of the consumer module.
	PortConsumer = "meshconsumer"
	// Version is the channel version spoken by both modules.
	Version = "mesh-1"
)
