package demo

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// watchtower is the account that signs the watchtower's transactions.
const watchtower = "watchtower"

// offence is a validator's crime and how everything was before it.
type offence struct {
	dir       *direction
	validator int
	// home and away are the figures of the provider and of the consumer.
	home, away figures
	began      time.Time
	// recorded is when the provider learned of it.
	recorded time.Time
}

// offender is the validator of the second chain that signs twice: one to which
// several delegators of the other chain have restaked. It is not the first, which
// the relayer talks to.
const offender = 1

// doubleSign lets a validator sign two blocks. Its own chain punishes it in the
// block that has the evidence.
func (d *demo) doubleSign(ctx context.Context) (string, error) {
	c := d.chains[1]
	dir := d.to(c)
	node := c.Nodes[offender]
	var err error
	if d.crime, err = d.before(ctx, dir, offender); err != nil {
		return "", err
	}
	height, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	height-- // the latest block's commit may still change
	evidence, err := node.DoubleSign(ctx, height)
	if err != nil {
		return "", err
	}
	d.note("%s of %s signs two blocks of height %d with its key:", node.Moniker, c.id, height)
	d.note("  %s", evidence.VoteA.BlockID.Hash)
	d.note("  %s", evidence.VoteB.BlockID.Hash)
	included, err := c.BroadcastEvidence(ctx, evidence)
	if err != nil {
		return "", err
	}
	d.note("CometBFT has verified the two votes; block %d has them as evidence.", included)

	params, err := c.slashing().Params(ctx, &slashingtypes.QueryParamsRequest{})
	if err != nil {
		return "", err
	}
	fraction := rat(params.Params.SlashFractionDoubleSign)
	_, after, burned, err := d.punished(ctx, c, offender, included, evidence.ValidatorPower, fraction)
	if err != nil {
		return "", err
	}
	info, err := c.slashing().SigningInfo(localnet.AtHeight(ctx, included), &slashingtypes.QuerySigningInfoRequest{ConsAddress: node.Consensus})
	if err != nil {
		return "", err
	}
	if err := expect(c.whose(offender, "tombstoned"), true, info.ValSigningInfo.Tombstoned); err != nil {
		return "", err
	}
	c.away[offender] = true
	c.native[offender] = after.tokens[offender].Sub(after.virtual[offender])
	return fmt.Sprintf("jailed and tombstoned in block %d; %s of what was staked to it, %s, burned by %s itself",
		included, percent(fraction), c.show(burned), c.id), nil
}

// slashing is the chain's slashing module.
func (c *chain) slashing() slashingtypes.QueryClient { return slashingtypes.NewQueryClient(c.Conn()) }

