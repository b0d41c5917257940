package soak

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/internal/localnet"
)

// Accounts of the topology that relay.
const (
	courierAccount = "courier"
	flooderAccount = "flooder"
)

// relayerKilled is the relayer's absence.
func (s *soak) relayerKilled() action {
	return action{
		inject: func(context.Context) error {
			s.relayerBusy.Add(1)
			return s.net.KillRelayer()
		},
		observe: s.waiting,
		heal: func(context.Context) error {
			defer s.relayerBusy.Add(-1)
			return s.net.StartRelayer()
		},
		recovered: s.relaysAgain,
	}
}

// relaysAgain waits until the relayer has got something done: killed again and again before that, it would let the light
// clients expire.
func (s *soak) relaysAgain(ctx context.Context) (string, error) {
	began := time.Now()
	err := s.clientsFresh(ctx)
	return fmt.Sprintf("clients were young after %.0fs", time.Since(began).Seconds()), err
}

// youngClient is how old what a client knows may be before the relayer is taken
// away for a minute: less than is left of the trusting period then.
const youngClient = 25 * time.Second

// clientsFresh waits until the light clients on both chains know of young blocks.
func (s *soak) clientsFresh(ctx context.Context) error {
	return await(ctx, "light clients to be updated", recovery, func(ctx context.Context) error {
		for _, c := range s.chains {
			id := c.ids.ConsumerID
			res, err := clienttypes.NewQueryClient(c.Conn()).ConsensusState(ctx, &clienttypes.QueryConsensusStateRequest{ClientId: id, LatestHeight: true})
			if err != nil {
				return err
			}
			var state exported.ConsensusState
			if err := c.Codec().UnpackAny(res.ConsensusState, &state); err != nil {
				return err
			}
			tm, ok := state.(*ibctm.ConsensusState)
			if !ok {
				return fmt.Errorf("%s: client %s has a %T", c.ID, id, state)
			}
			if age := time.Since(tm.Timestamp); age > youngClient {
				return fmt.Errorf("%s: client %s was last updated %s ago", c.ID, id, age.Round(time.Second))
			}
		}
		return nil
	})
}

// twoRelayers lets a second relayer relay everything too.
func (s *soak) twoRelayers() action {
	sent := func(ctx context.Context) (sum uint64, err error) {
		for _, c := range s.chains {
			res, err := authtypes.NewQueryClient(c.Conn()).AccountInfo(ctx, &authtypes.QueryAccountInfoRequest{Address: c.Address(courierAccount)})
			if err != nil {
				return 0, err
			}
			sum += res.Info.Sequence
		}
		return sum, nil
	}
	return action{
		inject: func(context.Context) error { return s.courier.Start() },
		heal:   func(context.Context) error { return s.courier.Stop() },
		recovered: func(ctx context.Context) (string, error) {
			var before, after uint64
			// A chain may be halted just now.
			err := await(ctx, "the second relayer's account", recovery, func(ctx context.Context) (err error) {
				after, err = sent(ctx)
				return err
			})
			before, s.courierSent = s.courierSent, after
			return fmt.Sprintf("the second one sent %d transactions", after-before), err
		},
	}
}

// flood sends what was relayed before again and again, on both chains.
func (s *soak) flood() action {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var accepted, refused, lost int
	var why string
	stop := func() {}
	return action{
		inject: func(ctx context.Context) error {
			ctx, stop = context.WithCancel(ctx) //nolint:gosec // heal calls it
			for _, c := range s.chains {
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						err := c.relayAgain(ctx, i%2 == 0)
						var refusal *localnet.TxError
						mu.Lock()
						switch {
						case err == nil:
							accepted++
						case errors.As(err, &refusal):
							refused++
							why = fmt.Sprintf(", as by %s/%d", refusal.Codespace, refusal.Code)
							if panicked(refusal) { // IBC's own refusals are not all registered
								s.checkRefusal(refusal)
							}
						default:
							lost++
						}
						mu.Unlock()
						_ = pause(ctx, 500*time.Millisecond)
					}
				})
			}
			return nil
		},
		heal: func(context.Context) error {
			stop()
			wg.Wait()
			return nil
		},
		recovered: func(context.Context) (string, error) {
			return fmt.Sprintf("%d times %d old messages in blocks without effect, %d refused%s, %d lost", accepted, stalePackets, refused, why, lost), nil
		},
	}
}

// stalePackets is how many old messages go into one transaction.
const stalePackets = 20

// relayAgain sends old updates of clients and old packets of the latest relayed
// transactions in one of the flooder's. A payment keeps it from being dropped
// as redundant before it reaches a block. One update that is too old refuses all,
// so updates may be left out.
func (c *chain) relayAgain(ctx context.Context, updates bool) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	old, err := c.relayed(ctx, updates)
	if err != nil {
		return err
	}
	self := c.Address(flooderAccount)
	msgs := []sdk.Msg{&banktypes.MsgSend{FromAddress: self, ToAddress: self, Amount: sdk.NewCoins(c.Coin(1))}}
	_, err = c.TxWith(ctx, localnet.TxOptions{Gas: 8_000_000}, flooderAccount, append(msgs, old...)...)
	return err
}

// relayed are messages of relayers that the chain has executed, in the flooder's name.
func (c *chain) relayed(ctx context.Context, updates bool) ([]sdk.Msg, error) {
	page, perPage := 1, 5
	res, err := c.RPC().TxSearch(ctx, "message.action='"+sdk.MsgTypeURL(&channeltypes.MsgRecvPacket{})+"'", false, &page, &perPage, "desc")
	if err != nil {
		return nil, err
	}
	self := c.Address(flooderAccount)
	var out []sdk.Msg
	for _, found := range res.Txs {
		if found.TxResult.Code != 0 {
			continue
		}
		msgs, err := c.messages(found.Tx)
		if err != nil {
			return nil, err
		}
		for _, msg := range msgs {
			switch msg := msg.(type) {
			case *clienttypes.MsgUpdateClient:
				if !updates {
					continue
				}
				msg.Signer = self
			case *channeltypes.MsgRecvPacket:
				if msg.Packet.GetTimeoutTimestamp() < uint64(time.Now().UnixNano()) {
					continue // refused for being late, and all with it
				}
				msg.Signer = self
			default:
				continue
			}
			if out = append(out, msg); len(out) == stalePackets {
				return out, nil
			}
		}
	}
	return out, nil
}

// messages decodes a transaction.
func (c *chain) messages(bz []byte) ([]sdk.Msg, error) {
	var tx txtypes.Tx
	if err := c.Codec().Unmarshal(bz, &tx); err != nil {
		return nil, fmt.Errorf("chain %s: a transaction: %w", c.ID, err)
	}
	return tx.GetMsgs(), nil
}
