package types_test

import (
	"bytes"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/mesh/types"
)

func op(b byte) []byte { return bytes.Repeat([]byte{b}, 20) }

func update() types.StakeUpdate {
	return types.StakeUpdate{
		Session: types.Session{Provider: 7, Consumer: 9}, Seq: 3, UnbondingPeriod: 1e15, SyncedAt: 17e17, SlashSeq: 2,
		Stakes: []types.Stake{
			{Validator: op(1), Amount: sdkmath.NewInt(5)},
			{Validator: op(2), Amount: types.MaxAmount.SubRaw(1)},
		},
	}
}

func report() types.ConsumerReport {
	key := types.ConsensusKey{Type: "ed25519", Key: bytes.Repeat([]byte{4}, 32)}
	return types.ConsumerReport{
		Session: types.Session{Provider: 7, Consumer: 9}, Seq: 3, FirstIndex: 4, UnbondingPeriod: 1e15, FreshnessLimit: 1e14,
		Validators: []types.ValidatorReport{
			{Operator: op(1), Status: types.VALIDATOR_STATUS_BONDED, ConsensusKey: key, KeyHeight: types.NewHeight(1, 2)},
			{Operator: op(2), Status: types.VALIDATOR_STATUS_TOMBSTONED, ConsensusKey: key, ExecutedSeq: 8},
		},
		Slashes: []types.SlashEntry{
			{Index: 4, Operator: op(1), Kind: types.SLASH_KIND_DOWNTIME, Infraction: types.NewHeight(1, 1_000_000_007), NominalFraction: sdkmath.LegacyNewDecWithPrec(1, 2), EffectiveFraction: sdkmath.LegacyZeroDec()},
			{Index: 5, Operator: op(1), Kind: types.SLASH_KIND_DOUBLE_SIGN, Infraction: types.NewHeight(1, 1), NominalFraction: sdkmath.LegacyOneDec(), EffectiveFraction: sdkmath.LegacyOneDec()},
		},
	}
}

func TestStakeUpdateRoundTrip(t *testing.T) {
	for _, p := range []types.StakeUpdate{update(), {Seq: 1}} {
		bz, err := p.Marshal()
		require.NoError(t, err)
		got, err := types.UnmarshalStakeUpdate(bz)
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
}

func TestStakeUpdateRefused(t *testing.T) {
	for _, tc := range []struct {
		name    string
		malform func(*types.StakeUpdate)
		err     error
	}{
		{"sequence 0", func(p *types.StakeUpdate) { p.Seq = 0 }, types.ErrInvalidSequence},
		{"sequence 2^63", func(p *types.StakeUpdate) { p.Seq = 1 << 63 }, types.ErrInvalidSequence},
		{"slash sequence 2^63", func(p *types.StakeUpdate) { p.SlashSeq = 1 << 63 }, types.ErrInvalidSequence},
		{"session half 2^63", func(p *types.StakeUpdate) { p.Session.Consumer = 1 << 63 }, types.ErrInvalidSession},
		{"synced_at 2^63", func(p *types.StakeUpdate) { p.SyncedAt = 1 << 63 }, types.ErrInvalidTime},
		{"unbonding 2^63", func(p *types.StakeUpdate) { p.UnbondingPeriod = 1 << 63 }, types.ErrInvalidTime},
		{"negative amount", func(p *types.StakeUpdate) { p.Stakes[0].Amount = sdkmath.NewInt(-1) }, types.ErrInvalidAmount},
		{"amount 2^128", func(p *types.StakeUpdate) { p.Stakes[0].Amount = types.MaxAmount }, types.ErrInvalidAmount},
		{"amount 2^255", func(p *types.StakeUpdate) {
			p.Stakes[0].Amount = sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 255))
		}, types.ErrInvalidAmount},
		{"duplicate validator", func(p *types.StakeUpdate) { p.Stakes[1].Validator = op(1) }, types.ErrDuplicateOperator},
		{"unsorted", func(p *types.StakeUpdate) { p.Stakes[0].Validator = op(3) }, types.ErrNotSorted},
		{"empty validator", func(p *types.StakeUpdate) { p.Stakes[0].Validator = nil }, types.ErrInvalidOperator},
		{"long validator", func(p *types.StakeUpdate) { p.Stakes[1].Validator = bytes.Repeat([]byte{9}, 33) }, types.ErrInvalidOperator},
		{"ten thousand entries", func(p *types.StakeUpdate) {
			p.Stakes = make([]types.Stake, 10_000)
			for i := range p.Stakes {
				p.Stakes[i] = types.Stake{Validator: []byte{1, byte(i >> 8), byte(i)}, Amount: sdkmath.OneInt()}
			}
		}, types.ErrTooManyEntries},
		{"501 entries", func(p *types.StakeUpdate) {
			p.Stakes = make([]types.Stake, 501)
			for i := range p.Stakes {
				p.Stakes[i] = types.Stake{Validator: []byte{1, byte(i >> 8), byte(i)}, Amount: sdkmath.OneInt()}
			}
		}, types.ErrTooManyEntries},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := update()
			tc.malform(&p)
			bz, err := p.Marshal()
			require.NoError(t, err)
			_, err = types.UnmarshalStakeUpdate(bz)
			require.ErrorIs(t, err, tc.err)
		})
	}
}

