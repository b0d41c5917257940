package watchtower

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/math"

	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/crypto/hd"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	"github.com/cosmos/cosmos-sdk/types/query"
	authsigning "github.com/cosmos/cosmos-sdk/x/auth/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	txsigning "github.com/cosmos/cosmos-sdk/x/tx/signing"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtmath "github.com/cometbft/cometbft/libs/math"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	commitmenttypes "github.com/cosmos/ibc-go/v11/modules/core/23-commitment/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const fakeClientID = "07-tendermint-13"

// fakeApp is as much of a provider chain's application as a watchtower meets: accounts with signatures and sequences,
// an IBC client that verifies headers, x/provider's queries, and its judgement of proofs.
type fakeApp struct {
	chainID string
	enc     *encoding

	mu         sync.Mutex
	noProvider bool
	consumers  []providertypes.ConsumerInfo
	validators []providertypes.ConsumerValidatorInfo
	batches    []providertypes.BatchInfo
	client     ibctm.ClientState
	frozen     bool
	consensus  map[clienttypes.Height]*ibctm.ConsensusState
	now        time.Time

	number, sequence uint64
	mempool          []cmttypes.Tx
	refuseTx         *errorsmod.Error // by CheckTx
	loseTx           bool             // CheckTx says yes and forgets
	failTx           *errorsmod.Error // in the block, though not in the simulation
	judgement        *errorsmod.Error // what a proof meets, in simulation too

	checked  int // transactions taken or lost
	punished map[string]bool
	proofs   []sdk.Msg
	updates  int
}

// newFakeApp is a provider that knows a consumer: all its validators, the first of them staked to, and a block of it.
func newFakeApp(t *testing.T, chainID, prefix string, consumer *fakeChain, known int64) *fakeApp {
	t.Helper()
	enc, err := newEncoding(prefix)
	require.NoError(t, err)
	block := consumer.lightBlock(known)
	revision := clienttypes.ParseChainID(consumer.id)
	app := &fakeApp{
		chainID: chainID, enc: enc, now: block.Time, number: 71, sequence: 400_003, punished: make(map[string]bool),
		consumers: []providertypes.ConsumerInfo{
			{Consumer: providertypes.Consumer{
				Config: providertypes.ConsumerConfig{ClientId: "07-tendermint-5", ChainId: "juno-1"}, Status: providertypes.CONSUMER_STATUS_ACTIVE,
			}},
			{Consumer: providertypes.Consumer{
				Config: providertypes.ConsumerConfig{ClientId: fakeClientID, ChainId: consumer.id}, Status: providertypes.CONSUMER_STATUS_ACTIVE,
				Chains: []providertypes.ChainRecord{{ChainId: consumer.id, Revision: revision}},
			}},
		},
		client: ibctm.ClientState{
			ChainId: consumer.id, TrustLevel: ibctm.DefaultTrustLevel, TrustingPeriod: 10 * 24 * time.Hour,
			LatestHeight: clienttypes.NewHeight(revision, uint64(known)),
		},
		consensus: make(map[clienttypes.Height]*ibctm.ConsensusState),
	}
	app.trust(block.Header)
	for i, val := range block.ValidatorSet.Validators {
		info := providertypes.ConsumerValidatorInfo{
			Operator: fmt.Sprintf("axelarvaloper1%d", i), Tokens: math.ZeroInt(),
			Validator: providertypes.ConsumerValidator{Keys: []providertypes.KeyRecord{{
				Key: meshtypes.ConsensusKey{Type: val.PubKey.Type(), Key: val.PubKey.Bytes()},
			}}},
		}
		if i == 0 {
			info.Tokens = math.NewInt(5_000_000_017)
		}
		app.validators = append(app.validators, info)
	}
	return app
}