// before notes how both chains are before a validator of the consumer offends.
func (d *demo) before(ctx context.Context, dir *direction, validator int) (*offence, error) {
	if err := d.allSettled(ctx); err != nil {
		return nil, err
	}
	o := &offence{dir: dir, validator: validator, began: time.Now()}
	for _, side := range []struct {
		c *chain
		f *figures
	}{{dir.provider, &o.home}, {dir.consumer, &o.away}} {
		height, err := side.c.Height(ctx)
		if err != nil {
			return nil, err
		}
		if *side.f, err = d.figures(ctx, side.c, height); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// punished checks what a chain did to its own validator in a block: it is jailed,
// a fraction of the power that it had is gone from its tokens, everybody's part
// alike, and the supply has fallen by the part of that which was no virtual
// stake. It returns how the chain was before and after, and what was burned.
func (d *demo) punished(
	ctx context.Context, c *chain, validator int, height, power int64, fraction *big.Rat,
) (before, after figures, slashed math.Int, err error) {
	fail := func(err error) (figures, figures, math.Int, error) { return before, after, slashed, err }
	if before, err = d.figures(ctx, c, height-1); err != nil {
		return fail(err)
	}
	if after, err = d.figures(ctx, c, height); err != nil {
		return fail(err)
	}
	if err := expect(c.whose(validator, "jailed"), "false, then true", fmt.Sprintf("%t, then %t", before.jailed[validator], after.jailed[validator])); err != nil {
		return fail(err)
	}
	tokens, virtual := before.tokens[validator], before.virtual[validator]
	slashed = part(sdk.TokensFromConsensusPower(power, sdk.DefaultPowerReduction), fraction)
	left := tokens.Sub(slashed)
	own := tokens.Sub(virtual)
	ownLeft := own.Mul(left).Quo(tokens)
	if err := about(c.whose(validator, "own chain's stake after the slash"), c, ownLeft, after.tokens[validator].Sub(after.virtual[validator]), 2); err != nil {
		return fail(err)
	}
	// If an epoch ended in the same block, virtual stake has been set anew already.
	if after.epoch == before.epoch {
		if err := about(c.whose(validator, "virtual stake after the slash"), c, virtual.Mul(left).Quo(tokens), after.virtual[validator], 2); err != nil {
			return fail(err)
		}
	}
	paid, err := c.payments(ctx, height-1, height, "")
	if err != nil {
		return fail(err)
	}
	supply := before.supply.Add(paid.minted).Sub(own.Sub(ownLeft))
	// Virtual stake is known to whole units only.
	if err := about(c.id+": supply after the slash", c, supply, after.supply, 2+int64(c.validators)); err != nil {
		return fail(err)
	}
	rows := [][]string{{"", "BEFORE", "CHANGE", "AFTER"}}
	for _, r := range []struct {
		what          string
		before, after math.Int
	}{
		{c.label(validator) + ": own chain's stake", before.tokens[validator].Sub(before.virtual[validator]), after.tokens[validator].Sub(after.virtual[validator])},
		{c.label(validator) + ": stake of " + d.to(c).provider.id, before.virtual[validator], after.virtual[validator]},
		{"supply of " + c.symbol + ", but for " + c.show(paid.minted) + " of inflation", before.supply, after.supply.Sub(paid.minted)},
	} {
		rows = append(rows, append([]string{r.what}, c.became(r.before, r.after)...))
	}
	d.table(rows)
	if after.epoch != before.epoch {
		d.note("An epoch ended in the same block: allied stake has been set anew already.")
	}
	return before, after, slashed, nil
}

// proof waits until the watchtower has carried the proof to the other chain, and
// checks who lost what there.
func (d *demo) proof(ctx context.Context) (string, error) {
	o := d.crime
	c, dir, v := o.dir.provider, o.dir, o.validator
	tower := c.Address(watchtower)
	pool := math.ZeroInt()
	for _, who := range c.delegators {
		pool = pool.Add(who.restaked[v])
	}
	fraction, ok := new(big.Rat).SetString(dir.spec.DoubleSignSlash)
	if !ok {
		return "", fmt.Errorf("double_sign_slash %q is not a number", dir.spec.DoubleSignSlash)
	}
	slashed := part(pool, fraction)

	record, err := dir.slash(ctx, v, meshtypes.SLASH_KIND_DOUBLE_SIGN, true)
	if err != nil {
		return "", err
	}
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"who brought the proof", tower, record.Submitter},
		{"status of the slash", providertypes.SLASH_STATUS_EXECUTED, record.Record.Status},
		{"what the pool lost", c.show(slashed), c.show(record.Record.Amount)},
	} {
		if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
			return "", err
		}
	}
	o.recorded = record.Record.RecordedAt
	reward := record.Record.Reward
	if most := part(slashed, big.NewRat(1, 20)); !reward.IsPositive() || reward.GT(most) {
		return "", expect(c.id+": reward for the proof", "more than 0, at most "+c.show(most), c.show(reward))
	}

	// The ledger: everybody with stake on the validator loses the fraction of it
	// at home; the rest is on its way back.
	losses := map[string]math.Int{}
	for _, who := range c.delegators {
		loss := part(who.restaked[v], fraction)
		losses[who.name] = loss
		who.lost, c.native[who.home] = who.lost.Add(loss), c.native[who.home].Sub(loss)
		who.restaked[v] = math.ZeroInt()
	}
	after, err := d.paidFor(ctx, dir)
	if err != nil {
		return "", err
	}
	if err := d.lost(c, o.home, after, v, losses); err != nil {
		return "", err
	}
	if err := d.supply(ctx, c, o.home, after, slashed, reward, tower); err != nil {
		return "", err
	}
	if err := d.escaped(ctx, c); err != nil {
		return "", err
	}
	if err := d.power(ctx, o); err != nil {
		return "", err
	}
	return fmt.Sprintf("the watchtower's proof cost %s on %s, %s of the pool, %s after the double sign; nobody else paid",
		c.show(slashed), c.id, percent(fraction), secs(record.Record.SettledAt.Sub(o.began))), nil
}

