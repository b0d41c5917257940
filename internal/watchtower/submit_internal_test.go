package watchtower

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"

	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// world is a consumer, followed, and a provider, submitted to.
type world struct {
	clk      *clock
	consumer *fakeChain
	provider *fakeChain
	app      *fakeApp
	// nodes of the two
	from, to *fakeNode
	f        *follower
	s        *submitter
	target   string
	dir      string
	log      *logBuffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clk: newClock(), dir: t.TempDir(), log: new(logBuffer)}
	start := w.clk.now().Add(-10 * time.Minute)
	w.consumer = newFakeChain("axelar-1", 5, start).grow(60)
	w.provider = newFakeChain("osmosis-1", 3, start)
	w.app = newFakeApp(t, w.provider.id, "osmo", w.consumer, fakeBase+20)
	w.provider.app = w.app
	w.provider.grow(50)
	w.from, w.to = newFakeNode(t, w.consumer), newFakeNode(t, w.provider)
	w.app.newKey(t, w.dir, "watcher")
	w.target = targetOf("osmosis-1", fakeClientID)
	w.start(t)
	return w
}

// start makes a new follower and submitter on the state file, as a restart does.
func (w *world) start(t *testing.T) {
	t.Helper()
	store, err := OpenStore(filepath.Join(w.dir, "state.json"), false)
	require.NoError(t, err)
	metrics := NewMetrics()
	log := testLog(w.log)
	consumer, err := newChain(&ChainConfig{ChainID: "axelar-1", RPC: []string{w.from.url}, FollowOnly: true, MaxBackfill: 1000},
		time.Second, metrics, log, w.clk.now)
	require.NoError(t, err)
	provider, err := newChain(&ChainConfig{
		ChainID: "osmosis-1", RPC: []string{w.to.url}, Bech32Prefix: "osmo", GasPrice: "0.03uosmo", GasAdjustment: 1.5, Key: "watcher",
	}, time.Second, metrics, log, w.clk.now)
	require.NoError(t, err)
	keys, err := keyring.New(sdk.KeyringServiceName(), keyring.BackendTest, w.dir, nil, provider.enc.codec)
	require.NoError(t, err)
	require.NoError(t, provider.useKey(keys))
	chains := map[string]*chain{"axelar-1": consumer, "osmosis-1": provider}
	w.f = &follower{
		cfg: consumer.cfg, nodes: consumer.nodes, store: store, metrics: metrics, log: log, now: w.clk.now, poll: time.Second,
		retention: DefaultRetention, found: func() {}, agreed: make(map[[2]string]int64),
	}
	w.s = &submitter{
		to: provider, chains: chains, store: store, metrics: metrics, log: log, now: w.clk.now, poll: time.Second,
		retention: DefaultRetention, looks: make(map[string]look),
	}
}

// offend puts evidence against a validator into a block of the consumer, and follows to it.
func (w *world) offend(t *testing.T, validator int, height int64) string {
	t.Helper()
	ev := w.consumer.doubleVote(validator, height)
	w.consumer.produce(ev)
	w.f.catchUp(t)
	translated, err := evidenceFrom("axelar-1", time.Time{}, ev)
	require.NoError(t, err)
	return translated.Hash()
}

func (w *world) step(t *testing.T) {
	t.Helper()
	require.NoError(t, w.s.step(t.Context()))
}

func (w *world) sub(t *testing.T, hash string) Submission {
	t.Helper()
	sub, ok := w.s.store.Submission(hash, w.target)
	require.True(t, ok)
	return sub
}

func (w *world) results(t *testing.T, result string) float64 {
	t.Helper()
	return max(0, metric(t, w.s.metrics,
		`submissions_total{chain="axelar-1",kind="double_vote",provider="osmosis-1",result="`+result+`"}`))
}

