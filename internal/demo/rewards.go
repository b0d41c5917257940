package demo

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/cosmos/gogoproto/proto"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"

	abci "github.com/cometbft/cometbft/abci/types"
	rpcclient "github.com/cometbft/cometbft/rpc/client"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// payment is what x/distribution paid out to virtual stake.
type payment struct {
	height    int64
	validator int
	amount    math.Int
}

// parcel is a transfer of rewards: what each validator's stake earned.
type parcel struct {
	sequence uint64
	of       []math.Int
}

// trail is the way of a provider's rewards, from the state of both chains' own
// modules: x/distribution, x/bank, ICS-20.
type trail struct {
	dir *direction
	// virtual holds the provider's stake on the consumer, sender what waits there;
	// receiver is the account on the provider.
	virtual, sender, receiver string
	voucher                   string
	payments                  []payment
	parcels                   []parcel
	// until is up to which block of the consumer they have been read.
	until int64
}

// rewardsHome follows the rewards of the third chain's validators to the
// delegators of both others, to the last unit.
func (d *demo) rewardsHome(ctx context.Context) (string, error) {
	c := d.third
	trails := make([]*trail, len(d.thirds))
	for i, dir := range d.thirds {
		var err error
		if trails[i], err = dir.trail(ctx); err != nil {
			return "", err
		}
		if err := await(ctx, crossing, trails[i].arrived); err != nil {
			return "", err
		}
	}
	// All that was paid has been split at a height at which nothing is left on the
	// accounts of virtual stake.
	height, err := d.swept(ctx, trails)
	if err != nil {
		return "", err
	}
	if err := readBlocks(ctx, c, trails, d.since, height); err != nil {
		return "", err
	}
	rows := [][]string{{"PROVIDER", "EARNED BY ITS STAKE", "FORWARDED", "STILL WAITING", "SENT", "TRANSFERS", "ARRIVED"}}
	paid := [][]string{{"CHAIN", "DELEGATOR", "VALIDATOR", "SHARE", "EARNED", "WITHDRAWN"}}
	for _, t := range trails {
		row, err := t.forwarded(ctx, height)
		if err != nil {
			return "", err
		}
		rows = append(rows, row)
		lines, err := t.withdraw(ctx)
		if err != nil {
			return "", err
		}
		paid = append(paid, lines...)
	}
	d.table(rows)
	d.note("")
	d.table(paid)
	return "what x/distribution paid for the stake was forwarded, arrived and was withdrawn, to the last unit of rounding", nil
}

// trail asks both sides for the accounts.
func (d *direction) trail(ctx context.Context) (*trail, error) {
	provider, err := d.consumer.consuming().Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return nil, err
	}
	rewards, err := d.consumer.consuming().Rewards(ctx, &consumertypes.QueryRewardsRequest{ProviderId: d.ids.ProviderID})
	if err != nil {
		return nil, err
	}
	consumer, err := d.provider.providing().Consumer(ctx, &providertypes.QueryConsumerRequest{ConsumerId: d.ids.ConsumerID})
	if err != nil {
		return nil, err
	}
	hop := transfertypes.NewHop(transfertypes.PortID, d.ids.ProviderTransfer)
	return &trail{
		dir: d, virtual: provider.Provider.Account, sender: rewards.RewardAccount, receiver: consumer.Info.RewardAccount,
		voucher: transfertypes.NewDenom(d.consumer.Denom, hop).IBCDenom(),
	}, nil
}

func (t *trail) what(s string) string {
	return t.dir.consumer.id + "→" + t.dir.provider.id + ": " + s
}

// arrived checks that some rewards have come home.
func (t *trail) arrived(ctx context.Context) error {
	supply, err := t.supply(ctx)
	if err != nil {
		return err
	}
	if !supply.IsPositive() {
		return expect(t.what("rewards that have arrived"), "some", "none")
	}
	return nil
}

// supply is how many vouchers there are on the provider.
func (t *trail) supply(ctx context.Context) (math.Int, error) {
	res, err := banktypes.NewQueryClient(t.dir.provider.Conn()).SupplyOf(ctx, &banktypes.QuerySupplyOfRequest{Denom: t.voucher})
	if err != nil {
		return math.Int{}, err
	}
	return res.Amount.Amount, nil
}

