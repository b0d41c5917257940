package keeper_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cometbft/cometbft/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// trusted is the height that the light client trusts.
const trusted = latest - 1_000

// forkAt is where the consumer forks.
const forkAt = latest - 10

// powers of the consumer's validators by number. The one with most power has no stake of ours, and two thirds alone.
var powers = map[int]int64{1: 10, 2: 10, 3: 10, 50: 100, 60: 100, 61: 100}

// block describes one of two headers of a height. Who is not in signers is absent.
type forkBlock struct {
	chain   string
	height  int64
	app     byte // app hash
	data    byte // data hash
	round   int32
	signers map[int]cmttypes.BlockIDFlag
	broken  int // whose signature is not valid
	numbers []int
}

func commits(numbers ...int) map[int]cmttypes.BlockIDFlag {
	out := map[int]cmttypes.BlockIDFlag{}
	for _, n := range numbers {
		out[n] = cmttypes.BlockIDFlagCommit
	}
	return out
}

// fork is a consumer whose light client is a real one.
type fork struct {
	*slasher
	time time.Time
	a, b forkBlock
}

func validators(numbers []int) (*cmttypes.ValidatorSet, map[string]int) {
	var vals []*cmttypes.Validator
	byAddress := map[string]int{}
	for _, n := range numbers {
		pub := testutil.ConsensusKey(n).PubKey()
		vals = append(vals, cmttypes.NewValidator(pub, powers[n]))
		byAddress[string(pub.Address())] = n
	}
	return cmttypes.NewValidatorSet(vals), byAddress
}

func newFork(tb testing.TB, change func(*types.ConsumerConfig)) *fork {
	tb.Helper()
	s := newSlasher(tb, change)
	f := &fork{slasher: s, time: s.f.Ctx.BlockTime().Add(-time.Hour)}
	all := []int{1, 2, 3, 50}
	vals, _ := validators(all)
	state := ibctm.NewClientState(chainID, ibctm.DefaultTrustLevel, 10*day, 14*day, 10*time.Second, clienttypes.NewHeight(4, trusted), commitmenttypes.GetSDKSpecs(), nil)
	cons := ibctm.NewConsensusState(f.time, commitmenttypes.NewMerkleRoot(bytes.Repeat([]byte{9}, 32)), vals.Hash())
	stateBz, err := s.f.Codec.Marshal(state)
	require.NoError(tb, err)
	consBz, err := s.f.Codec.Marshal(cons)
	require.NoError(tb, err)
	require.NoError(tb, s.f.IBC.Module.Initialize(s.f.Ctx, client, stateBz, consBz))
	require.Equal(tb, exported.Active, f.status())
	f.a = forkBlock{chain: chainID, height: forkAt, data: 1, signers: commits(all...), numbers: all}
	f.b = forkBlock{chain: chainID, height: forkAt, data: 2, signers: commits(all...), numbers: all}
	return f
}

func (f *fork) status() exported.Status { return f.f.IBC.Module.Status(f.f.Ctx, client) }

// header makes a header as CometBFT does.
func (f *fork) header(b forkBlock) *ibctm.Header {
	f.Helper()
	vals, numbers := validators(b.numbers)
	trustedVals, _ := validators([]int{1, 2, 3, 50})
	hash := func(x byte) []byte { return bytes.Repeat([]byte{x}, 32) }
	header := cmttypes.Header{
		Version: cmtversion.Consensus{Block: version.BlockProtocol}, ChainID: b.chain, Height: b.height, Time: f.time.Add(time.Minute),
		LastBlockID: blockID(200), LastCommitHash: hash(201), DataHash: hash(b.data), ValidatorsHash: vals.Hash(),
		NextValidatorsHash: vals.Hash(), ConsensusHash: hash(202), AppHash: hash(b.app), LastResultsHash: hash(203),
		EvidenceHash: hash(204), ProposerAddress: vals.Proposer.Address,
	}
	commit := &cmttypes.Commit{
		Height: b.height, Round: b.round,
		BlockID: cmttypes.BlockID{Hash: header.Hash(), PartSetHeader: cmttypes.PartSetHeader{Total: 3, Hash: hash(205)}},
	}
	for i, v := range vals.Validators {
		n := numbers[string(v.Address)]
		flag, signs := b.signers[n]
		if !signs {
			commit.Signatures = append(commit.Signatures, cmttypes.NewCommitSigAbsent())
			continue
		}
		commit.Signatures = append(commit.Signatures, cmttypes.CommitSig{
			BlockIDFlag: flag, ValidatorAddress: v.Address, Timestamp: f.time.Add(time.Minute + time.Duration(n)),
		})
		sig, err := crypto.PrivKey(testutil.ConsensusKey(n)).Sign(commit.VoteSignBytes(b.chain, int32(i)))
		require.NoError(f, err)
		if b.broken == n {
			sig[5] ^= 1
		}
		commit.Signatures[i].Signature = sig
	}
	proto := func(vals *cmttypes.ValidatorSet) *cmtproto.ValidatorSet {
		pb, err := vals.ToProto()
		require.NoError(f, err)
		return pb
	}
	return &ibctm.Header{
		SignedHeader: (&cmttypes.SignedHeader{Header: &header, Commit: commit}).ToProto(),
		ValidatorSet: proto(vals), TrustedHeight: clienttypes.NewHeight(4, trusted), TrustedValidators: proto(trustedVals),
	}
}