// part is a fraction of an amount, rounded down.
func part(amount math.Int, fraction *big.Rat) math.Int {
	return floor(new(big.Rat).Mul(new(big.Rat).SetInt(amount.BigInt()), fraction))
}

// slash waits until the provider has worked on the slash of a validator: the
// latest one of the kind, proved or claimed.
func (d *direction) slash(ctx context.Context, validator int, kind meshtypes.SlashKind, proved bool) (providertypes.SlashView, error) {
	var found providertypes.SlashView
	err := await(ctx, crossing, func(ctx context.Context) error {
		res, err := d.provider.providing().Slashes(ctx, &providertypes.QuerySlashesRequest{
			ConsumerId: d.ids.ConsumerID, Validator: d.consumer.operator(validator), Pagination: page,
		})
		if err != nil {
			return err
		}
		seen := "none"
		for _, s := range res.Slashes {
			if s.Record.Kind != kind || s.Record.IsProof() != proved {
				continue
			}
			if found, seen = s, s.Record.Status.String(); !s.Record.IsPending() {
				return nil
			}
		}
		return expect(fmt.Sprintf("%s: slash of %s of %s", d.provider.id, d.consumer.label(validator), d.consumer.id), "settled", seen)
	})
	return found, err
}

// paidFor waits until all that was slashed has been burned, and everything is at
// rest. It returns the figures then.
func (d *demo) paidFor(ctx context.Context, dir *direction) (figures, error) {
	c := dir.provider
	err := await(ctx, crossing, func(ctx context.Context) error {
		res, err := c.providing().Settlement(ctx, &providertypes.QuerySettlementRequest{})
		if err != nil {
			return err
		}
		for _, e := range []struct {
			what           string
			expected, seen any
		}{
			{"debt", c.show(math.ZeroInt()), c.show(res.Totals.Debt)},
			{"shortfall", c.show(math.ZeroInt()), c.show(res.Totals.Shortfall)},
			{"rewards still to be paid", c.show(math.ZeroInt()), c.show(res.Rewards)},
			{"walks", 0, res.PoolWalks},
		} {
			if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
				return err
			}
		}
		return d.delegationsOf(ctx, c)
	})
	if err != nil {
		return figures{}, err
	}
	if err := d.allSettled(ctx); err != nil {
		return figures{}, err
	}
	height, err := c.Height(ctx)
	if err != nil {
		return figures{}, err
	}
	return d.figures(ctx, c, height)
}

// lost checks and shows what each delegator lost: natively by burning, of its
// cross-stake on the validator, and nothing else.
func (d *demo) lost(c *chain, before, after figures, validator int, losses map[string]math.Int) error {
	consumer := d.from(c).consumer
	rows := [][]string{{"DELEGATOR", "", "BEFORE", "CHANGE", "AFTER"}}
	var unharmed []string
	for _, who := range c.delegators {
		b, a, loss := before.delegators[who.name], after.delegators[who.name], losses[who.name]
		what := func(s string) string { return c.id + " " + who.name + ": " + s }
		for v := range b.on {
			// Of what was leaving before some may have got free meanwhile.
			if v == validator && loss.IsPositive() {
				continue
			}
			if err := about(what("cross-stake on "+consumer.label(v)), c, b.on[v], a.on[v], c.slack); err != nil {
				return err
			}
		}
		if err := about(what("debt"), c, math.ZeroInt(), a.debt, 0); err != nil {
			return err
		}
		if loss.IsZero() {
			if err := about(what("native stake"), c, b.native, a.native, c.slack); err != nil {
				return err
			}
			unharmed = append(unharmed, who.name)
			continue
		}
		for i, r := range []struct {
			what          string
			before, after math.Int
		}{
			{"staked at home", b.native, a.native},
			{"collateral", b.collateral, a.collateral},
			{"restaked to " + consumer.label(validator), b.on[validator].Add(b.leaving[validator]), a.on[validator].Add(a.leaving[validator])},
			{"lien", b.lien, a.lien},
		} {
			free := math.ZeroInt() // of the lien: what was leaving other validators, and has left
			if r.what == "lien" {
				for v := range b.leaving {
					if v != validator {
						free = free.Add(b.leaving[v]).Sub(a.leaving[v])
					}
				}
			}
			if err := about(what(r.what), c, r.before.Sub(loss).Sub(free), r.after, c.slack); err != nil {
				return err
			}
			name := who.name
			if i > 0 {
				name = ""
			}
			rows = append(rows, append([]string{name, r.what}, c.became(r.before, r.after)...))
		}
	}
	d.table(rows)
	if len(unharmed) > 0 {
		d.note("Nothing is lost by %s.", strings.Join(unharmed, " and "))
	}
	return nil
}

