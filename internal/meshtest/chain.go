package meshtest

import (
	"fmt"
	"slices"
	"time"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/client/flags"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	ibctesting "github.com/cosmos/ibc-go/v11/testing"
	"github.com/cosmos/ibc-go/v11/testing/simapp"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/app/apptest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// RelayerName is the account that signs the relayer's transactions.
const RelayerName = "relayer"

// Chain is one chain of a network.
type Chain struct {
	*ibctesting.TestChain

	// App is the application, without the wrapper that TestChain.App is. There is none before the Upgrade of a chain that
	// began as Stock.
	App *app.App
	// Name is the chain id without the revision.
	Name string
	// Denom is the bond denom.
	Denom string
	// Validators are those of genesis and those created since.
	Validators []*Validator
	// Skew is added to the network's time in the chain's blocks.
	Skew time.Duration
	// Halted chains make no blocks in Step.
	Halted bool

	net          *Network
	db           dbm.DB
	stock        *simapp.SimApp
	followers    []*app.App
	accounts     map[string]*Account
	mempool      []*Tx
	blocks       []*Block
	misbehaviour []abci.Misbehavior
	pending      []abci.Event
	// What the modules exported, and after which block.
	provider                       *providertypes.GenesisState
	consumer                       *consumertypes.GenesisState
	providerHeight, consumerHeight int64
	// firstHeight is the first block in the application's store.
	firstHeight int64
}

// Block is what a block did.
type Block struct {
	Height int64
	Time   time.Time
	// Events are those of authority messages before the block, of the block, and of its transactions.
	Events []abci.Event
	Txs    []*Tx
}

// Validator is a validator of a chain with its keys.
type Validator struct {
	Chain    *Chain
	Operator *Account
	PrivVal  cmttypes.MockPV
	// Absent validators sign no blocks that other chains or x/slashing care about.
	Absent bool
}

// ValAddress returns the operator address.
func (v *Validator) ValAddress() sdk.ValAddress { return sdk.ValAddress(v.Operator.Address()) }

// String returns the operator address as text.
func (v *Validator) String() string { return v.ValAddress().String() }

// ConsAddress returns the consensus address.
func (v *Validator) ConsAddress() sdk.ConsAddress {
	return sdk.ConsAddress(v.PrivVal.PrivKey.PubKey().Address())
}

// node is the application as ibctesting sees it. It adds to each block what ibctesting leaves out (transactions from
// the mempool, votes, evidence) and records what the block did: packets are sent in EndBlock, and ibctesting looks at
// transactions only.
type node struct {
	ibctesting.TestingApp
	chain *Chain
}

var _ ibctesting.TestingApp = (*node)(nil)

// FinalizeBlock implements servertypes.ABCI.
func (n *node) FinalizeBlock(req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	c := n.chain
	// ibctesting sets the time without the skew.
	req.Time = c.net.coord.CurrentTime.Add(c.Skew)
	if len(c.blocks) > 0 && !req.Time.After(c.LastBlock().Time) {
		req.Time = c.LastBlock().Time.Add(time.Millisecond)
	}
	c.ProposedHeader.Time = req.Time
	req.ProposerAddress = c.ProposedHeader.ProposerAddress
	req.DecidedLastCommit = c.lastCommit()
	req.Misbehavior, c.misbehaviour = c.misbehaviour, nil
	txs := c.mempool
	c.mempool = nil
	for _, tx := range txs {
		req.Txs = append(req.Txs, tx.bytes)
		tx.Signer.queued = 0
	}
	res, err := n.TestingApp.FinalizeBlock(req)
	if err != nil {
		return nil, fmt.Errorf("%s: block %d: %w", c.ChainID, req.Height, err)
	}
	b := &Block{Height: req.Height, Time: req.Time, Txs: txs, Events: c.pending}
	c.pending = nil
	b.Events = append(b.Events, res.Events...)
	for i, tx := range txs {
		tx.Result, tx.Height = res.TxResults[i], req.Height
		b.Events = append(b.Events, tx.Result.Events...)
	}
	c.blocks = append(c.blocks, b)
	for _, follower := range c.followers {
		again, err := follower.FinalizeBlock(req)
		if err != nil {
			return nil, fmt.Errorf("%s: follower at block %d: %w", c.ChainID, req.Height, err)
		}
		require.Equal(c, res.AppHash, again.AppHash, "%s: follower at block %d", c.ChainID, req.Height)
	}
	return res, nil
}

// Commit implements servertypes.ABCI.
func (n *node) Commit() (*abci.ResponseCommit, error) {
	res, err := n.TestingApp.Commit()
	if err != nil {
		return nil, err
	}
	for _, follower := range n.chain.followers {
		if _, err := follower.Commit(); err != nil {
			return nil, err
		}
	}
	n.chain.net.Relayer.collect(n.chain, n.chain.LastBlock())
	n.chain.checkInvariants()
	return res, nil
}

func newChain(n *Network, cfg ChainConfig) *Chain {
	n.Helper()
	cfg = cfg.withDefaults()
	c := &Chain{
		Name:     cfg.Name,
		Denom:    cfg.Denom,
		net:      n,
		accounts: map[string]*Account{},
	}
	c.TestChain = &ibctesting.TestChain{
		TB:                n.TB,
		Coordinator:       n.coord,
		ChainID:           cfg.Name + "-1",
		Signers:           map[string]cmttypes.PrivValidator{},
		TrustedValidators: map[uint64]*cmttypes.ValidatorSet{},
	}
	c.SendMsgsOverride = c.sendForTesting

	if cfg.Stock {
		c.startStock()
	} else {
		c.start()
	}
	c.firstHeight = cfg.InitialHeight
	res, err := c.TestChain.App.InitChain(&abci.RequestInitChain{
		Time:            n.coord.CurrentTime,
		ChainId:         c.ChainID,
		ConsensusParams: consensusParams(),
		AppStateBytes:   c.genesis(cfg),
		InitialHeight:   cfg.InitialHeight,
	})
	require.NoError(n, err, c.ChainID)

	updates, err := cmttypes.PB2TM.ValidatorUpdates(res.Validators)
	require.NoError(n, err)
	c.Vals = cmttypes.NewValidatorSet(updates)
	c.NextVals = c.Vals.Copy()
	c.ProposedHeader = cmtproto.Header{
		ChainID:            c.ChainID,
		Height:             cfg.InitialHeight,
		Time:               n.coord.CurrentTime,
		ValidatorsHash:     c.Vals.Hash(),
		NextValidatorsHash: c.NextVals.Hash(),
		ProposerAddress:    c.Vals.Proposer.Address,
	}
	// ibctesting names this account as the signer of what sendForTesting signs.
	relayer := c.relayerAccount()
	c.SenderPrivKey = relayer.Key
	c.SenderAccount = authtypes.NewBaseAccount(relayer.Address(), relayer.Key.PubKey(), 0, 0)
	c.NextBlock()
	return c
}

// CreateValidator makes an account an operator with a consensus key of its own, in one step. attempt tells the keys of
// several validators of one account apart.
func (c *Chain) CreateValidator(name string, attempt int, self int64) *Validator {
	c.Helper()
	operator := c.Account(name)
	v := &Validator{Chain: c, Operator: operator, PrivVal: cmttypes.NewMockPVWithParams(
		ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "%s/%s/consensus/%d", c.ChainID, name, attempt)), false, false,
	)}
	pk, err := cryptocodec.FromCmtPubKeyInterface(v.PrivVal.PrivKey.PubKey())
	require.NoError(c, err)
	msg, err := stakingtypes.NewMsgCreateValidator(
		v.String(), pk, sdk.NewInt64Coin(c.Denom, self), stakingtypes.Description{Moniker: name},
		stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), sdkmath.LegacyOneDec(), sdkmath.LegacyOneDec()),
		sdkmath.OneInt(),
	)
	require.NoError(c, err)
	c.Signers[v.PrivVal.PrivKey.PubKey().Address().String()] = v.PrivVal
	operator.Send(msg)
	// The newest validator of an operator takes the place of the one before.
	c.Validators = slices.DeleteFunc(c.Validators, func(old *Validator) bool { return old.Operator == operator })
	c.Validators = append(c.Validators, v)
	return v
}