// message makes the proof of what a and b are now.
func (f *fork) message() *types.MsgSubmitMisbehaviour {
	f.Helper()
	return &types.MsgSubmitMisbehaviour{
		Submitter: f.w.String(), ConsumerId: client, Misbehaviour: ibctm.NewMisbehaviour(client, f.header(f.a), f.header(f.b)),
	}
}

// send submits a proof, and checks that a refused one changes nothing.
func (f *fork) send(m *types.MsgSubmitMisbehaviour) (res *types.MsgSubmitMisbehaviourResponse, err error) {
	f.Helper()
	before, clients := f.f.Store(types.StoreKey), f.f.Store(exported.StoreKey)
	require.NotPanics(f, func() {
		err = f.f.Try(func(ctx sdk.Context) error {
			res, err = f.f.Msgs.SubmitMisbehaviour(ctx, m)
			return err
		})
	})
	if err != nil {
		require.Equal(f, before, f.f.Store(types.StoreKey))
		require.Equal(f, clients, f.f.Store(exported.StoreKey))
	}
	return res, err
}

// TestMisbehaviour: who signed both for a block is slashed, the client frozen and the consumer paused.
func TestMisbehaviour(t *testing.T) {
	for _, tc := range []struct {
		name      string
		malleate  func(f *fork)
		offenders []int
	}{
		{"equivocation", func(*fork) {}, []int{1, 2, 3}},
		{"one voted for nil", func(f *fork) { f.b.signers[2] = cmttypes.BlockIDFlagNil }, []int{1, 3}},
		{"one voted for nil in both", func(f *fork) {
			f.a.signers[2], f.b.signers[2] = cmttypes.BlockIDFlagNil, cmttypes.BlockIDFlagNil
		}, []int{1, 3}},
		{"one was absent", func(f *fork) { delete(f.a.signers, 1) }, []int{2, 3}},
		{"one was absent from each", func(f *fork) { delete(f.a.signers, 1); delete(f.b.signers, 3) }, []int{2}},
		{"a signature beyond two thirds is not valid", func(f *fork) { f.b.broken = 1 }, []int{2, 3}},
		{"nobody of ours", func(f *fork) { f.b.signers = commits(50) }, nil},
		{"amnesia", func(f *fork) { f.b.round = 1 }, nil},
		{"lunatic in the same round", func(f *fork) { f.b.app = 66 }, []int{1, 2, 3}},
		{"lunatic in another round", func(f *fork) { f.b.app, f.b.round = 66, 1 }, []int{1, 2, 3}},
		{"lunatic with other validators", func(f *fork) {
			f.b.round, f.b.numbers, f.b.signers = 7, []int{1, 50}, commits(1, 50)
		}, []int{1}},
		{"frozen before", func(f *fork) {
			f.f.IBC.Module.UpdateStateOnMisbehaviour(f.f.Ctx, client, nil)
			f.f.IBC.Clients[client].Status = exported.Frozen
			require.Equal(f, exported.Frozen, f.status())
		}, []int{1, 2, 3}},
		{"at a height above the client's latest", func(f *fork) { f.client(forkAt - 1) }, []int{1, 2, 3}},
		{"while the consumer is winding down", func(f *fork) {
			_, err := f.f.Msgs.RemoveConsumer(f.f.Ctx, &types.MsgRemoveConsumer{Authority: f.f.Authority, ConsumerId: client})
			require.NoError(f, err)
		}, []int{1, 2, 3}},
		{"later key of one", func(f *fork) {
			f.client(trusted)
			f.rotate(3, 103, trusted+1)
			f.client(latest)
		}, []int{1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFork(t, nil)
			tc.malleate(f)
			m := f.message()
			res, err := f.send(m)
			require.NoError(t, err)
			require.Equal(t, exported.Frozen, f.status())
			require.True(t, f.c.Status().HasPauseReason(types.PAUSE_REASON_MISBEHAVIOUR))
			require.ErrorContains(t, f.c.Stake(f.u, 2, 1_000), "consumer is ")
			var offenders []int
			require.Len(t, res.SlashIds, len(tc.offenders))
			for _, id := range res.SlashIds {
				rec := f.slash(id)
				require.Equal(t, types.SLASH_ORIGIN_MISBEHAVIOUR, rec.Origin)
				require.Equal(t, pending, rec.Status, "EndBlock executes it")
				require.Equal(t, at(forkAt), rec.Infraction)
				for n := 1; n <= 3; n++ {
					if bytes.Equal(rec.Validator, testutil.Operator(n)) {
						offenders = append(offenders, n)
					}
				}
			}
			require.ElementsMatch(t, tc.offenders, offenders)
			// It cannot be brought again.
			_, err = f.send(m)
			if len(offenders) > 0 {
				require.ErrorIs(t, err, types.ErrAlreadyPunished)
			} else {
				require.Error(t, err)
			}
			// In the end each of them has lost a tenth, and nobody else anything.
			f.f.NextBlock()
			f.f.NoInvariants = true
			f.f.Skip(4 * day)
			want := int64(0)
			for n, stake := range map[int]int64{1: 1_000_000, 2: 2_500_000, 3: 2_500_000} {
				for _, o := range offenders {
					if o == n {
						want += stake / 10
						stake -= stake / 10
					}
				}
				require.Equal(t, stake, f.stakeOn(n).Int64(), "validator %d", n)
			}
			require.Equal(t, want, export(t, f.f).Totals.Slashed.Int64())
		})
	}
}