// power shows the voting power of both chains before the offence and now.
func (d *demo) power(ctx context.Context, o *offence) error {
	rows := [][]string{{"CHAIN", "VALIDATOR", "POWER BEFORE", "CHANGE", "POWER NOW"}}
	for _, side := range []struct {
		c *chain
		f figures
	}{{o.dir.consumer, o.away}, {o.dir.provider, o.home}} {
		now, err := side.c.powers(ctx)
		if err != nil {
			return err
		}
		for v, before := range side.f.powers {
			change := "0"
			if diff := now[v] - before; diff > 0 {
				change = fmt.Sprintf("+%d", diff)
			} else if diff < 0 {
				change = fmt.Sprintf("−%d", -diff)
			}
			rows = append(rows, []string{side.c.id, side.c.label(v), fmt.Sprint(before), change, fmt.Sprint(now[v])})
		}
	}
	d.table(rows)
	return nil
}

// supply checks that the supply fell by what was slashed, but for the reward,
// and that the reward reached the account.
func (d *demo) supply(ctx context.Context, c *chain, before, after figures, slashed, reward math.Int, account string) error {
	paid, err := c.payments(ctx, before.height, after.height, account)
	if err != nil {
		return err
	}
	supply := before.supply.Add(paid.minted).Sub(slashed).Add(reward)
	if err := about(c.id+": supply", c, supply, after.supply, c.slack); err != nil {
		return err
	}
	if account == "" {
		d.note("Supply of %s: %s + %s of inflation − %s slashed = %s", c.symbol,
			c.show(before.supply), c.show(paid.minted), c.show(slashed), c.show(after.supply))
		return nil
	}
	d.note("Supply of %s: %s + %s of inflation − %s slashed + %s reward = %s", c.symbol,
		c.show(before.supply), c.show(paid.minted), c.show(slashed), c.show(reward), c.show(after.supply))
	var balances [2]math.Int
	for i, height := range []int64{before.height, after.height} {
		if balances[i], err = c.Balance(localnet.AtHeight(ctx, height), account, c.Denom); err != nil {
			return err
		}
	}
	gained := balances[1].Add(paid.fees).Sub(balances[0])
	d.note("The watchtower got %s and paid %s of fees.", c.show(gained), c.show(paid.fees))
	return expect(c.id+": what the watchtower got besides its fees", c.show(reward), c.show(gained))
}

// escaped checks that whoever left before the infraction loses nothing, though
// its stake on the same validator is not free yet.
func (d *demo) escaped(ctx context.Context, c *chain) error {
	for _, dep := range d.leaving {
		if dep.home != c {
			continue
		}
		entry, err := dep.entry(ctx)
		if err != nil || entry == nil {
			return err
		}
		d.note("%s left before: the %s still held pay nothing.", dep.who.name, c.show(entry.Balance))
		return expect(dep.what("undelegation"), c.show(dep.amount), c.show(entry.Balance))
	}
	return nil
}

// delegationsOf checks the native delegations of those who stay on a chain.
func (d *demo) delegationsOf(ctx context.Context, c *chain) error {
	for _, who := range c.delegators {
		if who.leaves {
			continue
		}
		res, err := c.staking().Delegation(ctx, &stakingtypes.QueryDelegationRequest{
			DelegatorAddr: c.Address(who.name), ValidatorAddr: c.operator(who.home),
		})
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s: native delegation of %s to %s", c.id, who.name, c.label(who.home))
		if err := about(what, c, c.staked(who), res.DelegationResponse.Balance.Amount, c.slack); err != nil {
			return err
		}
	}
	return nil
}
