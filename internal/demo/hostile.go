package demo

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/internal/hostile"
	"github.com/mesh-security/mesh/internal/localnet"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// The lies are about two validators: the first finds room in the meter, the
// second does not, for stake has come since the meter was set.
const (
	liedAbout     = 0
	liedAboutNext = 2
)

// turnHostile lets all validators of the second chain run a binary that claims
// slashes which never happened, and shows what that costs whom.
func (d *demo) turnHostile(ctx context.Context) (string, error) {
	liar := d.chains[1]
	dir := d.to(liar)
	c := dir.provider
	if err := liar.RestartWith(ctx, d.Hostile, crossing); err != nil {
		return "", err
	}
	d.note("All validators of %s run a binary that invents slashes.", liar.id)
	config, err := c.providing().Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: dir.ids.ConsumerID})
	if err != nil {
		return "", err
	}
	policy := config.Info.Consumer.Config.SlashPolicy
	window := d.crime.recorded.Add(policy.UnprovenWindow + 2*c.BlockTime)
	d.waiting(window, "until the meter's next window")
	if err := c.WaitTime(ctx, window); err != nil {
		return "", err
	}

	// One lie is believed, as far as one may be.
	most := rat(config.Info.Consumer.Config.MaxSlashFractionDowntime)
	slashed, err := d.believed(ctx, dir, most)
	if err != nil {
		return "", err
	}
	// Then more stake comes, and the next lie would take more than is left.
	who, err := d.comeBack(ctx, dir)
	if err != nil {
		return "", err
	}
	if err := liar.lie(ctx, liedAboutNext); err != nil {
		return "", err
	}
	refused, err := dir.slash(ctx, liedAboutNext, meshtypes.SLASH_KIND_DOWNTIME, false)
	if err != nil {
		return "", err
	}
	exceeded, err := c.meterExceeded(ctx, refused.Record)
	if err != nil {
		return "", err
	}
	meter, err := c.providing().Meter(ctx, &providertypes.QueryMeterRequest{ConsumerId: dir.ids.ConsumerID})
	if err != nil {
		return "", err
	}
	if config, err = c.providing().Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: dir.ids.ConsumerID}); err != nil {
		return "", err
	}
	allowance := part(meter.Meter.Total, rat(policy.UnprovenLimit))
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"status of the second lie", providertypes.SLASH_STATUS_REFUSED, refused.Record.Status},
		{"what the second lie took", c.show(math.ZeroInt()), c.show(refused.Record.Amount)},
		{"what the second lie would have taken", c.show(part(dir.restaked()[liedAboutNext], most)), c.show(exceeded.Wanted)},
		{"whether that is more than was left", true, exceeded.Wanted.GT(exceeded.Available)},
		{"whether all lies together took at most the meter", true, slashed.LTE(allowance)},
		{"status of " + liar.id, providertypes.CONSUMER_STATUS_PAUSED, config.Info.Consumer.Status},
		{"why", []providertypes.PauseReason{providertypes.PAUSE_REASON_SLASHES}, config.Info.Consumer.PauseReasons},
	} {
		if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
			return "", err
		}
	}
	d.table([][]string{
		{"CLAIM OF " + liar.id, "FRACTION", "POOL", "WOULD TAKE", "METER LEFT", "TAKEN"},
		{liar.label(liedAbout), "100 %", c.show(slashed.Mul(math.NewInt(100))), c.show(slashed), c.show(allowance), c.show(slashed)},
		{liar.label(liedAboutNext), "100 %", c.show(dir.restaked()[liedAboutNext]), c.show(exceeded.Wanted), c.show(exceeded.Available), c.show(math.ZeroInt())},
	})
	d.note("%s: EventMeterExceeded; %s is PAUSED, and an end of that is for governance to decide.", c.id, liar.id)

	_, err = c.Tx(ctx, who.name, &providertypes.MsgCrossStake{
		Delegator: c.Address(who.name), ConsumerId: dir.ids.ConsumerID, Validator: liar.operator(liedAbout), Amount: c.coin(c.base(1)),
	})
	if !errors.Is(err, providertypes.ErrConsumerPaused) {
		return "", expect(c.id+": new stake on a paused consumer", providertypes.ErrConsumerPaused, err)
	}
	if err := d.evacuate(ctx, dir); err != nil {
		return "", err
	}
	return fmt.Sprintf("it took %s, not more than its meter of %s, and is paused; everybody is on the way out", c.show(slashed), c.show(allowance)), nil
}

