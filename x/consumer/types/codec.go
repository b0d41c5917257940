package types

import (
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
)

// RegisterInterfaces registers the module's messages.
func RegisterInterfaces(registry codectypes.InterfaceRegistry) {
	registry.RegisterImplementations((*sdk.Msg)(nil),
		&MsgAddProvider{},
		&MsgUpdateProvider{},
		&MsgRemoveProvider{},
		&MsgPauseProvider{},
		&MsgResumeProvider{},
		&MsgSetPrice{},
		&MsgPostPrice{},
		&MsgProvePrice{},
		&MsgRetireChannel{},
		&MsgUpdateParams{},
	)
	msgservice.RegisterMsgServiceDesc(registry, &_Msg_serviceDesc)
}

// MsgServiceName and QueryServiceName name the module's services, for the command line.
var (
	MsgServiceName   = _Msg_serviceDesc.ServiceName
	QueryServiceName = _Query_serviceDesc.ServiceName
)
