package integration_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	sdkmath "cosmossdk.io/math"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// operator returns a made-up operator address.
func operator(i int) []byte {
	return binary.BigEndian.AppendUint64(bytes.Repeat([]byte{0xEE}, 12), uint64(i))
}

func pow2(n uint) sdkmath.Int { return sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), n)) }

// stakes returns count entries of made-up validators.
func stakes(count int) []meshtypes.Stake {
	out := make([]meshtypes.Stake, count)
	for i := range out {
		out[i] = meshtypes.Stake{Validator: operator(i), Amount: sdkmath.NewInt(int64(i + 1))}
	}
	return out
}

type hostile struct {
	name string
	data []byte
	// accepted packets get a successful acknowledgement; they must still leave amounts alone.
	accepted bool
}

func marshal(t *testing.T, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	bz, err := m.Marshal()
	require.NoError(t, err)
	return bz
}

func hostileUpdates(t *testing.T, p *meshtest.Pairing) []hostile {
	t.Helper()
	valid := func(edit func(*meshtypes.StakeUpdate)) []byte {
		u := meshtypes.StakeUpdate{
			Session: session(p), Seq: p.ConsumerRecord().Pairing.LastSeq + 100,
			UnbondingPeriod: uint64(meshtest.UnbondingTime), SyncedAt: uint64(p.Provider.LastBlock().Time.UnixNano()),
			Stakes: []meshtypes.Stake{{Validator: val(p, 0).ValAddress(), Amount: amount(77 * one)}},
		}
		edit(&u)
		return marshal(t, &u)
	}
	good := valid(func(*meshtypes.StakeUpdate) {})
	withAmount := func(a sdkmath.Int) []byte {
		return valid(func(u *meshtypes.StakeUpdate) { u.Stakes[0].Amount = a })
	}
	// entry appends a raw stake entry: what the generated code would not marshal.
	entry := func(operator []byte, text string) []byte {
		var e []byte
		e = protowire.AppendTag(e, 1, protowire.BytesType)
		e = protowire.AppendBytes(e, operator)
		e = protowire.AppendTag(e, 2, protowire.BytesType)
		e = protowire.AppendString(e, text)
		bz := valid(func(u *meshtypes.StakeUpdate) { u.Stakes = nil })
		bz = protowire.AppendTag(bz, 6, protowire.BytesType)
		return protowire.AppendBytes(bz, e)
	}
	v0 := val(p, 0).ValAddress()
	cases := []hostile{
		{name: "empty list of bytes", data: []byte{0}},
		{name: "garbage", data: bytes.Repeat([]byte{0xFF}, 100)},
		{name: "text", data: []byte(`{"session":{}}`)},
		{name: "a report instead", data: marshal(t, &meshtypes.ConsumerReport{
			Session: session(p), Seq: 900, FirstIndex: 1,
			Validators: []meshtypes.ValidatorReport{{Operator: v0, Status: meshtypes.VALIDATOR_STATUS_BONDED}},
		})},
		{name: "unknown field", data: protowire.AppendVarint(protowire.AppendTag(slices.Clone(good), 19, protowire.VarintType), 1)},
		{name: "unknown field in an entry", data: func() []byte {
			var e []byte
			e = protowire.AppendTag(e, 1, protowire.BytesType)
			e = protowire.AppendBytes(e, v0)
			e = protowire.AppendTag(e, 2, protowire.BytesType)
			e = protowire.AppendString(e, "5")
			e = protowire.AppendTag(e, 3, protowire.VarintType)
			e = protowire.AppendVarint(e, 1)
			bz := valid(func(u *meshtypes.StakeUpdate) { u.Stakes = nil })
			return protowire.AppendBytes(protowire.AppendTag(bz, 6, protowire.BytesType), e)
		}()},
		{name: "field twice", data: protowire.AppendVarint(protowire.AppendTag(slices.Clone(good), 2, protowire.VarintType), 5)},
		{name: "fields in another order", data: func() []byte {
			bz := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 500)
			return append(bz, valid(func(u *meshtypes.StakeUpdate) { u.Seq = 0 })...)
		}()},
		{name: "varint longer than needed", data: func() []byte {
			bz := valid(func(u *meshtypes.StakeUpdate) { u.Seq = 0 })
			return append(protowire.AppendTag(bz, 2, protowire.VarintType), 0x81, 0x80, 0x00)
		}()},
		{name: "explicit zero", data: protowire.AppendVarint(protowire.AppendTag(
			valid(func(u *meshtypes.StakeUpdate) { u.SlashSeq = 0 }), 5, protowire.VarintType), 0)},
		{name: "wrong wire type", data: protowire.AppendFixed64(protowire.AppendTag(
			valid(func(u *meshtypes.StakeUpdate) { u.Seq = 0 }), 2, protowire.Fixed64Type), 7)},
		{name: "seq 0", data: valid(func(u *meshtypes.StakeUpdate) { u.Seq = 0 })},
		{name: "seq 2^63", data: valid(func(u *meshtypes.StakeUpdate) { u.Seq = 1 << 63 })},
		{name: "half of 2^63", data: valid(func(u *meshtypes.StakeUpdate) { u.Session.Provider = 1 << 63 })},
		{name: "synced_at of 2^64-1", data: valid(func(u *meshtypes.StakeUpdate) { u.SyncedAt = 1<<64 - 1 })},
		{name: "unbonding period of 2^63", data: valid(func(u *meshtypes.StakeUpdate) { u.UnbondingPeriod = 1 << 63 })},
		{name: "slash_seq of 2^63", data: valid(func(u *meshtypes.StakeUpdate) { u.SlashSeq = 1 << 63 })},
		{name: "negative amount", data: withAmount(amount(-1))},
		{name: "amount 2^128", data: withAmount(pow2(128))},
		{name: "amount 2^255", data: withAmount(pow2(255))},
		{name: "amount 2^256", data: entry(v0, new(big.Int).Lsh(big.NewInt(1), 256).String())},
		{name: "amount with a plus", data: entry(v0, "+5")},
		{name: "amount with zeros", data: entry(v0, "005")},
		{name: "amount of 400 digits", data: entry(v0, string(bytes.Repeat([]byte{'9'}, 400)))},
		{name: "amount empty", data: entry(v0, "")},
		{name: "amount in hex", data: entry(v0, "0x10")},
		{name: "amount a decimal", data: entry(v0, "1.5")},
		{name: "amount a word", data: entry(v0, "many")},
		{name: "no operator", data: entry(nil, "5")},
		{name: "operator of 33 bytes", data: entry(make([]byte, 33), "5")},
		{name: "same validator twice", data: valid(func(u *meshtypes.StakeUpdate) { u.Stakes = append(u.Stakes, u.Stakes[0]) })},
		{name: "not sorted", data: valid(func(u *meshtypes.StakeUpdate) {
			u.Stakes = stakes(3)
			slices.Reverse(u.Stakes)
		})},
		{name: "501 entries", data: valid(func(u *meshtypes.StakeUpdate) { u.Stakes = stakes(501) })},
		{name: "ten thousand entries", data: valid(func(u *meshtypes.StakeUpdate) {
			u.Stakes = nil
			for i := range 10_000 { // short ones, so that IBC carries them
				u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: binary.BigEndian.AppendUint16(nil, uint16(i)), Amount: amount(1)})
			}
		})},
		{name: "as much as IBC carries", data: bytes.Repeat(good, (256<<10)/len(good))},
		{
			name: "provider's half lower", accepted: true,
			data: valid(func(u *meshtypes.StakeUpdate) { u.Session.Provider-- }),
		},
		{
			name: "consumer's half lower", accepted: true,
			data: valid(func(u *meshtypes.StakeUpdate) { u.Session.Consumer-- }),
		},
		{
			name: "consumer's half higher than its own", accepted: true,
			data: valid(func(u *meshtypes.StakeUpdate) { u.Session.Consumer++ }),
		},
		{
			name: "stale seq", accepted: true,
			data: valid(func(u *meshtypes.StakeUpdate) { u.Seq, u.SyncedAt = 1, 1 }),
		},
	}
	for i := 1; i < len(good); i++ {
		if _, err := meshtypes.UnmarshalStakeUpdate(good[:i]); err != nil { // some cuts leave another valid packet
			cases = append(cases, hostile{name: fmt.Sprintf("truncated to %d bytes", i), data: good[:i]})
		}
	}
	return cases
}

