package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/bech32"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// world is what the demo knows of the chains: who has staked how much where. It
// is kept from what the delegators did, never read back from the chains.
type world struct {
	// chains are the two that secure one another, directions the two pairings
	// between them.
	chains     []*chain
	directions []*direction
	// third is the chain that receives from both, thirds are the pairings in which
	// it does, in the order of chains.
	third  *chain
	thirds []*direction
}

// chain is one of them, with the ledger of its native stake.
type chain struct {
	*localnet.Chain // nil until the network is up
	id              string
	symbol          string
	decimals        uint32
	validators      int
	// native is the native stake of each validator; away are those that are jailed.
	native []math.Int
	away   []bool
	// slack is by how many base units amounts of stake may differ from the
	// ledger: none until a slash has left shares that are not worth whole units.
	slack int64
	// delegators act on this chain.
	delegators []*delegator
}

// direction is a pairing: delegators of provider restake to validators of
// consumer.
type direction struct {
	provider, consumer *chain
	// spec is what governance was to register, ids what came of it.
	spec  localnet.PairingSpec
	ids   localnet.PairingState
	terms terms
	// weight is what the stake counts in governance of the consumer, rewardRatio
	// what the provider gets of its rewards.
	weight, rewardRatio math.LegacyDec
	// third: it is a pairing with the third chain.
	third bool
}

// delegator is somebody with native stake on a chain. Validators are numbered
// as the chain's nodes; amounts are in whole tokens.
type delegator struct {
	name  string
	home  int   // the validator at home
	stake int64 // what it delegates there
	// restake is what it cross-stakes at first, more what it adds to reach the
	// cap, whileDown what it changes during the relayer's outage.
	restake, more, whileDown map[int]int64
	// again is what it cross-stakes to the third chain, to one validator.
	again map[int]int64
	// leaves: it takes back everything, on both chains at once.
	leaves bool

	// restaked is the ledger of its cross-stake by validator, onThird that of the
	// third chain, lost what of its native stake was slashed, all in base units.
	restaked, onThird []math.Int
	lost              math.Int
}

// cast is who does what, by the chain's place in the topology.
var cast = [2][]*delegator{
	{
		{name: "alice", home: 0, stake: 100, restake: map[int]int64{0: 60, 1: 40}, leaves: true},
		{name: "bob", home: 1, stake: 90, restake: map[int]int64{1: 30}, more: map[int]int64{0: 30}, whileDown: map[int]int64{0: 20}, again: map[int]int64{1: 20}},
		{name: "carol", home: 2, stake: 60, restake: map[int]int64{2: 20}, more: map[int]int64{1: 10, 2: 20}, whileDown: map[int]int64{2: -15}, again: map[int]int64{1: 20}},
	},
	{
		{name: "alice", home: 0, stake: 30, restake: map[int]int64{0: 10}, more: map[int]int64{2: 20}, whileDown: map[int]int64{0: -10}, again: map[int]int64{0: 5}},
		{name: "bob", home: 1, stake: 20, restake: map[int]int64{1: 20}, leaves: true},
		{name: "carol", home: 2, stake: 40, restake: map[int]int64{2: 10}, more: map[int]int64{0: 20}, whileDown: map[int]int64{1: 10}, again: map[int]int64{1: 5}},
	},
}