// trust stores a consensus state.
func (a *fakeApp) trust(header *cmttypes.Header) {
	height := clienttypes.NewHeight(clienttypes.ParseChainID(header.ChainID), uint64(header.Height))
	a.consensus[height] = &ibctm.ConsensusState{
		Timestamp: header.Time, Root: commitmenttypes.NewMerkleRoot(header.AppHash), NextValidatorsHash: header.NextValidatorsHash,
	}
}

// newKey makes a key in the keyring of a directory.
func (a *fakeApp) newKey(t *testing.T, dir, name string) string {
	t.Helper()
	kr, err := keyring.New(sdk.KeyringServiceName(), keyring.BackendTest, dir, nil, a.enc.codec)
	require.NoError(t, err)
	record, _, err := kr.NewMnemonic(name, keyring.English, sdk.FullFundraiserPath, "", hd.Secp256k1)
	require.NoError(t, err)
	address, err := record.GetAddress()
	require.NoError(t, err)
	text, err := a.enc.accounts.BytesToString(address)
	require.NoError(t, err)
	return text
}

func failure(err error) *abci.ResponseQuery {
	space, code, log := errorsmod.ABCIInfo(err, false)
	return &abci.ResponseQuery{Codespace: space, Code: code, Log: log}
}

func answer(value proto.Message) *abci.ResponseQuery {
	bz, err := proto.Marshal(value)
	if err != nil {
		return failure(err)
	}
	return &abci.ResponseQuery{Value: bz}
}

// page cuts a list as the SDK does, one entry at a time, so that every reader has to turn pages.
func page[T any](list []T, req *query.PageRequest) ([]T, *query.PageResponse) {
	i := 0
	if req != nil && len(req.Key) > 0 {
		i = int(req.Key[0])
	}
	if i >= len(list) {
		return nil, &query.PageResponse{}
	}
	res := &query.PageResponse{}
	if i+1 < len(list) {
		res.NextKey = []byte{byte(i + 1)}
	}
	return list[i : i+1], res
}

func decode[T any, P interface {
	*T
	proto.Message
}](data []byte) P {
	req := P(new(T))
	if err := proto.Unmarshal(data, req); err != nil {
		panic(err)
	}
	return req
}

func (a *fakeApp) query(path string, data []byte) *abci.ResponseQuery {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.noProvider && strings.Contains(path, "mesh.provider") {
		return failure(errorsmod.Wrap(sdkerrors.ErrUnknownRequest, "unknown query path"))
	}
	switch path {
	case "/cosmos.auth.v1beta1.Query/AccountInfo":
		req := decode[authtypes.QueryAccountInfoRequest](data)
		if _, err := a.enc.accounts.StringToBytes(req.Address); err != nil {
			return failure(sdkerrors.ErrInvalidAddress.Wrap(err.Error()))
		}
		return answer(&authtypes.QueryAccountInfoResponse{Info: &authtypes.BaseAccount{Address: req.Address, AccountNumber: a.number, Sequence: a.sequence}})
	case "/app/simulate":
		if err := a.simulate(data); err != nil {
			return failure(errorsmod.Wrap(err, "failed to simulate tx"))
		}
		bz, err := json.Marshal(map[string]any{"gas_info": map[string]string{"gas_wanted": "0", "gas_used": "123457"}, "result": map[string]any{}})
		if err != nil {
			return failure(err)
		}
		return &abci.ResponseQuery{Codespace: sdkerrors.RootCodespace, Value: bz}
	case "/mesh.provider.v1.Query/Consumers":
		list, res := page(a.consumers, decode[providertypes.QueryConsumersRequest](data).Pagination)
		return answer(&providertypes.QueryConsumersResponse{Consumers: list, Pagination: res})
	case "/mesh.provider.v1.Query/ConsumerValidators":
		req := decode[providertypes.QueryConsumerValidatorsRequest](data)
		if req.ConsumerId != fakeClientID {
			return failure(providertypes.ErrUnknownConsumer)
		}
		list, res := page(a.validators, req.Pagination)
		return answer(&providertypes.QueryConsumerValidatorsResponse{Validators: list, Pagination: res})
	case "/mesh.provider.v1.Query/Batches":
		list, res := page(a.batches, decode[providertypes.QueryBatchesRequest](data).Pagination)
		return answer(&providertypes.QueryBatchesResponse{Batches: list, Pagination: res})
	case "/ibc.core.client.v1.Query/ClientState":
		state, err := codectypes.NewAnyWithValue(&a.client)
		if err != nil {
			return failure(err)
		}
		return answer(&clienttypes.QueryClientStateResponse{ClientState: state})
	case "/ibc.core.client.v1.Query/ClientStatus":
		status := exported.Active
		if a.frozen {
			status = exported.Frozen
		}
		return answer(&clienttypes.QueryClientStatusResponse{Status: status.String()})
	case "/ibc.core.client.v1.Query/ConsensusState":
		req := decode[clienttypes.QueryConsensusStateRequest](data)
		stored, ok := a.consensus[clienttypes.NewHeight(req.RevisionNumber, req.RevisionHeight)]
		if !ok {
			return failure(clienttypes.ErrConsensusStateNotFound)
		}
		state, err := codectypes.NewAnyWithValue(stored)
		if err != nil {
			return failure(err)
		}
		return answer(&clienttypes.QueryConsensusStateResponse{ConsensusState: state})
	case "/ibc.core.client.v1.Query/ConsensusStateHeights":
		var heights []clienttypes.Height
		for h := range a.consensus {
			heights = append(heights, h)
		}
		slices.SortFunc(heights, func(x, y clienttypes.Height) int { return int(x.Compare(y)) })
		list, res := page(heights, decode[clienttypes.QueryConsensusStateHeightsRequest](data).Pagination)
		return answer(&clienttypes.QueryConsensusStateHeightsResponse{ConsensusStateHeights: list, Pagination: res})
	default:
		return failure(errorsmod.Wrapf(sdkerrors.ErrUnknownRequest, "unknown query path %s", path))
	}
}

