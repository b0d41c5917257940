package demo

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// start brings the network up and reads what the ledger needs to know of it.
func (d *demo) start(ctx context.Context) (string, error) {
	net, err := localnet.Up(ctx, d.Topology, localnet.Options{Home: d.Home, Meshd: d.Meshd, Rly: d.Rly, Progress: d.progress})
	if err != nil {
		return "", err
	}
	d.net = net
	nodes := 0
	for _, c := range d.everyChain() {
		c.Chain = net.Chain(c.id)
		nodes += len(c.Nodes)
	}
	for _, dir := range d.everyDirection() {
		if dir.ids, err = net.Pairing(dir.provider.id, dir.consumer.id); err != nil {
			return "", err
		}
		res, err := dir.consumer.consuming().Params(ctx, &consumertypes.QueryParamsRequest{})
		if err != nil {
			return "", err
		}
		dir.terms, err = newTerms(dir.spec, dir.provider.decimals, dir.consumer.decimals,
			res.Params.GlobalMaxPowerRatio, res.Params.MaxValidatorMultiple)
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d nodes and the relayer run", nodes), nil
}

// pairing checks all directions' channels, clients, registrations and prices.
func (d *demo) pairing(ctx context.Context) (string, error) {
	rows := [][]string{{"PROVIDER", "CONSUMER", "CHANNEL", "PRICE", "BY", "DISCOUNT", "CAP", "SHARE AT MOST", "REWARDS", "VOTES"}}
	for _, dir := range d.everyDirection() {
		if err := await(ctx, crossing, dir.open); err != nil {
			return "", err
		}
		price := fmt.Sprintf("1 %s = %s %s", dir.provider.symbol, dir.spec.Price, dir.consumer.symbol)
		rows = append(rows, []string{
			dir.provider.id, dir.consumer.id, dir.ids.ProviderChannel + " – " + dir.ids.ConsumerChannel,
			price, dir.spec.PriceFeed, percent(dir.terms.discount), dir.consumer.show(dir.terms.maxCap), percent(dir.terms.ratio),
			percent(rat(dir.rewardRatio)), percent(rat(dir.weight)),
		})
	}
	err := await(ctx, crossing, func(ctx context.Context) error {
		for _, p := range d.net.Status(ctx).Pairings {
			seen := fmt.Sprintf("%s, %s and %s", p.Channel, p.ProviderClient, p.ConsumerClient)
			if err := expect(p.Provider+"→"+p.Consumer+": channel and clients", "OPEN, Active and Active", seen); err != nil {
				return err
			}
		}
		return nil
	})
	d.table(rows)
	return "channels open, light clients active, partners, prices and accounts for rewards registered", err
}

// open checks that both sides have the pairing as the topology wants it.
func (d *direction) open(ctx context.Context) error {
	onProvider, err := d.provider.providing().Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: d.ids.ConsumerID})
	if err != nil {
		return err
	}
	onConsumer, err := d.consumer.consuming().Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return err
	}
	price, err := d.consumer.consuming().Price(ctx, &consumertypes.QueryPriceRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return err
	}
	rewards, err := d.consumer.consuming().Rewards(ctx, &consumertypes.QueryRewardsRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return err
	}
	consumer, provider := onProvider.Info.Consumer, onConsumer.Provider.Provider
	for _, e := range []struct {
		what           string
		expected, seen any
	}{
		{d.provider.id + ": consumer's chain id", d.consumer.id, consumer.Config.ChainId},
		{d.provider.id + ": consumer's status", providertypes.CONSUMER_STATUS_ACTIVE, consumer.Status},
		{d.provider.id + ": consumer's channel", d.ids.ProviderChannel, onProvider.Info.Pairing.ChannelId},
		{d.consumer.id + ": provider's chain id", d.provider.id, provider.Config.ChainId},
		{d.consumer.id + ": provider's status", consumertypes.PROVIDER_STATUS_ACTIVE, provider.Status},
		{d.consumer.id + ": provider's channel", d.ids.ConsumerChannel, provider.ChannelId},
		{d.consumer.id + ": discount", d.terms.discount.RatString(), rat(provider.Config.Discount).RatString()},
		{d.consumer.id + ": cap", d.terms.maxCap, provider.Config.MaxCap},
		{d.consumer.id + ": price", d.terms.price.RatString(), rat(price.Posted.Price).RatString()},
		{d.consumer.id + ": governance weight", d.weight, provider.Config.GovernanceWeight},
		{d.consumer.id + ": reward ratio", d.rewardRatio, provider.Config.RewardRatio},
		{d.consumer.id + ": channel of rewards", d.ids.ConsumerTransfer, provider.Config.RewardChannel},
		{d.consumer.id + ": receiver of rewards", onProvider.Info.RewardAccount, provider.Config.RewardReceiver},
		{d.provider.id + ": channel of rewards", d.ids.ProviderTransfer, consumer.Config.RewardChannel},
		{d.provider.id + ": sender of rewards", rewards.RewardAccount, consumer.Config.RewardSender},
	} {
		if err := expect(e.what, e.expected, e.seen); err != nil {
			return err
		}
	}
	return nil
}

