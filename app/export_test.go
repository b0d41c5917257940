package app_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clientv2types "github.com/cosmos/ibc-go/v11/modules/core/02-client/v2/types"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctypes "github.com/cosmos/ibc-go/v11/modules/core/types"
	ibctesting "github.com/cosmos/ibc-go/v11/testing"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
)

func TestExportImportRoundTrip(t *testing.T) {
	chain, chainApp := busyChain(t)

	exported, err := chainApp.ExportAppStateAndValidators(false, nil, nil)
	require.NoError(t, err)
	require.Equal(t, chainApp.LastBlockHeight()+1, exported.Height)
	require.Len(t, exported.Validators, len(chain.Vals.Validators))

	imported := importGenesis(t, exported, chain.ProposedHeader.Time)

	var before map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(exported.AppState, &before))
	header := cmtproto.Header{Height: exported.Height, Time: chain.ProposedHeader.Time}
	after, err := imported.ModuleManager.ExportGenesis(imported.NewContextLegacy(false, header), imported.AppCodec())
	require.NoError(t, err)
	require.Len(t, after, len(before))
	for name := range before {
		require.JSONEq(t, string(before[name]), string(after[name]), "module %s", name)
	}

	runBlocks(t, imported, exported.Height, chain.ProposedHeader.Time)
}

func TestExportForZeroHeight(t *testing.T) {
	chain, chainApp := busyChain(t)
	ctx := chain.GetContext()
	rewarded, err := chainApp.StakingKeeper.GetAllDelegations(ctx)
	require.NoError(t, err)
	validators, err := chainApp.StakingKeeper.GetAllValidators(ctx)
	require.NoError(t, err)
	kept := validators[0].GetOperator()

	exported, err := chainApp.ExportAppStateAndValidators(true, []string{kept}, nil)
	require.NoError(t, err)
	require.Zero(t, exported.Height)
	require.Len(t, exported.Validators, 1, "all but one validator were to be jailed")

	var state map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(exported.AppState, &state))
	var stakingState stakingtypes.GenesisState
	chainApp.AppCodec().MustUnmarshalJSON(state[stakingtypes.ModuleName], &stakingState)
	require.Len(t, stakingState.Delegations, len(rewarded))
	for _, validator := range stakingState.Validators {
		require.Equal(t, validator.GetOperator() != kept, validator.Jailed)
		if validator.Jailed {
			require.True(t, validator.UnbondingTime.After(chain.LatestCommittedHeader.GetTime()), "unbonding began before the chain did")
		}
	}
	require.NotEmpty(t, stakingState.UnbondingDelegations)
	for _, unbonding := range stakingState.UnbondingDelegations {
		for _, entry := range unbonding.Entries {
			require.Zero(t, entry.CreationHeight)
		}
	}
	require.NotEmpty(t, stakingState.Redelegations)
	for _, redelegation := range stakingState.Redelegations {
		for _, entry := range redelegation.Entries {
			require.Zero(t, entry.CreationHeight)
		}
	}

	runBlocks(t, importGenesis(t, exported, chain.ProposedHeader.Time), 1, chain.ProposedHeader.Time)
}

func TestExportRefusesUnknownNames(t *testing.T) {
	_, chainApp := newChain(t)

	_, err := chainApp.ExportAppStateAndValidators(false, nil, []string{"unknown"})
	require.ErrorContains(t, err, "unknown")
	_, err = chainApp.ExportAppStateAndValidators(true, []string{"unknown"}, nil)
	require.ErrorContains(t, err, "unknown")

	exported, err := chainApp.ExportAppStateAndValidators(false, nil, []string{banktypes.ModuleName})
	require.NoError(t, err)
	var state map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(exported.AppState, &state))
	require.Len(t, state, 1)
}

