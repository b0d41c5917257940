package localnet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
)

// TxError is a transaction that the chain refused, before or in a block.
type TxError struct {
	Chain     string
	Hash      string
	Height    int64 // 0 if it never came into a block
	Codespace string
	Code      uint32
	Log       string
}

func (e *TxError) Error() string {
	where := "refused"
	if e.Height > 0 {
		where = fmt.Sprintf("failed at height %d", e.Height)
	}
	return fmt.Sprintf("chain %s: transaction %s %s with code %d of %s: %s", e.Chain, e.Hash, where, e.Code, e.Codespace, e.Log)
}

// Is makes errors.Is work with the errors that modules register.
func (e *TxError) Is(target error) bool {
	var registered *errorsmod.Error
	if !errors.As(target, &registered) {
		return false
	}
	return registered.Codespace() == e.Codespace && registered.ABCICode() == e.Code
}

// TxOptions change how a transaction is made.
type TxOptions struct {
	// Gas is the gas limit; 0 means half more than a simulation used.
	Gas  uint64
	Memo string
}

const (
	fallbackGas   = 1_000_000
	gasAdjustment = 1.5
)

// Tx signs messages with a named account's key, sends them, and waits until
// they are in a block. A transaction that fails is a *TxError.
func (c *Chain) Tx(ctx context.Context, from string, msgs ...sdk.Msg) (*sdk.TxResponse, error) {
	return c.TxWith(ctx, TxOptions{}, from, msgs...)
}

// TxWith is Tx with options.
func (c *Chain) TxWith(ctx context.Context, opts TxOptions, from string, msgs ...sdk.Msg) (*sdk.TxResponse, error) {
	account, err := c.account(from)
	if err != nil {
		return nil, err
	}
	key, err := privKey(account.Mnemonic)
	if err != nil {
		return nil, err
	}
	// One at a time per signer: the next needs the sequence this one leaves.
	lock := c.signerLock(from)
	lock.Lock()
	defer lock.Unlock()

	conn := c.Conn()
	service := txtypes.NewServiceClient(conn)
	fail := func(what string, err error) error {
		return fmt.Errorf("chain %s: %s by %s: %s: %w", c.ID, msgNames(msgs), from, what, err)
	}
	info, err := authtypes.NewQueryClient(conn).AccountInfo(ctx, &authtypes.QueryAccountInfoRequest{Address: account.Address})
	if err != nil {
		return nil, fail("account", err)
	}
	req := signRequest{
		key: key, chainID: c.ID, number: info.Info.AccountNumber, sequence: info.Info.Sequence,
		msgs: msgs, gas: opts.Gas, memo: opts.Memo,
	}
	encode := func() ([]byte, error) {
		req.fee = c.fee(req.gas)
		tx, err := c.enc.sign(req)
		if err != nil {
			return nil, err
		}
		return c.enc.tx.TxEncoder()(tx)
	}
	if req.gas == 0 {
		// The fee counts: paying it takes gas.
		req.gas = fallbackGas
		bz, err := encode()
		if err != nil {
			return nil, fail("sign", err)
		}
		// A message that fails here fails in the block too, where it gets its
		// code: so simulation only decides about gas.
		if sim, err := service.Simulate(ctx, &txtypes.SimulateRequest{TxBytes: bz}); err == nil {
			req.gas = uint64(float64(sim.GasInfo.GasUsed) * gasAdjustment)
		}
	}
	bz, err := encode()
	if err != nil {
		return nil, fail("sign", err)
	}
	sent, err := service.BroadcastTx(ctx, &txtypes.BroadcastTxRequest{TxBytes: bz, Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
	if err != nil {
		return nil, fail("broadcast", err)
	}
	if err := c.txError(sent.TxResponse); err != nil {
		return sent.TxResponse, err
	}
	got, err := c.included(ctx, sent.TxResponse.TxHash)
	if err != nil {
		return nil, fail("inclusion", err)
	}
	return got, c.txError(got)
}

// included waits until a transaction is in a block.
func (c *Chain) included(ctx context.Context, hash string) (*sdk.TxResponse, error) {
	service := txtypes.NewServiceClient(c.Conn())
	var got *sdk.TxResponse
	err := WaitFor(ctx, fmt.Sprintf("transaction %s on %s", hash, c.ID), c.patience(5), func(ctx context.Context) (bool, string, error) {
		res, err := service.GetTx(ctx, &txtypes.GetTxRequest{Hash: hash})
		if status.Code(err) == codes.NotFound {
			return false, "not in a block", nil
		}
		if err != nil {
			return false, "", err
		}
		got = res.TxResponse
		return true, "", nil
	})
	return got, err
}

// CLITx runs `meshd tx …` in the name of an account, and waits until the
// transaction is in a block. One that fails is a *TxError.
func (c *Chain) CLITx(ctx context.Context, from string, args ...string) (*sdk.TxResponse, error) {
	lock := c.signerLock(from)
	lock.Lock()
	defer lock.Unlock()
	out, err := c.CLI(ctx, append(append([]string{"tx"}, args...), "--from", from, "--yes", "--output", "json")...)
	if err != nil {
		return nil, err
	}
	var sent sdk.TxResponse
	if err := c.enc.codec.UnmarshalJSON(out, &sent); err != nil {
		return nil, fmt.Errorf("chain %s: tx %s: %w", c.ID, strings.Join(args, " "), err)
	}
	if err := c.txError(&sent); err != nil {
		return &sent, err
	}
	got, err := c.included(ctx, sent.TxHash)
	if err != nil {
		return nil, fmt.Errorf("chain %s: tx %s: %w", c.ID, strings.Join(args, " "), err)
	}
	return got, c.txError(got)
}

func (c *Chain) signerLock(name string) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signers[name] == nil {
		c.signers[name] = new(sync.Mutex)
	}
	return c.signers[name]
}

// fee is the smallest fee the chain's nodes accept for an amount of gas.
func (c *Chain) fee(gas uint64) sdk.Coins {
	amount := c.MinGasPrice.MulInt(math.NewIntFromUint64(gas)).Ceil().TruncateInt()
	return sdk.NewCoins(sdk.NewCoin(c.Denom, amount))
}

func (c *Chain) txError(res *sdk.TxResponse) error {
	if res.Code == 0 {
		return nil
	}
	return &TxError{Chain: c.ID, Hash: res.TxHash, Height: res.Height, Codespace: res.Codespace, Code: res.Code, Log: res.RawLog}
}

func msgNames(msgs []sdk.Msg) string {
	names := make([]string, len(msgs))
	for i, m := range msgs {
		url := sdk.MsgTypeURL(m)
		names[i] = url[strings.LastIndex(url, ".")+1:]
	}
	return strings.Join(names, ", ")
}
