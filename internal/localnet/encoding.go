package localnet

import (
	"github.com/cosmos/gogoproto/proto"

	"cosmossdk.io/core/address"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	addresscodec "github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/std"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/msgservice"
	signingtypes "github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	vestingtypes "github.com/cosmos/cosmos-sdk/x/auth/vesting/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	evidencetypes "github.com/cosmos/cosmos-sdk/x/evidence/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	"github.com/cosmos/cosmos-sdk/x/tx/signing"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	ibctypes "github.com/cosmos/ibc-go/v11/modules/core/types"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// encoding is what is needed to talk to one chain. It depends on nothing
// global, so that one process can talk to chains with different prefixes.
type encoding struct {
	accounts   address.Codec
	validators address.Codec
	consensus  address.Codec
	registry   codectypes.InterfaceRegistry
	codec      codec.Codec
	tx         client.TxConfig
}

func newEncoding(prefix string) (*encoding, error) {
	e := &encoding{
		accounts:   addresscodec.NewBech32Codec(prefix),
		validators: addresscodec.NewBech32Codec(prefix + sdk.PrefixValidator + sdk.PrefixOperator),
		consensus:  addresscodec.NewBech32Codec(prefix + sdk.PrefixValidator + sdk.PrefixConsensus),
	}
	options := signing.Options{AddressCodec: e.accounts, ValidatorAddressCodec: e.validators}
	var err error
	e.registry, err = codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles:     proto.HybridResolver,
		SigningOptions: options,
	})
	if err != nil {
		return nil, err
	}
	for _, register := range []func(codectypes.InterfaceRegistry){
		std.RegisterInterfaces,
		authtypes.RegisterInterfaces, vestingtypes.RegisterInterfaces, authz.RegisterInterfaces,
		banktypes.RegisterInterfaces, distrtypes.RegisterInterfaces, evidencetypes.RegisterInterfaces,
		feegrant.RegisterInterfaces, govv1.RegisterInterfaces, slashingtypes.RegisterInterfaces,
		stakingtypes.RegisterInterfaces,
		ibctypes.RegisterInterfaces, ibctm.RegisterInterfaces, transfertypes.RegisterInterfaces,
	} {
		register(e.registry)
	}
	msgservice.RegisterMsgServiceDesc(e.registry, &providertypes.Msg_serviceDesc)
	msgservice.RegisterMsgServiceDesc(e.registry, &consumertypes.Msg_serviceDesc)
	e.codec = codec.NewProtoCodec(e.registry)
	e.tx, err = authtx.NewTxConfigWithOptions(e.codec, authtx.ConfigOptions{
		EnabledSignModes: []signingtypes.SignMode{signingtypes.SignMode_SIGN_MODE_DIRECT},
		SigningOptions:   &options,
	})
	return e, err
}
