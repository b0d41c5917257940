package demo

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"cosmossdk.io/math"

	cmttypes "github.com/cometbft/cometbft/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// outageEpochs is how many epochs the relayer is away.
const outageEpochs = 3

// outage ends the relayer, lets stake go up and down meanwhile, and starts it
// again: both sides must agree in the end.
func (d *demo) outage(ctx context.Context) (string, error) {
	if err := d.net.StopRelayer(); err != nil {
		return "", err
	}
	d.note("The relayer is gone. Meanwhile:")
	before := make([][]math.Int, len(d.directions))
	for i, dir := range d.directions {
		var err error
		if before[i], err = dir.allied(); err != nil {
			return "", err
		}
	}
	if _, err := d.changes(ctx, func(who *delegator) map[int]int64 { return who.whileDown }); err != nil {
		return "", err
	}
	if err := each(ctx, d.chains, func(ctx context.Context, c *chain) error { return c.WaitEpochs(ctx, outageEpochs) }); err != nil {
		return "", err
	}
	waiting := 0
	for i, dir := range d.directions {
		// The provider knows, the consumer cannot.
		if err := dir.provided(ctx); err != nil {
			return "", err
		}
		if err := dir.effective(ctx, before[i]); err != nil {
			return "", err
		}
		entries, err := dir.outbox(ctx)
		if err != nil {
			return "", err
		}
		if len(entries) == 0 {
			return "", expect(dir.provider.id+": changes not yet acknowledged by "+dir.consumer.id, "some", "none")
		}
		waiting += len(entries)
	}
	d.note("%d epochs later %d changes wait for an acknowledgement. The relayer is started again.", outageEpochs, waiting)
	back := time.Now()
	if err := d.net.StartRelayer(); err != nil {
		return "", err
	}
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	err := each(ctx, d.directions, func(ctx context.Context, dir *direction) error {
		return await(ctx, crossing, func(ctx context.Context) error {
			entries, err := dir.outbox(ctx)
			if err != nil {
				return err
			}
			return expect(dir.provider.id+": changes not yet acknowledged by "+dir.consumer.id, 0, len(entries))
		})
	})
	if err != nil {
		return "", err
	}
	rows := [][]string{{"PROVIDER", "TOTAL RESTAKED", "CONSUMER", "STORED THERE", "VIRTUAL STAKE"}}
	for _, dir := range d.directions {
		stakes, err := dir.stakes(ctx)
		if err != nil {
			return "", err
		}
		stored, virtual := math.ZeroInt(), math.ZeroInt()
		for _, s := range stakes {
			stored, virtual = stored.Add(s.Record.Amount), virtual.Add(s.Current)
		}
		rows = append(rows, []string{
			dir.provider.id, dir.provider.show(sum(dir.restaked())), dir.consumer.id, dir.provider.show(stored), dir.consumer.show(virtual),
		})
	}
	d.table(rows)
	return fmt.Sprintf("converged %s after the relayer's return; every amount equal on both sides", secs(time.Since(back))), nil
}

// outbox is what the provider has not got acknowledged.
func (d *direction) outbox(ctx context.Context) ([]providertypes.OutboxInfo, error) {
	res, err := d.provider.providing().Outbox(ctx, &providertypes.QueryOutboxRequest{ConsumerId: d.ids.ConsumerID, Pagination: page})
	if err != nil {
		return nil, err
	}
	return res.Entries, nil
}

// restart kills a validator in the middle of an epoch. The chain goes on without
// it, and it comes back.
func (d *demo) restart(ctx context.Context) (string, error) {
	c := d.chains[1]
	weakest, power, total, err := c.weakest(ctx)
	if err != nil {
		return "", err
	}
	node := c.Nodes[weakest]

	epoch, into, err := c.middleOfEpoch(ctx)
	if err != nil {
		return "", err
	}
	if err := node.Kill(); err != nil {
		return "", err
	}
	killed, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	d.note("%s of %s, %d of %d units of voting power, is killed %s into epoch %d, at height %d.",
		node.Moniker, c.id, power, total, secs(into), epoch, killed)
	err = await(ctx, crossing, func(ctx context.Context) error {
		now, err := c.epoch(ctx)
		if err != nil {
			return err
		}
		if now.Epoch.Number > epoch+1 {
			return nil
		}
		return expect(c.id+": epoch without "+node.Moniker, fmt.Sprintf("at least %d", epoch+2), now.Epoch.Number)
	})
	if err != nil {
		return "", err
	}
	resumed, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	if err := node.Start(); err != nil {
		return "", err
	}
	if err := node.WaitReady(ctx, resumed, crossing); err != nil {
		return "", err
	}
	back, err := c.Height(ctx)
	if err != nil {
		return "", err
	}
	if err := await(ctx, time.Minute, func(ctx context.Context) error { return c.signs(ctx, weakest, back) }); err != nil {
		return "", err
	}
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d blocks without it, among them two ends of an epoch; it caught up and signs again", resumed-killed), nil
}

func (c *chain) epoch(ctx context.Context) (*consumertypes.QueryEpochResponse, error) {
	return c.consuming().Epoch(ctx, &consumertypes.QueryEpochRequest{})
}

// middleOfEpoch waits for the middle of an epoch. It returns the epoch's number
// and how far into it the chain is.
func (c *chain) middleOfEpoch(ctx context.Context) (uint64, time.Duration, error) {
	var number uint64
	var into time.Duration
	err := await(ctx, time.Minute, func(ctx context.Context) error {
		epoch, err := c.epoch(ctx)
		if err != nil {
			return err
		}
		_, now, err := c.Head(ctx)
		if err != nil {
			return err
		}
		number, into = epoch.Epoch.Number, now.Sub(epoch.Epoch.Start)
		if into >= c.EpochLength/4 && into <= 3*c.EpochLength/4 {
			return nil
		}
		return expect(c.id+": time since the epoch began", "about half of "+c.EpochLength.String(), into)
	})
	return number, into, err
}

// signs checks that a validator signed the latest block, and that its node has
// the chain's state.
func (c *chain) signs(ctx context.Context, validator int, from int64) error {
	res, err := c.RPC().Commit(ctx, nil)
	if err != nil {
		return err
	}
	set, err := c.cometValidators(ctx)
	if err != nil {
		return err
	}
	if res.Height <= from {
		return expect(c.id+": height", fmt.Sprintf("above %d", from), res.Height)
	}
	signed := false
	for _, s := range res.Commit.Signatures {
		signed = signed || s.BlockIDFlag == cmttypes.BlockIDFlagCommit && bytes.Equal(s.ValidatorAddress, set[validator].Address)
	}
	if err := expect(c.whose(validator, fmt.Sprintf("signed block %d", res.Height)), true, signed); err != nil {
		return err
	}
	own, err := c.Nodes[validator].RPC().Header(ctx, &from)
	if err != nil {
		return err
	}
	others, err := c.RPC().Header(ctx, &from)
	if err != nil {
		return err
	}
	return expect(c.whose(validator, fmt.Sprintf("state at block %d", from)), others.Header.AppHash, own.Header.AppHash)
}