// start gives the chain an application over an empty store.
func (c *Chain) start() {
	c.db = dbm.NewMemDB()
	c.App = app.New(log.NewNopLogger(), c.db, true, apptest.Options{flags.FlagHome: ""}, c.options()...)
	c.use(c.App)
}

// use makes the chain's blocks with an application.
func (c *Chain) use(a ibctesting.TestingApp) {
	c.TestChain.App = &node{a, c}
	c.TxConfig, c.Codec = a.GetTxConfig(), a.AppCodec()
}

// Account returns the account of that name.
func (c *Chain) Account(name string) *Account {
	c.Helper()
	a, ok := c.accounts[name]
	require.True(c, ok, "no account %q on %s", name, c.ChainID)
	return a
}

// relayerAccount returns the account that signs the relayer's transactions.
func (c *Chain) relayerAccount() *Account { return c.Account(RelayerName) }

// sendForTesting replaces ibctesting's way to send transactions, which makes a block behind the wrapper's back.
func (c *Chain) sendForTesting(msgs ...sdk.Msg) (*abci.ExecTxResult, error) {
	c.Coordinator.UpdateTimeForChain(c.TestChain)
	tx := c.relayerAccount().Queue(msgs...)
	c.NextBlock()
	c.Coordinator.IncrementTime()
	return tx.Result, tx.Err()
}