func hostileReports(t *testing.T, p *meshtest.Pairing) []hostile {
	t.Helper()
	reg, ok := p.Registered(val(p, 0))
	require.True(t, ok)
	entry := func(op []byte) meshtypes.ValidatorReport {
		return meshtypes.ValidatorReport{
			Operator: op, Status: meshtypes.VALIDATOR_STATUS_BONDED, ConsensusKey: reg.Keys[0].Key,
			ExecutedSeq: 1 << 40, ExecutedHeight: meshtypes.NewHeight(1, 7),
		}
	}
	valid := func(edit func(*meshtypes.ConsumerReport)) []byte {
		r := meshtypes.ConsumerReport{
			Session: session(p), Seq: p.ProviderRecord().LastSeq + 100, FirstIndex: 1,
			UnbondingPeriod: uint64(meshtest.UnbondingTime), FreshnessLimit: uint64(meshtest.Silence),
			Validators: []meshtypes.ValidatorReport{entry(val(p, 0).ValAddress())},
		}
		edit(&r)
		return marshal(t, &r)
	}
	good := valid(func(*meshtypes.ConsumerReport) {})
	slash := func(edit func(*meshtypes.SlashEntry)) []byte {
		return valid(func(r *meshtypes.ConsumerReport) {
			e := meshtypes.SlashEntry{
				Index: 1, Operator: val(p, 0).ValAddress(), Kind: meshtypes.SLASH_KIND_DOWNTIME,
				Infraction:      meshtypes.NewHeight(1, 5),
				NominalFraction: meshtest.Dec("0.01"), EffectiveFraction: meshtest.Dec("0.01"),
			}
			edit(&e)
			r.Slashes = []meshtypes.SlashEntry{e}
		})
	}
	many := func(count int) []byte {
		return valid(func(r *meshtypes.ConsumerReport) {
			r.Validators = nil
			for i := range count {
				e := entry(operator(i))
				if count > 1000 { // so that IBC carries them
					e.Operator, e.ConsensusKey.Key = binary.BigEndian.AppendUint16(nil, uint16(i)), []byte{1}
					e.ConsensusKey.Type, e.ExecutedSeq, e.ExecutedHeight = "x", 0, meshtypes.Height{}
				}
				r.Validators = append(r.Validators, e)
			}
		})
	}
	cases := []hostile{
		{name: "garbage", data: bytes.Repeat([]byte{0x7F}, 50)},
		{name: "an update instead", data: marshal(t, &meshtypes.StakeUpdate{Session: session(p), Seq: 900, SyncedAt: 1, Stakes: stakes(1)})},
		{name: "unknown field", data: protowire.AppendVarint(protowire.AppendTag(slices.Clone(good), 19, protowire.VarintType), 1)},
		{name: "field twice", data: protowire.AppendVarint(protowire.AppendTag(slices.Clone(good), 2, protowire.VarintType), 5)},
		{name: "seq 0", data: valid(func(r *meshtypes.ConsumerReport) { r.Seq = 0 })},
		{name: "first_index 0", data: valid(func(r *meshtypes.ConsumerReport) { r.FirstIndex = 0 })},
		{name: "unbonding period of 2^63", data: valid(func(r *meshtypes.ConsumerReport) { r.UnbondingPeriod = 1 << 63 })},
		{name: "freshness limit of 2^64-1", data: valid(func(r *meshtypes.ConsumerReport) { r.FreshnessLimit = 1<<64 - 1 })},
		{name: "unspecified status", data: valid(func(r *meshtypes.ConsumerReport) { r.Validators[0].Status = 0 })},
		{name: "unknown status", data: valid(func(r *meshtypes.ConsumerReport) { r.Validators[0].Status = 9 })},
		{name: "negative status", data: valid(func(r *meshtypes.ConsumerReport) { r.Validators[0].Status = -1 })},
		{name: "no key", data: valid(func(r *meshtypes.ConsumerReport) { r.Validators[0].ConsensusKey = meshtypes.ConsensusKey{} })},
		{name: "key of 65 bytes", data: valid(func(r *meshtypes.ConsumerReport) {
			r.Validators[0].ConsensusKey.Key = make([]byte, 65)
		})},
		{name: "executed_seq of 2^63", data: valid(func(r *meshtypes.ConsumerReport) { r.Validators[0].ExecutedSeq = 1 << 63 })},
		{name: "executed_height of 2^63", data: valid(func(r *meshtypes.ConsumerReport) {
			r.Validators[0].ExecutedHeight.Height = 1 << 63
		})},
		{name: "same validator twice", data: valid(func(r *meshtypes.ConsumerReport) {
			r.Validators = append(r.Validators, r.Validators[0])
		})},
		{name: "201 validators", data: many(201)},
		{name: "ten thousand validators", data: many(10_000)},
		{name: "slash of 110 %", data: slash(func(e *meshtypes.SlashEntry) { e.NominalFraction = meshtest.Dec("1.1") })},
		{name: "slash of −1 %", data: slash(func(e *meshtypes.SlashEntry) { e.EffectiveFraction = meshtest.Dec("-0.01") })},
		{name: "slash of nothing", data: slash(func(e *meshtypes.SlashEntry) { e.NominalFraction = sdkmath.LegacyZeroDec() })},
		{name: "slash of unknown kind", data: slash(func(e *meshtypes.SlashEntry) { e.Kind = 77 })},
		{name: "slash index 0", data: slash(func(e *meshtypes.SlashEntry) { e.Index = 0 })},
		{name: "consumer's half lower", accepted: true, data: valid(func(r *meshtypes.ConsumerReport) { r.Session.Consumer-- })},
		{name: "provider's half lower", accepted: true, data: valid(func(r *meshtypes.ConsumerReport) { r.Session.Provider-- })},
		{name: "provider's half higher than its own", accepted: true, data: valid(func(r *meshtypes.ConsumerReport) { r.Session.Provider++ })},
		{name: "stale seq", accepted: true, data: valid(func(r *meshtypes.ConsumerReport) {
			r.Seq = 1
			r.Validators[0].Status = meshtypes.VALIDATOR_STATUS_TOMBSTONED
			r.Validators[0].ExecutedSeq = 0
			r.Validators[0].ExecutedHeight = meshtypes.Height{}
		})},
	}
	for i := 1; i < len(good); i++ {
		if _, err := meshtypes.UnmarshalReport(good[:i]); err != nil {
			cases = append(cases, hostile{name: fmt.Sprintf("truncated to %d bytes", i), data: good[:i]})
		}
	}
	return cases
}

