package demo

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"cosmossdk.io/math"

	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// rounding is by how many base units stake may differ from the ledger once a
// slash has taken a fraction of shares that is not a whole number of units.
const rounding = 4

// downtime stops a validator until its chain jails it. The slash is small and
// nobody can prove it: the other chain believes it, up to its meter.
func (d *demo) downtime(ctx context.Context) (string, error) {
	c := d.chains[0]
	dir := d.to(c)
	v, power, total, err := c.weakest(ctx)
	if err != nil {
		return "", err
	}
	o, err := d.before(ctx, dir, v)
	if err != nil {
		return "", err
	}
	node := c.Nodes[v]
	if err := node.Stop(); err != nil {
		return "", err
	}
	d.absent = v
	d.note("%s of %s, %d of %d units of voting power, is stopped.", node.Moniker, c.id, power, total)
	jailed := func(ctx context.Context) (bool, error) {
		res, err := c.staking().Validator(ctx, &stakingtypes.QueryValidatorRequest{ValidatorAddr: c.operator(v)})
		if err != nil {
			return false, err
		}
		return res.Validator.Jailed, nil
	}
	err = await(ctx, 2*crossing, func(ctx context.Context) error {
		is, err := jailed(ctx)
		if err != nil {
			return err
		}
		return expect(c.whose(v, "jailed"), true, is)
	})
	if err != nil {
		return "", err
	}
	height, err := c.firstBlockWith(ctx, o.away.height, jailed)
	if err != nil {
		return "", err
	}
	params, err := c.slashing().Params(ctx, &slashingtypes.QueryParamsRequest{})
	if err != nil {
		return "", err
	}
	d.note("%s jails it in block %d, %s later.", c.id, height, secs(time.Since(o.began)))
	before, after, burned, err := d.punished(ctx, c, v, height, power, rat(params.Params.SlashFractionDowntime))
	if err != nil {
		return "", err
	}

	// The ledger at home: whoever is staked to it loses in proportion.
	fraction := new(big.Rat).SetFrac(burned.BigInt(), before.tokens[v].BigInt())
	c.away[v], c.slack = true, rounding
	c.native[v] = after.tokens[v].Sub(after.virtual[v])
	for _, who := range c.delegators {
		if who.home == v && !who.leaves {
			who.lost = who.lost.Add(part(c.staked(who), fraction))
		}
	}
	detail, err := d.claimed(ctx, o, fraction)
	return fmt.Sprintf("jailed, and %s of its tokens burned; %s", percent(fraction), detail), err
}

// weakest is the validator with the least power; never the first, which the
// relayer talks to. The chain must go on without it.
func (c *chain) weakest(ctx context.Context) (v int, power, total int64, err error) {
	powers, err := c.powers(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	v, total = 1, powers[0]
	for i := 1; i < len(powers); i++ {
		total += powers[i]
		if powers[i] < powers[v] {
			v = i
		}
	}
	if 3*powers[v] >= total {
		return 0, 0, 0, expect(c.whose(v, "voting power"), fmt.Sprintf("less than a third of %d", total), powers[v])
	}
	return v, powers[v], total, nil
}

// claimed waits until the slash that a consumer claims has been worked on, and
// checks that it took the fraction and was within the meter.
func (d *demo) claimed(ctx context.Context, o *offence, fraction *big.Rat) (string, error) {
	c, dir, v := o.dir.provider, o.dir, o.validator
	pool := dir.restaked()[v]
	slashed := part(pool, fraction)
	record, err := dir.slash(ctx, v, meshtypes.SLASH_KIND_DOWNTIME, false)
	if err != nil {
		return "", err
	}
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{"status of the slash", providertypes.SLASH_STATUS_EXECUTED, record.Record.Status},
		{"what the pool lost", c.show(slashed), c.show(record.Record.Amount)},
	} {
		if err := expect(c.id+": "+e.what, e.expected, e.seen); err != nil {
			return "", err
		}
	}
	meter, err := c.providing().Meter(ctx, &providertypes.QueryMeterRequest{ConsumerId: dir.ids.ConsumerID})
	if err != nil {
		return "", err
	}
	config, err := c.providing().Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: dir.ids.ConsumerID})
	if err != nil {
		return "", err
	}
	allowance := part(meter.Meter.Total, rat(config.Info.Consumer.Config.SlashPolicy.UnprovenLimit))
	if slashed.GT(allowance) {
		return "", expect(c.id+": unproven slash", "at most "+c.show(allowance), c.show(slashed))
	}
	if err := expect(c.id+": status of "+dir.consumer.id, providertypes.CONSUMER_STATUS_ACTIVE, config.Info.Consumer.Status); err != nil {
		return "", err
	}

	losses := d.ledgerSlash(dir, v, slashed)
	c.slack = rounding
	after, err := d.paidFor(ctx, dir)
	if err != nil {
		return "", err
	}
	if err := d.lost(c, o.home, after, v, losses); err != nil {
		return "", err
	}
	if err := d.supply(ctx, c, o.home, after, sumLosses(losses), math.ZeroInt(), ""); err != nil {
		return "", err
	}
	if err := d.power(ctx, o); err != nil {
		return "", err
	}
	d.note("%s believes it without a proof: of %s per window it has taken %s.", c.id, c.show(allowance), c.show(meter.Meter.Used))
	return fmt.Sprintf("%s burned on %s, within the meter of %s", c.show(slashed), c.id, c.show(allowance)), nil
}

// sumLosses is what all delegators of a slashed pool pay: each rounds up.
func sumLosses(losses map[string]math.Int) math.Int {
	total := math.ZeroInt()
	for _, loss := range losses {
		total = total.Add(loss)
	}
	return total
}

func ceilQuo(a, b math.Int) math.Int { return a.Add(b).SubRaw(1).Quo(b) }

// unjail brings the stopped validator back.
func (d *demo) unjail(ctx context.Context) (string, error) {
	c, v := d.chains[0], d.absent
	node := c.Nodes[v]
	height, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	if err := node.Start(); err != nil {
		return "", err
	}
	if err := node.WaitReady(ctx, height, crossing); err != nil {
		return "", err
	}
	info, err := c.slashing().SigningInfo(ctx, &slashingtypes.QuerySigningInfoRequest{ConsAddress: node.Consensus})
	if err != nil {
		return "", err
	}
	until := info.ValSigningInfo.JailedUntil
	d.waiting(until, "until "+node.Moniker+" of "+c.id+" may be unjailed")
	if err := c.WaitTime(ctx, until.Add(2*c.BlockTime)); err != nil {
		return "", err
	}
	operator := localnet.ValidatorAccount(v)
	if _, err := c.Tx(ctx, operator, &slashingtypes.MsgUnjail{ValidatorAddr: c.operator(v)}); err != nil {
		return "", err
	}
	c.away[v] = false
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	if height, err = c.Height(ctx); err != nil {
		return "", err
	}
	if err := await(ctx, time.Minute, func(ctx context.Context) error { return c.signs(ctx, v, height) }); err != nil {
		return "", err
	}
	powers, err := c.powers(ctx)
	if err != nil {
		return "", err
	}
	rows := [][]string{{"VALIDATOR", "OWN STAKE", "STAKE OF " + d.to(c).provider.id, "POWER"}}
	allied, err := d.to(c).allied()
	if err != nil {
		return "", err
	}
	for i, p := range powers {
		rows = append(rows, []string{c.label(i), c.show(c.native[i]), c.show(allied[i]), fmt.Sprint(p)})
	}
	d.table(rows)
	return fmt.Sprintf("%s is back with %d units of voting power, and signs", node.Moniker, powers[v]), nil
}