// swept finds a late height at which the accounts of virtual stake are empty.
func (d *demo) swept(ctx context.Context, trails []*trail) (int64, error) {
	c := d.third
	var height int64
	err := await(ctx, crossing, func(ctx context.Context) error {
		var err error
		if height, err = c.Height(ctx); err != nil {
			return err
		}
		for _, t := range trails {
			left, err := c.Balance(localnet.AtHeight(ctx, height), t.virtual, c.Denom)
			if err != nil {
				return err
			}
			if err := expect(t.what("on the account of virtual stake"), c.show(math.ZeroInt()), c.show(left)); err != nil {
				return err
			}
		}
		return nil
	})
	return height, err
}

// readBlocks reads the blocks of a chain after one height up to another.
func readBlocks(ctx context.Context, c *chain, trails []*trail, after, upTo int64) error {
	for h := after + 1; h <= upTo; h++ {
		res, err := c.RPC().BlockResults(ctx, &h)
		if err != nil {
			return fmt.Errorf("chain %s: results of block %d: %w", c.id, h, err)
		}
		events := res.FinalizeBlockEvents
		for _, tx := range res.TxsResults {
			events = append(events, tx.Events...)
		}
		for _, t := range trails {
			if err := t.read(h, events); err != nil {
				return err
			}
		}
	}
	for _, t := range trails {
		t.until = max(t.until, upTo)
	}
	return nil
}

// read takes payments and transfers out of a block's events.
func (t *trail) read(height int64, events []abci.Event) error {
	c := t.dir.consumer
	for _, e := range events {
		switch e.Type {
		case distrtypes.EventTypeWithdrawRewards:
			v := c.number(attribute(e, distrtypes.AttributeKeyValidator))
			if attribute(e, distrtypes.AttributeKeyDelegator) != t.virtual || v < 0 {
				continue
			}
			coins, err := sdk.ParseCoinsNormalized(attribute(e, sdk.AttributeKeyAmount))
			if err != nil {
				return err
			}
			t.payments = append(t.payments, payment{height: height, validator: v, amount: coins.AmountOf(c.Denom)})
		case channeltypes.EventTypeSendPacket:
			if attribute(e, channeltypes.AttributeKeySrcPort) != transfertypes.PortID ||
				attribute(e, channeltypes.AttributeKeySrcChannel) != t.dir.ids.ConsumerTransfer {
				continue
			}
			p, err := t.open(e)
			if err != nil {
				return err
			}
			t.parcels = append(t.parcels, p)
		}
	}
	return nil
}

// open reads a transfer as ICS-20 wrote it.
func (t *trail) open(e abci.Event) (parcel, error) {
	c := t.dir.consumer
	p := parcel{of: zeros(c.validators)}
	var err error
	if p.sequence, err = strconv.ParseUint(attribute(e, channeltypes.AttributeKeySequence), 10, 64); err != nil {
		return p, err
	}
	data, err := hex.DecodeString(attribute(e, channeltypes.AttributeKeyDataHex))
	if err != nil {
		return p, err
	}
	var packet struct{ Denom, Amount, Sender, Receiver, Memo string }
	if err := json.Unmarshal(data, &packet); err != nil {
		return p, err
	}
	for _, e := range []struct{ what, expected, seen string }{
		{"denom of a transfer", c.Denom, packet.Denom}, {"its sender", t.sender, packet.Sender}, {"its receiver", t.receiver, packet.Receiver},
	} {
		if err := expect(t.what(e.what), e.expected, e.seen); err != nil {
			return p, err
		}
	}
	var memo struct {
		Rewards struct {
			Rewards []struct{ Validator, Amount string } `json:"rewards"`
		} `json:"mesh_rewards"`
	}
	if err := json.Unmarshal([]byte(packet.Memo), &memo); err != nil {
		return p, err
	}
	for _, r := range memo.Rewards.Rewards {
		v := c.number(r.Validator)
		amount, ok := math.NewIntFromString(r.Amount)
		if v < 0 || !ok {
			return p, expect(t.what("memo"), "amounts of the chain's validators", packet.Memo)
		}
		p.of[v] = p.of[v].Add(amount)
	}
	return p, expect(t.what("sum of a memo"), packet.Amount, sum(p.of).String())
}

