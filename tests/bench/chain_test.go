// Package bench_test measures the modules on the reference application, with its state on disk.
package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client/flags"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	store "github.com/cosmos/cosmos-sdk/store/v2"
	pruningtypes "github.com/cosmos/cosmos-sdk/store/v2/pruning/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsign "github.com/cosmos/cosmos-sdk/x/auth/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
)

const (
	chainID   = "bench-1"
	denom     = "ubench"
	blockTime = 6 * time.Second

	// one is a whole token.
	one = 1_000_000
	// validators is the size of the chain's active set; each has selfStake.
	validators = 200
	selfStake  = 1_000_000 * one
	// delegators is how many accounts have a native delegation of delegation tokens to one validator.
	delegators = 10_000
	delegation = 1_000 * one
	// balance is what every account has besides.
	balance = 1_000_000 * one
	// iavlCache is the server's default number of cached nodes per store.
	iavlCache = 781_250
	// txGas is the gas limit of every transaction.
	txGas = 10_000_000
)

var genesisTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// chain is one application with its state in goleveldb, and what a node would know of its consensus.
type chain struct {
	testing.TB
	app *app.App
	db  dbm.DB
	// operators are the validators' operator addresses.
	operators []sdk.ValAddress
	commit    abci.CommitInfo
	height    int64
	time      time.Time
	// timers measure modules block by block.
	timers map[string]*moduleTimer
}

// newChain starts a chain of 200 bonded validators and 10,000 delegators in a new directory.
func newChain(tb testing.TB) *chain {
	tb.Helper()
	dir := tb.TempDir()
	db, err := dbm.NewDB("application", dbm.GoLevelDBBackend, filepath.Join(dir, "data"))
	require.NoError(tb, err)

	c := &chain{TB: tb, db: db, time: genesisTime, timers: map[string]*moduleTimer{}}
	// As a node does by default (server.DefaultBaseappOptions).
	c.app = app.New(log.NewNopLogger(), db, true, apptest.Options{flags.FlagHome: dir},
		baseapp.SetChainID(chainID),
		baseapp.SetPruning(pruningtypes.NewPruningOptions(pruningtypes.PruningDefault)),
		baseapp.SetInterBlockCache(store.NewCommitKVStoreCacheManager()),
		baseapp.SetIAVLCacheSize(iavlCache),
	)
	tb.Cleanup(func() { require.NoError(tb, c.app.Close()) })

	for i := range validators {
		key := consensusKey(i).PubKey()
		c.operators = append(c.operators, sdk.ValAddress(address("operator", i)))
		c.commit.Votes = append(c.commit.Votes, abci.VoteInfo{
			Validator:   abci.Validator{Address: key.Address(), Power: selfStake / one},
			BlockIdFlag: cmtproto.BlockIDFlagCommit,
		})
	}
	_, err = c.app.InitChain(&abci.RequestInitChain{
		Time:            c.time,
		ChainId:         chainID,
		ConsensusParams: consensusParams(),
		AppStateBytes:   c.genesis(),
		InitialHeight:   1,
	})
	require.NoError(tb, err)
	c.block()
	c.block()
	return c
}

func consensusParams() *cmtproto.ConsensusParams {
	return &cmtproto.ConsensusParams{
		Block: &cmtproto.BlockParams{MaxBytes: cmttypes.MaxBlockSizeBytes, MaxGas: -1},
		Evidence: &cmtproto.EvidenceParams{
			MaxAgeNumBlocks: 302_400, MaxAgeDuration: 21 * 24 * time.Hour, MaxBytes: 1_000_000,
		},
		Validator: &cmtproto.ValidatorParams{PubKeyTypes: []string{cmttypes.ABCIPubKeyTypeEd25519}},
	}
}