// lastCommit returns the votes on the block before, with the powers that signed it.
func (c *Chain) lastCommit() abci.CommitInfo {
	if c.ProposedHeader.Height == c.firstHeight {
		return abci.CommitInfo{}
	}
	absent := map[string]bool{}
	for _, v := range c.Validators {
		absent[string(v.ConsAddress())] = v.Absent
	}
	var info abci.CommitInfo
	for _, v := range c.LatestCommittedHeader.ValidatorSet.Validators {
		flag := cmtproto.BlockIDFlagCommit
		if absent[string(v.Address)] {
			flag = cmtproto.BlockIDFlagAbsent
		}
		info.Votes = append(info.Votes, abci.VoteInfo{
			Validator:   abci.Validator{Address: v.Address, Power: v.VotingPower},
			BlockIdFlag: flag,
		})
	}
	return info
}

// CommittedContext returns a context over the committed state; what is written to it is lost.
func (c *Chain) CommittedContext() sdk.Context {
	header := cmtproto.Header{ChainID: c.ChainID}
	if len(c.blocks) > 0 {
		header.Height, header.Time = c.LastBlock().Height, c.LastBlock().Time
	}
	base := c.TestChain.App.GetBaseApp()
	ctx, _ := base.NewContextLegacy(true, header).CacheContext()
	return ctx.WithConsensusParams(base.GetConsensusParams(ctx))
}

// NextContext returns a context whose writes are in the next block, ahead of its transactions.
func (c *Chain) NextContext() sdk.Context {
	require.Empty(c, c.followers, "%s: followers see transactions only", c.ChainID)
	ctx := c.GetContext()
	return ctx.WithConsensusParams(c.TestChain.App.GetBaseApp().GetConsensusParams(ctx))
}

// Gov executes a message as the authority that governance is, ahead of the next block, or returns its error and
// changes nothing.
func (c *Chain) Gov(msg sdk.Msg) error {
	ctx, write := c.NextContext().CacheContext()
	handler := c.App.MsgServiceRouter().Handler(msg)
	require.NotNil(c, handler, "no handler for %T", msg)
	res, err := handler(ctx, msg)
	if err != nil {
		return err
	}
	write()
	c.pending = append(c.pending, res.Events...)
	return nil
}

// Direct runs f on the state ahead of the next block and keeps the events it emits.
func (c *Chain) Direct(f func(sdk.Context)) {
	ctx := c.NextContext().WithEventManager(sdk.NewEventManager())
	f(ctx)
	c.pending = append(c.pending, ctx.EventManager().ABCIEvents()...)
}

// Authority returns the address that governance acts as.
func (c *Chain) Authority() string { return app.Authority() }

// MustGov is Gov, and fails the test on an error.
func (c *Chain) MustGov(msg sdk.Msg) {
	c.Helper()
	require.NoError(c, c.Gov(msg), "%T on %s", msg, c.ChainID)
}

// LastBlock returns the last block made.
func (c *Chain) LastBlock() *Block { return c.blocks[len(c.blocks)-1] }

// Blocks returns the blocks from a height on.
func (c *Chain) Blocks(from int64) []*Block {
	for i, b := range c.blocks {
		if b.Height >= from {
			return c.blocks[i:]
		}
	}
	return nil
}

// EventsSince returns the events of a type from a height on.
func (c *Chain) EventsSince(height int64, eventType string) []abci.Event {
	var out []abci.Event
	for _, b := range c.Blocks(height) {
		for _, e := range b.Events {
			if e.Type == eventType {
				out = append(out, e)
			}
		}
	}
	return out
}

// Height returns the height of the last block.
func (c *Chain) Height() int64 { return c.LastBlock().Height }

// Power returns a validator's power in the set that signs the block after the next one.
func (c *Chain) Power(v *Validator) int64 {
	_, val := c.NextVals.GetByAddress(v.ConsAddress().Bytes())
	if val == nil {
		return 0
	}
	return val.VotingPower
}

// PowerAt returns a validator's power in the set that signed the block at a height.
func (c *Chain) PowerAt(v *Validator, height int64) int64 {
	c.Helper()
	set, ok := c.TrustedValidators[uint64(height-1)]
	require.True(c, ok, "no validators at height %d", height)
	_, val := set.GetByAddress(v.ConsAddress().Bytes())
	if val == nil {
		return 0
	}
	return val.VotingPower
}

// DoubleSign puts evidence into the next block that v signed two blocks at a height, with the power it had there.
func (c *Chain) DoubleSign(v *Validator, height int64) {
	c.Helper()
	blocks := c.Blocks(height)
	require.NotEmpty(c, blocks, "no block %d", height)
	power := c.PowerAt(v, height)
	c.misbehaviour = append(c.misbehaviour, abci.Misbehavior{
		Type:             abci.MisbehaviorType_DUPLICATE_VOTE,
		Validator:        abci.Validator{Address: v.ConsAddress(), Power: power},
		Height:           height,
		Time:             blocks[0].Time,
		TotalVotingPower: c.Vals.TotalVotingPower(),
	})
}