// forwarded checks every payment against x/distribution's own state, that the
// provider's part of each was set aside, and that what was sent arrived. It returns
// a row of the table.
func (t *trail) forwarded(ctx context.Context, height int64) ([]string, error) {
	c, p := t.dir.consumer, t.dir.provider
	ratio := rat(t.dir.rewardRatio)
	earned, kept := math.ZeroInt(), math.ZeroInt()
	byBlock := map[int64][]math.Int{}
	for _, pay := range t.payments {
		if byBlock[pay.height] == nil {
			byBlock[pay.height] = zeros(c.validators)
		}
		byBlock[pay.height][pay.validator] = byBlock[pay.height][pay.validator].Add(pay.amount)
		earned, kept = earned.Add(pay.amount), kept.Add(part(pay.amount, ratio))
	}
	for h, amounts := range byBlock {
		for v, amount := range amounts {
			due, err := t.due(ctx, h, v)
			if err != nil {
				return nil, err
			}
			if err := expect(t.what(fmt.Sprintf("paid by x/distribution for stake on %s in block %d", c.label(v), h)), due, amount); err != nil {
				return nil, err
			}
		}
	}
	escrow, err := c.Balance(localnet.AtHeight(ctx, height), c.Bech32(transfertypes.GetEscrowAddress(transfertypes.PortID, t.dir.ids.ConsumerTransfer)), c.Denom)
	if err != nil {
		return nil, err
	}
	waiting, err := c.Balance(localnet.AtHeight(ctx, height), t.sender, c.Denom)
	if err != nil {
		return nil, err
	}
	sent := math.ZeroInt()
	for _, p := range t.parcels {
		sent = sent.Add(sum(p.of))
	}
	if err := expect(t.what("in escrow for what was sent"), sent, escrow); err != nil {
		return nil, err
	}
	if err := expect(t.what("set aside, sent or waiting"), kept, waiting.Add(escrow)); err != nil {
		return nil, err
	}

	// Of what was sent until then, this has arrived; later transfers may have, too.
	parcels := slices.Clone(t.parcels)
	if err := t.whole(ctx); err != nil {
		return nil, err
	}
	head, err := p.Height(ctx)
	if err != nil {
		return nil, err
	}
	arrived, err := t.arrivals(ctx, head-1, parcels)
	return []string{
		p.id, c.show(earned), c.show(kept), c.show(waiting), c.show(sent), fmt.Sprint(len(parcels)), c.show(sum(arrived)),
	}, err
}

// whole checks that the vouchers are what the parcels brought, and that they are
// where they belong: with the module and the delegators.
func (t *trail) whole(ctx context.Context) error {
	p := t.dir.provider
	height, err := p.Height(ctx)
	if err != nil {
		return err
	}
	height-- // the latest block may not have been executed yet
	arrived, err := t.received(ctx, height)
	if err != nil {
		return err
	}
	ctx = localnet.AtHeight(ctx, height)
	supply, err := t.supply(ctx)
	if err != nil {
		return err
	}
	if err := expect(t.what("vouchers for what arrived"), sum(arrived), supply); err != nil {
		return err
	}
	held, err := p.Balance(ctx, t.receiver, t.voucher)
	if err != nil {
		return err
	}
	for _, who := range p.delegators {
		has, err := p.Balance(ctx, p.Address(who.name), t.voucher)
		if err != nil {
			return err
		}
		held = held.Add(has)
	}
	return expect(t.what("vouchers of the module and of delegators"), supply, held)
}

func (t *trail) unreceived(ctx context.Context, height int64, sequences []uint64) ([]uint64, error) {
	res, err := channeltypes.NewQueryClient(t.dir.provider.Conn()).UnreceivedPackets(localnet.AtHeight(ctx, height), &channeltypes.QueryUnreceivedPacketsRequest{
		PortId: transfertypes.PortID, ChannelId: t.dir.ids.ProviderTransfer, PacketCommitmentSequences: sequences,
	})
	if err != nil {
		return nil, err
	}
	return res.Sequences, nil
}

// received is what has arrived until a block of the provider, by validator.
func (t *trail) received(ctx context.Context, height int64) ([]math.Int, error) {
	// What has arrived was sent before: the block after it was needed to prove it.
	head, err := t.dir.consumer.Height(ctx)
	if err != nil {
		return nil, err
	}
	if err := readBlocks(ctx, t.dir.consumer, []*trail{t}, t.until, head-1); err != nil {
		return nil, err
	}
	return t.arrivals(ctx, height, t.parcels)
}

// arrivals is what parcels have brought until a block of the provider, by validator.
func (t *trail) arrivals(ctx context.Context, height int64, parcels []parcel) ([]math.Int, error) {
	sequences := make([]uint64, len(parcels))
	for i, p := range parcels {
		sequences[i] = p.sequence
	}
	missing, err := t.unreceived(ctx, height, sequences)
	if err != nil {
		return nil, err
	}
	out := zeros(t.dir.consumer.validators)
	for _, p := range parcels {
		if slices.Contains(missing, p.sequence) {
			continue
		}
		for v, amount := range p.of {
			out[v] = out[v].Add(amount)
		}
	}
	return out, nil
}

