package watchtower

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"
	rpcserver "github.com/cometbft/cometbft/rpc/jsonrpc/server"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// Heights are large and far from powers and counts.
const fakeBase = int64(7_340_003)

// fakeChain makes real headers, signed by real keys, without running consensus.
type fakeChain struct {
	id        string
	blockTime time.Duration
	app       *fakeApp // nil if the chain is only followed

	mu      sync.Mutex
	keys    map[string]ed25519.PrivKey // by address
	vals    *cmttypes.ValidatorSet     // of the next block
	next    *cmttypes.ValidatorSet     // of the one after
	base    int64
	blocks  []*cmttypes.Block
	commits []*cmttypes.Commit
	sets    []*cmttypes.ValidatorSet // by block; one longer
	results map[int64][]*abci.ExecTxResult
	start   time.Time
}

func newFakeChain(id string, validators int, start time.Time) *fakeChain {
	c := &fakeChain{
		id: id, blockTime: 5 * time.Second, keys: make(map[string]ed25519.PrivKey), base: fakeBase, start: start,
		results: make(map[int64][]*abci.ExecTxResult),
	}
	c.vals = c.newSet(validators)
	c.next = c.vals
	c.sets = []*cmttypes.ValidatorSet{c.vals}
	return c
}

// newSet makes validators with new keys and different powers.
func (c *fakeChain) newSet(n int) *cmttypes.ValidatorSet {
	var vals []*cmttypes.Validator
	for i := range n {
		key := ed25519.GenPrivKey()
		c.keys[string(key.PubKey().Address())] = key
		vals = append(vals, cmttypes.NewValidator(key.PubKey(), int64(100+i)))
	}
	return cmttypes.NewValidatorSet(vals)
}

func (c *fakeChain) height() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest()
}

func (c *fakeChain) latest() int64 { return c.base + int64(len(c.blocks)) - 1 }

// grow adds n empty blocks.
func (c *fakeChain) grow(n int) *fakeChain {
	for range n {
		c.produce()
	}
	return c
}

// produce adds a block with what is in the mempool and the evidence given.
func (c *fakeChain) produce(evidence ...cmttypes.Evidence) *cmttypes.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	var txs []cmttypes.Tx
	height := c.latest() + 1
	if c.app != nil {
		txs, c.results[height] = c.app.execute(height)
	}
	appHash := tmhash.Sum(fmt.Appendf(nil, "state of %s at %d", c.id, height))
	return c.add(txs, evidence, appHash)
}

// add appends a block and its commit, signed by all.
func (c *fakeChain) add(txs []cmttypes.Tx, evidence []cmttypes.Evidence, appHash []byte) *cmttypes.Block {
	height := c.latest() + 1
	last := new(cmttypes.Commit)
	var lastID cmttypes.BlockID
	if len(c.commits) > 0 {
		last = c.commits[len(c.commits)-1]
		lastID = last.BlockID
	}
	block := cmttypes.MakeBlock(height, txs, last, evidence)
	block.ChainID = c.id
	block.Time = c.start.Add(time.Duration(height-c.base) * c.blockTime).UTC()
	block.LastBlockID = lastID
	block.ValidatorsHash = c.vals.Hash()
	block.NextValidatorsHash = c.next.Hash()
	block.ConsensusHash = tmhash.Sum([]byte("params"))
	block.AppHash = appHash
	block.LastResultsHash = tmhash.Sum(nil)
	block.ProposerAddress = c.vals.Validators[0].Address
	c.blocks = append(c.blocks, block)
	c.commits = append(c.commits, c.sign(block, 0))
	c.sets = append(c.sets, c.next)
	c.vals = c.next
	return block
}

func blockID(block *cmttypes.Block) cmttypes.BlockID {
	hash := block.Hash()
	return cmttypes.BlockID{Hash: hash, PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: tmhash.Sum(hash)}}
}

