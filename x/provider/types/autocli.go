package types

// Names of the module's gRPC services, for AutoCLI.
var (
	QueryServiceName = _Query_serviceDesc.ServiceName
	MsgServiceName   = _Msg_serviceDesc.ServiceName
)
