package watchtower

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/types/query"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// pageSize is how many entries one query gives; maxPages bounds what a node may make us read.
const (
	pageSize = 500
	maxPages = 1000
)

// pages runs a paginated query to its end.
func pages(ctx context.Context, next func(context.Context, *query.PageRequest) (*query.PageResponse, error)) error {
	req := &query.PageRequest{Limit: pageSize}
	for range maxPages {
		res, err := next(ctx, req)
		if err != nil {
			return err
		}
		if res == nil || len(res.NextKey) == 0 {
			return nil
		}
		req = &query.PageRequest{Limit: pageSize, Key: res.NextKey}
	}
	return fmt.Errorf("%w: more than %d pages", errNode, maxPages)
}

// connection queries one node of a chain.
type connection struct {
	client.Context
	providertypes.QueryClient
	at nodeStatus
}

func (c *chain) connect(ctx context.Context, at nodeStatus) connection {
	clientCtx := client.Context{}.
		WithChainID(c.cfg.ChainID).
		WithClient(at.node).
		WithCodec(c.enc.codec).
		WithInterfaceRegistry(c.enc.registry).
		WithTxConfig(c.enc.tx).
		WithCmdContext(ctx)
	return connection{Context: clientCtx, QueryClient: providertypes.NewQueryClient(clientCtx), at: at}
}

// noModule reports whether a query failed because the chain has no such module.
func noModule(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "unknown query path") ||
		strings.Contains(err.Error(), "handler not found") || strings.Contains(err.Error(), "unknown service"))
}

// consumers are the client ids under which a chain is, or was under this chain id, a consumer that is not removed. It
// is empty on a chain that is no provider.
func (c connection) consumers(ctx context.Context, chainID string) ([]string, error) {
	var out []string
	err := pages(ctx, func(ctx context.Context, page *query.PageRequest) (*query.PageResponse, error) {
		res, err := c.Consumers(ctx, &providertypes.QueryConsumersRequest{Pagination: page})
		if err != nil {
			return nil, err
		}
		for _, info := range res.Consumers {
			if info.Consumer.Status == providertypes.CONSUMER_STATUS_REMOVED {
				continue
			}
			had := slices.ContainsFunc(info.Consumer.Chains, func(r providertypes.ChainRecord) bool { return r.ChainId == chainID })
			if had || info.Consumer.Config.ChainId == chainID {
				out = append(out, info.Consumer.Config.ClientId)
			}
		}
		return res.Pagination, nil
	})
	if noModule(err) {
		return nil, nil
	}
	return out, nodeError(err)
}

// backed returns the operators, bech32, of the offenders that have stake to lose: in an active pool or in a batch that
// has not matured.
func (c connection) backed(ctx context.Context, consumerID string, offenders [][]byte) ([]string, error) {
	var out, unstaked []string
	err := pages(ctx, func(ctx context.Context, page *query.PageRequest) (*query.PageResponse, error) {
		res, err := c.ConsumerValidators(ctx, &providertypes.QueryConsumerValidatorsRequest{ConsumerId: consumerID, Pagination: page})
		if err != nil {
			return nil, err
		}
		for _, info := range res.Validators {
			switch {
			case !hasKey(info.Validator.Keys, offenders):
			case info.Tokens.IsPositive():
				out = append(out, info.Operator)
			default:
				unstaked = append(unstaked, info.Operator)
			}
		}
		return res.Pagination, nil
	})
	if err != nil || len(unstaked) == 0 {
		return out, nodeError(err)
	}
	err = pages(ctx, func(ctx context.Context, page *query.PageRequest) (*query.PageResponse, error) {
		res, err := c.Batches(ctx, &providertypes.QueryBatchesRequest{ConsumerId: consumerID, Pagination: page})
		if err != nil {
			return nil, err
		}
		for _, info := range res.Batches {
			pool := info.Batch.Pool
			matured := pool.Batch != nil && pool.Batch.Matured
			if slices.Contains(unstaked, info.Batch.Operator) && pool.Tokens.IsPositive() && !matured &&
				!slices.Contains(out, info.Batch.Operator) {
				out = append(out, info.Batch.Operator)
			}
		}
		return res.Pagination, nil
	})
	return out, nodeError(err)
}

// hasKey reports whether one of the keys has one of the consensus addresses.
func hasKey(keys []providertypes.KeyRecord, addresses [][]byte) bool {
	return slices.ContainsFunc(keys, func(record providertypes.KeyRecord) bool {
		address, ok := record.Address()
		return ok && slices.ContainsFunc(addresses, func(offender []byte) bool { return bytes.Equal(address, offender) })
	})
}