// newWorld reads the topology: two chains of at least three validators, paired
// in both directions, and a third of two that both provide to.
func newWorld(topo *localnet.Topology) (*world, error) {
	if len(topo.Chains) != 3 || len(topo.Pairings) != 4 {
		return nil, fmt.Errorf("the demo needs two chains paired in both directions, and a third paired with both; the topology has %d chains and %d pairings",
			len(topo.Chains), len(topo.Pairings))
	}
	w := &world{}
	for i := range topo.Chains {
		spec := &topo.Chains[i]
		c := &chain{
			id: spec.ID, symbol: strings.ToUpper(strings.TrimPrefix(spec.Denom, "u")), decimals: *spec.Decimals,
			validators: spec.Validators, away: make([]bool, spec.Validators),
		}
		if least := 3 - i/2; spec.Validators < least {
			return nil, fmt.Errorf("the demo needs %d validators of %s, which has %d", least, spec.ID, spec.Validators)
		}
		for v := range spec.Validators {
			stake := spec.Stake
			if len(spec.Stakes) > 0 {
				stake = spec.Stakes[v]
			}
			amount, ok := math.NewIntFromString(stake)
			if !ok {
				return nil, fmt.Errorf("%s: stake %q is not a number", spec.ID, stake)
			}
			c.native = append(c.native, amount)
		}
		if i == len(cast) {
			w.third = c
			continue
		}
		for _, d := range cast[i] {
			own := *d
			own.restaked, own.onThird = zeros(topo.Chains[1-i].Validators), zeros(topo.Chains[2].Validators)
			own.lost = math.ZeroInt()
			c.delegators = append(c.delegators, &own)
		}
		w.chains = append(w.chains, c)
	}
	for _, p := range topo.Pairings {
		d := &direction{spec: p, provider: w.chain(p.Provider), consumer: w.chain(p.Consumer)}
		var err1, err2 error
		d.weight, err1 = math.LegacyNewDecFromStr(p.GovernanceWeight)
		d.rewardRatio, err2 = math.LegacyNewDecFromStr(p.RewardRatio)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("pairing %s: %w", p.Name(), err)
		}
		if d.third = d.consumer == w.third; d.third {
			w.thirds = append(w.thirds, d)
		} else {
			w.directions = append(w.directions, d)
		}
	}
	if len(w.directions) != 2 || len(w.thirds) != 2 || w.thirds[0].provider != w.chains[0] || w.thirds[1].provider != w.chains[1] {
		return nil, fmt.Errorf("the demo needs pairings from %s and from %s, in this order, to one another and to %s",
			w.chains[0].id, w.chains[1].id, w.third.id)
	}
	return w, nil
}

// everyChain and everyDirection are all of them, the third chain's last.
func (w *world) everyChain() []*chain { return append(slices.Clone(w.chains), w.third) }

func (w *world) everyDirection() []*direction { return append(slices.Clone(w.directions), w.thirds...) }

func zeros(n int) []math.Int {
	out := make([]math.Int, n)
	for i := range out {
		out[i] = math.ZeroInt()
	}
	return out
}

func (w *world) chain(id string) *chain {
	for _, c := range append(slices.Clone(w.chains), w.third) {
		if c != nil && c.id == id {
			return c
		}
	}
	return nil
}

// from and to are the directions in which a chain provides and gets security.
func (w *world) from(c *chain) *direction {
	return w.directions[w.index(func(d *direction) bool { return d.provider == c })]
}

func (w *world) to(c *chain) *direction {
	return w.directions[w.index(func(d *direction) bool { return d.consumer == c })]
}

func (w *world) index(is func(*direction) bool) int { return slices.IndexFunc(w.directions, is) }

// base turns whole tokens into base units.
func (c *chain) base(whole int64) math.Int {
	return math.NewIntWithDecimal(whole, int(c.decimals))
}

// staked is what is left of a delegator's native stake.
func (c *chain) staked(who *delegator) math.Int { return c.base(who.stake).Sub(who.lost) }

// bonded is the native stake of the validators that are not jailed.
func (c *chain) bonded() math.Int { return sumOf(c.native, c.away) }

func (c *chain) coin(amount math.Int) sdk.Coin { return sdk.NewCoin(c.Denom, amount) }

func (c *chain) show(amount math.Int) string { return tokens(amount, c.decimals, c.symbol) }

// restaked is the provider's cross-stake on each validator of the consumer.
func (d *direction) restaked() []math.Int {
	out := zeros(d.consumer.validators)
	for _, who := range d.provider.delegators {
		for v, amount := range d.of(who) {
			out[v] = out[v].Add(amount)
		}
	}
	return out
}

// of is a delegator's cross-stake on each validator of the consumer.
func (d *direction) of(who *delegator) []math.Int {
	if d.third {
		return who.onThird
	}
	return who.restaked
}