func TestEncodingRefused(t *testing.T) {
	p := update()
	bz, err := p.Marshal()
	require.NoError(t, err)
	withAmount := func(amount string) []byte {
		s := protowire.AppendTag(nil, 1, protowire.BytesType)
		s = protowire.AppendBytes(s, op(1))
		s = protowire.AppendTag(s, 2, protowire.BytesType)
		s = protowire.AppendString(s, amount)
		head := types.StakeUpdate{Session: p.Session, Seq: 1}
		out, err := head.Marshal()
		require.NoError(t, err)
		return protowire.AppendBytes(protowire.AppendTag(out, 6, protowire.BytesType), s)
	}
	nestedUnknown := func() []byte {
		s := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), op(1))
		s = protowire.AppendString(protowire.AppendTag(s, 2, protowire.BytesType), "5")
		s = protowire.AppendVarint(protowire.AppendTag(s, 3, protowire.VarintType), 1)
		head := types.StakeUpdate{Session: p.Session, Seq: 1}
		out, err := head.Marshal()
		require.NoError(t, err)
		return protowire.AppendBytes(protowire.AppendTag(out, 6, protowire.BytesType), s)
	}
	_, err = types.UnmarshalStakeUpdate(withAmount("5"))
	require.NoError(t, err)
	for _, tc := range []struct {
		name string
		bz   []byte
		err  error
	}{
		{"empty", nil, types.ErrPacketSize},
		{"too large", make([]byte, types.MaxPacketBytes+1), types.ErrPacketSize},
		{"truncated", bz[:len(bz)-1], types.ErrPacketEncoding},
		{"text", []byte(`{"seq":1}`), types.ErrPacketEncoding},
		{"unknown field", protowire.AppendVarint(protowire.AppendTag(bytes.Clone(bz), 9, protowire.VarintType), 1), types.ErrUnknownField},
		{"unknown non-critical field", protowire.AppendVarint(protowire.AppendTag(bytes.Clone(bz), 1<<10|9, protowire.VarintType), 1), types.ErrUnknownField},
		{"unknown nested field", nestedUnknown(), types.ErrUnknownField},
		{"field twice", protowire.AppendVarint(protowire.AppendTag(bytes.Clone(bz), 2, protowire.VarintType), 3), types.ErrNotCanonical},
		{"wrong wire type", protowire.AppendFixed64(protowire.AppendTag(bytes.Clone(bz), 2, protowire.Fixed64Type), 3), types.ErrPacketEncoding},
		{"leading zero", withAmount("05"), types.ErrNotCanonical},
		{"plus sign", withAmount("+5"), types.ErrNotCanonical},
		{"minus zero", withAmount("-0"), types.ErrNotCanonical},
		{"no amount", withAmount(""), types.ErrNotCanonical},
		{"not a number", withAmount("5x"), types.ErrPacketEncoding},
		{"600 digits", withAmount(string(bytes.Repeat([]byte{'9'}, 600))), types.ErrPacketSize},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := types.UnmarshalStakeUpdate(tc.bz)
			require.ErrorIs(t, err, tc.err)
		})
	}
}

