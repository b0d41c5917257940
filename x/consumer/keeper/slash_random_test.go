package keeper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// slashModel is a provider as it should be: it records slashes in order and lists what it has left. Nothing of it is
// shared with the module but the entries on the wire.
type slashModel struct {
	f *fixture
	// total is what the provider has on each validator, slashSeq what it has recorded.
	total    []sdkmath.Int
	slashSeq uint64
	touched  map[int]bool
	// updates and reports are on their way; acks are answers to reports on their way back.
	updates []meshtypes.StakeUpdate
	reports []meshtypes.ConsumerReport
	acks    []ackedReport
	// applied is the newest listing that arrived, by validator; log is every slash of the session.
	applied map[int]listing
	log     []meshtypes.SlashEntry
}

type ackedReport struct {
	report   meshtypes.ConsumerReport
	slashSeq uint64
}

type listing struct {
	seq, slashSeq uint64
	amount        sdkmath.Int
}

func (m *slashModel) validator(operator []byte) int {
	for i, v := range m.f.vals {
		if string(v.addr) == string(operator) {
			return i
		}
	}
	m.f.t.Fatalf("%X is no validator", operator)
	return -1
}

// take removes an element of any place.
func take[T any](r *rapid.T, from *[]T) (T, bool) {
	var none T
	if len(*from) == 0 {
		return none, false
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(r, "which")
	e := (*from)[i]
	*from = append(append([]T(nil), (*from)[:i]...), (*from)[i+1:]...)
	return e, true
}

func (m *slashModel) send() {
	if len(m.touched) == 0 {
		return
	}
	f := m.f
	f.recorded[provider1] = m.slashSeq
	u := f.packet(provider1, nil)
	for i, v := range f.vals {
		if m.touched[i] {
			u.Stakes = append(u.Stakes, meshtypes.Stake{Validator: v.addr, Amount: m.total[i]})
		}
	}
	m.touched = map[int]bool{}
	m.updates = append(m.updates, u)
}

func (m *slashModel) receive(u meshtypes.StakeUpdate) {
	ack := m.f.deliver(provider1, u)
	for i, s := range u.Stakes {
		val := m.validator(s.Validator)
		if u.Seq > m.applied[val].seq {
			require.Equal(m.f.t, meshtypes.STAKE_CODE_STORED, ack.Codes[i])
			m.applied[val] = listing{u.Seq, u.SlashSeq, s.Amount}
		} else {
			require.Equal(m.f.t, meshtypes.STAKE_CODE_STALE, ack.Codes[i])
		}
	}
}

// record is the provider's side of a report: each entry once, in order. A refused one leaves the amount as it is.
func (m *slashModel) record(r meshtypes.ConsumerReport, refuse bool) {
	for _, e := range r.Slashes {
		if e.Index != m.slashSeq+1 {
			continue
		}
		m.slashSeq++
		val := m.validator(e.Operator)
		m.touched[val] = true
		if !refuse {
			m.total[val] = types.AfterSlash(m.total[val], e.EffectiveFraction)
		}
	}
	m.acks = append(m.acks, ackedReport{r, m.slashSeq})
}

// check asserts that amounts are the newest listing less exactly what its sender did not know of.
func (m *slashModel) check() {
	f := m.f
	for i := range f.vals {
		l, ok := m.applied[i]
		if !ok {
			continue
		}
		want := l.amount.BigInt()
		amount := sdkmath.NewIntFromBigInt(want)
		for _, e := range m.log {
			if e.Index <= l.slashSeq || m.validator(e.Operator) != i {
				continue
			}
			left := sdkmath.LegacyOneDec().Sub(e.EffectiveFraction)
			amount = left.MulInt(amount).TruncateInt()
		}
		require.Equal(f.t, amount.String(), f.record(provider1, i).Amount.String(), "validator %d", i)
	}
	p := f.provider(provider1)
	require.EqualValues(f.t, len(m.log), p.LastIndex)
	require.LessOrEqual(f.t, p.AckedIndex, m.slashSeq)
}

// slashAndCheck slashes a validator, by a fraction of what it had at an infraction since its last slash, and asserts
// invariant 5: everybody loses the nominal fraction, to one power unit, whatever virtual stake came or left.
func (m *slashModel) slashAndCheck(r *rapid.T, lastSlash map[int]int64, began int64) {
	f := m.f
	val := rapid.IntRange(0, len(f.vals)-1).Draw(r, "slashed")
	if !f.validator(val).IsBonded() {
		return
	}
	f.begin(blockTime)
	defer f.end()
	now := f.ctx.BlockHeight()
	oldest := max(now-12, lastSlash[val]+1, began)
	if oldest > now-2 {
		return
	}
	dist := rapid.Int64Range(oldest, now-2).Draw(r, "distribution height")
	fraction := sdkmath.LegacyNewDecWithPrec(rapid.Int64Range(1, 40_000).Draw(r, "fraction"), 5)
	power := f.powers[dist-1][string(f.vals[val].addr)]
	if power == 0 {
		return
	}
	reason := rapid.SampledFrom([]stakingtypes.Infraction{
		stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN, stakingtypes.Infraction_INFRACTION_DOWNTIME,
		stakingtypes.Infraction_INFRACTION_UNSPECIFIED,
	}).Draw(r, "reason")

	tokensBefore, before := f.validator(val).Tokens, f.holdings(val)
	logged := f.provider(provider1).LastIndex
	_, err := f.slasher.SlashWithInfractionReason(f.ctx, f.vals[val].cons, dist, power, fraction, reason)
	require.NoError(f.t, err)
	lastSlash[val] = now
	unit := sdkmath.LegacyNewDec(oneToken).Mul(fraction).Add(sdkmath.LegacyNewDec(2))
	lost := sdkmath.LegacyNewDecFromInt(tokensBefore.Sub(f.validator(val).Tokens))
	total := fraction.MulInt(tokensBefore)
	require.True(f.t, lost.Sub(total).Abs().LTE(unit), "%s lost of %s, should be %s", lost, tokensBefore, total)
	for who, had := range before {
		diff := f.tokensOf(sdk.AccAddress(who), val).Sub(had.Mul(sdkmath.LegacyOneDec().Sub(fraction))).Abs()
		require.True(f.t, diff.LTE(unit), "%X had %s, has %s after %s", who, had, f.tokensOf(sdk.AccAddress(who), val), fraction)
	}
	m.noteSlash(val, logged)
	infraction := dist
	if reason == stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN {
		infraction++
	}
	if e := m.log[max(0, len(m.log)-1):]; f.provider(provider1).LastIndex > logged {
		require.EqualValues(f.t, infraction, e[0].Infraction.Height)
		require.Equal(f.t, fraction, e[0].NominalFraction)
	}
}

// noteSlash takes the entry of a slash that has just been logged.
func (m *slashModel) noteSlash(val int, before uint64) {
	p := m.f.provider(provider1)
	if p.LastIndex == before {
		return
	}
	require.Equal(m.f.t, before+1, p.LastIndex, "one slash, one entry")
	page := m.f.slashLogPage(provider1, 10_000)
	entry := page[len(page)-1].Record.Entry
	require.Equal(m.f.t, []byte(m.f.vals[val].addr), entry.Operator)
	m.log = append(m.log, entry)
}

// holdings returns what each delegation to a validator is worth.
func (f *fixture) holdings(val int) map[string]sdkmath.LegacyDec {
	f.t.Helper()
	dels, err := f.staking.GetValidatorDelegations(f.ctx, f.vals[val].addr)
	require.NoError(f.t, err)
	out := map[string]sdkmath.LegacyDec{}
	for _, d := range dels {
		addr, err := f.accounts.AddressCodec().StringToBytes(d.DelegatorAddress)
		require.NoError(f.t, err)
		out[string(addr)] = f.validator(val).TokensFromShares(d.Shares)
	}
	return out
}

// TestAmountsAreListingsLessSlashesAtRandom: whatever is lost, repeated or reordered among updates, reports and
// acknowledgements, and however slashes fall between them, the amount stored is the newest listing times exactly the
// factors that the provider did not know of; what is slashed is not minted back; and in the end both sides agree.
func TestAmountsAreListingsLessSlashesAtRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFixture(t, 1000, 3000, 2000)
		f.delegate('n', 0, tokens(77))
		f.addProvider(provider1, nil)
		f.addProvider(provider2, func(c *types.ProviderConfig) { c.MaxPowerRatio = sdkmath.LegacyNewDecWithPrec(1, 3) })
		f.update(provider2, map[int]int64{0: 3, 1: 3})
		m := &slashModel{f: f, touched: map[int]bool{}, applied: map[int]listing{}}
		for range f.vals {
			m.total = append(m.total, sdkmath.ZeroInt())
		}
		f.epoch()
		began, lastSlash := f.ctx.BlockHeight()+1, map[int]int64{}
		collect := func() {
			for _, p := range f.channels.sent {
				if p.channel != "channel-of-"+provider1 {
					continue
				}
				report, err := meshtypes.UnmarshalReport(p.data)
				require.NoError(t, err)
				m.reports = append(m.reports, report)
			}
			f.channels.sent = nil
		}
		steps := rapid.IntRange(10, 50).Draw(r, "steps")
		for range steps {
			switch rapid.IntRange(0, 10).Draw(r, "action") {
			case 0, 1:
				val := rapid.IntRange(0, 2).Draw(r, "validator")
				m.total[val] = sdkmath.NewInt(rapid.Int64Range(0, 800_000_000).Draw(r, "amount"))
				m.touched[val] = true
			case 2:
				m.send()
			case 3:
				if u, ok := take(r, &m.updates); ok {
					m.receive(u)
					if rapid.Bool().Draw(r, "again") {
						m.receive(u)
					}
				}
			case 4, 5:
				m.slashAndCheck(r, lastSlash, began)
			case 6:
				// Past the decorator: nobody says why.
				val := rapid.IntRange(0, 2).Draw(r, "validator")
				if !f.validator(val).IsBonded() {
					break
				}
				f.begin(blockTime)
				before := f.provider(provider1).LastIndex
				power := rapid.Int64Range(0, 500).Draw(r, "power")
				_, err := f.staking.Slash(f.ctx, f.vals[val].cons, f.ctx.BlockHeight(), power, dec("0.3"))
				require.NoError(t, err)
				lastSlash[val] = f.ctx.BlockHeight()
				m.noteSlash(val, before)
				f.end()
			case 7:
				f.epoch()
				collect()
			case 8:
				if report, ok := take(r, &m.reports); ok {
					if rapid.IntRange(0, 3).Draw(r, "lost") == 0 {
						f.timeout(provider1, report)
					} else {
						m.record(report, rapid.Bool().Draw(r, "refuse"))
					}
				}
			case 9:
				if a, ok := take(r, &m.acks); ok {
					f.ack(provider1, a.report, func(ack *meshtypes.ReportAck) { ack.SlashSeq = a.slashSeq })
				}
			case 10:
				for range rapid.IntRange(1, 4).Draw(r, "blocks") {
					f.block(blockTime)
				}
			}
			m.check()
		}
		// Packets get through at last, and nobody acts.
		for range 4 {
			for _, u := range m.updates {
				m.receive(u)
			}
			m.updates = nil
			collect()
			for _, report := range m.reports {
				m.record(report, false)
			}
			m.reports = nil
			for _, a := range m.acks {
				f.ack(provider1, a.report, func(ack *meshtypes.ReportAck) { ack.SlashSeq = a.slashSeq })
			}
			m.acks = nil
			m.send()
			f.epoch()
			f.block(25 * time.Hour) // past any delay after a failure
			f.epoch()
			m.check()
		}
		require.EqualValues(t, len(m.log), f.provider(provider1).AckedIndex)
		for i := range f.vals {
			if _, listed := m.applied[i]; listed {
				require.Equal(t, m.total[i].String(), f.record(provider1, i).Amount.String())
				require.True(t, f.virtual(provider1, i).LTE(m.total[i]), "nothing is minted back")
			}
		}
	})
}
