package keeper_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"

	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cometbft/cometbft/crypto"
	cmtsecp256k1 "github.com/cometbft/cometbft/crypto/secp256k1"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// chainID is the consumer's.
const chainID = "consumer-" + client + "-4"

// blockID returns the id of a block; none for 0.
func blockID(block byte) cmttypes.BlockID {
	if block == 0 {
		return cmttypes.BlockID{}
	}
	hash := bytes.Repeat([]byte{block}, 32)
	return cmttypes.BlockID{Hash: hash, PartSetHeader: cmttypes.PartSetHeader{Total: 1, Hash: hash}}
}

// sign signs a vote as CometBFT's validators do.
func sign(tb testing.TB, key crypto.PrivKey, chain string, vote *cmtproto.Vote) {
	tb.Helper()
	pv := cmttypes.NewMockPVWithParams(key, false, false)
	require.NoError(tb, pv.SignVote(chain, vote))
}

// precommit returns a vote at a height for a block.
func precommit(tb testing.TB, key crypto.PrivKey, h int64, block byte) *cmttypes.Vote {
	tb.Helper()
	vote := &cmttypes.Vote{
		Type: cmtproto.PrecommitType, Height: h, Round: 3, BlockID: blockID(block), Timestamp: time.Date(2025, 12, 1, 2, 3, 4, 5, time.UTC),
		ValidatorAddress: key.PubKey().Address(), ValidatorIndex: 17,
	}
	pb := vote.ToProto()
	sign(tb, key, chainID, pb)
	vote.Signature = pb.Signature
	return vote
}

// evidence returns what a CometBFT node makes of two votes for the blocks 1 and 2 by a key.
func evidence(tb testing.TB, key crypto.PrivKey, h int64) *cmtproto.DuplicateVoteEvidence {
	tb.Helper()
	vals := cmttypes.NewValidatorSet([]*cmttypes.Validator{cmttypes.NewValidator(key.PubKey(), 777)})
	ev, err := cmttypes.NewDuplicateVoteEvidence(precommit(tb, key, h, 1), precommit(tb, key, h, 2), time.Now(), vals)
	require.NoError(tb, err)
	require.NoError(tb, ev.ValidateBasic())
	return ev.ToProto()
}

// doubleVote returns a proof about the n-th validator.
func (s *slasher) doubleVote(n int, h int64) *types.MsgSubmitDoubleVote {
	s.Helper()
	return &types.MsgSubmitDoubleVote{Submitter: s.w.String(), ConsumerId: client, Evidence: evidence(s.TB, testutil.ConsensusKey(n), h)}
}

// submit submits a proof, and checks that a refused one changes nothing.
func (s *slasher) submit(m *types.MsgSubmitDoubleVote) (res *types.MsgSubmitDoubleVoteResponse, err error) {
	s.Helper()
	before := s.f.Store(types.StoreKey)
	require.NotPanics(s, func() {
		err = s.f.Try(func(ctx sdk.Context) error {
			res, err = s.f.Msgs.SubmitDoubleVote(ctx, m)
			return err
		})
	})
	if err != nil {
		require.Equal(s, before, s.f.Store(types.StoreKey))
	}
	return res, err
}

// dry submits a proof without keeping what it does.
func (s *slasher) dry(key crypto.PrivKey, h int64) error {
	s.Helper()
	cacheCtx, _ := s.f.Ctx.CacheContext()
	_, err := s.f.Msgs.SubmitDoubleVote(cacheCtx, &types.MsgSubmitDoubleVote{
		Submitter: s.w.String(), ConsumerId: client, Evidence: evidence(s.TB, key, h),
	})
	return err
}