func TestReportRoundTripAndRefused(t *testing.T) {
	p := report()
	bz, err := p.Marshal()
	require.NoError(t, err)
	got, err := types.UnmarshalReport(bz)
	require.NoError(t, err)
	require.Equal(t, p, got)

	for _, tc := range []struct {
		name    string
		malform func(*types.ConsumerReport)
		err     error
	}{
		{"sequence 0", func(p *types.ConsumerReport) { p.Seq = 0 }, types.ErrInvalidSequence},
		{"executed_seq 2^63", func(p *types.ConsumerReport) { p.Validators[0].ExecutedSeq = 1 << 63 }, types.ErrInvalidSequence},
		{"status 0", func(p *types.ConsumerReport) { p.Validators[0].Status = 0 }, types.ErrInvalidStatus},
		{"status 5", func(p *types.ConsumerReport) { p.Validators[0].Status = 5 }, types.ErrInvalidStatus},
		{"no key", func(p *types.ConsumerReport) { p.Validators[0].ConsensusKey.Key = nil }, types.ErrInvalidKey},
		{"key without type", func(p *types.ConsumerReport) { p.Validators[0].ConsensusKey.Type = "" }, types.ErrInvalidKey},
		{"long key", func(p *types.ConsumerReport) { p.Validators[0].ConsensusKey.Key = make([]byte, 65) }, types.ErrInvalidKey},
		{"key height 2^63", func(p *types.ConsumerReport) { p.Validators[0].KeyHeight.Height = 1 << 63 }, types.ErrInvalidHeight},
		{"revision 2^63", func(p *types.ConsumerReport) { p.Validators[0].ExecutedHeight.Revision = 1 << 63 }, types.ErrInvalidHeight},
		{"duplicate", func(p *types.ConsumerReport) { p.Validators[1].Operator = op(1) }, types.ErrDuplicateOperator},
		{"first_index 0", func(p *types.ConsumerReport) { p.FirstIndex = 0 }, types.ErrInvalidSlash},
		{"void index", func(p *types.ConsumerReport) { p.FirstIndex = 5 }, types.ErrInvalidSlash},
		{"index 0", func(p *types.ConsumerReport) { p.Slashes[0].Index = 0 }, types.ErrInvalidSlash},
		{"gap", func(p *types.ConsumerReport) { p.Slashes[1].Index = 6 }, types.ErrInvalidSlash},
		{"repeat", func(p *types.ConsumerReport) { p.Slashes[1].Index = 4 }, types.ErrInvalidSlash},
		{"kind 0", func(p *types.ConsumerReport) { p.Slashes[0].Kind = 0 }, types.ErrInvalidSlash},
		{"fraction 0", func(p *types.ConsumerReport) { p.Slashes[0].NominalFraction = sdkmath.LegacyZeroDec() }, types.ErrInvalidFraction},
		{"fraction negative", func(p *types.ConsumerReport) { p.Slashes[0].EffectiveFraction = sdkmath.LegacyNewDec(-1) }, types.ErrInvalidFraction},
		{"fraction above one", func(p *types.ConsumerReport) {
			p.Slashes[0].NominalFraction = sdkmath.LegacyOneDec().Add(sdkmath.LegacySmallestDec())
		}, types.ErrInvalidFraction},
		{"infraction 2^63", func(p *types.ConsumerReport) { p.Slashes[0].Infraction.Height = 1 << 63 }, types.ErrInvalidHeight},
		{"freshness 2^63", func(p *types.ConsumerReport) { p.FreshnessLimit = 1 << 63 }, types.ErrInvalidTime},
		{"201 validators", func(p *types.ConsumerReport) {
			v := p.Validators[0]
			p.Validators = nil
			for i := range 201 {
				v.Operator = []byte{1, byte(i)}
				p.Validators = append(p.Validators, v)
			}
		}, types.ErrTooManyEntries},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := report()
			tc.malform(&p)
			bz, err := p.Marshal()
			require.NoError(t, err)
			_, err = types.UnmarshalReport(bz)
			require.ErrorIs(t, err, tc.err)
		})
	}
}

