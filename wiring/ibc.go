package wiring

import (
	"encoding/json"
	"fmt"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"

	ibc "github.com/cosmos/ibc-go/v11/modules/core"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"
	ibctypes "github.com/cosmos/ibc-go/v11/modules/core/types"
)

// IBCModule is ibc-go's core module, but it takes every genesis that the module itself exports. ibc-go refuses one, and
// panics in InitChain, in which a client and its counterparty have the same id, as the first clients of two chains do
// (https://github.com/cosmos/ibc-go/issues/9063); and anybody can bring that about by registering a counterparty.
type IBCModule struct {
	ibc.AppModule
	keeper *ibckeeper.Keeper
}

var _ module.HasGenesis = IBCModule{}

// NewIBCModule returns the module of a chain's IBC keeper, to be used in place of ibc.NewAppModule.
func NewIBCModule(k *ibckeeper.Keeper) IBCModule {
	return IBCModule{AppModule: ibc.NewAppModule(k), keeper: k}
}

// ValidateGenesis implements module.HasGenesis.
func (m IBCModule) ValidateGenesis(cdc codec.JSONCodec, config client.TxEncodingConfig, bz json.RawMessage) error {
	_, rest, err := takeEqualCounterparties(cdc, bz)
	if err != nil {
		return err
	}
	return m.AppModule.ValidateGenesis(cdc, config, rest)
}

// InitGenesis implements module.HasGenesis. As ibc-go's it panics on a genesis that is not valid.
func (m IBCModule) InitGenesis(ctx sdk.Context, cdc codec.JSONCodec, bz json.RawMessage) {
	equal, rest, err := takeEqualCounterparties(cdc, bz)
	if err != nil {
		panic(err)
	}
	m.AppModule.InitGenesis(ctx, cdc, rest)
	for _, c := range equal {
		m.keeper.ClientV2Keeper.SetClientCounterparty(ctx, c.ClientId, c.CounterpartyInfo)
	}
}

// takeEqualCounterparties takes the counterparties that have their clients' own ids out of a genesis of IBC, checks what
// ibc-go would check of them, and returns them and the rest.
func takeEqualCounterparties(cdc codec.JSONCodec, bz json.RawMessage) (equal []clientv2types.GenesisCounterpartyInfo, rest json.RawMessage, err error) {
	var gs ibctypes.GenesisState
	if err := cdc.UnmarshalJSON(bz, &gs); err != nil {
		return nil, nil, fmt.Errorf("%s genesis: %w", exported.ModuleName, err)
	}
	seen, others := map[string]bool{}, []clientv2types.GenesisCounterpartyInfo{}
	for _, c := range gs.ClientV2Genesis.CounterpartyInfos {
		if seen[c.ClientId] {
			return nil, nil, fmt.Errorf("%s genesis: two counterparties of client %q", exported.ModuleName, c.ClientId)
		}
		seen[c.ClientId] = true
		if c.ClientId == "" || c.ClientId != c.CounterpartyInfo.ClientId {
			others = append(others, c)
			continue
		}
		if len(c.CounterpartyInfo.MerklePrefix) == 0 {
			return nil, nil, fmt.Errorf("%s genesis: no merkle prefix of the counterparty of %q", exported.ModuleName, c.ClientId)
		}
		equal = append(equal, c)
	}
	if len(equal) == 0 {
		return nil, bz, nil
	}
	gs.ClientV2Genesis.CounterpartyInfos = others
	rest, err = cdc.MarshalJSON(&gs)
	return equal, rest, err
}
