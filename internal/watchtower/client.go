package watchtower

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cosmos/cosmos-sdk/types/query"

	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"
)

const (
	// maxUpdates bounds the headers of one transaction.
	maxUpdates = 16
	// maxTrusted bounds the consensus states that are tried as a root of trust for misbehaviour.
	maxTrusted = 20
)

// lightClient is a provider's IBC client of a consumer.
type lightClient struct {
	id     string
	state  *ibctm.ClientState
	status exported.Status
}

func (c lightClient) latest() int64 { return int64(c.state.LatestHeight.RevisionHeight) }

// behind reports whether the client has to be updated to know a height of the revision of chainID.
func (c lightClient) behind(chainID string, height int64) bool {
	return c.state.LatestHeight.LT(clienttypes.NewHeight(clienttypes.ParseChainID(chainID), uint64(height)))
}

// client reads an IBC client.
func (c connection) client(ctx context.Context, clientID string) (lightClient, error) {
	q := clienttypes.NewQueryClient(c.Context)
	res, err := q.ClientState(ctx, &clienttypes.QueryClientStateRequest{ClientId: clientID})
	if err != nil {
		return lightClient{}, nodeError(err)
	}
	state, err := clienttypes.UnpackClientState(res.ClientState)
	if err != nil {
		return lightClient{}, nodeError(err)
	}
	tm, ok := state.(*ibctm.ClientState)
	if !ok {
		return lightClient{}, fmt.Errorf("client %s is a %T", clientID, state)
	}
	status, err := q.ClientStatus(ctx, &clienttypes.QueryClientStatusRequest{ClientId: clientID})
	if err != nil {
		return lightClient{}, nodeError(err)
	}
	return lightClient{id: clientID, state: tm, status: exported.Status(status.Status)}, nil
}

func (c connection) consensusState(ctx context.Context, clientID string, height clienttypes.Height) (*ibctm.ConsensusState, error) {
	res, err := clienttypes.NewQueryClient(c.Context).ConsensusState(ctx, &clienttypes.QueryConsensusStateRequest{
		ClientId: clientID, RevisionNumber: height.RevisionNumber, RevisionHeight: height.RevisionHeight,
	})
	if err != nil {
		return nil, nodeError(err)
	}
	state, err := clienttypes.UnpackConsensusState(res.ConsensusState)
	if err != nil {
		return nil, nodeError(err)
	}
	tm, ok := state.(*ibctm.ConsensusState)
	if !ok {
		return nil, fmt.Errorf("consensus state of client %s is a %T", clientID, state)
	}
	return tm, nil
}

// trusted is what a client believes at a height, with the validators it expects next.
type trusted struct {
	height     int64
	validators *cmttypes.ValidatorSet
}

// accepts reports whether a client that trusts t would be convinced by a block's signatures.
func (t trusted) accepts(client lightClient, chainID string, block *cmttypes.LightBlock) bool {
	if block.Height == t.height+1 {
		return bytes.Equal(block.ValidatorsHash, t.validators.Hash())
	}
	return t.validators.VerifyCommitLightTrusting(chainID, block.Commit, client.state.TrustLevel.ToTendermint()) == nil
}

// header makes an IBC header of a block, to be verified from t.
func (t trusted) header(chainID string, block *cmttypes.LightBlock) (*ibctm.Header, error) {
	signed := block.SignedHeader.ToProto()
	set, err := block.ValidatorSet.ToProto()
	if err != nil {
		return nil, err
	}
	trustedSet, err := t.validators.ToProto()
	if err != nil {
		return nil, err
	}
	return &ibctm.Header{
		SignedHeader: signed, ValidatorSet: set,
		TrustedHeight:     clienttypes.NewHeight(clienttypes.ParseChainID(chainID), uint64(t.height)),
		TrustedValidators: trustedSet,
	}, nil
}