func TestDoubleVote(t *testing.T) {
	key := testutil.ConsensusKey(1)
	// resign signs both votes again after a change.
	resign := func(t *testing.T, m *types.MsgSubmitDoubleVote, change func(a, b *cmtproto.Vote)) {
		t.Helper()
		change(m.Evidence.VoteA, m.Evidence.VoteB)
		sign(t, key, chainID, m.Evidence.VoteA)
		sign(t, key, chainID, m.Evidence.VoteB)
	}
	block := func(b byte) cmtproto.BlockID { id := blockID(b); return id.ToProto() }
	both := func(change func(v *cmtproto.Vote)) func(a, b *cmtproto.Vote) {
		return func(a, b *cmtproto.Vote) { change(a); change(b) }
	}
	for _, tc := range []struct {
		name     string
		malleate func(t *testing.T, s *slasher, m *types.MsgSubmitDoubleVote)
		expErr   error
	}{
		{"two precommits", func(*testing.T, *slasher, *types.MsgSubmitDoubleVote) {}, nil},
		{"one for nil", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, _ *cmtproto.Vote) { a.BlockID = block(0) })
		}, nil},
		{"the other for nil", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(_, b *cmtproto.Vote) { b.BlockID = block(0) })
		}, nil},
		{"one hash in other parts", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, b *cmtproto.Vote) { b.BlockID.Hash = a.BlockID.Hash })
		}, nil},
		{"two prevotes", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Type = cmtproto.PrevoteType }))
		}, nil},
		{"in the other order", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA, m.Evidence.VoteB = m.Evidence.VoteB, m.Evidence.VoteA
		}, nil},
		{"powers and time are not looked at", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.TotalVotingPower, m.Evidence.ValidatorPower, m.Evidence.Timestamp = -1, 1<<62, time.Time{}
		}, nil},
		{"signers' times and indices are not looked at", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, b *cmtproto.Vote) {
				a.Timestamp, a.ValidatorIndex = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), 1
				b.Timestamp, b.ValidatorIndex = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 2
			})
		}, nil},
		{"vote extensions are not looked at", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.Extension, m.Evidence.VoteA.ExtensionSignature = []byte("price"), []byte("not a signature")
		}, nil},
		{"chain id by name", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.ChainId = chainID }, nil},
		{"at the client's latest height", func(t *testing.T, s *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence = evidence(t, key, latest)
			_ = s
		}, nil},
		{"while the consumer is paused", func(t *testing.T, s *slasher, _ *types.MsgSubmitDoubleVote) {
			t.Helper()
			_, err := s.f.Msgs.PauseConsumer(s.f.Ctx, &types.MsgPauseConsumer{Signer: s.f.Authority, ConsumerId: client})
			require.NoError(t, err)
		}, nil},
		{"by the offender", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Submitter = sdk.AccAddress(testutil.Operator(1)).String()
		}, nil},

		{"no submitter", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Submitter = "" }, types.ErrInvalidAddress},
		{"no evidence", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence = nil }, types.ErrInvalidEvidence},
		{"empty evidence", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence = &cmtproto.DuplicateVoteEvidence{}
		}, types.ErrInvalidEvidence},
		{"one vote", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteA = nil }, types.ErrInvalidEvidence},
		{"the other vote", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteB = nil }, types.ErrInvalidEvidence},
		{"empty vote", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteB = &cmtproto.Vote{} }, types.ErrInvalidEvidence},
		{"votes that are none", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Type = cmtproto.ProposalType }))
		}, types.ErrInvalidEvidence},
		{"height 0", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Height = 0 }))
		}, types.ErrInvalidEvidence},
		{"negative height", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Height = -offence }))
		}, types.ErrInvalidEvidence},
		{"negative round", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Round = -1 }))
		}, types.ErrInvalidEvidence},
		{"half a block id", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.BlockID.PartSetHeader = cmtproto.PartSetHeader{}
		}, types.ErrInvalidEvidence},
		{"short hash", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.BlockID.Hash = []byte{1}
		}, types.ErrInvalidEvidence},
		{"short address", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.ValidatorAddress = []byte{1}
		}, types.ErrInvalidEvidence},
		{"no signature", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteA.Signature = nil }, types.ErrInvalidEvidence},
		{"long signature", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.Signature = make([]byte, 1_000)
		}, types.ErrInvalidEvidence},
		{"a time that has no encoding", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteB.Timestamp = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
		}, types.ErrInvalidEvidence},
		{"extension of a prevote", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.Type = cmtproto.PrevoteType }))
			m.Evidence.VoteA.Extension = []byte("price")
		}, types.ErrInvalidEvidence},
		{"huge", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteA.Extension = make([]byte, types.MaxEvidenceBytes)
		}, types.ErrEvidenceTooLarge},

		{"heights differ", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, _ *cmtproto.Vote) { a.Height++ })
		}, types.ErrVotesDiffer},
		{"rounds differ", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, _ *cmtproto.Vote) { a.Round++ })
		}, types.ErrVotesDiffer},
		{"types differ", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, _ *cmtproto.Vote) { a.Type = cmtproto.PrevoteType })
		}, types.ErrVotesDiffer},
		{"validators differ", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence.VoteB = precommit(t, testutil.ConsensusKey(2), offence, 2).ToProto()
		}, types.ErrVoteAddresses},
		{"equal block ids", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, func(a, b *cmtproto.Vote) { b.BlockID, b.Timestamp = a.BlockID, a.Timestamp.Add(time.Second) })
		}, types.ErrEqualBlockIDs},
		{"one vote twice", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteB = m.Evidence.VoteA
		}, types.ErrEqualBlockIDs},
		{"both for nil", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			resign(t, m, both(func(v *cmtproto.Vote) { v.BlockID = block(0) }))
		}, types.ErrEqualBlockIDs},

		{"unknown consumer", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.ConsumerId = "07-tendermint-9" }, types.ErrUnknownConsumer},
		{"removed consumer", func(t *testing.T, s *slasher, _ *types.MsgSubmitDoubleVote) {
			t.Helper()
			c := s.c.Status()
			c.Status = types.CONSUMER_STATUS_REMOVED
			require.NoError(t, s.f.Provider.Consumers.Set(s.f.Ctx, client, c))
		}, types.ErrConsumerRemoved},
		{"chain id of nobody", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.ChainId = "consumer-5" }, types.ErrEvidenceChainID},
		{"our own chain id", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.ChainId = testutil.ChainID }, types.ErrEvidenceChainID},
		{"signed for another chain", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			sign(t, key, "consumer-5", m.Evidence.VoteA)
			sign(t, key, "consumer-5", m.Evidence.VoteB)
		}, types.ErrVoteSignature},
		{"first signature", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteA.Signature[7] ^= 1 }, types.ErrVoteSignature},
		{"second signature", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) { m.Evidence.VoteB.Signature[7] ^= 1 }, types.ErrVoteSignature},
		{"time changed after signing", func(_ *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			m.Evidence.VoteB.Timestamp = m.Evidence.VoteB.Timestamp.Add(1)
		}, types.ErrVoteSignature},
		{"signed by another", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			sign(t, testutil.ConsensusKey(2), chainID, m.Evidence.VoteB)
		}, types.ErrVoteSignature},
		{"key never registered", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence = evidence(t, testutil.ConsensusKey(9), offence)
		}, types.ErrUnknownKey},
		{"key of another consumer", func(t *testing.T, s *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			other := s.f.Consumer("07-tendermint-1", nil)
			other.Bond(9)
			m.Evidence = evidence(t, testutil.ConsensusKey(9), offence)
		}, types.ErrUnknownKey},
		{"key that began later", func(t *testing.T, s *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			r := testutil.ValidatorReport(4)
			r.KeyHeight = at(offence + 1)
			_, isError := s.c.Send(s.c.Message(r))
			require.False(t, isError)
			m.Evidence = evidence(t, testutil.ConsensusKey(4), offence)
		}, types.ErrKeyHeight},
		{"above the client's latest", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence = evidence(t, key, latest+1)
		}, types.ErrEvidenceFuture},
		{"the highest height", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence = evidence(t, key, 1<<63-1)
		}, types.ErrEvidenceFuture},
		{"below what governance set", func(t *testing.T, s *slasher, _ *types.MsgSubmitDoubleVote) {
			t.Helper()
			_, err := s.f.Msgs.SetEvidenceMinHeight(s.f.Ctx, &types.MsgSetEvidenceMinHeight{
				Authority: s.f.Authority, ConsumerId: client, ChainId: chainID, Height: offence + 1,
			})
			require.NoError(t, err)
		}, types.ErrEvidenceMinHeight},
		{"before the stake came", func(t *testing.T, _ *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			m.Evidence = evidence(t, key, stakedAt-1)
		}, types.ErrNothingAnswers},
		{"twice", func(t *testing.T, s *slasher, m *types.MsgSubmitDoubleVote) {
			t.Helper()
			_, err := s.submit(m)
			require.NoError(t, err)
		}, types.ErrAlreadyPunished},
		{"again at another height", func(t *testing.T, s *slasher, _ *types.MsgSubmitDoubleVote) {
			t.Helper()
			_, err := s.submit(s.doubleVote(1, offence-5))
			require.NoError(t, err)
		}, types.ErrAlreadyPunished},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			m := s.doubleVote(1, offence)
			tc.malleate(t, s, m)
			already := export(t, s.f).Totals.Slashed
			res, err := s.submit(m)
			require.ErrorIs(t, err, tc.expErr)
			if tc.expErr != nil {
				require.Equal(t, already, export(t, s.f).Totals.Slashed)
				return
			}
			require.Equal(t, executed, res.Status)
			rec := s.slash(res.SlashId)
			require.Equal(t, types.SLASH_ORIGIN_DOUBLE_VOTE, rec.Origin)
			require.Equal(t, at(uint64(m.Evidence.VoteA.Height)), rec.Infraction)
			require.Equal(t, testutil.Operator(1), rec.Validator)
			require.Equal(t, m.Submitter, sdk.AccAddress(rec.Submitter).String())
			require.Equal(t, "100000", rec.Amount.String())
			require.Equal(t, "900000", s.stakeOn(1).String())
			require.Equal(t, "100000", export(t, s.f).Totals.Slashed.String())
			v, err := s.f.Provider.Validators.Get(s.f.Ctx, collections.Join(client, testutil.Operator(1)))
			require.NoError(t, err)
			require.True(t, v.Closed)
			s.f.NextBlock()
		})
	}
}

