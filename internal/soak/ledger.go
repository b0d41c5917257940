package soak

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	abci "github.com/cometbft/cometbft/abci/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// ledger is what the blocks of a chain say that the delegators have done, added
// up here: the chain's own modules are asked about nothing.
type ledger struct {
	denom string
	// height is the last block read.
	height int64
	// accounts are the delegators, by address.
	accounts map[string]*account
	// slashes are the validators slashed, which nobody should be.
	slashes []string
	// packets counts what became of packets, by the event's type.
	packets map[string]int
}

// account is what a delegator should have.
type account struct {
	// in and out are payments in the chain's own denom, rewards and fees among
	// them. Staking is none: what is staked stays the delegator's.
	in, out math.Int
	// cross is cross-stake by consumer's validator, automatic what the module took
	// of it by itself.
	cross     map[string]math.Int
	automatic math.Int
}

func newLedger(denom string, addresses ...string) *ledger {
	l := &ledger{denom: denom, accounts: map[string]*account{}, packets: map[string]int{}}
	for _, a := range addresses {
		l.accounts[a] = &account{in: math.ZeroInt(), out: math.ZeroInt(), automatic: math.ZeroInt(), cross: map[string]math.Int{}}
	}
	return l
}

// move changes a delegator's cross-stake with a validator.
func (a *account) move(validator string, by math.Int) {
	if a.cross[validator].IsNil() {
		a.cross[validator] = math.ZeroInt()
	}
	a.cross[validator] = a.cross[validator].Add(by)
}

// read adds the blocks up to a height, as a node tells them that has them all.
func (l *ledger) read(ctx context.Context, c *chain, upTo int64) error {
	rpc := c.nodes[0].RPC()
	for height := l.height + 1; height <= upTo; height++ {
		block, err := rpc.Block(ctx, &height)
		if err != nil {
			return fmt.Errorf("chain %s: block %d: %w", c.ID, height, err)
		}
		results, err := rpc.BlockResults(ctx, &height)
		if err != nil {
			return fmt.Errorf("chain %s: results of block %d: %w", c.ID, height, err)
		}
		for i, tx := range results.TxsResults {
			if err := l.events(tx.Events); err != nil {
				return err
			}
			if tx.Code != 0 {
				continue
			}
			msgs, err := c.messages(block.Block.Txs[i])
			if err != nil {
				return err
			}
			for _, msg := range msgs {
				l.message(msg)
			}
		}
		if err := l.events(results.FinalizeBlockEvents); err != nil {
			return err
		}
		l.height = height
	}
	return nil
}

// message adds what a delegator did.
func (l *ledger) message(msg sdk.Msg) {
	switch m := msg.(type) {
	case *providertypes.MsgCrossStake:
		if a := l.accounts[m.Delegator]; a != nil {
			a.move(m.Validator, m.Amount.Amount)
		}
	case *providertypes.MsgCrossUnstake:
		if a := l.accounts[m.Delegator]; a != nil {
			a.move(m.Validator, m.Amount.Amount.Neg())
		}
	case *providertypes.MsgCrossRedelegate:
		if a := l.accounts[m.Delegator]; a != nil {
			a.move(m.From, m.Amount.Amount.Neg())
			a.move(m.To, m.Amount.Amount)
		}
	}
}

var (
	eventUnstake = sdk.MsgTypeURL(&providertypes.EventCrossUnstake{})[1:]
	eventShrunk  = sdk.MsgTypeURL(&providertypes.EventPositionShrunk{})[1:]
)