// worth is what that is worth on the consumer, before the cap.
func (d *direction) worth() []math.Int {
	out := d.restaked()
	for v := range out {
		out[v] = d.terms.value(out[v])
	}
	return out
}

// allied is the stake that each validator of the consumer must have got from
// the provider, computed from the ledger.
func (d *direction) allied() ([]math.Int, error) {
	restaked := d.restaked()
	order, addresses := make([]int, len(restaked)), make([]string, len(restaked))
	for v, node := range d.consumer.Nodes {
		address, err := d.consumer.AddressBytes(node.Operator)
		if err != nil {
			return nil, err
		}
		order[v], addresses[v] = v, string(address)
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(addresses[a], addresses[b]) })
	validators := make([]backing, len(order))
	for i, v := range order {
		validators[i] = backing{native: d.consumer.native[v], restaked: restaked[v], away: d.consumer.away[v]}
	}
	out := make([]math.Int, len(order))
	for i, amount := range d.terms.allied(validators) {
		out[order[i]] = amount
	}
	return out, nil
}

// staking is the chain's staking module, provided and consumed the mesh modules.
func (c *chain) staking() stakingtypes.QueryClient { return stakingtypes.NewQueryClient(c.Conn()) }

func (c *chain) providing() providertypes.QueryClient { return providertypes.NewQueryClient(c.Conn()) }

func (c *chain) consuming() consumertypes.QueryClient { return consumertypes.NewQueryClient(c.Conn()) }
func (c *chain) operator(validator int) string        { return c.Nodes[validator].Operator }
func (c *chain) label(validator int) string           { return c.Nodes[validator].Moniker }
func (c *chain) whose(validator int, what string) string {
	return c.id + " " + c.label(validator) + ": " + what
}

// byConsensus is the number of the validator with a consensus address, -1 if the
// chain has no such validator.
func (c *chain) byConsensus(address []byte) (int, error) {
	text, err := bech32.ConvertAndEncode(c.Prefix+sdk.PrefixValidator+sdk.PrefixConsensus, address)
	if err != nil {
		return -1, err
	}
	return slices.IndexFunc(c.Nodes, func(n *localnet.Node) bool { return n.Consensus == text }), nil
}

// cometValidators is CometBFT's own validator set, by node; those that are jailed are nil.
func (c *chain) cometValidators(ctx context.Context) ([]*cmttypes.Validator, error) {
	set, err := c.Validators(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := make([]*cmttypes.Validator, len(c.Nodes))
	for _, v := range set {
		i, err := c.byConsensus(v.Address)
		if err != nil {
			return nil, err
		}
		if i < 0 {
			return nil, expect(c.id+": validators in CometBFT's set", "only those of the topology", "also "+v.Address.String())
		}
		out[i] = v
	}
	for i, v := range out {
		if in := v != nil; in == c.away[i] {
			return nil, expect(c.whose(i, "in CometBFT's validator set"), !c.away[i], in)
		}
	}
	return out, nil
}

// powers is the voting power of each validator in CometBFT's own set.
func (c *chain) powers(ctx context.Context) ([]int64, error) {
	set, err := c.cometValidators(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(set))
	for i, v := range set {
		if v != nil {
			out[i] = v.VotingPower
		}
	}
	return out, nil
}

// blockTime is the time of a block.
func (c *chain) blockTime(ctx context.Context, height int64) (time.Time, error) {
	res, err := c.RPC().Header(ctx, &height)
	if err != nil {
		return time.Time{}, fmt.Errorf("chain %s: block %d: %w", c.id, height, err)
	}
	return res.Header.Time, nil
}

// firstBlock finds the first block above low for which is says true, by halving.
// It must be true for all blocks from there on, and for high.
func firstBlock(low, high int64, is func(height int64) (bool, error)) (int64, error) {
	for low+1 < high {
		middle := low + (high-low)/2
		ok, err := is(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

// firstBlockAt finds the first block from a time on.
func (c *chain) firstBlockAt(ctx context.Context, t time.Time, low, high int64) (int64, error) {
	return firstBlock(low, high, func(height int64) (bool, error) {
		at, err := c.blockTime(ctx, height)
		return !at.Before(t), err
	})
}