// TestDoubleVoteUnderAnEarlierChainID: the height counts in the revision of the chain id that was signed for.
func TestDoubleVoteUnderAnEarlierChainID(t *testing.T) {
	s := newSlasher(t, nil)
	cfg := s.c.Status().Config
	cfg.ChainId = "consumer-" + client + "-5"
	state := s.f.IBC.Clients[client].State
	state.ChainId, state.LatestHeight = cfg.ChainId, clienttypes.NewHeight(5, 3)
	_, err := s.f.Msgs.UpdateConsumer(s.f.Ctx, &types.MsgUpdateConsumer{Authority: s.f.Authority, Config: cfg})
	require.NoError(t, err)

	m := s.doubleVote(1, offence)
	_, err = s.submit(m)
	require.ErrorIs(t, err, types.ErrEvidenceFuture, "without a chain id it is taken as one of 5")
	m = s.doubleVote(1, 3)
	_, err = s.submit(m)
	require.ErrorIs(t, err, types.ErrVoteSignature)

	m = s.doubleVote(1, latest+offence)
	m.ChainId = chainID
	res, err := s.submit(m)
	require.NoError(t, err)
	require.Equal(t, at(latest+offence), s.slash(res.SlashId).Infraction)
}

// TestDoubleVoteGas: both signatures are charged for before they are verified.
func TestDoubleVoteGas(t *testing.T) {
	s := newSlasher(t, nil)
	m := s.doubleVote(1, offence)
	m.Evidence.VoteA.Signature[3] ^= 1
	before := s.f.Ctx.GasMeter().GasConsumed()
	_, err := s.submit(m)
	require.ErrorIs(t, err, types.ErrVoteSignature)
	require.Greater(t, s.f.Ctx.GasMeter().GasConsumed()-before, uint64(2*590))
}