func TestSubmitDoubleVote(t *testing.T) {
	testCases := []struct {
		name    string
		height  int64
		updates int
	}{
		{"height the client knows", fakeBase + 11, 0},
		{"the client's latest", fakeBase + 20, 0},
		{"above the client's latest", fakeBase + 21, 1},
		{"far above it", fakeBase + 55, 1},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			hash := w.offend(t, 0, tc.height)

			w.step(t)
			sub := w.sub(t, hash)
			require.Equal(t, StatusSent, sub.Status)
			require.Equal(t, w.provider.height()+timeoutBlocks, sub.TimeoutHeight)
			require.Equal(t, 1, w.s.store.Open("osmosis-1"))
			w.step(t) // not in a block yet
			require.Equal(t, StatusSent, w.sub(t, hash).Status)

			w.provider.produce()
			w.step(t)
			require.Equal(t, StatusDone, w.sub(t, hash).Status)
			require.Equal(t, resultAccepted, w.sub(t, hash).Result)
			require.EqualValues(t, 1, w.results(t, resultAccepted))

			// Whatever happens afterwards, nothing is sent again.
			for range 5 {
				w.provider.produce()
				w.clk.add(time.Hour)
				w.step(t)
			}
			w.start(t)
			w.step(t)
			proofs, updates, checked := w.app.counts()
			require.Equal(t, 1, proofs)
			require.Equal(t, tc.updates, updates)
			require.Equal(t, 1, checked)
			msg, ok := w.app.proofs[0].(*providertypes.MsgSubmitDoubleVote)
			require.True(t, ok)
			require.Equal(t, w.s.to.address, msg.Submitter)
			require.Equal(t, "axelar-1", msg.ChainId)
			require.Contains(t, msg.Submitter, "osmo1")
			require.GreaterOrEqual(t, int64(w.app.client.LatestHeight.RevisionHeight), tc.height)
		})
	}
}

// The client's validators are gone: headers in between are needed.
func TestSubmitUpdatesThroughChangedValidators(t *testing.T) {
	w := newWorld(t)
	// The offender and everybody else leave, one half at a time.
	for range 2 {
		w.consumer.mu.Lock()
		vals := slices.Concat(w.consumer.newSet(3).Copy().Validators, w.consumer.vals.Copy().Validators[:2])
		w.consumer.next = cmttypes.NewValidatorSet(vals)
		w.consumer.mu.Unlock()
		w.consumer.grow(10)
	}
	w.consumer.mu.Lock()
	w.consumer.next = w.consumer.newSet(4)
	w.consumer.mu.Unlock()
	w.consumer.grow(20)
	height := w.consumer.height() - 3
	address := w.consumer.lightBlock(height).ValidatorSet.Validators[1]
	w.app.validators[1].Validator.Keys[0].Key.Key = address.PubKey.Bytes()
	w.app.validators[1].Tokens = math.NewInt(77)
	hash := w.offend(t, 1, height)

	w.step(t)
	w.provider.produce()
	w.step(t)
	require.Equal(t, resultAccepted, w.sub(t, hash).Result, w.sub(t, hash).Error)
	proofs, updates, _ := w.app.counts()
	require.Equal(t, 1, proofs)
	require.Greater(t, updates, 1)
	require.LessOrEqual(t, updates, maxUpdates)
}

// Blocks around the infraction are pruned: a later header serves.
func TestSubmitUpdatesToLatest(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+30)
	w.consumer.grow(20)
	w.from.earliest.Store(fakeBase + 50)
	// The validators the client trusts must still be known to somebody.
	archive := newFakeNode(t, w.consumer)
	archive.limit.Store(fakeBase + 25)
	cfg := &ChainConfig{ChainID: "axelar-1", RPC: []string{w.from.url, archive.url}, FollowOnly: true}
	both, err := newChain(cfg, time.Second, w.s.metrics, w.s.log, w.clk.now)
	require.NoError(t, err)
	w.s.chains["axelar-1"] = both

	w.step(t)
	w.provider.produce()
	w.step(t)
	require.Equal(t, resultAccepted, w.sub(t, hash).Result, w.sub(t, hash).Error)
	require.EqualValues(t, w.consumer.height()-1, w.app.client.LatestHeight.RevisionHeight)
}

