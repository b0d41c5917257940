package types

import (
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/legacy"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
)

// RegisterLegacyAminoCodec registers the module's messages for amino JSON signing.
func RegisterLegacyAminoCodec(cdc *codec.LegacyAmino) {
	legacy.RegisterAminoMsg(cdc, &MsgCrossStake{}, "mesh/MsgCrossStake")
	legacy.RegisterAminoMsg(cdc, &MsgCrossUnstake{}, "mesh/MsgCrossUnstake")
	legacy.RegisterAminoMsg(cdc, &MsgCrossRedelegate{}, "mesh/MsgCrossRedelegate")
	legacy.RegisterAminoMsg(cdc, &MsgWithdrawRewards{}, "mesh/MsgWithdrawRewards")
	legacy.RegisterAminoMsg(cdc, &MsgAddConsumer{}, "mesh/MsgAddConsumer")
	legacy.RegisterAminoMsg(cdc, &MsgUpdateConsumer{}, "mesh/MsgUpdateConsumer")
	legacy.RegisterAminoMsg(cdc, &MsgRemoveConsumer{}, "mesh/MsgRemoveConsumer")
	legacy.RegisterAminoMsg(cdc, &MsgPauseConsumer{}, "mesh/MsgPauseConsumer")
	legacy.RegisterAminoMsg(cdc, &MsgResumeConsumer{}, "mesh/MsgResumeConsumer")
	legacy.RegisterAminoMsg(cdc, &MsgRetireChannel{}, "mesh/provider/MsgRetireChannel")
	legacy.RegisterAminoMsg(cdc, &MsgSubmitDoubleVote{}, "mesh/MsgSubmitDoubleVote")
	legacy.RegisterAminoMsg(cdc, &MsgSubmitMisbehaviour{}, "mesh/MsgSubmitMisbehaviour")
	legacy.RegisterAminoMsg(cdc, &MsgVouchKey{}, "mesh/MsgVouchKey")
	legacy.RegisterAminoMsg(cdc, &MsgSetEvidenceMinHeight{}, "mesh/MsgSetEvidenceMinHeight")
	legacy.RegisterAminoMsg(cdc, &MsgVetoSlash{}, "mesh/MsgVetoSlash")
	legacy.RegisterAminoMsg(cdc, &MsgStopSlash{}, "mesh/MsgStopSlash")
	legacy.RegisterAminoMsg(cdc, &MsgUpdateParams{}, "mesh/provider/MsgUpdateParams")
}

// RegisterInterfaces registers the module's messages.
func RegisterInterfaces(registry codectypes.InterfaceRegistry) {
	registry.RegisterImplementations((*sdk.Msg)(nil),
		&MsgCrossStake{}, &MsgCrossUnstake{}, &MsgCrossRedelegate{},
		&MsgAddConsumer{}, &MsgUpdateConsumer{}, &MsgRemoveConsumer{}, &MsgPauseConsumer{}, &MsgResumeConsumer{},
		&MsgRetireChannel{}, &MsgWithdrawRewards{},
		&MsgSubmitDoubleVote{}, &MsgSubmitMisbehaviour{}, &MsgVouchKey{}, &MsgSetEvidenceMinHeight{},
		&MsgVetoSlash{}, &MsgStopSlash{},
		&MsgUpdateParams{},
	)
	msgservice.RegisterMsgServiceDesc(registry, &_Msg_serviceDesc)
}