// throwAt sends hostile packets over the real channel and hands each, with its proof, to the other chain.
func throwAt(t *testing.T, n *meshtest.Network, from *meshtest.Chain, port, channel string, cases []hostile) {
	t.Helper()
	n.Relayer.Policy = meshtest.HoldAll
	sequences := map[uint64]hostile{}
	for _, tc := range cases {
		sequences[from.SendRaw(port, channel, tc.data)] = tc
	}
	n.Steps(2)
	seen := 0
	for _, tr := range n.Relayer.InFlight() {
		tc, ok := sequences[tr.Packet.Sequence]
		if !ok || tr.Packet.SourcePort != port || tr.IsAck() {
			continue
		}
		seen++
		ack, before, after, err := n.Relayer.Receive(tr)
		require.NoError(t, err, tc.name)
		result, isError, err := meshtypes.ParseAck(ack)
		require.NoError(t, err, tc.name)
		require.Equal(t, tc.accepted, !isError, "%s: acknowledged with %s", tc.name, result)
		require.Equal(t, before, after, "%s: state changed", tc.name)
	}
	require.Equal(t, len(cases), seen)
	// And for real, all of them at once: no transaction fails, no block. How a hostile chain takes the answers to what
	// its module never sent is its own affair.
	n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if _, ok := sequences[tr.Packet.Sequence]; ok && tr.IsAck() && tr.Packet.SourcePort == port {
			return meshtest.Lose
		}
		return meshtest.Deliver
	}
	n.Steps(6)
	n.Relayer.Policy = meshtest.Perfect
}