func (c *fakeChain) sign(block *cmttypes.Block, round int32) *cmttypes.Commit {
	commit := &cmttypes.Commit{Height: block.Height, Round: round, BlockID: blockID(block)}
	for i, val := range c.vals.Validators {
		vote := c.vote(val.Address, int32(i), block.Height, round, commit.BlockID, block.Time.Add(time.Second))
		commit.Signatures = append(commit.Signatures, cmttypes.CommitSig{
			BlockIDFlag: cmttypes.BlockIDFlagCommit, ValidatorAddress: val.Address, Timestamp: vote.Timestamp, Signature: vote.Signature,
		})
	}
	return commit
}

func (c *fakeChain) vote(address []byte, index int32, height int64, round int32, id cmttypes.BlockID, at time.Time) *cmttypes.Vote {
	vote := &cmttypes.Vote{
		Type: cmtproto.PrecommitType, Height: height, Round: round, BlockID: id, Timestamp: at,
		ValidatorAddress: address, ValidatorIndex: index,
	}
	signature, err := c.keys[string(address)].Sign(cmttypes.VoteSignBytes(c.id, vote.ToProto()))
	if err != nil {
		panic(err)
	}
	vote.Signature = signature
	return vote
}

// doubleVote is evidence against the validator with an index.
func (c *fakeChain) doubleVote(index int, height int64) *cmttypes.DuplicateVoteEvidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.sets[height-c.base]
	at := c.blocks[height-c.base].Time
	var votes [2]*cmttypes.Vote
	for i := range votes {
		hash := tmhash.Sum(fmt.Appendf(nil, "block %d of %d", i, height))
		id := cmttypes.BlockID{Hash: hash, PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash}}
		votes[i] = c.vote(set.Validators[index].Address, int32(index), height, 0, id, at)
	}
	ev, err := cmttypes.NewDuplicateVoteEvidence(votes[0], votes[1], at, set)
	if err != nil {
		panic(err)
	}
	return ev
}

// fork returns a second chain that has the same blocks below a height, and the same validators.
func (c *fakeChain) fork(height int64) *fakeChain {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int(height - c.base)
	f := &fakeChain{
		id: c.id, blockTime: c.blockTime, keys: c.keys, base: c.base, start: c.start, results: make(map[int64][]*abci.ExecTxResult),
		blocks: slices.Clone(c.blocks[:n]), commits: slices.Clone(c.commits[:n]), sets: slices.Clone(c.sets[:n+1]),
		vals: c.sets[n], next: c.sets[n],
	}
	f.add(nil, nil, tmhash.Sum([]byte("another state")))
	return f
}

func (c *fakeChain) lightBlock(height int64) *cmttypes.LightBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := height - c.base
	return &cmttypes.LightBlock{
		SignedHeader: &cmttypes.SignedHeader{Header: &c.blocks[i].Header, Commit: c.commits[i]}, ValidatorSet: c.sets[i],
	}
}

// fakeNode serves a chain over RPC as a real node does, through CometBFT's own server.
type fakeNode struct {
	chain *fakeChain
	url   string

	down     atomic.Bool  // answers no request
	earliest atomic.Int64 // blocks below are pruned
	limit    atomic.Int64 // blocks above are not there yet
	noIndex  atomic.Bool  // no index of transactions
	requests atomic.Int64
	network  atomic.Pointer[string]
	maxAge   time.Duration
	mangle   atomic.Pointer[func(*cmttypes.Header)]
}