func (a *fakeApp) simulate(bz []byte) error {
	decoded, err := a.enc.tx.TxDecoder()(bz)
	if err != nil {
		return err
	}
	_, err = a.apply(decoded.GetMsgs(), true)
	return err
}

// authenticate is the ante handler: prefix of the signer, sequence, signature, fee.
func (a *fakeApp) authenticate(bz []byte, sequence uint64) (authsigning.Tx, error) {
	decoded, err := a.enc.tx.TxDecoder()(bz)
	if err != nil {
		return nil, err
	}
	tx, ok := decoded.(authsigning.Tx)
	if !ok {
		return nil, fmt.Errorf("%T", decoded)
	}
	sigs, err := tx.GetSignaturesV2()
	if err != nil {
		return nil, err
	}
	signers, err := tx.GetSigners()
	if err != nil {
		return nil, err
	}
	if len(sigs) != 1 || len(signers) != 1 || !bytes.Equal(signers[0], sigs[0].PubKey.Address()) {
		return nil, sdkerrors.ErrUnauthorized.Wrap("signer")
	}
	if sigs[0].Sequence != sequence {
		return nil, sdkerrors.ErrWrongSequence.Wrapf("expected %d, got %d", sequence, sigs[0].Sequence)
	}
	// ceil(123457 × 1.5 gas × 0.03)
	if fee := tx.GetFee(); !fee.Equal(sdk.NewCoins(sdk.NewInt64Coin("uosmo", 5556))) || tx.GetGas() != 185185 {
		return nil, sdkerrors.ErrInsufficientFee.Wrapf("%s for %d", fee, tx.GetGas())
	}
	adaptable, ok := tx.(authsigning.V2AdaptableTx)
	if !ok {
		return nil, fmt.Errorf("%T", tx)
	}
	anyKey, err := codectypes.NewAnyWithValue(sigs[0].PubKey)
	if err != nil {
		return nil, err
	}
	data := txsigning.SignerData{ChainID: a.chainID, AccountNumber: a.number, Sequence: sequence, PubKey: anyPB(anyKey)}
	return tx, authsigning.VerifySignature(context.Background(), sigs[0].PubKey, data, sigs[0].Data, a.enc.tx.SignModeHandler(), adaptable.GetSigningTxData())
}