func TestHostileUpdatesChangeNothing(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	throwAt(t, n, p.Provider, meshtypes.PortProvider, p.ProviderChannel, hostileUpdates(t, p))
	settle(n, p)
	require.Equal(t, map[string]string{"val0": "40000000"}, p.Stored())
	requireInt(t, 36*one, p.TotalVirtual())
}

func TestHostileReportsChangeNothing(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	before := p.Registry()
	throwAt(t, n, p.Consumer, meshtypes.PortConsumer, p.ConsumerChannel, hostileReports(t, p))
	settle(n, p)
	require.Equal(t, before, p.Registry())
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.Until("free", u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestHostileAcknowledgementsOfUpdates(t *testing.T) {
	n, p := pair(t)
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)

	honest := func(tr *meshtest.Transit) meshtypes.StakeUpdateAck {
		up := tr.StakeUpdate()
		ack := meshtypes.StakeUpdateAck{
			Echo: up.Session, Current: up.Session, Seq: up.Seq, Height: meshtypes.NewHeight(1, uint64(p.Consumer.Height())),
		}
		for range up.Stakes {
			ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_STORED)
		}
		return ack
	}
	answers := []struct {
		name   string
		answer func(*meshtest.Transit) []byte
	}{
		{"garbage", func(*meshtest.Transit) []byte { return []byte("garbage") }},
		{"empty", func(*meshtest.Transit) []byte { return []byte{0} }},
		{"a megabyte", func(*meshtest.Transit) []byte { return make([]byte, 1<<20) }},
		{"no codes", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Codes = nil
			return marshal(t, &a)
		}},
		{"too many codes", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Codes = append(a.Codes, meshtypes.STAKE_CODE_STORED)
			return marshal(t, &a)
		}},
		{"unknown code", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Codes[0] = 99
			return marshal(t, &a)
		}},
		{"another seq", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Seq++
			return marshal(t, &a)
		}},
		{"another session echoed", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Echo.Consumer--
			return marshal(t, &a)
		}},
		{"unknown field", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			return protowire.AppendVarint(protowire.AppendTag(marshal(t, &a), 19, protowire.VarintType), 1)
		}},
		{"refused for no reason", func(tr *meshtest.Transit) []byte {
			a := honest(tr)
			a.Codes, a.Refused = nil, true
			return marshal(t, &a)
		}},
	}
	for _, tc := range answers {
		done := false
		n.Relayer.Policy = updates(p, func(tr *meshtest.Transit) meshtest.Fate {
			if !done && !tr.IsAck() && len(tr.StakeUpdate().Stakes) > 0 {
				done = true
				n.Relayer.Answer(tr, channeltypes.NewResultAcknowledgement(tc.answer(tr)))
				return meshtest.Lose
			}
			return meshtest.Deliver
		})
		p.CrossStake("bob", val(p, 1), 1000)
		n.Until(tc.name, round, func() bool { return done })
		n.Steps(4)
		require.NotEmpty(t, p.Provider.ProviderState().Outbox, "%s: the listing still waits", tc.name)
		n.Until("converged after "+tc.name, time10, p.Converged)
	}
}