// TestDoubleVoteSecp256k1: a chain may have secp256k1 consensus keys.
func TestDoubleVoteSecp256k1(t *testing.T) {
	s := newSlasher(t, nil)
	key := cmtsecp256k1.GenPrivKeySecp256k1([]byte("validator"))
	r := testutil.ValidatorReport(4)
	r.ConsensusKey = meshtypes.ConsensusKey{Type: cmtsecp256k1.KeyType, Key: key.PubKey().Bytes()}
	_, isError := s.c.Send(s.c.Message(r))
	require.False(t, isError)
	require.NoError(t, s.c.Stake(s.u, 4, 10_000))
	s.client(latest + 9)
	res, err := s.submit(&types.MsgSubmitDoubleVote{Submitter: s.w.String(), ConsumerId: client, Evidence: evidence(t, key, latest+7)})
	require.NoError(t, err)
	require.Equal(t, "1000", s.slash(res.SlashId).Amount.String())
}

// TestEvidenceAge: how old a height is, by our own records of heights and times.
func TestEvidenceAge(t *testing.T) {
	const u = 14 * day
	type record struct {
		ago    time.Duration
		height uint64
	}
	for _, tc := range []struct {
		name    string
		records []record
		pruned  bool
		height  int64
		expErr  error
	}{
		{"known for less than U", []record{{15 * day, 3_000_000}, {13 * day, 4_000_000}}, true, 4_000_000, nil},
		{"known since a record within U at the latest", []record{{15 * day, 3_000_000}, {13 * day, 4_000_000}}, true, 3_000_001, nil},
		{"known for more than U", []record{{15 * day, 3_000_000}, {13 * day, 4_000_000}}, true, 3_000_000, types.ErrEvidenceTooOld},
		{"far below", []record{{20 * day, 2_000_000}, {15 * day, 3_000_000}, {13 * day, 4_000_000}}, true, 1_500_000, types.ErrEvidenceTooOld},
		{"too old also if nothing was dropped", []record{{15 * day, 3_000_000}}, false, 3_000_000, types.ErrEvidenceTooOld},
		{"known for exactly U", []record{{u, 3_000_000}}, true, 3_000_000, nil},
		{"known for a moment more", []record{{u + 1, 3_000_000}}, true, 3_000_000, types.ErrEvidenceTooOld},
		{"above all records", []record{{15 * day, 3_000_000}}, true, 5_000_000, nil},
		{"below the oldest record, nothing dropped", []record{{13 * day, 4_000_000}}, false, 3_000_000, nil},
		{"below the oldest record, others dropped", []record{{13 * day, 4_000_000}}, true, 3_999_999, types.ErrEvidenceTooOld},
		{"at the oldest record, others dropped", []record{{13 * day, 4_000_000}}, true, 4_000_000, nil},
		{"no record left", nil, true, 4_000_000, types.ErrEvidenceTooOld},
		{"never a record", nil, false, 4_000_000, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			require.NoError(t, s.f.Provider.Heights.Clear(s.f.Ctx, nil))
			for _, r := range tc.records {
				at := uint64(s.f.Ctx.BlockTime().Add(-r.ago).UnixNano())
				require.NoError(t, s.f.Provider.Heights.Set(s.f.Ctx, collections.Join(client, at), meshtypes.NewHeight(4, r.height)))
			}
			p := s.c.Pairing()
			require.Equal(t, u, p.EffectiveUnbonding)
			p.HeightsPruned = tc.pruned
			require.NoError(t, s.f.Provider.Pairings.Set(s.f.Ctx, client, p))
			_, err := s.submit(s.doubleVote(1, tc.height))
			require.ErrorIs(t, err, tc.expErr)
		})
	}
}

