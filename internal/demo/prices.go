package demo

import (
	"context"
	"fmt"
	"math/big"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// halve halves two prices: the one that feeders post on the third chain, and the
// one that is proved from the third chain's state on the first.
func (d *demo) halve(ctx context.Context) (string, error) {
	fed, proved := d.thirds[0], d.to(d.chains[0])
	before := map[*chain][]int64{}
	for _, c := range []*chain{fed.consumer, proved.consumer} {
		var err error
		if before[c], err = c.powers(ctx); err != nil {
			return "", err
		}
	}
	if err := d.feed(ctx, fed); err != nil {
		return "", err
	}
	if err := d.prove(ctx, proved); err != nil {
		return "", err
	}
	if err := d.thirdSettled(ctx); err != nil {
		return "", err
	}
	if err := d.allSettled(ctx); err != nil {
		return "", err
	}
	rows := [][]string{{"CHAIN", "VALIDATOR", "OWN STAKE", "STAKE OF", "RESTAKED", "WORTH NOW", "POWER BEFORE", "CHANGE", "POWER NOW"}}
	var changed int64
	for _, dir := range []*direction{fed, proved} {
		c := dir.consumer
		powers, err := c.powers(ctx)
		if err != nil {
			return "", err
		}
		restaked, worth := dir.restaked(), dir.worth()
		for v, power := range powers {
			change := "0"
			if diff := power - before[c][v]; diff < 0 {
				change = fmt.Sprintf("−%d", -diff)
				changed -= diff
			}
			rows = append(rows, []string{
				c.id, c.label(v), c.show(c.native[v]), dir.provider.id, dir.provider.show(restaked[v]), c.show(worth[v]),
				fmt.Sprint(before[c][v]), change, fmt.Sprint(power),
			})
		}
	}
	d.table(rows)
	if changed == 0 {
		return "", expect("voting power that left with the prices", "some", "none")
	}
	return fmt.Sprintf("%d units of voting power less, as computed from the new prices", changed), nil
}

// half is half of a price, as the ledger then has it.
func (d *direction) half() math.LegacyDec {
	d.terms.price = new(big.Rat).Quo(d.terms.price, big.NewRat(2, 1))
	return math.LegacyNewDecFromBigInt(d.terms.price.Num()).Quo(math.LegacyNewDecFromBigInt(d.terms.price.Denom()))
}

// feed lets a feeder lie, whose post is an outlier, and the others post half the price.
func (d *demo) feed(ctx context.Context, dir *direction) error {
	c := dir.consumer
	feeders := dir.spec.Feeders
	if len(feeders) < 3 {
		return expect(c.id+": feeders", "at least 3", len(feeders))
	}
	old := dir.terms.price
	price := dir.half()
	liar := feeders[len(feeders)-1]
	posts := map[string]math.LegacyDec{liar: price.MulInt64(1000)}
	if err := d.net.PostPrice(ctx, dir.ids, liar, posts[liar].String()); err != nil {
		return err
	}
	res, err := c.consuming().Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: dir.ids.ProviderID})
	if err != nil {
		return err
	}
	if err := expect(c.id+": price of "+dir.provider.id+" after a lie", old.RatString(), rat(res.Posted.Price).RatString()); err != nil {
		return err
	}
	for _, name := range feeders[:len(feeders)-1] {
		posts[name] = price
		if err := d.net.PostPrice(ctx, dir.ids, name, price.String()); err != nil {
			return err
		}
	}
	if res, err = c.consuming().Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: dir.ids.ProviderID}); err != nil {
		return err
	}
	if err := expect(c.id+": price of "+dir.provider.id, price, res.Posted.Price); err != nil {
		return err
	}
	d.note("%s posts %s %s for an %s on %s: an outlier. The others post %s, the median.",
		liar, spellDec(posts[liar]), c.symbol, dir.provider.symbol, c.id, spellDec(price))
	return nil
}

// spellDec leaves out zeros that say nothing.
func spellDec(d math.LegacyDec) string {
	return new(big.Rat).SetFrac(d.BigInt(), math.LegacyOneDec().BigInt()).FloatString(2)
}

// prove lets the oracle on the source chain halve what it holds, and anybody prove it.
func (d *demo) prove(ctx context.Context, dir *direction) error {
	source := dir.spec.PriceSource
	if source == nil {
		return expect(dir.consumer.id+": source of the price of "+dir.provider.id, "some", "none")
	}
	from := d.chain(source.Chain)
	holds, err := from.Balance(ctx, from.Address(source.Account), source.Denom)
	if err != nil {
		return err
	}
	res, err := from.Tx(ctx, source.Account, &banktypes.MsgSend{
		FromAddress: from.Address(source.Account), ToAddress: from.Address("alice"),
		Amount: sdk.NewCoins(sdk.NewCoin(source.Denom, holds.QuoRaw(2))),
	})
	if err != nil {
		return err
	}
	err = await(ctx, crossing, func(ctx context.Context) error {
		known, err := d.net.KnowsHeight(ctx, dir.ids, res.Height)
		if err != nil {
			return err
		}
		return expect(fmt.Sprintf("%s: its light client of %s knows what was in block %d", dir.consumer.id, from.id, res.Height), true, known)
	})
	if err != nil {
		return err
	}
	proved, err := d.net.ProvePrice(ctx, dir.ids, "carol")
	if err != nil {
		return err
	}
	price := dir.half()
	if err := expect(from.id+": number proved", price, proved); err != nil {
		return err
	}
	now, err := dir.consumer.consuming().Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: dir.ids.ProviderID})
	if err != nil {
		return err
	}
	d.note("carol runs meshd tx meshconsumer prove-price: %s knows by its light client of %s that an %s is worth %s %s now.",
		dir.consumer.id, from.id, dir.provider.symbol, spellDec(price), dir.consumer.symbol)
	return expect(dir.consumer.id+": price of "+dir.provider.id, price, now.Posted.Price)
}