func TestAConsumerThatReportsEveryKeyAnew(t *testing.T) {
	n, p := pair(t)
	before, _ := p.Registered(val(p, 0))
	first := before.Keys[0]
	for i := range 40 {
		rec := p.ProviderRecord()
		report := meshtypes.ConsumerReport{
			Session: rec.Session, Seq: rec.LastSeq + uint64(100*(i+1)), FirstIndex: 1,
			UnbondingPeriod: uint64(u), FreshnessLimit: uint64(meshtest.Silence),
		}
		for j := range p.Consumer.Validators {
			report.Validators = append(report.Validators, meshtypes.ValidatorReport{
				Operator: val(p, j).ValAddress(), Status: meshtypes.VALIDATOR_STATUS_BONDED,
				ConsensusKey: meshtypes.ConsensusKey{Type: "ed25519", Key: bytes.Repeat([]byte{byte(i), byte(j)}, 16)},
				KeyHeight:    meshtypes.NewHeight(1, uint64(1_000_000+i)),
			})
		}
		slices.SortFunc(report.Validators, func(a, b meshtypes.ValidatorReport) int { return bytes.Compare(a.Operator, b.Operator) })
		sendReport(t, p, report)
		n.Steps(2)
	}
	n.Advance(round)
	after, _ := p.Registered(val(p, 0))
	require.Equal(t, first.Key, after.Keys[0].Key, "the first key stands")
	require.Equal(t, first.From, after.Keys[0].From, "and is not re-dated")
	require.Greater(t, len(after.Keys), 1)
	require.LessOrEqual(t, len(after.Keys), 16, "keys are bounded")
	for _, k := range after.Keys[1:] {
		require.True(t, k.LearnedAt.After(first.LearnedAt))
	}
}