func TestSubmitWhoIsBacked(t *testing.T) {
	pool := func(matured bool, tokens int64) providertypes.BatchInfo {
		return providertypes.BatchInfo{Batch: providertypes.PoolInfo{Operator: "axelarvaloper13", Pool: providertypes.Pool{
			Tokens: math.NewInt(tokens), Shares: math.NewInt(tokens), Batch: &providertypes.Batch{Matured: matured},
		}}}
	}
	testCases := []struct {
		name     string
		malleate func(*fakeApp)
		exp      bool
	}{
		{"nothing staked", func(*fakeApp) {}, false},
		{"active pool", func(a *fakeApp) { a.validators[3].Tokens = math.OneInt() }, true},
		{"unbonding batch", func(a *fakeApp) { a.batches = []providertypes.BatchInfo{pool(true, 5), pool(false, 5)} }, true},
		{"matured batch", func(a *fakeApp) { a.batches = []providertypes.BatchInfo{pool(true, 5)} }, false},
		{"batch slashed to nothing", func(a *fakeApp) { a.batches = []providertypes.BatchInfo{pool(false, 0)} }, false},
		{"no such module", func(a *fakeApp) { a.noProvider = true }, false},
		{"consumer removed", func(a *fakeApp) {
			a.validators[3].Tokens = math.OneInt()
			a.consumers[1].Consumer.Status = providertypes.CONSUMER_STATUS_REMOVED
		}, false},
		{"consumer paused and under a new chain id", func(a *fakeApp) {
			a.validators[3].Tokens = math.OneInt()
			a.consumers[1].Consumer.Status = providertypes.CONSUMER_STATUS_PAUSED
			a.consumers[1].Consumer.Config.ChainId = "axelar-2"
		}, true},
		{"not a consumer", func(a *fakeApp) { a.consumers = a.consumers[:1] }, false},
		{"key unknown", func(a *fakeApp) { a.validators = a.validators[:3] }, false},
		{"later key", func(a *fakeApp) {
			keys := a.validators[3].Validator.Keys
			a.validators[3].Validator.Keys = append([]providertypes.KeyRecord{a.validators[1].Validator.Keys[0]}, keys...)
			a.validators[3].Tokens = math.OneInt()
		}, true},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			hash := w.offend(t, 3, fakeBase+12)
			tc.malleate(w.app)
			w.step(t)
			_, ok := w.s.store.Submission(hash, w.target)
			require.Equal(t, tc.exp, ok)
			require.Zero(t, w.results(t, resultFailed))
		})
	}
}

// Who is not backed now may turn out to be later.
func TestSubmitBackedLater(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 3, fakeBase+12)
	for range 4 {
		w.step(t)
		w.clk.add(time.Minute)
	}
	before := w.to.requests.Load()
	w.s.looks[hash] = look{next: w.clk.now().Add(time.Second), times: 5}
	w.step(t)
	require.Equal(t, before, w.to.requests.Load(), "not asked all the time")
	w.app.set(func(a *fakeApp) { a.validators[3].Tokens = math.OneInt() })
	w.clk.add(maxAttemptBackoff)
	w.step(t)
	require.Equal(t, StatusSent, w.sub(t, hash).Status)
}

// What the provider answers decides whether it is asked again.
func TestSubmitJudgement(t *testing.T) {
	testCases := []struct {
		err    *errorsmod.Error
		status Status
		result string
	}{
		{providertypes.ErrAlreadyPunished, StatusDone, resultPunished},
		{providertypes.ErrNothingAnswers, StatusDone, resultNothing},
		{providertypes.ErrEvidenceTooOld, StatusRefused, resultRefused},
		{providertypes.ErrEvidenceMinHeight, StatusRefused, resultRefused},
		{providertypes.ErrVoteSignature, StatusRefused, resultRefused},
		{providertypes.ErrConsumerRemoved, StatusRefused, resultRefused},
		{providertypes.ErrKeyNotProving, StatusPending, resultFailed},
		{providertypes.ErrKeyHeight, StatusPending, resultFailed},
		{providertypes.ErrUnknownKey, StatusPending, resultFailed},
		{providertypes.ErrEvidenceFuture, StatusPending, resultFailed},
		{sdkerrors.ErrInsufficientFunds, StatusPending, resultFailed},
	}
	for _, tc := range testCases {
		t.Run(tc.err.Error(), func(t *testing.T) {
			for _, where := range []string{"simulation", "block"} {
				w := newWorld(t)
				hash := w.offend(t, 0, fakeBase+12)
				if where == "simulation" {
					w.app.judgement = tc.err
					w.step(t)
				} else {
					w.app.failTx = tc.err
					w.step(t)
					w.provider.produce()
					w.app.failTx = nil
					w.app.judgement = tc.err
					w.step(t)
				}
				sub := w.sub(t, hash)
				require.Equal(t, tc.status, sub.Status, where)
				require.Equal(t, tc.result, sub.Result, where)
				require.Contains(t, sub.Error, tc.err.Error(), where)
				require.EqualValues(t, 1, w.results(t, tc.result), where)
				proofs, _, checked := w.app.counts()
				require.Zero(t, proofs)
				if where == "simulation" {
					require.Zero(t, checked, "a proof that would fail costs nothing")
				}
				if tc.status != StatusPending {
					continue
				}
				require.True(t, sub.NextTry.After(w.clk.now()), where)
				attempts := sub.Attempts
				w.step(t)
				require.Equal(t, attempts, w.sub(t, hash).Attempts, "waits")
				w.app.judgement = nil
				w.clk.add(maxAttemptBackoff)
				w.step(t)
				w.provider.produce()
				w.step(t)
				require.Equal(t, resultAccepted, w.sub(t, hash).Result, where)
			}
		})
	}
}