func (a *fakeApp) checkTx(bz cmttypes.Tx) (*coretypes.ResultBroadcastTx, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.authenticate(bz, a.sequence+uint64(len(a.mempool)))
	if err == nil && a.refuseTx != nil {
		err = a.refuseTx
	}
	if err != nil {
		space, code, log := errorsmod.ABCIInfo(err, false)
		return &coretypes.ResultBroadcastTx{Codespace: space, Code: code, Log: log, Hash: bz.Hash()}, nil
	}
	a.checked++
	if !a.loseTx {
		a.mempool = append(a.mempool, bz)
	}
	return &coretypes.ResultBroadcastTx{Hash: bz.Hash()}, nil
}

// execute takes what is in the mempool.
func (a *fakeApp) execute(height int64) ([]cmttypes.Tx, []*abci.ExecTxResult) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var txs []cmttypes.Tx
	var results []*abci.ExecTxResult
	for _, bz := range a.mempool {
		tx, err := a.authenticate(bz, a.sequence)
		if err == nil && tx.(interface{ GetTimeoutHeight() uint64 }).GetTimeoutHeight() < uint64(height) {
			continue
		}
		if err == nil {
			a.sequence++
			if err = a.failInBlock(); err == nil {
				_, err = a.apply(tx.GetMsgs(), false)
			}
		}
		result := &abci.ExecTxResult{}
		if err != nil {
			result.Codespace, result.Code, result.Log = errorsmod.ABCIInfo(err, false)
		}
		txs, results = append(txs, bz), append(results, result)
	}
	a.mempool = nil
	return txs, results
}

func (a *fakeApp) failInBlock() error {
	if a.failTx != nil {
		return a.failTx
	}
	return nil
}

// apply runs messages all or none.
func (a *fakeApp) apply(msgs []sdk.Msg, simulate bool) (proved int, err error) {
	before, consensus := a.client, make(map[clienttypes.Height]*ibctm.ConsensusState, len(a.consensus))
	for h, c := range a.consensus {
		consensus[h] = c
	}
	updates := 0
	var proofs []sdk.Msg
	for _, msg := range msgs {
		switch msg := msg.(type) {
		case *clienttypes.MsgUpdateClient:
			updates++
			err = a.update(msg)
		case *providertypes.MsgSubmitDoubleVote:
			proofs = append(proofs, msg)
			err = a.doubleVote(msg, simulate)
		case *providertypes.MsgSubmitMisbehaviour:
			proofs = append(proofs, msg)
			err = a.misbehaviour(msg, simulate)
		default:
			err = fmt.Errorf("%T", msg)
		}
		if err != nil {
			break
		}
	}
	if err != nil || simulate {
		a.client, a.consensus = before, consensus
		return 0, err
	}
	a.updates += updates
	a.proofs = append(a.proofs, proofs...)
	return len(proofs), nil
}

// convinced verifies a header as 07-tendermint does.
func (a *fakeApp) convinced(header *ibctm.Header) (*cmttypes.SignedHeader, error) {
	if err := header.ValidateBasic(); err != nil {
		return nil, err
	}
	state, ok := a.consensus[header.TrustedHeight]
	if !ok {
		return nil, clienttypes.ErrConsensusStateNotFound
	}
	trustedSet, err := cmttypes.ValidatorSetFromProto(header.TrustedValidators)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(trustedSet.Hash(), state.NextValidatorsHash) {
		return nil, ibctm.ErrInvalidValidatorSet
	}
	signed, err := cmttypes.SignedHeaderFromProto(header.SignedHeader)
	if err != nil {
		return nil, err
	}
	set, err := cmttypes.ValidatorSetFromProto(header.ValidatorSet)
	if err != nil {
		return nil, err
	}
	if err := set.VerifyCommitLight(signed.ChainID, signed.Commit.BlockID, signed.Height, signed.Commit); err != nil {
		return nil, err
	}
	return signed, trustedSet.VerifyCommitLightTrusting(signed.ChainID, signed.Commit, cmtmath.Fraction{Numerator: 1, Denominator: 3})
}