// genesis returns the genesis state. Validators begin unbonded, so that all hooks run when x/staking bonds them.
func (c *chain) genesis() []byte {
	c.Helper()
	var (
		state    = c.app.DefaultGenesis()
		accounts = make(authtypes.GenesisAccounts, 0, delegators+validators)
		balances = make([]banktypes.Balance, 0, delegators+validators+1)
		stakes   = make([]int64, validators)
		staking  []stakingtypes.Delegation
		staked   int64
	)
	add := func(addr sdk.AccAddress, val int, amount int64) {
		accounts = append(accounts, authtypes.NewBaseAccount(addr, nil, uint64(len(accounts)), 0))
		balances = append(balances, banktypes.Balance{
			Address: addr.String(), Coins: sdk.NewCoins(sdk.NewInt64Coin(denom, balance)),
		})
		staking = append(staking, stakingtypes.NewDelegation(
			addr.String(), c.operators[val].String(), sdkmath.LegacyNewDec(amount),
		))
		stakes[val] += amount
		staked += amount
	}
	for i, operator := range c.operators {
		add(sdk.AccAddress(operator), i, selfStake)
	}
	for i := range delegators {
		add(delegator(i).addr, i%validators, delegation)
	}
	balances = append(balances, banktypes.Balance{
		Address: authtypes.NewModuleAddress(stakingtypes.NotBondedPoolName).String(),
		Coins:   sdk.NewCoins(sdk.NewInt64Coin(denom, staked)),
	})

	editGenesis(c, state, authtypes.ModuleName, &authtypes.GenesisState{}, func(s *authtypes.GenesisState) {
		*s = *authtypes.NewGenesisState(s.Params, accounts)
	})
	editGenesis(c, state, banktypes.ModuleName, &banktypes.GenesisState{}, func(s *banktypes.GenesisState) {
		s.Balances = balances
	})
	editGenesis(c, state, minttypes.ModuleName, &minttypes.GenesisState{}, func(s *minttypes.GenesisState) {
		s.Params.MintDenom = denom
	})
	editGenesis(c, state, stakingtypes.ModuleName, &stakingtypes.GenesisState{}, func(s *stakingtypes.GenesisState) {
		s.Params.BondDenom = denom
		s.Params.MaxValidators = validators
		s.Delegations = staking
		for i, operator := range c.operators {
			s.Validators = append(s.Validators, genesisValidator(c, i, operator, stakes[i]))
		}
	})
	bz, err := json.Marshal(state)
	require.NoError(c, err)
	return bz
}

func genesisValidator(tb testing.TB, i int, operator sdk.ValAddress, stake int64) stakingtypes.Validator {
	tb.Helper()
	pk, err := cryptocodec.FromCmtPubKeyInterface(consensusKey(i).PubKey())
	require.NoError(tb, err)
	pkAny, err := codectypes.NewAnyWithValue(pk)
	require.NoError(tb, err)
	return stakingtypes.Validator{
		OperatorAddress: operator.String(),
		ConsensusPubkey: pkAny,
		Status:          stakingtypes.Unbonded,
		Tokens:          sdkmath.NewInt(stake),
		DelegatorShares: sdkmath.LegacyNewDec(stake),
		// As long as descriptions of real validators are.
		Description: stakingtypes.Description{
			Moniker: fmt.Sprintf("validator %d", i), Identity: "0123456789ABCDEF",
			Website: "https://validator.example.com", SecurityContact: "security@validator.example.com",
			Details: "A validator that secures this chain and its allies, with nodes on three continents.",
		},
		UnbondingTime: time.Unix(0, 0).UTC(),
		Commission: stakingtypes.NewCommission(
			sdkmath.LegacyNewDecWithPrec(5, 2), sdkmath.LegacyNewDecWithPrec(20, 2), sdkmath.LegacyNewDecWithPrec(1, 2),
		),
		MinSelfDelegation: sdkmath.OneInt(),
	}
}

// editGenesis changes a module's genesis state.
func editGenesis[T proto.Message](c *chain, state app.GenesisState, name string, s T, edit func(T)) {
	c.Helper()
	cdc := c.app.AppCodec()
	require.NoError(c, cdc.UnmarshalJSON(state[name], s), name)
	edit(s)
	bz, err := cdc.MarshalJSON(s)
	require.NoError(c, err, name)
	state[name] = bz
}

// address returns an account address of that kind and number.
func address(kind string, i int) sdk.AccAddress {
	return sdk.AccAddress(tmhash.SumTruncated(fmt.Appendf(nil, "%s/%d", kind, i)))
}

func consensusKey(i int) crypto.PrivKey {
	return ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "consensus/%d", i))
}

// account is one that signs transactions.
type account struct {
	addr sdk.AccAddress
	key  *secp256k1.PrivKey
}

// delegatorKeys is how many of the delegators have keys. The others cannot sign, which saves time.
const delegatorKeys = 10