// TestEvidenceAgeInTime: the records that the module makes itself say what is too old, for a month and a half.
func TestEvidenceAgeInTime(t *testing.T) {
	s := newSlasher(t, nil)
	s.f.NoInvariants = true
	start := int64(latest)
	height := func(d int) int64 { return start + int64(d)*100_000 } // known since the evening of day d
	key := testutil.ConsensusKey(1)
	for d := 1; d <= 45; d++ {
		s.client(uint64(height(d)))
		s.f.Skip(day)
		if d < 28 || d > 29 { // records are kept for 28 days
			require.Equal(t, d > 29, s.c.Pairing().HeightsPruned, "day %d", d)
		}
		require.NoError(t, s.dry(key, height(d)))
		if d > 13 {
			require.NoError(t, s.dry(key, height(d-13)))
		}
		if d > 15 {
			require.ErrorIs(t, s.dry(key, height(d-15)), types.ErrEvidenceTooOld)
			require.ErrorIs(t, s.dry(key, stakedAt), types.ErrEvidenceTooOld)
		}
	}
	// A consumer that is removed and registered anew does not make old heights young.
	c := s.c.Status()
	c.Status = types.CONSUMER_STATUS_REMOVED
	require.NoError(t, s.f.Provider.Consumers.Set(s.f.Ctx, client, c))
	_, err := s.f.Msgs.AddConsumer(s.f.Ctx, &types.MsgAddConsumer{Authority: s.f.Authority, Config: c.Config})
	require.NoError(t, err)
	require.True(t, s.c.Pairing().HeightsPruned)
	require.ErrorIs(t, s.dry(key, stakedAt), types.ErrEvidenceTooOld)
}

func TestSetEvidenceMinHeight(t *testing.T) {
	for _, tc := range []struct {
		name     string
		malleate func(s *slasher, m *types.MsgSetEvidenceMinHeight)
		expErr   error
	}{
		{"raised", func(*slasher, *types.MsgSetEvidenceMinHeight) {}, nil},
		{"by the empty chain id", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.ChainId = "" }, nil},
		{"no authority", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.Authority = "" }, types.ErrInvalidAddress},
		{"by somebody", func(s *slasher, m *types.MsgSetEvidenceMinHeight) { m.Authority = s.u.String() }, types.ErrUnauthorized},
		{"beyond heights", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.Height = 1 << 63 }, meshtypes.ErrInvalidHeight},
		{"unknown consumer", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.ConsumerId = "x" }, types.ErrUnknownConsumer},
		{"unknown chain id", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.ChainId = "consumer-5" }, types.ErrEvidenceChainID},
		{"as it is", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.Height = 2_000_000 }, types.ErrMinHeightLowered},
		{"lowered", func(_ *slasher, m *types.MsgSetEvidenceMinHeight) { m.Height = 1_999_999 }, types.ErrMinHeightLowered},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			m := &types.MsgSetEvidenceMinHeight{Authority: s.f.Authority, ConsumerId: client, ChainId: chainID, Height: 2_000_000}
			_, err := s.f.Msgs.SetEvidenceMinHeight(s.f.Ctx, m)
			require.NoError(t, err)
			m.Height = offence
			tc.malleate(s, m)
			before := s.f.Store(types.StoreKey)
			_, err = s.f.Msgs.SetEvidenceMinHeight(s.f.Ctx, m)
			require.ErrorIs(t, err, tc.expErr)
			if tc.expErr != nil {
				require.Equal(t, before, s.f.Store(types.StoreKey))
				return
			}
			require.EqualValues(t, offence, s.c.Status().Chains[0].EvidenceMinHeight)
			require.ErrorIs(t, s.dry(testutil.ConsensusKey(1), offence-1), types.ErrEvidenceMinHeight)
			require.NoError(t, s.dry(testutil.ConsensusKey(1), offence))
		})
	}
}

