package soak

import (
	"context"
	"fmt"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/localnet"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// leave takes everything home: all cross-stake at once with all native stake.
func (s *soak) leave(ctx context.Context) error {
	began := time.Now()
	err := each(ctx, s.chains, func(ctx context.Context, c *chain) error {
		return each(ctx, delegators, func(ctx context.Context, who string) error { return c.goHome(ctx, who) })
	})
	if err != nil {
		return err
	}
	s.checked("everybody left both chains with everything in %.0fs", time.Since(began).Seconds())
	return nil
}

// goHome lets a delegator take back everything and waits until it is paid out.
func (c *chain) goHome(ctx context.Context, who string) error {
	address := c.Address(who)
	// Twice the unbonding time is the longest that stake may be locked.
	return localnet.WaitFor(ctx, who+" to leave "+c.ID, 2*c.Unbonding+agreement, func(ctx context.Context) (bool, string, error) {
		ctx, cancel := context.WithTimeout(ctx, answer)
		defer cancel()
		msgs, err := c.leaving(ctx, address)
		if err != nil {
			return false, "", err
		}
		if len(msgs) > 0 {
			_, err := c.Tx(ctx, who, msgs...)
			c.soak.count("leave", err)
			return false, "leaving", err
		}
		claims, err := providertypes.NewQueryClient(c.Conn()).Unbonding(ctx, &providertypes.QueryUnbondingRequest{Delegator: address, Pagination: page})
		if err != nil {
			return false, "", err
		}
		entries, err := c.unbondings(ctx, address)
		if err != nil {
			return false, "", err
		}
		return len(claims.Claims)+len(entries) == 0, fmt.Sprintf("%d claims and %d entries unbond", len(claims.Claims), len(entries)), nil
	})
}

// leaving is what a delegator sends to leave with what it has now.
func (c *chain) leaving(ctx context.Context, address string) ([]sdk.Msg, error) {
	var out []sdk.Msg
	positions, err := c.positions(ctx, address)
	if err != nil {
		return nil, err
	}
	for _, p := range positions {
		out = append(out, &providertypes.MsgCrossUnstake{Delegator: address, ConsumerId: p.ConsumerId, Validator: p.Operator, Amount: sdk.NewCoin(c.Denom, p.Value)})
	}
	held, err := c.delegations(ctx, address)
	if err != nil {
		return nil, err
	}
	for _, d := range held {
		out = append(out, &stakingtypes.MsgUndelegate{DelegatorAddress: address, ValidatorAddress: d.Delegation.ValidatorAddress, Amount: d.Balance})
	}
	return out, nil
}