// A crash right after the transaction was written down: whether it was sent or not, the proof arrives once.
func TestSubmitCrashAround(t *testing.T) {
	for _, tc := range []struct {
		name    string
		noIndex bool
	}{{"with an index", false}, {"without an index of transactions", true}} {
		t.Run("sent, "+tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.to.noIndex.Store(tc.noIndex)
			hash := w.offend(t, 0, fakeBase+33)
			w.step(t)
			w.start(t) // crash after the broadcast
			require.Equal(t, StatusSent, w.sub(t, hash).Status)
			w.step(t)
			require.Equal(t, StatusSent, w.sub(t, hash).Status)
			w.provider.grow(3)
			w.start(t)
			w.step(t)
			require.Equal(t, resultAccepted, w.sub(t, hash).Result)
			proofs, _, checked := w.app.counts()
			require.Equal(t, 1, proofs)
			require.Equal(t, 1, checked)
		})
		t.Run("not sent, "+tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.to.noIndex.Store(tc.noIndex)
			hash := w.offend(t, 0, fakeBase+33)
			w.app.loseTx = true // as if the crash came before the broadcast
			w.step(t)
			w.app.loseTx = false
			w.start(t)
			for range timeoutBlocks + settledBlocks - 1 {
				w.provider.produce()
				w.step(t)
				require.Equal(t, StatusSent, w.sub(t, hash).Status, "it could still be included")
			}
			w.provider.produce()
			w.step(t) // now it cannot, and another one goes out
			require.EqualValues(t, 1, w.results(t, resultNotHeard))
			require.Equal(t, StatusSent, w.sub(t, hash).Status)
			w.provider.produce()
			w.step(t)
			require.Equal(t, resultAccepted, w.sub(t, hash).Result)
			proofs, _, _ := w.app.counts()
			require.Equal(t, 1, proofs)
		})
	}
}

// Nothing leaves before the state file says so.
func TestSubmitNotWithoutState(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+33)
	w.step2look(t, hash)
	rename := w.s.store.rename
	w.s.store.rename = func(string, string) error { return errCrash }
	require.ErrorIs(t, w.s.step(t.Context()), errCrash)
	_, _, checked := w.app.counts()
	require.Zero(t, checked)
	w.s.store.rename = rename
}

// step2look only asks who is backed.
func (w *world) step2look(t *testing.T, hash string) {
	t.Helper()
	for _, f := range w.s.store.Evidence("osmosis-1") {
		if f.Hash == hash {
			w.s.look(t.Context(), f)
		}
	}
	require.Equal(t, StatusPending, w.sub(t, hash).Status)
}

func TestSubmitRefusedByMempool(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+33)
	w.app.refuseTx = sdkerrors.ErrInsufficientFee
	w.step(t)
	sub := w.sub(t, hash)
	require.Equal(t, StatusPending, sub.Status)
	require.Contains(t, sub.Error, "insufficient fee")
	w.app.refuseTx = nil
	w.clk.add(time.Minute)
	w.step(t)
	w.provider.produce()
	w.step(t)
	require.Equal(t, resultAccepted, w.sub(t, hash).Result)
}