// rotate reports a later key of the first validator.
func (s *slasher) rotate(n, key int, from uint64) {
	s.Helper()
	r := testutil.ValidatorReport(n)
	r.ConsensusKey.Key, r.KeyHeight = testutil.ConsensusKey(key).PubKey().Bytes(), at(from)
	ack, isError := s.c.Send(s.c.Message(r))
	require.False(s, isError || ack.Refused)
}

// TestLaterKey: a later key proves only heights above the one at which it was learned, once U has passed. It does not
// change what the first one proves about heights that were known before.
func TestLaterKey(t *testing.T) {
	s := newSlasher(t, nil)
	first, later := testutil.ConsensusKey(1), testutil.ConsensusKey(101)
	s.rotate(1, 101, offence+1) // learned at `latest`
	learnedAt := s.f.Ctx.BlockTime()
	s.client(latest + 1_000_000)

	require.NoError(t, s.dry(first, offence+2), "re-dating is not possible")
	require.NoError(t, s.dry(first, latest))
	require.ErrorIs(t, s.dry(first, latest+1), types.ErrKeyHeight, "retired")
	require.ErrorIs(t, s.dry(later, latest), types.ErrKeyHeight, "known before the key was")
	require.ErrorIs(t, s.dry(later, offence), types.ErrKeyHeight)
	require.ErrorIs(t, s.dry(later, latest+1), types.ErrKeyNotProving)

	s.f.NoInvariants = true
	s.f.Skip(14*day - 2*time.Hour)
	s.client(latest + 2_000_000)
	require.ErrorIs(t, s.dry(later, latest+2_000_000), types.ErrKeyNotProving)
	s.f.NextBlockAfter(learnedAt.Add(14 * day).Sub(s.f.Ctx.BlockTime()))
	require.NoError(t, s.dry(later, latest+2_000_000))
	require.ErrorIs(t, s.dry(first, latest+2_000_000), types.ErrKeyHeight)
}

// TestEveryKeyAnew: a consumer that reports every key anew can prove nothing with the new ones, and does not take away
// what the old ones prove.
func TestEveryKeyAnew(t *testing.T) {
	s := newSlasher(t, nil)
	for n := 1; n <= 3; n++ {
		s.rotate(n, 100+n, 2)
	}
	s.client(latest + 1_000)
	for n := 1; n <= 3; n++ {
		require.ErrorIs(t, s.dry(testutil.ConsensusKey(100+n), latest+1), types.ErrKeyNotProving)
		require.ErrorIs(t, s.dry(testutil.ConsensusKey(100+n), offence), types.ErrKeyHeight)
		require.NoError(t, s.dry(testutil.ConsensusKey(n), offence))
	}
}