// due is what x/distribution owed to virtual stake on a validator in a block, computed
// from its records: stake times what a unit of stake earned between two periods.
func (t *trail) due(ctx context.Context, height int64, validator int) (math.Int, error) {
	c := t.dir.consumer
	operator, err := c.AddressBytes(c.operator(validator))
	if err != nil {
		return math.Int{}, err
	}
	delegator, err := c.AddressBytes(t.virtual)
	if err != nil {
		return math.Int{}, err
	}
	var infos [2]distrtypes.DelegatorStartingInfo
	var ratios [2]math.LegacyDec
	for i, h := range []int64{height - 1, height} {
		found, err := c.stored(ctx, h, distrtypes.GetDelegatorStartingInfoKey(operator, delegator), &infos[i])
		if err != nil {
			return math.Int{}, err
		}
		if !found { // there was no stake: nothing is owed
			return math.ZeroInt(), nil
		}
		var history distrtypes.ValidatorHistoricalRewards
		if _, err := c.stored(ctx, h, distrtypes.GetValidatorHistoricalRewardsKey(operator, infos[i].PreviousPeriod), &history); err != nil {
			return math.Int{}, err
		}
		ratios[i] = history.CumulativeRewardRatio.AmountOf(c.Denom)
	}
	owed := new(big.Rat).Mul(rat(infos[0].Stake), new(big.Rat).Sub(rat(ratios[1]), rat(ratios[0])))
	return floor(owed), nil
}

// stored reads a record of x/distribution as it was after a block.
func (c *chain) stored(ctx context.Context, height int64, key []byte, record proto.Message) (bool, error) {
	res, err := c.RPC().ABCIQueryWithOptions(ctx, "/store/"+distrtypes.StoreKey+"/key", key, rpcclient.ABCIQueryOptions{Height: height})
	if err != nil {
		return false, err
	}
	if res.Response.Code != 0 {
		return false, fmt.Errorf("chain %s: state at height %d: %s", c.id, height, res.Response.Log)
	}
	if len(res.Response.Value) == 0 {
		return false, nil
	}
	return true, proto.Unmarshal(res.Response.Value, record)
}

// withdraw lets the delegators withdraw, and checks that each gets its share of what
// arrived for its validator, but for the last unit. It returns rows of the table.
func (t *trail) withdraw(ctx context.Context) ([][]string, error) {
	c, p := t.dir.consumer, t.dir.provider
	pools := t.dir.restaked()
	var rows [][]string
	for _, who := range p.delegators {
		for v, stake := range who.onThird {
			if !stake.IsPositive() {
				continue
			}
			res, err := p.Tx(ctx, who.name, &providertypes.MsgWithdrawRewards{Delegator: p.Address(who.name), ConsumerId: t.dir.ids.ConsumerID})
			if err != nil {
				return nil, err
			}
			var response providertypes.MsgWithdrawRewardsResponse
			if err := decode(res, &response); err != nil {
				return nil, err
			}
			amount := response.Amount.AmountOf(t.voucher)
			share := new(big.Rat).SetFrac(stake.BigInt(), pools[v].BigInt())
			// Another transfer may have come in the same block, before or after.
			var mismatch error
			var exact *big.Rat
			for _, h := range []int64{res.Height, res.Height - 1} {
				arrived, err := t.received(ctx, h)
				if err != nil {
					return nil, err
				}
				exact = new(big.Rat).Mul(share, new(big.Rat).SetInt(arrived[v].BigInt()))
				if mismatch = t.lastUnit(who, exact, amount); mismatch == nil {
					break
				}
			}
			if mismatch != nil {
				return nil, mismatch
			}
			has, err := p.Balance(localnet.AtHeight(ctx, res.Height), p.Address(who.name), t.voucher)
			if err != nil {
				return nil, err
			}
			if err := expect(p.id+" "+who.name+": vouchers after withdrawing", amount, has); err != nil {
				return nil, err
			}
			rows = append(rows, []string{
				p.id, who.name, c.label(v), percent(share), exact.FloatString(2) + " " + c.Denom, amount.String() + " " + c.Denom,
			})
		}
	}
	return rows, t.whole(ctx)
}

// lastUnit checks that an amount is what is exact, rounded down, or one less: the
// index of a pool is rounded down too.
func (t *trail) lastUnit(who *delegator, exact *big.Rat, amount math.Int) error {
	whole := floor(exact)
	if amount.Equal(whole) || amount.Equal(whole.SubRaw(1)) {
		return nil
	}
	return expect(t.dir.provider.id+" "+who.name+": rewards withdrawn", whole.String()+" or one less", amount)
}
