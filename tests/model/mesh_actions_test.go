package model_test

import (
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providerkeeper "github.com/mesh-security/mesh/x/provider/keeper"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// action is something that may happen in a mesh, and how often in comparison.
type action struct {
	weight int
	do     func()
}

func (m *mesh) actions() []action {
	out := []action{
		{250, m.crossStake},
		{120, m.crossUnstake},
		{70, m.crossRedelegate},
		{40, m.withdrawRewards},
		{200, m.native},
		{60, m.losses},
		{80, m.priceWalk},
		{60, m.limits},
		{20, m.pause},
		{40, m.goOn},
		{15, m.removeProvider},
		{2, m.removeConsumer},
		{30, m.addAgain},
		{20, m.retire},
		{30, m.unbondingPeriod},
		{30, m.jail},
		{10, m.restart},
	}
	if m.slashes {
		out = append(out,
			action{40, m.downtime}, action{20, m.doubleSign}, action{30, m.claim}, action{30, m.proof},
			action{20, m.nativeSlash}, action{20, m.judge},
		)
	}
	return out
}

func (m *mesh) chain() *meshtest.Chain { return oneOf(m, m.n.Chains()...) }

func (m *mesh) pairing() *pairing { return oneOf(m, m.pairings...) }

func (m *mesh) validator(c *meshtest.Chain) *meshtest.Validator { return oneOf(m, c.Validators...) }

// amount is small, round or large.
func (m *mesh) amount() int64 {
	switch m.r.Intn(3) {
	case 0:
		return 1 + m.r.Int63n(5000)
	case 1:
		return one + m.r.Int63n(29*one)
	default:
		return (1 + m.r.Int63n(10)) * 10 * one
	}
}

// delegator is an account with native stake. Operators are few, or sets of validators would not last.
func (m *mesh) delegator() string {
	if m.pick(10) {
		return "val0"
	}
	return oneOf(m, delegators[:4]...)
}

func (m *mesh) crossStake() {
	p, del := m.pairing(), m.delegator()
	m.queue("cross-stake", p.Provider, del, p.MsgCrossStake(del, m.validator(p.Consumer), m.amount()))
}

// position returns a delegator and a validator it has stake on, and an amount up to all of it; one in ten is any.
func (m *mesh) position() (p *pairing, del string, v *meshtest.Validator, tokens int64) {
	p, del = m.pairing(), m.delegator()
	v, tokens = m.validator(p.Consumer), m.amount()
	if m.pick(10) {
		return p, del, v, tokens
	}
	state := p.Provider.ProviderState()
	pools := map[uint64]providertypes.Pool{}
	for _, r := range state.Pools {
		if r.Pool.ClientId == p.ConsumerID && r.Pool.Kind == providertypes.POOL_KIND_ACTIVE {
			pools[r.Id] = r.Pool
		}
	}
	var of []providertypes.PositionRecord
	for _, r := range state.Positions {
		if _, ok := pools[r.PoolId]; ok {
			of = append(of, r)
		}
	}
	if len(of) == 0 {
		return p, del, v, tokens
	}
	r := oneOf(m, of...)
	for _, name := range delegators {
		if p.Provider.Account(name).Address().Equals(sdk.AccAddress(r.Delegator)) {
			del = name
		}
	}
	for _, x := range p.Consumer.Validators {
		if x.ValAddress().Equals(sdk.ValAddress(pools[r.PoolId].Validator)) {
			v = x
		}
	}
	if value := pools[r.PoolId].ValueOf(r.Position.Shares).Int64(); value > 0 {
		tokens = oneOf(m, value, 1+m.r.Int63n(value))
	}
	return p, del, v, tokens
}

func (m *mesh) crossUnstake() {
	p, del, v, tokens := m.position()
	m.queue("cross-unstake", p.Provider, del, p.MsgCrossUnstake(del, v, tokens))
}

func (m *mesh) crossRedelegate() {
	p, del, v, tokens := m.position()
	m.queue("cross-redelegate", p.Provider, del, p.MsgCrossRedelegate(del, v, m.validator(p.Consumer), tokens))
}

// withdrawRewards is by somebody who has earned something, if anybody has: few have at any time. One in ten is any.
func (m *mesh) withdrawRewards() {
	p, del, _, _ := m.position()
	msg := &providertypes.MsgWithdrawRewards{ConsumerId: p.ConsumerID}
	if m.pick(50) {
		msg.Validator = m.validator(p.Consumer).String()
	}
	if !m.pick(10) {
		type reward struct {
			*pairing
			del  string
			info providertypes.RewardInfo
		}
		var all []reward
		for _, q := range m.pairings {
			server := providerkeeper.NewQueryServer(q.Provider.App.Mesh.Provider)
			for _, name := range delegators {
				req := &providertypes.QueryRewardsRequest{Delegator: q.Provider.Account(name).String(), ConsumerId: q.ConsumerID}
				res, err := server.Rewards(q.Provider.CommittedContext(), req)
				if err != nil {
					continue // removed
				}
				for _, info := range res.Rewards {
					all = append(all, reward{q, name, info})
				}
			}
		}
		if len(all) == 0 {
			return
		}
		r := oneOf(m, all...)
		p, del, msg.ConsumerId = r.pairing, r.del, r.info.ConsumerId
		if msg.Validator != "" {
			msg.Validator = r.info.Operator
		}
	}
	msg.Delegator = p.Provider.Account(del).String()
	if m.pick(30) {
		msg.Receiver = p.Consumer.Account("bob").String()
	}
	m.queue("withdraw rewards", p.Provider, del, msg)
}

func (m *mesh) native() {
	c, del := m.chain(), m.delegator()
	v, tokens := m.validator(c), m.amount()
	if del == "val0" {
		tokens = min(tokens, 2*one)
	}
	switch m.r.Intn(6) {
	case 0, 1:
		m.queue("delegate", c, del, c.MsgDelegate(del, v, tokens))
	case 2, 3:
		m.queue("undelegate", c, del, c.MsgUndelegate(del, v, tokens))
	case 4:
		m.queue("redelegate", c, del, c.MsgRedelegate(del, v, m.validator(c), tokens))
	default:
		entries := c.Unbondings(del)
		if len(entries) == 0 {
			return
		}
		e := oneOf(m, entries...)
		if !e.Balance.IsPositive() {
			return
		}
		m.queue("cancel", c, del, stakingtypes.NewMsgCancelUnbondingDelegation(
			c.Account(del).String(), e.Validator, e.Created, sdk.NewInt64Coin(c.Denom, min(tokens, e.Balance.Int64())),
		))
	}
}

// losses changes what the relayer does on a link.
func (m *mesh) losses() {
	p := m.pairing()
	name := oneOf(m, "perfect", "unreliable", "unreliable", "bad", "dead")
	m.policies[p.Link()] = map[string]func(*meshtest.Transit) meshtest.Fate{
		"perfect":    meshtest.Perfect,
		"unreliable": m.n.Unreliable(15, 30, 15, false),
		"bad":        m.n.Unreliable(50, 30, 10, false),
		"dead":       meshtest.HoldAll,
	}[name]
	m.note(p.Provider, "the network to %s is %s", p.Consumer.Name, name)
}

// priceWalk moves a price by a fifth at most, or lets it crash.
func (m *mesh) priceWalk() {
	p := m.pairing()
	price := p.Price.Mul(sdkmath.LegacyNewDecWithPrec(80+m.r.Int63n(45), 2))
	if m.pick(5) {
		price = p.Price.QuoInt64(10)
	}
	price = sdkmath.LegacyMaxDec(price, meshtest.Dec("0.001"))
	if m.gov("price", p.Consumer, p.MsgSetPrice(price)) {
		p.Price = price
	}
}

// limits changes caps, ratios and weights of a provider.
func (m *mesh) limits() {
	p := m.pairing()
	old := p.ProviderConfig
	switch m.r.Intn(4) {
	case 0:
		p.ProviderConfig.MaxCap = sdkmath.NewInt(oneOf[int64](m, 0, one, 50*one, 200*one, 1_000_000*one))
	case 1:
		// Never more than at the beginning, when all of them filled what is allowed.
		p.ProviderConfig.MaxPowerRatio = p.ProviderConfig.MaxPowerRatio.Mul(sdkmath.LegacyNewDecWithPrec(50+m.r.Int63n(70), 2))
	case 2:
		p.ProviderConfig.GovernanceWeight = sdkmath.LegacyNewDecWithPrec(m.r.Int63n(101), 2)
	default:
		p.ProviderConfig.RewardRatio = sdkmath.LegacyNewDecWithPrec(m.r.Int63n(101), 2)
	}
	msg := &consumertypes.MsgUpdateProvider{Authority: p.Consumer.Authority(), Config: p.ProviderConfig}
	if !m.gov("limits", p.Consumer, msg) {
		p.ProviderConfig = old
	}
}

func (m *mesh) pause() {
	p := m.pairing()
	if m.pick(50) {
		m.gov("pause", p.Provider, &providertypes.MsgPauseConsumer{Signer: p.Provider.Authority(), ConsumerId: p.ConsumerID})
	} else {
		m.gov("pause", p.Consumer, &consumertypes.MsgPauseProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
	}
}

func (m *mesh) goOn() { m.resume(m.pairing()) }

// resume ends pauses on both sides.
func (m *mesh) resume(p *pairing) {
	if p.ConsumerRecord().Consumer.Status == providertypes.CONSUMER_STATUS_PAUSED {
		m.gov("resume", p.Provider, &providertypes.MsgResumeConsumer{Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID})
	}
	if p.ProviderRecord().Status == consumertypes.PROVIDER_STATUS_PAUSED {
		m.gov("resume", p.Consumer, &consumertypes.MsgResumeProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
	}
}

func (m *mesh) removeProvider() {
	p := m.pairing()
	m.gov("remove provider", p.Consumer, &consumertypes.MsgRemoveProvider{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
}

func (m *mesh) removeConsumer() {
	if !m.windsDown {
		return
	}
	p := m.pairing()
	m.gov("remove consumer", p.Provider, &providertypes.MsgRemoveConsumer{Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID})
}

// addAgain registers again what was removed somewhere.
func (m *mesh) addAgain() {
	for _, p := range m.pairings {
		if p.ProviderRecord().Status == consumertypes.PROVIDER_STATUS_REMOVED && m.gov("add provider", p.Consumer, p.MsgAddProvider()) {
			p.SetPrice(p.Price)
			p.reopening = p.Consumer.Height() + 2
			return
		}
		if p.ConsumerRecord().Consumer.Status == providertypes.CONSUMER_STATUS_REMOVED && m.gov("add consumer", p.Provider, p.MsgAddConsumer()) {
			p.reopening = p.Consumer.Height() + 2
			return
		}
	}
}

// retire gives a channel up on one side or both; it is opened again some blocks later.
func (m *mesh) retire() {
	p := m.pairing()
	if p.reopening > 0 {
		return
	}
	m.retireOn(p, m.pick(60), m.pick(60))
	p.reopening = p.Consumer.Height() + 1 + m.r.Int63n(5)
}

func (m *mesh) retireOn(p *pairing, provider, consumer bool) {
	if provider && p.ConsumerRecord().Pairing.ChannelId != "" {
		m.gov("retire", p.Provider, &providertypes.MsgRetireChannel{Authority: p.Provider.Authority(), ConsumerId: p.ConsumerID})
	}
	if consumer && p.ProviderRecord().ChannelId != "" {
		m.gov("retire", p.Consumer, &consumertypes.MsgRetireChannel{Authority: p.Consumer.Authority(), ProviderId: p.ProviderID})
	}
}

// reopen opens a channel unless there is one, or one side is removed.
func (m *mesh) reopen(p *pairing) {
	p.reopening = 0
	m.step(1) // what governance did last counts
	prov, cons := p.ConsumerRecord(), p.ProviderRecord()
	if prov.Pairing.ChannelId != "" && cons.ChannelId != "" {
		return
	}
	if prov.Pairing.ChannelId != "" || cons.ChannelId != "" {
		m.retireOn(p, true, true)
		m.step(2)
	}
	// Who is wound down may be removed in these blocks, or in those of the handshake.
	gone := func() bool {
		return !p.ConsumerRecord().Consumer.IsLive() || p.ProviderRecord().Status == consumertypes.PROVIDER_STATUS_REMOVED
	}
	if gone() {
		return
	}
	if err := p.OpenChannel(); err != nil {
		require.True(m, gone(), "%s", err)
		return
	}
	m.note(p.Consumer, "new channel to %s", p.Provider.Name)
}

// restore ends pauses of a pairing and registers both sides again if they were removed.
func (m *mesh) restore(p *pairing) {
	m.resume(p)
	if p.ProviderRecord().Status == consumertypes.PROVIDER_STATUS_REMOVED {
		m.n.Until("the provider can be added again", 3*meshUnbonding, func() bool {
			return m.gov("add provider", p.Consumer, p.MsgAddProvider())
		})
		p.SetPrice(p.Price)
	}
	if s := p.ConsumerRecord().Consumer.Status; s == providertypes.CONSUMER_STATUS_WINDING_DOWN || s == providertypes.CONSUMER_STATUS_REMOVED {
		m.n.Until("the consumer can be added again", 3*meshUnbonding, func() bool {
			return m.gov("add consumer", p.Provider, p.MsgAddConsumer())
		})
	}
}

// unbondingPeriod changes a consumer's registered unbonding period.
func (m *mesh) unbondingPeriod() {
	p := m.pairing()
	old := p.ConsumerConfig
	p.ConsumerConfig.UnbondingPeriod = oneOf(m, meshUnbonding/2, meshUnbonding*3/4, meshUnbonding)
	msg := &providertypes.MsgUpdateConsumer{Authority: p.Provider.Authority(), Config: p.ConsumerConfig}
	if !m.gov("unbonding period", p.Provider, msg) {
		p.ConsumerConfig = old
	}
}

// steady says whether a validator may be taken out of the set of a chain, so that three are left: light clients and the
// chain itself go on. It says so once in some blocks.
func (m *mesh) steady(c *meshtest.Chain) bool {
	absent := 0
	for _, v := range c.Validators {
		if v.Absent {
			absent++
		}
	}
	if c.NextVals.Size()-absent <= 2 || c.Height() < m.quiet[c] {
		return false
	}
	m.quiet[c] = c.Height() + 4
	return true
}

// jail jails or unjails a validator, as x/slashing does.
func (m *mesh) jail() {
	c := m.chain()
	v := m.validator(c)
	record, err := c.App.StakingKeeper.GetValidator(c.CommittedContext(), v.ValAddress())
	if err != nil {
		return
	}
	switch {
	case record.Jailed:
		v.Absent = false
		var err error
		c.Direct(func(ctx sdk.Context) {
			cached, write := ctx.CacheContext()
			if err = c.App.SlashingKeeper.Unjail(cached, v.ValAddress()); err == nil {
				write()
			}
		})
		m.note(c, "unjail %s: %v", v.Operator.Name, err)
	case m.steady(c):
		c.Direct(func(ctx sdk.Context) { require.NoError(c, c.App.SlashingKeeper.Jail(ctx, v.ConsAddress())) })
		m.note(c, "jail %s", v.Operator.Name)
	}
}

// lossy says that collateral of a chain's delegators may be lost from now on.
func (m *mesh) lossy(c *meshtest.Chain) {
	providers := map[*meshtest.Chain]bool{c: true}
	for _, p := range m.pairings {
		if p.Consumer == c {
			providers[p.Provider] = true
		}
	}
	for _, p := range m.pairings {
		if providers[p.Provider] || p.Consumer == c {
			p.SkipBacking = true
		}
	}
}

// downtime lets a validator stop to sign, until it is jailed or signs again.
func (m *mesh) downtime() {
	c := m.chain()
	v := m.validator(c)
	if v.Absent {
		v.Absent = false
	} else if m.steady(c) {
		m.lossy(c)
		v.Absent = true
	}
	m.note(c, "%s absent: %t", v.Operator.Name, v.Absent)
}

// doubleSign is evidence on a chain that a validator of it signed two blocks.
func (m *mesh) doubleSign() {
	c := m.chain()
	v := m.validator(c)
	height := max(c.Height()-m.r.Int63n(16), 2)
	if c.Power(v) == 0 || m.powerAt(v, height) == 0 || !m.steady(c) {
		return
	}
	m.lossy(c)
	c.DoubleSign(v, height)
	m.note(c, "%s double signed %d", v.Operator.Name, height)
}

// powerAt returns a validator's power at a height, 0 if a restart has made it unknown.
func (m *mesh) powerAt(v *meshtest.Validator, height int64) int64 {
	if _, ok := v.Chain.TrustedValidators[uint64(height-1)]; !ok {
		return 0
	}
	return v.Chain.PowerAt(v, height)
}

// proof is evidence on a provider that a consumer's validator signed two blocks.
func (m *mesh) proof() {
	p := m.pairing()
	latest := int64(p.Link().On(p.Provider).ClientHeight().RevisionHeight)
	height := max(latest-m.r.Int63n(21), 1)
	m.lossy(p.Consumer)
	del := m.delegator()
	m.queue("proof", p.Provider, del, p.MsgSubmitDoubleVote(del, m.validator(p.Consumer), height))
}

// claim is a slash on a consumer that cannot be proved, nativeSlash one on any chain.
func (m *mesh) claim() { m.slash(m.pairing().Consumer, oneOf(m, "0.0001", "0.003", "0.01", "0.2")) }

func (m *mesh) nativeSlash() { m.slash(m.chain(), oneOf(m, "0.0001", "0.01", "0.05", "0.3")) }

func (m *mesh) slash(c *meshtest.Chain, fraction string) {
	v := m.validator(c)
	if record, err := c.App.StakingKeeper.GetValidator(c.CommittedContext(), v.ValAddress()); err != nil || record.IsUnbonded() {
		return
	}
	height := max(c.Height()-m.r.Int63n(21), 2)
	power := m.powerAt(v, height)
	if power == 0 {
		return
	}
	m.lossy(c)
	reason := oneOf(m, stakingtypes.Infraction_INFRACTION_DOWNTIME, stakingtypes.Infraction_INFRACTION_UNSPECIFIED)
	c.Direct(func(ctx sdk.Context) {
		err := c.App.SlashingKeeper.SlashWithInfractionReason(ctx, v.ConsAddress(), meshtest.Dec(fraction), power, height, reason)
		require.NoError(c, err)
	})
	m.note(c, "%s slashed by %s for %d, %s", v.Operator.Name, fraction, height, reason)
}

// judge vetoes or delays a pending slash.
func (m *mesh) judge() {
	c := oneOf(m, m.worlds...).prov
	var pending []uint64
	for _, s := range c.ProviderState().Slashes {
		if s.IsPending() {
			pending = append(pending, s.Id)
		}
	}
	if len(pending) == 0 {
		return
	}
	if id := oneOf(m, pending...); m.pick(50) {
		m.gov("veto", c, &providertypes.MsgVetoSlash{Authority: c.Authority(), SlashId: id})
	} else {
		m.gov("stop", c, &providertypes.MsgStopSlash{Signer: c.Authority(), SlashId: id})
	}
}

// restart exports a chain's state and starts it again from there.
func (m *mesh) restart() {
	c := m.chain()
	m.n.BlockTime = 5 * time.Second
	m.step(1)
	c.Restart()
	m.note(c, "restarted from its export")
}