// TestFirstClaimant: a consensus address belongs to the operator that was reported with it first, also across an export
// and when somebody leaves the registry.
func TestFirstClaimant(t *testing.T) {
	s := newSlasher(t, nil)
	s.f.SetParams(func(p *types.Params) { p.MaxValidatorsPerConsumer = 4 })
	key := testutil.ConsensusKey(1)
	s.rotate(2, 1, 1) // as a later key: too early
	s.rotate(2, 1, 5) // as a later key
	s.rotate(4, 1, 5) // as the first key of a new one
	for _, n := range []int{2, 4} {
		v, err := s.f.Provider.Validators.Get(s.f.Ctx, collections.Join(client, testutil.Operator(n)))
		require.NoError(t, err)
		require.True(t, v.Keys[len(v.Keys)-1].Foreign)
	}
	require.NoError(t, s.c.Stake(s.u, 4, 1_000))
	again := func() {
		t.Helper()
		g, before := export(t, s.f), s.f.Store(types.StoreKey)
		require.NoError(t, g.Validate())
		s.f.Clear(types.StoreKey)
		require.NoError(t, s.f.Provider.InitGenesis(s.f.Ctx, *g))
		require.Equal(t, before, s.f.Store(types.StoreKey))
	}
	again()
	cacheCtx, _ := s.f.Ctx.CacheContext()
	res, err := s.f.Msgs.SubmitDoubleVote(cacheCtx, s.doubleVote(1, offence))
	require.NoError(t, err)
	rec, err := s.f.Provider.Slashes.Get(cacheCtx, res.SlashId)
	require.NoError(t, err)
	require.Equal(t, testutil.Operator(1), rec.Validator)

	// The first key of 4 stands although it proves nothing: another one is a later one.
	s.rotate(4, 4, 9)
	s.client(latest + 7)
	require.ErrorIs(t, s.dry(testutil.ConsensusKey(4), latest+1), types.ErrKeyNotProving)

	// Who leaves the registry takes its keys along; nobody inherits them.
	r := testutil.ValidatorReport(5)
	unbonded := testutil.ValidatorReport(3)
	unbonded.Status = meshtypes.VALIDATOR_STATUS_UNBONDED
	require.NoError(t, s.c.Unstake(s.w, 3, 2_500_000))
	s.f.NoInvariants = true
	s.f.Skip(30 * day)
	s.rotate(2, 3, 6) // 3's key, which is still 3's
	s.client(latest + 1_000_000)
	require.NoError(t, s.dry(key, latest+1_000_000))
	require.ErrorIs(t, s.dry(testutil.ConsensusKey(3), latest+1_000_000), types.ErrNothingAnswers)
	_, isError := s.c.Send(s.c.Message(unbonded))
	require.False(t, isError)
	_, isError = s.c.Send(s.c.Message(r))
	require.False(t, isError)
	known, err := s.f.Provider.Validators.Has(s.f.Ctx, collections.Join(client, testutil.Operator(3)))
	require.NoError(t, err)
	require.False(t, known)
	require.ErrorIs(t, s.dry(testutil.ConsensusKey(3), latest+1_000_000), types.ErrUnknownKey)
	again()
}

// TestGenesisKeys: of two records of one consensus address one must be foreign.
func TestGenesisKeys(t *testing.T) {
	s := newSlasher(t, nil)
	s.rotate(2, 1, 5)
	g := export(t, s.f)
	require.NoError(t, g.Validate())
	require.True(t, g.Validators[1].State.Keys[1].Foreign)
	g.Validators[1].State.Keys[1].Foreign = false
	require.ErrorIs(t, g.Validate(), types.ErrInvalidGenesis)
	g.Validators[1].State.Keys = make([]types.KeyRecord, types.MaxKeys+1)
	require.ErrorIs(t, g.Validate(), types.ErrInvalidGenesis)
}