func TestAcksRoundTripAndRefused(t *testing.T) {
	s := types.Session{Provider: 7, Consumer: 9}
	codes := make([]types.StakeCode, types.MaxStakes)
	for i := range codes {
		codes[i] = types.STAKE_CODE_STORED
	}
	for _, a := range []types.StakeUpdateAck{
		{Echo: s, Current: s, Seq: 5, Height: types.NewHeight(1, 77), Codes: codes},
		{Echo: types.Session{Provider: 7}, Refused: true, Current: s, Seq: 5},
	} {
		bz, err := a.Marshal()
		require.NoError(t, err)
		got, err := types.UnmarshalStakeUpdateAck(bz)
		require.NoError(t, err)
		require.Equal(t, a, got)
	}
	for name, a := range map[string]types.StakeUpdateAck{
		"code 0":             {Seq: 1, Codes: []types.StakeCode{0}},
		"code 6":             {Seq: 1, Codes: []types.StakeCode{6}},
		"refused with codes": {Seq: 1, Refused: true, Codes: codes},
	} {
		t.Run(name, func(t *testing.T) {
			bz, err := a.Marshal()
			require.NoError(t, err)
			_, err = types.UnmarshalStakeUpdateAck(bz)
			require.ErrorIs(t, err, types.ErrInvalidCode)
		})
	}
	many := types.StakeUpdateAck{Seq: 1, Codes: slices.Concat(codes, codes[:1])}
	bz, err := many.Marshal()
	require.NoError(t, err)
	_, err = types.UnmarshalStakeUpdateAck(bz)
	require.ErrorIs(t, err, types.ErrTooManyEntries)

	r := types.ReportAck{Echo: s, Current: s, Seq: 5, SlashSeq: 4}
	bz, err = r.Marshal()
	require.NoError(t, err)
	got, err := types.UnmarshalReportAck(bz)
	require.NoError(t, err)
	require.Equal(t, r, got)
	r.SlashSeq = 1 << 63
	bz, err = r.Marshal()
	require.NoError(t, err)
	_, err = types.UnmarshalReportAck(bz)
	require.ErrorIs(t, err, types.ErrInvalidSequence)
}

func TestSession(t *testing.T) {
	known := types.Session{Provider: 100, Consumer: 50}
	for _, tc := range []struct {
		name     string
		state    types.Session
		sent     types.Session
		learned  bool
		accepted bool
	}{
		{"equal", known, known, false, true},
		{"first contact: the sender does not know us", types.Session{Provider: 100}, types.Session{Consumer: 50}, true, false},
		{"we learn, the sender knows us", types.Session{Provider: 100}, known, true, true},
		{"peer re-created", known, types.Session{Provider: 100, Consumer: 51}, true, true},
		{"packet from before the peer re-created", known, types.Session{Provider: 100, Consumer: 49}, false, false},
		{"packet for our earlier state", known, types.Session{Provider: 99, Consumer: 50}, false, false},
		{"our half too high", known, types.Session{Provider: 101, Consumer: 50}, false, false},
		{"peer without a half", types.Session{Provider: 100}, types.Session{Provider: 100}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next, learned := tc.state.Learn(types.SideProvider, tc.sent)
			require.Equal(t, tc.learned, learned)
			require.Equal(t, tc.state.Provider, next.Provider)
			require.Equal(t, max(tc.state.Consumer, tc.sent.Consumer), next.Consumer)
			require.Equal(t, tc.accepted, next.Accepts(types.SideProvider, tc.sent))
		})
	}
}

func TestHeight(t *testing.T) {
	require.Equal(t, -1, types.NewHeight(1, 1<<62).Compare(types.NewHeight(2, 1)))
	require.Equal(t, 1, types.NewHeight(2, 2).Compare(types.NewHeight(2, 1)))
	require.Equal(t, 0, types.NewHeight(2, 2).Compare(types.NewHeight(2, 2)))
	require.Equal(t, types.NewHeight(3, 8), types.NewHeight(3, 7).Next())
	require.Equal(t, types.NewHeight(3, 1<<63-1), types.NewHeight(3, 1<<63-1).Next())
	require.Equal(t, "3-7", types.NewHeight(3, 7).String())
}