// updates are the headers that bring a client to a height: one, or more if the validators changed too much in between.
func (c connection) updates(ctx context.Context, client lightClient, consumer *nodes, target int64) ([]*ibctm.Header, error) {
	at := client.state.LatestHeight
	if revision := clienttypes.ParseChainID(consumer.chainID); at.RevisionNumber != revision {
		return nil, fmt.Errorf("client %s is at revision %d, the chain at %d", client.id, at.RevisionNumber, revision)
	}
	state, err := c.consensusState(ctx, client.id, at)
	if err != nil {
		return nil, err
	}
	root := trusted{height: client.latest()}
	if root.validators, err = consumer.validators(ctx, root.height+1, state.NextValidatorsHash); err != nil {
		return nil, fmt.Errorf("validators that client %s trusts: %w", client.id, err)
	}
	var out []*ibctm.Header
	goals := []int64{target} // the last one is next
	for len(goals) > 0 {
		if len(out)+len(goals) > maxUpdates {
			return nil, fmt.Errorf("client %s needs more than %d headers to get from %d to %d", client.id, maxUpdates, client.latest(), target)
		}
		goal := goals[len(goals)-1]
		block, err := consumer.lightBlock(ctx, goal)
		if err != nil {
			return nil, err
		}
		if !root.accepts(client, consumer.chainID, block) {
			middle := root.height + (goal-root.height)/2
			if middle <= root.height {
				return nil, fmt.Errorf("header %d does not follow from what client %s trusts at %d", goal, client.id, root.height)
			}
			goals = append(goals, middle)
			continue
		}
		header, err := root.header(consumer.chainID, block)
		if err != nil {
			return nil, err
		}
		out = append(out, header)
		goals = goals[:len(goals)-1]
		if len(goals) > 0 {
			root = trusted{height: goal}
			if root.validators, err = consumer.validators(ctx, goal+1, block.NextValidatorsHash); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// misbehaviour makes the proof that x/provider verifies: two headers, each from a consensus state the client still has
// and trusts.
func (c connection) misbehaviour(
	ctx context.Context, client lightClient, consumer *nodes, ev *Evidence, now time.Time,
) (*ibctm.Misbehaviour, error) {
	heights, err := c.trustedHeights(ctx, client, ev)
	if err != nil {
		return nil, err
	}
	headers := make([]*ibctm.Header, 2)
	var errs []error
	for _, height := range heights {
		state, err := c.consensusState(ctx, client.id, height)
		if err != nil {
			return nil, err
		}
		if now.Sub(state.Timestamp) >= client.state.TrustingPeriod {
			continue
		}
		root := trusted{height: int64(height.RevisionHeight)}
		if root.validators, err = consumer.validators(ctx, root.height+1, state.NextValidatorsHash); err != nil {
			errs = append(errs, err)
			continue
		}
		for i, block := range ev.Headers {
			if headers[i] != nil || root.validators.VerifyCommitLightTrusting(
				consumer.chainID, block.Commit, client.state.TrustLevel.ToTendermint()) != nil {
				continue
			}
			if headers[i], err = root.header(consumer.chainID, block); err != nil {
				return nil, err
			}
		}
		if headers[0] != nil && headers[1] != nil {
			return ibctm.NewMisbehaviour(client.id, headers[0], headers[1]), nil
		}
	}
	return nil, errors.Join(append(errs, fmt.Errorf(
		"client %s has no trusted state below height %d from which both headers follow", client.id, ev.Height))...)
}

// trustedHeights are the client's consensus states below the headers, the best first: the highest on which both
// headers' chains agree, then the others from above.
func (c connection) trustedHeights(ctx context.Context, client lightClient, ev *Evidence) ([]clienttypes.Height, error) {
	var out []clienttypes.Height
	err := pages(ctx, func(ctx context.Context, page *query.PageRequest) (*query.PageResponse, error) {
		res, err := clienttypes.NewQueryClient(c.Context).ConsensusStateHeights(ctx, &clienttypes.QueryConsensusStateHeightsRequest{
			ClientId: client.id, Pagination: page,
		})
		if err != nil {
			return nil, err
		}
		for _, height := range res.ConsensusStateHeights {
			if height.RevisionNumber == clienttypes.ParseChainID(ev.ChainID) && int64(height.RevisionHeight) < ev.Height {
				out = append(out, height)
			}
		}
		return res.Pagination, nil
	})
	if err != nil {
		return nil, nodeError(err)
	}
	slices.SortFunc(out, func(a, b clienttypes.Height) int {
		commonA, commonB := int64(a.RevisionHeight) <= ev.CommonHeight, int64(b.RevisionHeight) <= ev.CommonHeight
		if commonA != commonB {
			if commonA {
				return -1
			}
			return 1
		}
		return int(b.Compare(a))
	})
	return out[:min(len(out), maxTrusted)], nil
}

// updatesToLatest updates to the newest block whose commit is final, if that is above a height that could not be used.
func (c connection) updatesToLatest(
	ctx context.Context, client lightClient, consumer *nodes, above int64, because error,
) ([]*ibctm.Header, error) {
	up, err := consumer.poll(ctx)
	if err != nil {
		return nil, errors.Join(because, err)
	}
	latest := int64(0)
	for _, at := range up {
		latest = max(latest, at.latest-1)
	}
	if latest <= above {
		return nil, because
	}
	headers, err := c.updates(ctx, client, consumer, latest)
	if err != nil {
		return nil, errors.Join(because, err)
	}
	return headers, nil
}