// TestAmnesia: nobody is slashed for it, but the chain has forked, so client and consumer are stopped; once.
func TestAmnesia(t *testing.T) {
	f := newFork(t, nil)
	f.b.round = 1
	m := f.message()
	res, err := f.send(m)
	require.NoError(t, err)
	require.Empty(t, res.SlashIds)
	_, err = f.send(m)
	require.ErrorIs(t, err, types.ErrNoOffenders)
	require.Empty(t, f.slashes())
}

func TestMisbehaviourBadInput(t *testing.T) {
	for _, tc := range []struct {
		name string
		// fork changes what the headers are made of, change the message.
		fork   func(f *fork)
		change func(f *fork, m *types.MsgSubmitMisbehaviour)
		expErr error
	}{
		{"no submitter", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Submitter = "" }, types.ErrInvalidAddress},
		{"no misbehaviour", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour = nil }, types.ErrInvalidMisbehaviour},
		{"no first header", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header1 = nil }, types.ErrInvalidMisbehaviour},
		{"no second header", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header2 = nil }, types.ErrInvalidMisbehaviour},
		{"empty header", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header2 = &ibctm.Header{} }, types.ErrInvalidMisbehaviour},
		{"empty signed header", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.Misbehaviour.Header2.SignedHeader = &cmtproto.SignedHeader{}
		}, types.ErrInvalidMisbehaviour},
		{"no commit", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header1.Commit = nil }, types.ErrInvalidMisbehaviour},
		{"no validators", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header1.ValidatorSet = nil }, types.ErrInvalidMisbehaviour},
		{"a validator that is none", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.Misbehaviour.Header1.ValidatorSet.Validators[0] = nil
		}, types.ErrInvalidMisbehaviour},
		{"no trusted validators", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.Header1.TrustedValidators = nil }, types.ErrInvalidMisbehaviour},
		{"power beyond all bounds", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			for _, v := range m.Misbehaviour.Header1.ValidatorSet.Validators {
				v.VotingPower = 1<<63 - 1
			}
		}, types.ErrInvalidMisbehaviour},
		{"trusted power beyond all bounds", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			for _, v := range m.Misbehaviour.Header1.TrustedValidators.Validators {
				v.VotingPower = 1<<63 - 1
			}
		}, types.ErrInvalidMisbehaviour},
		{"more signatures than validators", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			c := m.Misbehaviour.Header1.Commit
			c.Signatures = append(c.Signatures, c.Signatures[0])
		}, types.ErrInvalidMisbehaviour},
		{"huge", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.Misbehaviour.Header1.Header.AppHash = make([]byte, types.MaxMisbehaviourBytes)
		}, types.ErrEvidenceTooLarge},
		{"names another client", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.ClientId = "07-tendermint-1" }, types.ErrMisbehaviourClient},
		{"names no client", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) { m.Misbehaviour.ClientId = "" }, types.ErrMisbehaviourClient},
		{"unknown consumer", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.ConsumerId, m.Misbehaviour.ClientId = "07-tendermint-9", "07-tendermint-9"
		}, types.ErrUnknownConsumer},
		{"removed consumer", func(f *fork) {
			c := f.c.Status()
			c.Status = types.CONSUMER_STATUS_REMOVED
			require.NoError(f, f.f.Provider.Consumers.Set(f.f.Ctx, client, c))
		}, nil, types.ErrConsumerRemoved},
		{"headers of another chain", func(f *fork) { f.a.chain, f.b.chain = "consumer-5", "consumer-5" }, nil, types.ErrEvidenceChainID},
		{"headers of two chains", func(f *fork) { f.b.chain = "consumer-5" }, nil, types.ErrInvalidMisbehaviour},
		{"headers of another client's validators", func(f *fork) {
			f.a.numbers, f.a.signers = []int{60, 61}, commits(60, 61)
			f.b.numbers, f.b.signers = []int{60, 61}, commits(60, 61)
		}, nil, types.ErrInvalidMisbehaviour},
		{"trusted validators that are not", nil, func(f *fork, m *types.MsgSubmitMisbehaviour) {
			vals, _ := validators([]int{1, 2})
			pb, err := vals.ToProto()
			require.NoError(f, err)
			m.Misbehaviour.Header1.TrustedValidators = pb
		}, types.ErrInvalidMisbehaviour},
		{"trusted height that is not", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.Misbehaviour.Header1.TrustedHeight = clienttypes.NewHeight(4, trusted-1)
		}, types.ErrInvalidMisbehaviour},
		{"same header twice", func(f *fork) { f.b = f.a }, nil, types.ErrEqualBlockIDs},
		{"same header, committed in two rounds", func(f *fork) { f.b = f.a; f.b.round = 5 }, nil, types.ErrEqualBlockIDs},
		{"two heights", func(f *fork) { f.a.height++ }, nil, types.ErrMisbehaviourHeights},
		{"time violation", func(f *fork) { f.a.height += 100 }, nil, types.ErrMisbehaviourHeights},
		{"first without enough signatures", func(f *fork) { f.a.signers = commits(1, 2, 3) }, nil, types.ErrInvalidMisbehaviour},
		{"second without enough signatures", func(f *fork) { f.b.signers = commits(1, 2, 3) }, nil, types.ErrInvalidMisbehaviour},
		{"enough only with nil votes", func(f *fork) {
			f.b.signers = commits(1, 2, 3)
			f.b.signers[50] = cmttypes.BlockIDFlagNil
		}, nil, types.ErrInvalidMisbehaviour},
		{"bad signature", func(f *fork) { f.b.broken = 50 }, nil, types.ErrInvalidMisbehaviour},
		{"header changed after signing", nil, func(_ *fork, m *types.MsgSubmitMisbehaviour) {
			m.Misbehaviour.Header2.Header.DataHash[0] ^= 1
		}, types.ErrInvalidMisbehaviour},
		{"expired client", func(f *fork) {
			f.f.NoInvariants = true
			f.f.Skip(10 * day)
			require.Equal(f, exported.Expired, f.status())
		}, nil, types.ErrInvalidMisbehaviour},
		{"below what governance set", func(f *fork) {
			_, err := f.f.Msgs.SetEvidenceMinHeight(f.f.Ctx, &types.MsgSetEvidenceMinHeight{
				Authority: f.f.Authority, ConsumerId: client, ChainId: chainID, Height: forkAt + 1,
			})
			require.NoError(f, err)
		}, nil, types.ErrEvidenceMinHeight},
		{"too old", func(f *fork) {
			at := uint64(f.f.Ctx.BlockTime().Add(-14*day - 1).UnixNano())
			require.NoError(f, f.f.Provider.Heights.Set(f.f.Ctx, collections.Join(client, at), meshtypes.NewHeight(4, forkAt)))
		}, nil, types.ErrEvidenceTooOld},
		{"client that the light client does not know", nil, func(f *fork, m *types.MsgSubmitMisbehaviour) {
			f.f.Consumer("07-tendermint-1", func(c *types.ConsumerConfig) { c.ChainId = "other-4" })
			m.ConsumerId, m.Misbehaviour.ClientId = "07-tendermint-1", "07-tendermint-1"
			m.Misbehaviour.Header1.Header.ChainID, m.Misbehaviour.Header2.Header.ChainID = "other-4", "other-4"
		}, types.ErrInvalidMisbehaviour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFork(t, nil)
			if tc.fork != nil {
				tc.fork(f)
			}
			m := f.message()
			if tc.change != nil {
				tc.change(f, m)
			}
			_, err := f.send(m)
			require.ErrorIs(t, err, tc.expErr)
			require.NotEqual(t, exported.Frozen, f.status())
			require.False(t, f.c.Status().HasPauseReason(types.PAUSE_REASON_MISBEHAVIOUR))
			require.Empty(t, f.slashes())
		})
	}
}

// TestMisbehaviourGas: every signature is charged for before it is verified.
func TestMisbehaviourGas(t *testing.T) {
	f := newFork(t, nil)
	f.b.broken = 50
	m := f.message()
	before := f.f.Ctx.GasMeter().GasConsumed()
	_, err := f.send(m)
	require.ErrorIs(t, err, types.ErrInvalidMisbehaviour)
	require.Greater(t, f.f.Ctx.GasMeter().GasConsumed()-before, uint64(2*8*590))
}