// lie makes a hostile chain claim that all of a validator's stake was slashed.
func (c *chain) lie(ctx context.Context, validator int) error {
	operator, err := c.AddressBytes(c.operator(validator))
	if err != nil {
		return err
	}
	from := localnet.ValidatorAccount(0)
	_, err = c.Tx(ctx, from, &banktypes.MsgSend{
		FromAddress: c.Address(from), ToAddress: c.Bech32(hostile.Account(operator)), Amount: sdk.NewCoins(c.Coin(hostile.LieUnit)),
	})
	return err
}

// believed lets the chain lie once: its claim of everything takes the most that
// a pool may lose without proof. It returns what that is.
func (d *demo) believed(ctx context.Context, dir *direction, most *big.Rat) (math.Int, error) {
	c := dir.provider
	pool := dir.restaked()[liedAbout]
	slashed := part(pool, most)
	if err := dir.consumer.lie(ctx, liedAbout); err != nil {
		return slashed, err
	}
	record, err := dir.slash(ctx, liedAbout, meshtypes.SLASH_KIND_DOWNTIME, false)
	if err != nil {
		return slashed, err
	}
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"fraction claimed", "1.000000000000000000", record.Record.EffectiveFraction},
		{"status of the first lie", providertypes.SLASH_STATUS_EXECUTED, record.Record.Status},
		{"what the first lie took", c.show(slashed), c.show(record.Record.Amount)},
	} {
		if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
			return slashed, err
		}
	}
	d.ledgerSlash(dir, liedAbout, slashed)
	_, err = d.paidFor(ctx, dir)
	return slashed, err
}

// ledgerSlash takes an amount out of a pool of the ledger, and from the native
// stake of those in it. It returns what each of them lost.
func (d *demo) ledgerSlash(dir *direction, validator int, slashed math.Int) map[string]math.Int {
	c := dir.provider
	pool := dir.restaked()[validator]
	left := pool.Sub(slashed)
	losses := map[string]math.Int{}
	var last *delegator
	for _, who := range c.delegators {
		losses[who.name] = math.ZeroInt()
		if !who.restaked[validator].IsPositive() {
			continue
		}
		// What each owes is rounded up, what its shares are worth down.
		loss := ceilQuo(slashed.Mul(who.restaked[validator]), pool)
		losses[who.name] = loss
		who.lost, c.native[who.home] = who.lost.Add(loss), c.native[who.home].Sub(loss)
		who.restaked[validator] = who.restaked[validator].Mul(pool.Sub(slashed)).Quo(pool)
		left, last = left.Sub(who.restaked[validator]), who
	}
	if last != nil {
		last.restaked[validator] = last.restaked[validator].Add(left) // the pool's sum is exact
	}
	return losses
}

// comeBack lets the delegator who had left stake again, natively and across.
func (d *demo) comeBack(ctx context.Context, dir *direction) (*delegator, error) {
	c := dir.provider
	for _, dep := range d.leaving {
		if dep.home != c {
			continue
		}
		who := dep.who
		amount := c.coin(c.base(who.stake))
		_, err := c.Tx(ctx, who.name,
			&stakingtypes.MsgDelegate{DelegatorAddress: c.Address(who.name), ValidatorAddress: c.operator(who.home), Amount: amount},
			&providertypes.MsgCrossStake{
				Delegator: c.Address(who.name), ConsumerId: dir.ids.ConsumerID, Validator: dir.consumer.operator(liedAboutNext), Amount: amount,
			})
		if err != nil {
			return nil, err
		}
		c.native[who.home] = c.native[who.home].Add(amount.Amount)
		who.restaked[liedAboutNext] = who.restaked[liedAboutNext].Add(amount.Amount)
		d.note("%s comes back and restakes %s to %s.", who.name, c.show(amount.Amount), dir.consumer.label(liedAboutNext))
		return who, nil
	}
	return nil, errors.New("nobody has left")
}