// registries checks that each provider knows exactly the consumer's validators,
// with the keys that CometBFT has.
func (d *demo) registries(ctx context.Context) (string, error) {
	for _, dir := range d.everyDirection() {
		if err := await(ctx, crossing, dir.registry); err != nil {
			return "", err
		}
	}
	rows := [][]string{{"CHAIN", "VALIDATOR", "OPERATOR", "KEY", "POWER", "KNOWN TO"}}
	for _, c := range d.everyChain() {
		var known []string
		for _, dir := range d.everyDirection() {
			if dir.consumer == c {
				known = append(known, dir.provider.id)
			}
		}
		set, err := c.cometValidators(ctx)
		if err != nil {
			return "", err
		}
		for v, node := range c.Nodes {
			rows = append(rows, []string{
				c.id, node.Moniker, shorten(node.Operator), fmt.Sprintf("%X…", set[v].PubKey.Bytes()[:6]),
				fmt.Sprint(set[v].VotingPower), strings.Join(known, " and "),
			})
		}
	}
	d.table(rows)
	return fmt.Sprintf("%d validators, status and keys equal to CometBFT's own", len(rows)-1), nil
}

// registry checks one provider's registry.
func (d *direction) registry(ctx context.Context) error {
	res, err := d.provider.providing().ConsumerValidators(ctx, &providertypes.QueryConsumerValidatorsRequest{
		ConsumerId: d.ids.ConsumerID, Pagination: page,
	})
	if err != nil {
		return err
	}
	set, err := d.consumer.cometValidators(ctx)
	if err != nil {
		return err
	}
	where := d.provider.id + ": registry of " + d.consumer.id + ": "
	if err := expect(where+"validators", len(set), len(res.Validators)); err != nil {
		return err
	}
	for _, info := range res.Validators {
		v := d.consumer.number(info.Operator)
		if v < 0 {
			return expect(where+"validators", "only those of the chain", "also "+info.Operator)
		}
		if err := expect(where+d.consumer.label(v), meshtypes.VALIDATOR_STATUS_BONDED, info.Validator.Status); err != nil {
			return err
		}
		keys := info.Validator.Keys
		if err := expect(where+"keys of "+d.consumer.label(v), 1, len(keys)); err != nil {
			return err
		}
		want := set[v].PubKey
		if keys[0].Key.Type != want.Type() || !bytes.Equal(keys[0].Key.Key, want.Bytes()) {
			return expect(where+"key of "+d.consumer.label(v), fmt.Sprintf("%s %X", want.Type(), want.Bytes()),
				fmt.Sprintf("%s %X", keys[0].Key.Type, keys[0].Key.Key))
		}
	}
	return nil
}

func shorten(address string) string {
	const head, tail = 18, 4
	if len(address) <= head+tail {
		return address
	}
	return address[:head] + "…" + address[len(address)-tail:]
}

// clock spells a moment relative to another.
func clock(from, to time.Time) string { return "+" + secs(to.Sub(from)) }