// Nodes of the provider fail in the middle; the evidence waits.
func TestSubmitProviderOutage(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+33)
	w.to.down.Store(true)
	for range 3 {
		w.step(t)
		w.clk.add(5 * time.Minute)
	}
	w.to.down.Store(false)
	w.clk.add(maxAttemptBackoff)
	w.step(t)
	require.Equal(t, StatusSent, w.sub(t, hash).Status)
	w.to.down.Store(true)
	w.provider.produce()
	w.step(t)
	require.Equal(t, StatusSent, w.sub(t, hash).Status)
	w.clk.add(maxNodeBackoff)
	w.to.down.Store(false)
	w.step(t)
	require.Equal(t, resultAccepted, w.sub(t, hash).Result)
}

// A consumer without nodes is not the provider's nodes' fault.
func TestSubmitConsumerOutage(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+33)
	w.from.down.Store(true)
	w.step(t)
	require.Equal(t, StatusPending, w.sub(t, hash).Status)
	require.EqualValues(t, 0, metric(t, w.s.metrics, `rpc_errors_total{chain="osmosis-1",node="`+w.to.url+`"}`))
	require.Positive(t, metric(t, w.s.metrics, `rpc_errors_total{chain="axelar-1",node="`+w.from.url+`"}`))
	w.from.down.Store(false)
	w.clk.add(maxAttemptBackoff)
	w.step(t)
	require.Equal(t, StatusSent, w.sub(t, hash).Status)
}

func TestSubmitFrozenClient(t *testing.T) {
	w := newWorld(t)
	w.app.frozen = true
	known := w.offend(t, 0, fakeBase+13)
	w.step(t)
	require.Equal(t, StatusSent, w.sub(t, known).Status, "the votes prove themselves")
	w.provider.produce()
	w.step(t)
	w.app.set(func(a *fakeApp) { a.validators[2].Tokens = math.OneInt() })
	above := w.offend(t, 2, fakeBase+40)
	w.step(t)
	require.Equal(t, StatusPending, w.sub(t, above).Status)
	require.Contains(t, w.sub(t, above).Error, "Frozen")
}

// Several offenders: one transaction at a time, each proof once.
func TestSubmitMany(t *testing.T) {
	w := newWorld(t)
	w.app.set(func(a *fakeApp) {
		for i := range a.validators {
			a.validators[i].Tokens = math.NewInt(1000)
		}
	})
	var hashes []string
	for i := range 5 {
		hashes = append(hashes, w.offend(t, i, fakeBase+30+int64(i)))
		w.clk.add(time.Millisecond) // the oldest is first
	}
	hashes = append(hashes, w.offend(t, 0, fakeBase+50)) // again, at another height
	for range 12 {
		w.step(t)
		require.LessOrEqual(t, len(w.app.mempool), 1)
		w.provider.produce()
	}
	for i, hash := range hashes {
		exp := resultAccepted
		if i == 5 {
			exp = resultPunished
		}
		require.Equal(t, exp, w.sub(t, hash).Result)
	}
	proofs, _, checked := w.app.counts()
	require.Equal(t, 5, proofs)
	require.Equal(t, 5, checked)
	require.EqualValues(t, 400_008, w.app.sequence)
}

// Somebody else was faster.
func TestSubmitSomebodyElseFirst(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+13)
	w.app.set(func(a *fakeApp) {
		a.punished[string(w.consumer.lightBlock(fakeBase).ValidatorSet.Validators[0].Address)] = true
	})
	w.step(t)
	require.Equal(t, StatusDone, w.sub(t, hash).Status)
	require.Equal(t, resultPunished, w.sub(t, hash).Result)
	_, _, checked := w.app.counts()
	require.Zero(t, checked)
}

func TestSubmitOldEvidence(t *testing.T) {
	w := newWorld(t)
	hash := w.offend(t, 0, fakeBase+13)
	w.clk.add(DefaultRetention + time.Hour)
	w.step(t)
	_, ok := w.s.store.Submission(hash, w.target)
	require.False(t, ok)
}

