package soak

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cosmossdk.io/math"

	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/localnet"
)

// accounted adds up on both chains what everybody has, at one height each, and
// runs the modules' own invariants on every node.
func (s *soak) accounted(ctx context.Context) error {
	if err := each(ctx, s.chains, func(ctx context.Context, c *chain) error { return c.conserves(ctx) }); err != nil {
		return err
	}
	return s.invariants(ctx)
}

// conserves checks that no token of the chain is lost or came from nowhere.
func (c *chain) conserves(ctx context.Context) error {
	// The first node keeps all blocks, and all states.
	c.nodes[0].SetAside(false)
	head, err := c.Height(ctx)
	if err != nil {
		return err
	}
	var addresses []string
	for _, who := range delegators {
		addresses = append(addresses, c.Address(who))
	}
	book := newLedger(c.Denom, addresses...)
	if err := book.read(ctx, c, head); err != nil {
		return err
	}
	now := localnet.AtHeight(ctx, head)
	for _, slash := range book.slashes {
		c.soak.problem("%s: somebody was slashed: %s", c.ID, slash)
	}
	automatic := math.ZeroInt()
	for _, who := range delegators {
		address := c.Address(who)
		start, err := c.balance(localnet.AtHeight(ctx, 1), address)
		if err != nil {
			return err
		}
		w, err := c.wealth(now, address)
		if err != nil {
			return err
		}
		if err := book.accounts[address].due(start, w); err != nil {
			c.soak.problem("%s: %s %v", c.ID, who, err)
		}
		held, err := c.positions(now, address)
		if err != nil {
			return err
		}
		positions := map[string]math.Int{}
		for _, p := range held {
			add(positions, p.Operator, p.Value)
		}
		if err := book.accounts[address].holds(positions); err != nil {
			c.soak.problem("%s: %s: %v", c.ID, who, err)
		}
		automatic = automatic.Add(book.accounts[address].automatic)
	}
	pools, err := c.pools(now)
	if err != nil {
		return err
	}
	if err := equalAmounts("all cross-stake", book.staked(), "pool", nonZero(pools)); err != nil {
		c.soak.problem("%s: %v", c.ID, err)
	}
	if err := c.supply(ctx, head); err != nil {
		return err
	}
	c.soak.checked("%s at %d: %d delegators have to the unit what they began with and were paid, %s still cross-staked (%s taken back by the module); packets: %s",
		c.ID, head, len(delegators), sumOf(pools), automatic, counts(book.packets))
	if c.soak.madeFault(AwayRelayer) && book.packets[channeltypes.EventTypeTimeoutPacket] == 0 {
		c.soak.note("%s: no packet timed out although the relayer was away", c.ID)
	}
	return nil
}

func counts(by map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%s %d", k, by[k]))
	}
	return strings.Join(out, ", ")
}

func sumOf(amounts map[string]math.Int) math.Int {
	sum := math.ZeroInt()
	for _, a := range amounts {
		sum = sum.Add(a)
	}
	return sum
}

func (s *soak) madeFault(kind Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.report.Faults, func(f FaultReport) bool { return f.Kind == kind })
}

func (c *chain) balance(ctx context.Context, address string) (math.Int, error) {
	return c.Balance(ctx, address, c.Denom)
}

// wealth is what an account has, at the height that the context names.
func (c *chain) wealth(ctx context.Context, address string) (wealth, error) {
	w := wealth{staked: math.ZeroInt(), unbonding: math.ZeroInt()}
	var err error
	if w.liquid, err = c.balance(ctx, address); err != nil {
		return w, err
	}
	held, err := c.delegations(ctx, address)
	if err != nil {
		return w, err
	}
	for _, d := range held {
		w.staked = w.staked.Add(d.Balance.Amount)
	}
	leaving, err := c.unbondings(ctx, address)
	if err != nil {
		return w, err
	}
	for _, u := range leaving {
		for _, e := range u.Entries {
			w.unbonding = w.unbonding.Add(e.Balance)
		}
	}
	return w, nil
}

// supply compares the chain's supply with that of its first block.
func (c *chain) supply(ctx context.Context, height int64) error {
	supply := func(ctx context.Context) (math.Int, error) {
		res, err := banktypes.NewQueryClient(c.Conn()).SupplyOf(ctx, &banktypes.QuerySupplyOfRequest{Denom: c.Denom})
		if err != nil {
			return math.Int{}, err
		}
		return res.Amount.Amount, nil
	}
	start, err := supply(localnet.AtHeight(ctx, 1))
	if err != nil {
		return err
	}
	bank, err := supply(localnet.AtHeight(ctx, height))
	if err != nil {
		return err
	}
	stakes, err := c.partner.stakes(localnet.AtHeight(ctx, height))
	if err != nil {
		return err
	}
	virtual := math.ZeroInt()
	for _, info := range stakes {
		virtual = virtual.Add(info.Current)
	}
	if err := soundSupply(start, bank, virtual); err != nil {
		c.soak.problem("%s: %v", c.ID, err)
	}
	c.soak.mu.Lock()
	defer c.soak.mu.Unlock()
	for i := range c.soak.report.Chains {
		if r := &c.soak.report.Chains[i]; r.ChainID == c.ID {
			r.Supply = bank.Sub(virtual).String() + c.Denom
		}
	}
	return nil
}