// busyChain returns a chain in which every module that has state has some.
func busyChain(t *testing.T) (*ibctesting.TestChain, *app.App) {
	t.Helper()
	_, path := newPath(t)
	path.Setup()
	chain := path.EndpointA.Chain
	chainApp := apptest.App(chain)
	coins := sdk.NewCoins(ibctesting.TestCoin)
	sender, other := chain.SenderAccount.GetAddress(), chain.SenderAccounts[1].SenderAccount.GetAddress()

	validators, err := chainApp.StakingKeeper.GetAllValidators(chain.GetContext())
	require.NoError(t, err)
	val0, val1 := validators[0].GetOperator(), validators[1].GetOperator()
	bond := func(amount int64) sdk.Coin { return sdk.NewInt64Coin(sdk.DefaultBondDenom, amount) }

	expiry := chain.GetContext().BlockTime().Add(time.Hour)
	grant, err := authz.NewMsgGrant(sender, other, authz.NewGenericAuthorization(sdk.MsgTypeURL(&banktypes.MsgSend{})), &expiry)
	require.NoError(t, err)
	allowance, err := feegrant.NewMsgGrantAllowance(&feegrant.BasicAllowance{SpendLimit: coins}, sender, other)
	require.NoError(t, err)
	proposal, err := govv1.NewMsgSubmitProposal(nil, sdk.NewCoins(bond(100_000)), sender.String(), "metadata", "title", "summary", false)
	require.NoError(t, err)

	_, err = chain.SendMsgs(
		stakingtypes.NewMsgDelegate(sender.String(), val0, bond(5_000_000)),
		stakingtypes.NewMsgDelegate(sender.String(), val1, bond(3_000_000)),
		grant, allowance, proposal,
		ibctransfertypes.NewMsgTransfer(
			path.EndpointA.ChannelConfig.PortID, path.EndpointA.ChannelID, ibctesting.TestCoin,
			sender.String(), sender.String(), path.EndpointB.Chain.GetTimeoutHeight(), 0, "",
		),
	)
	require.NoError(t, err)
	_, err = chain.SendMsgs(
		stakingtypes.NewMsgUndelegate(sender.String(), val0, bond(1_000_000)),
		stakingtypes.NewMsgBeginRedelegate(sender.String(), val1, val0, bond(500_000)),
	)
	require.NoError(t, err)
	for range 3 {
		chain.NextBlock()
	}
	return chain, chainApp
}

func importGenesis(t *testing.T, exported servertypes.ExportedApp, genesisTime time.Time) *app.App {
	t.Helper()
	chainID := ibctesting.GetChainID(1)
	imported := app.New(log.NewNopLogger(), dbm.NewMemDB(), true, apptest.Options{}, baseapp.SetChainID(chainID))
	_, err := imported.InitChain(&abci.RequestInitChain{
		ChainId:         chainID,
		Time:            genesisTime,
		InitialHeight:   max(exported.Height, 1),
		ConsensusParams: &exported.ConsensusParams,
		AppStateBytes:   exported.AppState,
	})
	require.NoError(t, err)
	return imported
}