// delegator returns the i-th delegator. It has delegated to validator i mod 200.
func delegator(i int) account {
	if i >= delegatorKeys {
		return account{addr: address("delegator", i)}
	}
	key := secp256k1.GenPrivKeyFromSecret(fmt.Appendf(nil, "delegator/%d", i))
	return account{addr: sdk.AccAddress(key.PubKey().Address()), key: key}
}

// header returns the header of the next block, after the time a block takes.
func (c *chain) header() cmtproto.Header {
	return cmtproto.Header{ChainID: chainID, Height: c.height + 1, Time: c.time.Add(blockTime)}
}

// block makes a block of transactions and returns how long its execution and its commit to disk took.
func (c *chain) block(txs ...[]byte) (*abci.ResponseFinalizeBlock, span) {
	return c.blockAfter(blockTime, txs...)
}

// blockAfter is block, some time after the last one.
func (c *chain) blockAfter(d time.Duration, txs ...[]byte) (*abci.ResponseFinalizeBlock, span) {
	c.Helper()
	req := &abci.RequestFinalizeBlock{
		Height: c.height + 1, Time: c.time.Add(d), Txs: txs,
		ProposerAddress: c.commit.Votes[int(c.height)%validators].Validator.Address,
	}
	if c.height > 0 {
		req.DecidedLastCommit = c.commit
	}
	var res *abci.ResponseFinalizeBlock
	took := spanOfAll(func() {
		var err error
		res, err = c.app.FinalizeBlock(req)
		require.NoError(c, err)
		_, err = c.app.Commit()
		require.NoError(c, err)
	})
	c.height, c.time = req.Height, req.Time
	for _, e := range res.Events {
		if strings.Contains(e.Type, "Fail") {
			c.Fatalf("block %d: %s", req.Height, e.String())
		}
	}
	for i, tx := range res.TxResults {
		require.Zero(c, tx.Code, "transaction %d: %s", i, tx.Log)
	}
	return res, took
}

// deferred returns a context whose writes go straight into the stores and are committed with the next block.
func (c *chain) deferred() sdk.Context {
	ctx := c.app.NewUncachedContext(false, c.header()) //nolint:staticcheck // the others write to a cache that nothing commits
	return ctx.WithConsensusParams(c.app.GetConsensusParams(ctx))
}

// next returns a context of the next block over the committed state; what is written to it is lost.
func (c *chain) next() sdk.Context {
	ctx, _ := c.deferred().CacheContext()
	return ctx
}

// run executes a message ahead of the next block.
func (c *chain) run(msg sdk.Msg) {
	c.Helper()
	_, err := c.app.MsgServiceRouter().Handler(msg)(c.deferred(), msg)
	require.NoError(c, err, "%T", msg)
}

// sign returns a transaction without fees. ahead is how many of the account are signed before it for the same block.
func (c *chain) sign(a account, ahead uint64, msgs ...sdk.Msg) []byte {
	c.Helper()
	txConfig := c.app.GetTxConfig()
	acc := c.app.AccountKeeper.GetAccount(c.next(), a.addr)
	data := authsign.SignerData{
		Address: a.addr.String(), ChainID: chainID,
		AccountNumber: acc.GetAccountNumber(), Sequence: acc.GetSequence() + ahead, PubKey: a.key.PubKey(),
	}
	builder := txConfig.NewTxBuilder()
	require.NoError(c, builder.SetMsgs(msgs...))
	builder.SetGasLimit(txGas)
	sig := signing.SignatureV2{
		PubKey: a.key.PubKey(), Sequence: data.Sequence,
		Data: &signing.SingleSignatureData{SignMode: signing.SignMode_SIGN_MODE_DIRECT},
	}
	require.NoError(c, builder.SetSignatures(sig))
	bz, err := authsign.GetSignBytesAdapter(
		context.Background(), txConfig.SignModeHandler(), signing.SignMode_SIGN_MODE_DIRECT, data, builder.GetTx(),
	)
	require.NoError(c, err)
	signature, err := a.key.Sign(bz)
	require.NoError(c, err)
	sig.Data = &signing.SingleSignatureData{SignMode: signing.SignMode_SIGN_MODE_DIRECT, Signature: signature}
	require.NoError(c, builder.SetSignatures(sig))
	tx, err := txConfig.TxEncoder()(builder.GetTx())
	require.NoError(c, err)
	return tx
}
