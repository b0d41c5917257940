package watchtower

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
	"github.com/cosmos/cosmos-sdk/x/tx/signing"

	ibctypes "github.com/cosmos/ibc-go/v11/modules/core/types"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// encoding is what is needed to talk to one chain. The SDK's global bech32 prefix is not used: every chain has its own.
type encoding struct {
	accounts address.Codec
	registry codectypes.InterfaceRegistry
	codec    codec.Codec
	tx       client.TxConfig
}

func newEncoding(prefix string) (*encoding, error) {
	e := &encoding{accounts: addresscodec.NewBech32Codec(prefix)}
	options := signing.Options{
		AddressCodec:          e.accounts,
		ValidatorAddressCodec: addresscodec.NewBech32Codec(prefix + sdk.PrefixValidator + sdk.PrefixOperator),
	}
	var err error
	e.registry, err = codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles:     proto.HybridResolver,
		SigningOptions: options,
	})
	if err != nil {
		return nil, err
	}
	for _, register := range []func(codectypes.InterfaceRegistry){
		std.RegisterInterfaces, authtypes.RegisterInterfaces, ibctypes.RegisterInterfaces, ibctm.RegisterInterfaces,
	} {
		register(e.registry)
	}
	msgservice.RegisterMsgServiceDesc(e.registry, &providertypes.Msg_serviceDesc)
	e.codec = codec.NewProtoCodec(e.registry)
	// Direct signing is what every chain takes, and its bytes do not contain an address.
	e.tx, err = authtx.NewTxConfigWithOptions(e.codec, authtx.ConfigOptions{
		EnabledSignModes: []signingtypes.SignMode{signingtypes.SignMode_SIGN_MODE_DIRECT},
		SigningOptions:   &options,
	})
	return e, err
}