// TestImportOfCounterpartiesWithTheirClientsOwnIDs: the first clients of two chains have the same id. ibc-go alone would
// refuse what it exports then.
func TestImportOfCounterpartiesWithTheirClientsOwnIDs(t *testing.T) {
	_, path := newPath(t)
	path.SetupV2()
	require.Equal(t, path.EndpointA.ClientID, path.EndpointB.ClientID)
	other := ibctesting.NewPath(path.EndpointB.Chain, path.EndpointA.Chain)
	require.NoError(t, other.EndpointB.CreateClient())
	other.EndpointA.ClientID = path.EndpointB.ClientID // any other id than its client's
	require.NoError(t, other.EndpointB.RegisterCounterparty())
	chain := path.EndpointA.Chain
	chainApp := apptest.App(chain)

	exported, err := chainApp.ExportAppStateAndValidators(false, nil, nil)
	require.NoError(t, err)
	var before app.GenesisState
	require.NoError(t, json.Unmarshal(exported.AppState, &before))
	encoding := chainApp.EncodingConfig()
	validate := func(gs app.GenesisState) error {
		return chainApp.BasicModuleManager.ValidateGenesis(encoding.Codec, encoding.TxConfig, gs)
	}
	require.NoError(t, validate(before))
	imported := importGenesis(t, exported, chain.ProposedHeader.Time)
	header := cmtproto.Header{Height: exported.Height, Time: chain.ProposedHeader.Time}
	ctx := imported.NewContextLegacy(false, header)
	after, err := imported.ModuleManager.ExportGenesis(ctx, imported.AppCodec())
	require.NoError(t, err)
	require.JSONEq(t, string(before[ibcexported.ModuleName]), string(after[ibcexported.ModuleName]))
	info, found := imported.IBCKeeper.ClientV2Keeper.GetClientCounterparty(ctx, path.EndpointA.ClientID)
	require.True(t, found)
	require.Equal(t, path.EndpointB.ClientID, info.ClientId)

	// What else ibc-go refuses stays refused.
	for name, change := range map[string]func(*clientv2types.GenesisState){
		"twice":             func(gs *clientv2types.GenesisState) { gs.CounterpartyInfos[1] = gs.CounterpartyInfos[0] },
		"no client":         func(gs *clientv2types.GenesisState) { gs.CounterpartyInfos[0].ClientId = "" },
		"no prefix":         func(gs *clientv2types.GenesisState) { gs.CounterpartyInfos[0].CounterpartyInfo.MerklePrefix = nil },
		"no other's prefix": func(gs *clientv2types.GenesisState) { gs.CounterpartyInfos[1].CounterpartyInfo.MerklePrefix = nil },
	} {
		t.Run(name, func(t *testing.T) {
			var gs ibctypes.GenesisState
			encoding.Codec.MustUnmarshalJSON(before[ibcexported.ModuleName], &gs)
			require.Len(t, gs.ClientV2Genesis.CounterpartyInfos, 2)
			change(&gs.ClientV2Genesis)
			bad := maps.Clone(before)
			bad[ibcexported.ModuleName] = encoding.Codec.MustMarshalJSON(&gs)
			require.Error(t, validate(bad))
		})
	}
	bad := maps.Clone(before)
	bad[ibcexported.ModuleName] = json.RawMessage(`{"client_genesis": 1}`)
	require.Error(t, validate(bad))
}

// runBlocks runs enough blocks for unbonding stake to come free, and checks that it was paid for.
func runBlocks(t *testing.T, chainApp *app.App, initialHeight int64, start time.Time) {
	t.Helper()
	for i := range int64(3) {
		_, err := chainApp.FinalizeBlock(&abci.RequestFinalizeBlock{
			Height: initialHeight + i,
			Time:   start.Add(time.Duration(i) * stakingtypes.DefaultUnbondingTime),
		})
		require.NoError(t, err)
		_, err = chainApp.Commit()
		require.NoError(t, err)
	}

	ctx := chainApp.NewContext(true)
	bonded, notBonded := sdkmath.ZeroInt(), sdkmath.ZeroInt()
	require.NoError(t, chainApp.StakingKeeper.IterateValidators(ctx, func(_ int64, v stakingtypes.ValidatorI) bool {
		if v.IsBonded() {
			bonded = bonded.Add(v.GetTokens())
		} else {
			notBonded = notBonded.Add(v.GetTokens())
		}
		return false
	}))
	pools := []struct {
		name string
		want sdkmath.Int
	}{{stakingtypes.BondedPoolName, bonded}, {stakingtypes.NotBondedPoolName, notBonded}}
	for _, pool := range pools {
		addr := chainApp.AccountKeeper.GetModuleAddress(pool.name)
		require.Equal(t, pool.want, chainApp.BankKeeper.GetBalance(ctx, addr, sdk.DefaultBondDenom).Amount, pool.name)
	}
}