func TestSubmitConflictingHeaders(t *testing.T) {
	for _, height := range []int64{fakeBase + 15, fakeBase + 44} {
		w := newWorld(t)
		fork := w.consumer.fork(height)
		other := newFakeNode(t, fork)
		w.f = follow(t, w.clk, w.from, other)
		w.f.store = w.s.store
		w.app.trust(w.consumer.lightBlock(fakeBase + 7).Header)
		w.f.catchUp(t)
		found := w.s.store.Evidence("osmosis-1")
		require.Len(t, found, 1)
		w.step(t)
		sub := w.sub(t, found[0].Hash)
		require.Equal(t, StatusSent, sub.Status, sub.Error)
		w.provider.produce()
		w.step(t)
		require.Equal(t, resultAccepted, w.sub(t, found[0].Hash).Result, w.sub(t, found[0].Hash).Error)
		require.Len(t, w.app.proofs, 1)
		require.Zero(t, w.app.updates)
		msg, ok := w.app.proofs[0].(*providertypes.MsgSubmitMisbehaviour)
		require.True(t, ok)
		require.Equal(t, fakeClientID, msg.Misbehaviour.ClientId)
		require.Less(t, int64(msg.Misbehaviour.Header1.TrustedHeight.RevisionHeight), height)
	}
}

// Evidence of an attack in a block has one header: the other one is the chain's own.
func TestSubmitLightClientAttack(t *testing.T) {
	w := newWorld(t)
	height := fakeBase + 30
	fork := w.consumer.fork(height)
	conflicting := fork.lightBlock(height)
	attack := &cmttypes.LightClientAttackEvidence{
		ConflictingBlock: conflicting, CommonHeight: fakeBase + 25, Timestamp: conflicting.Time,
		ByzantineValidators: conflicting.ValidatorSet.Validators, TotalVotingPower: conflicting.ValidatorSet.TotalVotingPower(),
	}
	w.consumer.produce(attack)
	w.f.catchUp(t)
	found := w.s.store.Evidence("osmosis-1")
	require.Len(t, found, 1)
	require.False(t, found[0].Evidence.Complete())
	require.Equal(t, fakeBase+25, found[0].Evidence.CommonHeight)

	w.from.down.Store(true)
	w.step(t) // the other header cannot be read now
	require.Equal(t, StatusPending, w.sub(t, found[0].Hash).Status)
	w.from.down.Store(false)
	w.clk.add(maxAttemptBackoff)
	w.step(t)
	w.start(t)
	require.True(t, w.s.store.Evidence("osmosis-1")[0].Evidence.Complete(), "both are on disk")
	w.provider.produce()
	w.step(t)
	require.Equal(t, resultAccepted, w.sub(t, found[0].Hash).Result, w.sub(t, found[0].Hash).Error)
}

// Consensus states the client holds but does not trust any more are no root of trust.
func TestSubmitMisbehaviourNoTrust(t *testing.T) {
	w := newWorld(t)
	fork := w.consumer.fork(fakeBase + 44)
	w.f = follow(t, w.clk, w.from, newFakeNode(t, fork))
	w.f.store = w.s.store
	w.f.catchUp(t)
	found := w.s.store.Evidence("osmosis-1")
	require.Len(t, found, 1)
	w.app.set(func(a *fakeApp) {
		a.client.TrustingPeriod = time.Minute
		a.client.LatestHeight = clienttypes.NewHeight(1, uint64(fakeBase+50))
	})
	w.step(t)
	require.Equal(t, StatusPending, w.sub(t, found[0].Hash).Status)
	require.Contains(t, w.sub(t, found[0].Hash).Error, "no trusted state")
}

func TestSubmitDryRun(t *testing.T) {
	w := newWorld(t)
	store, err := OpenStore(filepath.Join(t.TempDir(), "state.json"), true)
	require.NoError(t, err)
	w.s.store, w.f.store, w.s.dryRun, w.s.to.keys, w.s.to.address = store, store, true, nil, ""
	hash := w.offend(t, 0, fakeBase+33)
	for range 3 {
		w.step(t)
		w.clk.add(time.Hour)
	}
	require.Equal(t, resultDryRun, w.sub(t, hash).Result)
	require.EqualValues(t, 1, w.results(t, resultDryRun))
	require.Contains(t, w.log.String(), "would submit")
	_, _, checked := w.app.counts()
	require.Zero(t, checked)
	require.NoFileExists(t, store.path)
}