func newFakeNode(t *testing.T, chain *fakeChain) *fakeNode {
	t.Helper()
	n := &fakeNode{chain: chain, maxAge: 24 * time.Hour}
	n.limit.Store(1 << 62)
	mux := http.NewServeMux()
	rpcserver.RegisterRPCFuncs(mux, map[string]*rpcserver.RPCFunc{
		"status":            rpcserver.NewRPCFunc(n.status, ""),
		"blockchain":        rpcserver.NewRPCFunc(n.blockchain, "minHeight,maxHeight"),
		"block":             rpcserver.NewRPCFunc(n.block, "height"),
		"header":            rpcserver.NewRPCFunc(n.header, "height"),
		"commit":            rpcserver.NewRPCFunc(n.commit, "height"),
		"validators":        rpcserver.NewRPCFunc(n.validators, "height,page,per_page"),
		"consensus_params":  rpcserver.NewRPCFunc(n.consensusParams, "height"),
		"block_results":     rpcserver.NewRPCFunc(n.blockResults, "height"),
		"tx":                rpcserver.NewRPCFunc(n.tx, "hash,prove"),
		"broadcast_tx_sync": rpcserver.NewRPCFunc(n.broadcast, "tx"),
		"abci_query":        rpcserver.NewRPCFunc(n.abciQuery, "path,data,height,prove"),
	}, cmtlog.NewNopLogger())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.requests.Add(1)
		if n.down.Load() {
			http.Error(w, "maintenance", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	n.url = server.URL
	return n
}

func (n *fakeNode) latest() int64 { return min(n.chain.height(), n.limit.Load()) }

// at is the index of a height, with the errors of a real node.
func (n *fakeNode) at(height *int64) (int, error) {
	base := max(n.chain.base, n.earliest.Load())
	h := n.latest()
	if height != nil {
		h = *height
	}
	if h > n.latest() {
		return 0, fmt.Errorf("height %d must be less than or equal to the current blockchain height %d", h, n.latest())
	}
	if h < base {
		return 0, fmt.Errorf("height %d is not available, lowest height is %d", h, base)
	}
	return int(h - n.chain.base), nil
}

func (n *fakeNode) status(*rpctypes.Context) (*coretypes.ResultStatus, error) {
	network := n.chain.id
	if other := n.network.Load(); other != nil {
		network = *other
	}
	return &coretypes.ResultStatus{
		NodeInfo: p2p.DefaultNodeInfo{Network: network},
		SyncInfo: coretypes.SyncInfo{EarliestBlockHeight: max(n.chain.base, n.earliest.Load()), LatestBlockHeight: n.latest()},
	}, nil
}

func (n *fakeNode) blockchain(_ *rpctypes.Context, minHeight, maxHeight int64) (*coretypes.ResultBlockchainInfo, error) {
	maxHeight = min(maxHeight, n.latest())
	minHeight = max(minHeight, n.chain.base, n.earliest.Load(), maxHeight-19)
	if minHeight > maxHeight {
		return nil, errors.New("min height can't be greater than max height")
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	out := &coretypes.ResultBlockchainInfo{LastHeight: n.chain.latest()}
	for h := maxHeight; h >= minHeight; h-- {
		block := n.chain.blocks[h-n.chain.base]
		meta := &cmttypes.BlockMeta{BlockID: blockID(block), Header: block.Header}
		if mangle := n.mangle.Load(); mangle != nil {
			(*mangle)(&meta.Header)
		}
		out.BlockMetas = append(out.BlockMetas, meta)
	}
	return out, nil
}

func (n *fakeNode) block(_ *rpctypes.Context, height *int64) (*coretypes.ResultBlock, error) {
	i, err := n.at(height)
	if err != nil {
		return nil, err
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	return &coretypes.ResultBlock{BlockID: blockID(n.chain.blocks[i]), Block: n.chain.blocks[i]}, nil
}

func (n *fakeNode) header(_ *rpctypes.Context, height *int64) (*coretypes.ResultHeader, error) {
	i, err := n.at(height)
	if err != nil {
		return nil, err
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	return &coretypes.ResultHeader{Header: &n.chain.blocks[i].Header}, nil
}

func (n *fakeNode) commit(_ *rpctypes.Context, height *int64) (*coretypes.ResultCommit, error) {
	i, err := n.at(height)
	if err != nil {
		return nil, err
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	return coretypes.NewResultCommit(&n.chain.blocks[i].Header, n.chain.commits[i], true), nil
}

func (n *fakeNode) validators(_ *rpctypes.Context, height *int64, pagePtr, perPagePtr *int) (*coretypes.ResultValidators, error) {
	if *height == n.latest()+1 { // the next block's are known
		h := *height - 1
		i, err := n.at(&h)
		if err != nil {
			return nil, err
		}
		return n.validatorsAt(i+1, *height, *pagePtr, *perPagePtr), nil
	}
	i, err := n.at(height)
	if err != nil {
		return nil, err
	}
	return n.validatorsAt(i, *height, *pagePtr, *perPagePtr), nil
}

func (n *fakeNode) validatorsAt(i int, height int64, page, perPage int) *coretypes.ResultValidators {
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	perPage = min(perPage, 3) // more than one page
	all := n.chain.sets[i].Validators
	from := min((page-1)*perPage, len(all))
	part := all[from:min(from+perPage, len(all))]
	return &coretypes.ResultValidators{BlockHeight: height, Validators: part, Count: len(part), Total: len(all)}
}

func (n *fakeNode) consensusParams(_ *rpctypes.Context, height *int64) (*coretypes.ResultConsensusParams, error) {
	params := cmttypes.DefaultConsensusParams()
	params.Evidence.MaxAgeDuration = n.maxAge
	return &coretypes.ResultConsensusParams{BlockHeight: *height, ConsensusParams: *params}, nil
}

func (n *fakeNode) blockResults(_ *rpctypes.Context, height *int64) (*coretypes.ResultBlockResults, error) {
	if _, err := n.at(height); err != nil {
		return nil, err
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	return &coretypes.ResultBlockResults{Height: *height, TxsResults: n.chain.results[*height]}, nil
}

func (n *fakeNode) tx(_ *rpctypes.Context, hash []byte, _ bool) (*coretypes.ResultTx, error) {
	if n.noIndex.Load() {
		return nil, errors.New("transaction indexing is disabled")
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	for i, block := range n.chain.blocks {
		if block.Height > n.limit.Load() {
			break
		}
		for j, tx := range block.Txs {
			if bytes.Equal(tx.Hash(), hash) {
				height := n.chain.base + int64(i)
				return &coretypes.ResultTx{Hash: hash, Height: height, Index: uint32(j), TxResult: *n.chain.results[height][j], Tx: tx}, nil
			}
		}
	}
	return nil, fmt.Errorf("tx (%X) not found", hash)
}

func (n *fakeNode) broadcast(_ *rpctypes.Context, tx cmttypes.Tx) (*coretypes.ResultBroadcastTx, error) {
	return n.chain.app.checkTx(tx)
}

func (n *fakeNode) abciQuery(_ *rpctypes.Context, path string, data cmtbytes.HexBytes, _ int64, _ bool) (*coretypes.ResultABCIQuery, error) {
	if n.chain.app == nil {
		return nil, errors.New("no application")
	}
	return &coretypes.ResultABCIQuery{Response: *n.chain.app.query(path, data)}, nil
}

// The fake's own headers must be what light clients accept, or the tests prove nothing.
func TestFakeChain(t *testing.T) {
	c := newFakeChain("axelar-1", 7, time.Now()).grow(3)
	block := c.lightBlock(fakeBase + 1)
	require.NoError(t, block.ValidateBasic("axelar-1"))
	require.NoError(t, block.ValidatorSet.VerifyCommit("axelar-1", block.Commit.BlockID, block.Height, block.Commit))
	require.Equal(t, fakeBase+2, c.height())
	ev := c.doubleVote(2, fakeBase+1)
	require.NoError(t, ev.ValidateBasic())
	fork := c.fork(fakeBase + 1)
	require.Equal(t, fakeBase+1, fork.height())
	require.Equal(t, c.lightBlock(fakeBase).Hash(), fork.lightBlock(fakeBase).Hash())
	require.NotEqual(t, block.Hash(), fork.lightBlock(fakeBase+1).Hash())
}