func TestAConsumerThatReportsMoreValidatorsThanTheRegistryHolds(t *testing.T) {
	n, p := pairOf(t, meshtest.ChainConfig{Genesis: func(g *meshtest.Genesis) {
		g.ProviderParams(func(params *providerParams) { params.MaxValidatorsPerConsumer = 50 })
	}}, meshtest.ChainConfig{})
	p.CrossStake("alice", val(p, 0), 40*one)
	settle(n, p)
	for i := range 3 {
		rec := p.ProviderRecord()
		report := meshtypes.ConsumerReport{
			Session: rec.Session, Seq: rec.LastSeq + uint64(100*(i+1)), FirstIndex: 1,
			UnbondingPeriod: uint64(u), FreshnessLimit: uint64(meshtest.Silence),
		}
		for j := range 200 {
			report.Validators = append(report.Validators, meshtypes.ValidatorReport{
				Operator: operator(i*1000 + j), Status: meshtypes.VALIDATOR_STATUS_BONDED,
				ConsensusKey: meshtypes.ConsensusKey{Type: "ed25519", Key: bytes.Repeat([]byte{byte(j)}, 32)},
			})
		}
		sendReport(t, p, report)
		n.Steps(4)
	}
	require.Len(t, p.Registry(), 50)
	_, ok := p.Registered(val(p, 0))
	require.True(t, ok, "a validator with stake of ours is kept")
	p.CrossUnstake("alice", val(p, 0), 40*one)
	n.Until("free", 2*u+round, func() bool { return len(p.Batches()) == 0 })
}

func TestAProviderThatClaimsStakeItHasNotGotIsTrustedOnlyUpToItsCap(t *testing.T) {
	n, p := pair(t)
	p.SkipBacking = true // that is the point
	p.UpdateProvider(func(c *providerConfig) { c.MaxCap = amount(50 * one) })
	rec := p.ConsumerRecord()
	all := make([]meshtypes.Stake, 0, 4)
	for i := range p.Consumer.Validators {
		all = append(all, meshtypes.Stake{Validator: val(p, i).ValAddress(), Amount: pow2(127)})
	}
	slices.SortFunc(all, func(a, b meshtypes.Stake) int { return bytes.Compare(a.Validator, b.Validator) })
	sendUpdate(t, p, meshtypes.StakeUpdate{
		Session: rec.Pairing.Session, Seq: rec.Pairing.LastSeq + 100, UnbondingPeriod: uint64(u),
		SyncedAt: uint64(p.Provider.LastBlock().Time.UnixNano()), Stakes: all,
	})
	n.Advance(time1)
	requireInt(t, 50*one, p.TotalVirtual())
}