func (a *fakeApp) update(msg *clienttypes.MsgUpdateClient) error {
	if a.frozen {
		return clienttypes.ErrClientNotActive
	}
	decoded, err := clienttypes.UnpackClientMessage(msg.ClientMessage)
	if err != nil {
		return err
	}
	header, ok := decoded.(*ibctm.Header)
	if !ok || msg.ClientId != fakeClientID {
		return clienttypes.ErrInvalidClient
	}
	signed, err := a.convinced(header)
	if err != nil {
		return err
	}
	a.trust(signed.Header)
	if height, ok := header.GetHeight().(clienttypes.Height); ok && a.client.LatestHeight.LT(height) {
		a.client.LatestHeight = height
	}
	return nil
}

func (a *fakeApp) judge(consumerID string) error {
	switch {
	case a.judgement != nil:
		return a.judgement
	case consumerID != fakeClientID:
		return providertypes.ErrUnknownConsumer
	}
	return nil
}

func (a *fakeApp) punish(address []byte, simulate bool) error {
	if a.punished[string(address)] {
		return providertypes.ErrAlreadyPunished
	}
	if !simulate {
		a.punished[string(address)] = true
	}
	return nil
}

func (a *fakeApp) doubleVote(msg *providertypes.MsgSubmitDoubleVote, simulate bool) error {
	ev, err := cmttypes.DuplicateVoteEvidenceFromProto(msg.Evidence)
	if err != nil {
		return providertypes.ErrInvalidEvidence.Wrap(err.Error())
	}
	if err := a.judge(msg.ConsumerId); err != nil {
		return err
	}
	if a.client.LatestHeight.RevisionHeight < uint64(ev.VoteA.Height) {
		return providertypes.ErrEvidenceFuture
	}
	for _, info := range a.validators {
		for _, record := range info.Validator.Keys {
			if address, ok := record.Address(); !ok || !bytes.Equal(address, ev.VoteA.ValidatorAddress) {
				continue
			}
			for _, vote := range []*cmttypes.Vote{ev.VoteA, ev.VoteB} {
				if err := vote.Verify(msg.ChainId, edKey(record.Key.Key)); err != nil {
					return providertypes.ErrVoteSignature
				}
			}
			return a.punish(ev.VoteA.ValidatorAddress, simulate)
		}
	}
	return providertypes.ErrUnknownKey
}

func (a *fakeApp) misbehaviour(msg *providertypes.MsgSubmitMisbehaviour, simulate bool) error {
	m := msg.Misbehaviour
	if err := m.ValidateBasic(); err != nil {
		return providertypes.ErrInvalidMisbehaviour.Wrap(err.Error())
	}
	if err := a.judge(msg.ConsumerId); err != nil {
		return err
	}
	var signed [2]*cmttypes.SignedHeader
	for i, header := range []*ibctm.Header{m.Header1, m.Header2} {
		var err error
		if signed[i], err = a.convinced(header); err != nil {
			return providertypes.ErrInvalidMisbehaviour.Wrap(err.Error())
		}
	}
	if bytes.Equal(signed[0].Hash(), signed[1].Hash()) || signed[0].Height != signed[1].Height {
		return providertypes.ErrInvalidMisbehaviour
	}
	if !simulate {
		a.frozen = true
	}
	return a.punish(m.Header1.ValidatorSet.Validators[0].Address, simulate)
}

// counts returns what happened, for assertions.
func (a *fakeApp) counts() (proofs, updates, checked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.proofs), a.updates, a.checked
}

func (a *fakeApp) set(change func(*fakeApp)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}