// events adds payments, and what the module took without being asked.
func (l *ledger) events(events []abci.Event) error {
	for _, e := range events {
		switch e.Type {
		case banktypes.EventTypeTransfer:
			coins, err := sdk.ParseCoinsNormalized(attribute(e, sdk.AttributeKeyAmount))
			if err != nil {
				return err
			}
			amount := coins.AmountOf(l.denom)
			if a := l.accounts[attribute(e, banktypes.AttributeKeyRecipient)]; a != nil {
				a.in = a.in.Add(amount)
			}
			if a := l.accounts[attribute(e, banktypes.AttributeKeySender)]; a != nil {
				a.out = a.out.Add(amount)
			}
		case eventUnstake, eventShrunk:
			a := l.accounts[attribute(e, "delegator")]
			if a == nil || e.Type == eventUnstake && attribute(e, "automatic") != "true" {
				continue
			}
			amount, ok := math.NewIntFromString(attribute(e, "amount"))
			if !ok {
				return fmt.Errorf("event %s has the amount %q", e.Type, attribute(e, "amount"))
			}
			a.move(attribute(e, "validator"), amount.Neg())
			a.automatic = a.automatic.Add(amount)
		case slashingtypes.EventTypeSlash:
			l.slashes = append(l.slashes, attribute(e, slashingtypes.AttributeKeyAddress)+" for "+attribute(e, slashingtypes.AttributeKeyReason))
		case channeltypes.EventTypeSendPacket, channeltypes.EventTypeRecvPacket, channeltypes.EventTypeAcknowledgePacket, channeltypes.EventTypeTimeoutPacket:
			l.packets[e.Type]++
		}
	}
	return nil
}

// attribute is an attribute's value; typed events have it as JSON.
func attribute(e abci.Event, key string) string {
	for _, a := range e.Attributes {
		if a.Key == key {
			return strings.Trim(a.Value, `"`)
		}
	}
	return ""
}

// wealth is what a delegator has of the chain's own token.
type wealth struct{ liquid, staked, unbonding math.Int }

// due compares what a delegator has with what it began with and what was paid
// since: nothing may be lost, and nothing come from nowhere.
func (a *account) due(start math.Int, w wealth) error {
	want := start.Add(a.in).Sub(a.out)
	have := w.liquid.Add(w.staked).Add(w.unbonding)
	if want.Equal(have) {
		return nil
	}
	return fmt.Errorf("has %s liquid, %s staked and %s unbonding, %s in all; began with %s, was paid %s and paid %s: %s are %s",
		w.liquid, w.staked, w.unbonding, have, start, a.in, a.out, want.Sub(have).Abs(), missingOrTooMany(want.GT(have)))
}

func missingOrTooMany(missing bool) string {
	if missing {
		return "missing"
	}
	return "too many"
}

// holds compares positions with what the delegator has staked and taken back.
func (a *account) holds(positions map[string]math.Int) error {
	return equalAmounts("cross-stake", nonZero(a.cross), "positions", nonZero(positions))
}

// staked is all delegators' cross-stake by validator.
func (l *ledger) staked() map[string]math.Int {
	out := map[string]math.Int{}
	for _, a := range l.accounts {
		for v, amount := range a.cross {
			add(out, v, amount)
		}
	}
	return nonZero(out)
}

func add(to map[string]math.Int, key string, amount math.Int) {
	if to[key].IsNil() {
		to[key] = math.ZeroInt()
	}
	to[key] = to[key].Add(amount)
}

func nonZero(amounts map[string]math.Int) map[string]math.Int {
	out := maps.Clone(amounts)
	maps.DeleteFunc(out, func(_ string, a math.Int) bool { return a.IsZero() })
	return out
}

// equalAmounts compares two lists of amounts and names the first that differs.
func equalAmounts(what string, want map[string]math.Int, other string, have map[string]math.Int) error {
	keys := slices.Sorted(maps.Keys(want))
	for k := range have {
		if _, ok := want[k]; !ok {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		w, h := orZero(want[k]), orZero(have[k])
		if !w.Equal(h) {
			return fmt.Errorf("%s: %s %s, but %s %s", k, what, w, other, h)
		}
	}
	return nil
}

func orZero(amount math.Int) math.Int {
	if amount.IsNil() {
		return math.ZeroInt()
	}
	return amount
}

// soundSupply compares a chain's supply with the one it began with: nothing is
// minted but virtual stake, and nothing burned.
func soundSupply(start, bank, virtual math.Int) error {
	if bank.Sub(virtual).Equal(start) {
		return nil
	}
	return fmt.Errorf("the supply is %s, %s of it virtual stake; it was %s in the beginning: %s are %s",
		bank, virtual, start, bank.Sub(virtual).Sub(start).Abs(), missingOrTooMany(bank.Sub(virtual).LT(start)))
}
