package watchtower

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/tx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	abci "github.com/cometbft/cometbft/abci/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// timeoutBlocks is how many blocks a transaction has to be included. After that it cannot be any more, and if it was
// not, another may be sent.
const timeoutBlocks = 40

// signedTx is a transaction that was not sent yet.
type signedTx struct {
	bytes   cmttypes.Tx
	hash    string
	gas     uint64
	from    int64 // it cannot be in a block at or below
	timeout int64 // or above
}

// sign simulates messages and signs a transaction with them. If the messages would fail, the error is a *chainError,
// and nothing was spent.
func (c *chain) sign(ctx context.Context, conn connection, msgs ...sdk.Msg) (*signedTx, error) {
	account, err := authtypes.NewQueryClient(conn.Context).AccountInfo(ctx, &authtypes.QueryAccountInfoRequest{Address: c.address})
	if err != nil {
		return nil, nodeError(fmt.Errorf("account %s: %w", c.address, err))
	}
	if account.Info == nil {
		return nil, fmt.Errorf("account %s: %w: empty answer", c.address, errNode)
	}
	out := &signedTx{from: conn.at.latest, timeout: conn.at.latest + timeoutBlocks}
	factory := tx.Factory{}.
		WithTxConfig(c.enc.tx).
		WithKeybase(c.keys).
		WithFromName(c.cfg.Key).
		WithChainID(c.cfg.ChainID).
		WithAccountNumber(account.Info.AccountNumber).
		WithSequence(account.Info.Sequence).
		WithGasPrices(c.cfg.GasPrice).
		WithGasAdjustment(c.cfg.GasAdjustment).
		WithSignMode(signing.SignMode_SIGN_MODE_DIRECT).
		WithTimeoutHeight(uint64(out.timeout)).
		WithSimulateAndExecute(true)
	if out.gas, err = c.simulate(ctx, conn, factory, msgs...); err != nil {
		return nil, err
	}
	factory = factory.WithGas(out.gas)
	builder, err := factory.BuildUnsignedTx(msgs...)
	if err != nil {
		return nil, err
	}
	// It looks up the signer's address with the global prefix, but direct signing does not use it.
	if err := tx.Sign(ctx, factory, c.cfg.Key, builder, true); err != nil {
		return nil, err
	}
	if out.bytes, err = c.enc.tx.TxEncoder()(builder.GetTx()); err != nil {
		return nil, err
	}
	out.hash = strings.ToUpper(hex.EncodeToString(out.bytes.Hash()))
	return out, nil
}

// simulate returns the gas to ask for. It uses the query that keeps the error's code, which the gRPC one loses.
func (c *chain) simulate(ctx context.Context, conn connection, factory tx.Factory, msgs ...sdk.Msg) (uint64, error) {
	bz, err := factory.BuildSimTx(msgs...)
	if err != nil {
		return 0, err
	}
	res, err := nonNil(conn.at.ABCIQuery(ctx, "/app/simulate", bz))
	if err != nil {
		return 0, err
	}
	if !res.Response.IsOK() {
		return 0, &chainError{codespace: res.Response.Codespace, code: res.Response.Code, log: res.Response.Log}
	}
	// Only the gas is of interest; the result may contain types of messages that we do not know.
	var sim struct {
		GasInfo struct {
			GasUsed string `json:"gas_used"`
		} `json:"gas_info"`
	}
	if err := json.Unmarshal(res.Response.Value, &sim); err != nil {
		return 0, fmt.Errorf("%w: simulation: %w", errNode, err)
	}
	used, err := strconv.ParseUint(sim.GasInfo.GasUsed, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: simulation: gas: %w", errNode, err)
	}
	return uint64(factory.GasAdjustment() * float64(used)), nil
}

// errUncertain is a broadcast after which the transaction may be in a mempool or not.
var errUncertain = errors.New("not known whether the transaction was taken")

// broadcast sends a transaction. A *chainError means that it was not taken.
func broadcast(ctx context.Context, at nodeStatus, bz cmttypes.Tx) error {
	res, err := at.BroadcastTxSync(ctx, bz)
	if err != nil {
		answer := client.CheckCometError(err, bz)
		switch {
		case answer == nil:
			return fmt.Errorf("%w: %w", errUncertain, err)
		case answer.Codespace == sdkerrors.ErrTxInMempoolCache.Codespace() && answer.Code == sdkerrors.ErrTxInMempoolCache.ABCICode():
			return nil
		}
		return &chainError{codespace: answer.Codespace, code: answer.Code, log: err.Error()}
	}
	if res == nil {
		return fmt.Errorf("%w: empty answer", errUncertain)
	}
	if res.Code != abci.CodeTypeOK {
		return &chainError{codespace: res.Codespace, code: res.Code, log: res.Log}
	}
	return nil
}

// included is a transaction in a block.
type included struct {
	height int64
	err    *chainError // nil if it succeeded
}

// find looks for a transaction in the blocks where it can be. It returns nil if it is in none that the node has.
func find(ctx context.Context, at nodeStatus, sub Submission) (*included, error) {
	hash, err := hex.DecodeString(sub.TxHash)
	if err != nil {
		return nil, err
	}
	res, err := nonNil(at.Tx(ctx, hash, false))
	switch {
	case err == nil:
		return newIncluded(res.Height, res.TxResult.Codespace, res.TxResult.Code, res.TxResult.Log), nil
	case !errors.Is(err, errMissing):
		return nil, err
	case strings.Contains(err.Error(), "not found"):
		return nil, nil
	}
	// The node has no index of transactions: look into the blocks.
	for height := max(sub.FromHeight+1, at.earliest); height <= min(sub.TimeoutHeight, at.latest); height++ {
		block, err := at.block(ctx, height)
		if err != nil {
			return nil, err
		}
		index := block.Block.Txs.IndexByHash(hash)
		if index < 0 {
			continue
		}
		results, err := nonNil(at.BlockResults(ctx, &height))
		if err != nil {
			return nil, err
		}
		if index >= len(results.TxsResults) || results.TxsResults[index] == nil {
			return nil, fmt.Errorf("%w: no result of transaction %d in block %d", errNode, index, height)
		}
		result := results.TxsResults[index]
		return newIncluded(height, result.Codespace, result.Code, result.Log), nil
	}
	return nil, nil
}

func newIncluded(height int64, codespace string, code uint32, log string) *included {
	out := &included{height: height}
	if code != abci.CodeTypeOK {
		out.err = &chainError{codespace: codespace, code: code, log: log}
	}
	return out
}