func TestVouchKey(t *testing.T) {
	account := secp256k1.GenPrivKeyFromSecret([]byte("operator"))
	operator := account.PubKey().Address().Bytes()
	later := testutil.ConsensusKey(101)
	laterKey := meshtypes.ConsensusKey{Type: "ed25519", Key: later.PubKey().Bytes()}
	signed := func(t *testing.T, chain, consumer string, key meshtypes.ConsensusKey) []byte {
		t.Helper()
		sig, err := account.Sign(types.VouchSignBytes(chain, consumer, key))
		require.NoError(t, err)
		return sig
	}
	for _, tc := range []struct {
		name     string
		malleate func(t *testing.T, s *slasher, m *types.MsgVouchKey)
		expErr   error
	}{
		{"vouched", func(*testing.T, *slasher, *types.MsgVouchKey) {}, nil},
		{"vouched again", func(t *testing.T, s *slasher, m *types.MsgVouchKey) {
			t.Helper()
			_, err := s.f.Msgs.VouchKey(s.f.Ctx, m)
			require.NoError(t, err)
		}, nil},
		{"no submitter", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Submitter = "x" }, types.ErrInvalidAddress},
		{"no key", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.ConsensusKey = meshtypes.ConsensusKey{} }, types.ErrInvalidVouch},
		{"huge key", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.ConsensusKey.Key = make([]byte, 1<<20) }, types.ErrInvalidVouch},
		{"unknown consumer", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.ConsumerId = "x" }, types.ErrUnknownConsumer},
		{"bad operator", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Validator = "x" }, types.ErrInvalidValidator},
		{"unknown operator", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Validator = testutil.OperatorString(9) }, types.ErrUnknownValidator},
		{"no account key", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.AccountKey = nil }, types.ErrInvalidVouch},
		{"account key that is no point", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.AccountKey = make([]byte, 33) }, types.ErrInvalidVouch},
		{"account key of another", func(t *testing.T, _ *slasher, m *types.MsgVouchKey) {
			t.Helper()
			other := secp256k1.GenPrivKeyFromSecret([]byte("other"))
			sig, err := other.Sign(types.VouchSignBytes(testutil.ChainID, client, laterKey))
			require.NoError(t, err)
			m.AccountKey, m.Signature = other.PubKey().Bytes(), sig
		}, types.ErrInvalidVouch},
		{"for another operator", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Validator = testutil.OperatorString(1) }, types.ErrInvalidVouch},
		{"no signature", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Signature = nil }, types.ErrInvalidVouch},
		{"bad signature", func(_ *testing.T, _ *slasher, m *types.MsgVouchKey) { m.Signature[0] ^= 1 }, types.ErrInvalidVouch},
		{"signed for another provider", func(t *testing.T, _ *slasher, m *types.MsgVouchKey) {
			t.Helper()
			m.Signature = signed(t, "provider-2", client, laterKey)
		}, types.ErrInvalidVouch},
		{"signed for another consumer", func(t *testing.T, _ *slasher, m *types.MsgVouchKey) {
			t.Helper()
			m.Signature = signed(t, testutil.ChainID, "07-tendermint-1", laterKey)
		}, types.ErrInvalidVouch},
		{"signed for another key", func(t *testing.T, _ *slasher, m *types.MsgVouchKey) {
			t.Helper()
			other := laterKey
			other.Key = testutil.ConsensusKey(102).PubKey().Bytes()
			m.Signature = signed(t, testutil.ChainID, client, other)
		}, types.ErrInvalidVouch},
		{"key never reported", func(t *testing.T, _ *slasher, m *types.MsgVouchKey) {
			t.Helper()
			m.ConsensusKey.Key = testutil.ConsensusKey(102).PubKey().Bytes()
			m.Signature = signed(t, testutil.ChainID, client, m.ConsensusKey)
		}, types.ErrUnknownKey},
		{"key of another validator", func(t *testing.T, s *slasher, m *types.MsgVouchKey) {
			t.Helper()
			m.ConsensusKey.Key = testutil.ConsensusKey(1).PubKey().Bytes()
			r := testutil.ValidatorReport(1)
			r.Operator, r.KeyHeight = operator, at(latest)
			_, isError := s.c.Send(s.c.Message(r))
			require.False(t, isError)
			m.Signature = signed(t, testutil.ChainID, client, m.ConsensusKey)
		}, types.ErrUnknownKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSlasher(t, nil)
			r := testutil.ValidatorReport(7)
			r.Operator = operator
			_, isError := s.c.Send(s.c.Message(r))
			require.False(t, isError)
			validator := types.ConsumerConfig{ValidatorPrefix: testutil.Prefix}.FormatValidator(operator)
			_, err := s.f.Msgs.CrossStake(s.f.Ctx, &types.MsgCrossStake{
				Delegator: s.u.String(), ConsumerId: client, Validator: validator, Amount: sdk.NewInt64Coin(testutil.Denom, 10_000),
			})
			require.NoError(t, err)
			s.client(latest + 1_000_000)
			r.ConsensusKey, r.KeyHeight = laterKey, at(latest+500_000)
			_, isError = s.c.Send(s.c.Message(r))
			require.False(t, isError)
			s.client(latest + 2_000_000)
			require.ErrorIs(t, s.dry(later, latest+500_000), types.ErrKeyHeight)
			require.ErrorIs(t, s.dry(later, latest+1_500_000), types.ErrKeyNotProving)

			m := &types.MsgVouchKey{
				Submitter: s.u.String(), ConsumerId: client, Validator: validator, ConsensusKey: laterKey,
				AccountKey: account.PubKey().Bytes(), Signature: signed(t, testutil.ChainID, client, laterKey),
			}
			tc.malleate(t, s, m)
			before := s.f.Store(types.StoreKey)
			_, err = s.f.Msgs.VouchKey(s.f.Ctx, m)
			require.ErrorIs(t, err, tc.expErr)
			if tc.expErr != nil {
				require.Equal(t, before, s.f.Store(types.StoreKey))
				require.ErrorIs(t, s.dry(later, latest+1_500_000), types.ErrKeyNotProving)
				return
			}
			require.NoError(t, s.dry(later, latest+500_000))
			require.NoError(t, s.dry(later, latest+1_500_000))
			require.ErrorIs(t, s.dry(later, latest+499_999), types.ErrKeyHeight)
			require.NoError(t, s.dry(testutil.ConsensusKey(7), latest+999_999), "a vouched key does not re-date the first one either")
		})
	}
}