// meterExceeded finds the event that asks governance, in the block in which a
// claim was refused.
func (c *chain) meterExceeded(ctx context.Context, record providertypes.SlashRecord) (*providertypes.EventMeterExceeded, error) {
	head, err := c.Height(ctx)
	if err != nil {
		return nil, err
	}
	height, err := c.firstBlockAt(ctx, record.SettledAt, max(1, head-200), head)
	if err != nil {
		return nil, err
	}
	res, err := c.RPC().BlockResults(ctx, &height)
	if err != nil {
		return nil, err
	}
	for _, e := range res.FinalizeBlockEvents {
		if e.Type != "mesh.provider.v1.EventMeterExceeded" {
			continue
		}
		// The SDK adds in which part of a block an event was emitted; no message has such a field.
		e.Attributes = slices.DeleteFunc(e.Attributes, func(a abci.EventAttribute) bool { return a.Key == "mode" })
		msg, err := sdk.ParseTypedEvent(e)
		if err != nil {
			return nil, err
		}
		if event, ok := msg.(*providertypes.EventMeterExceeded); ok && event.SlashId == record.Id {
			return event, nil
		}
	}
	return nil, expect(fmt.Sprintf("%s: event of the refused claim in block %d", c.id, height), "EventMeterExceeded", "none")
}

// evacuate lets everybody leave a paused consumer: their stake is gone from
// there, and the clocks of their unbonding run.
func (d *demo) evacuate(ctx context.Context, dir *direction) error {
	c := dir.provider
	err := each(ctx, c.delegators, func(ctx context.Context, who *delegator) error {
		var msgs []sdk.Msg
		for v, amount := range who.restaked {
			if amount.IsPositive() {
				msgs = append(msgs, &providertypes.MsgCrossUnstake{
					Delegator: c.Address(who.name), ConsumerId: dir.ids.ConsumerID, Validator: dir.consumer.operator(v), Amount: c.coin(amount),
				})
			}
		}
		if len(msgs) == 0 {
			return nil
		}
		_, err := c.Tx(ctx, who.name, msgs...)
		return err
	})
	if err != nil {
		return err
	}
	left := map[string]math.Int{}
	for _, who := range c.delegators {
		left[who.name] = sum(who.restaked)
		who.restaked = zeros(dir.consumer.validators)
	}
	if err := d.allSettled(ctx); err != nil {
		return err
	}
	rows := [][]string{{"DELEGATOR", "TAKEN BACK", "FREE AT THE LATEST IN"}}
	for _, who := range c.delegators {
		if left[who.name].IsZero() {
			continue
		}
		var until time.Time
		err := await(ctx, crossing, func(ctx context.Context) error {
			res, err := c.providing().Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: c.Address(who.name), Pagination: page})
			if err != nil {
				return err
			}
			for _, claim := range res.Claims {
				if claim.MaturesAt == nil {
					return expect(c.id+" "+who.name+": unstaked cross-stake", "its unbonding period runs", claim.WaitsFor)
				}
				if claim.MaturesAt.After(until) {
					until = *claim.MaturesAt
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		_, now, err := c.Head(ctx)
		if err != nil {
			return err
		}
		if most := 2 * dir.consumer.Unbonding; until.Sub(now) > most {
			return expect(c.id+" "+who.name+": time until it is free", "at most "+most.String(), until.Sub(now))
		}
		rows = append(rows, []string{who.name, c.show(left[who.name]), secs(until.Sub(now))})
	}
	d.table(rows)
	return nil
}
