package meshtest

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	errorsmod "cosmossdk.io/errors"

	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsign "github.com/cosmos/cosmos-sdk/x/auth/signing"

	abci "github.com/cometbft/cometbft/abci/types"
)

// txGas is the gas limit of every transaction: enough for the largest packet.
const txGas = 200_000_000

// Account is a named account of one chain.
type Account struct {
	Name  string
	Chain *Chain
	Key   cryptotypes.PrivKey

	address sdk.AccAddress
	text    string
	// queued counts the account's transactions in the mempool.
	queued uint64
}

func newAccount(c *Chain, name string) *Account {
	key := secp256k1.GenPrivKeyFromSecret([]byte(c.ChainID + "/" + name))
	address := sdk.AccAddress(key.PubKey().Address())
	return &Account{Name: name, Chain: c, Key: key, address: address, text: address.String()}
}

// Address returns the account's address.
func (a *Account) Address() sdk.AccAddress { return a.address }

// String returns the address as text.
func (a *Account) String() string { return a.text }

// Tx is a transaction in a mempool or, once its block is made, with its result.
type Tx struct {
	Signer *Account
	Msgs   []sdk.Msg
	// Result is nil until the block is made.
	Result *abci.ExecTxResult
	// Height is the block that holds it.
	Height int64

	bytes []byte
}

// Err returns the transaction's error, with its codespace and code, or nil.
func (tx *Tx) Err() error {
	if tx.Result == nil {
		return fmt.Errorf("transaction of %s is not in a block", tx.Signer.Name)
	}
	if tx.Result.Code == 0 {
		return nil
	}
	return &TxError{Codespace: tx.Result.Codespace, Code: tx.Result.Code, Log: tx.Result.Log}
}

// TxError is the error of a transaction as clients see it.
type TxError struct {
	Codespace string
	Code      uint32
	Log       string
}

// Error implements error.
func (e *TxError) Error() string { return fmt.Sprintf("%s/%d: %s", e.Codespace, e.Code, e.Log) }

// Is makes errors.Is compare codespace and code with those of a registered error.
func (e *TxError) Is(target error) bool {
	var registered *errorsmod.Error
	if !asRegistered(target, &registered) {
		return false
	}
	return registered.Codespace() == e.Codespace && registered.ABCICode() == e.Code
}

func asRegistered(err error, out **errorsmod.Error) bool {
	e, ok := err.(*errorsmod.Error) //nolint:errorlint // wrapped errors are not what Is is asked for
	*out = e
	return ok
}

// Queue signs msgs with the account and puts the transaction into the next block of its chain.
func (a *Account) Queue(msgs ...sdk.Msg) *Tx {
	c := a.Chain
	c.Helper()
	number, sequence := c.sequenceOf(a)
	bz := c.sign(a.Key, number, sequence+a.queued, msgs)
	a.queued++
	tx := &Tx{Signer: a, Msgs: msgs, bytes: bz}
	c.mempool = append(c.mempool, tx)
	return tx
}

// Try sends msgs in one transaction, makes a step and returns the transaction.
func (a *Account) Try(msgs ...sdk.Msg) *Tx {
	a.Chain.Helper()
	tx := a.Queue(msgs...)
	a.Chain.net.Step()
	return tx
}

// Send is Try, and fails the test unless the transaction succeeds.
func (a *Account) Send(msgs ...sdk.Msg) *Tx {
	a.Chain.Helper()
	tx := a.Try(msgs...)
	require.NoError(a.Chain, tx.Err(), "%s: %T", a.Name, msgs[0])
	return tx
}

// sign returns the bytes of a transaction without fees.
func (c *Chain) sign(key cryptotypes.PrivKey, accNum, seq uint64, msgs []sdk.Msg) []byte {
	c.Helper()
	txConfig := c.TxConfig
	mode, err := authsign.APISignModeToInternal(txConfig.SignModeHandler().DefaultMode())
	require.NoError(c, err)

	builder := txConfig.NewTxBuilder()
	require.NoError(c, builder.SetMsgs(msgs...))
	builder.SetGasLimit(txGas)
	sig := signing.SignatureV2{
		PubKey:   key.PubKey(),
		Data:     &signing.SingleSignatureData{SignMode: mode},
		Sequence: seq,
	}
	require.NoError(c, builder.SetSignatures(sig))
	bz, err := authsign.GetSignBytesAdapter(context.Background(), txConfig.SignModeHandler(), mode, authsign.SignerData{
		Address:       sdk.AccAddress(key.PubKey().Address()).String(),
		ChainID:       c.ChainID,
		AccountNumber: accNum,
		Sequence:      seq,
		PubKey:        key.PubKey(),
	}, builder.GetTx())
	require.NoError(c, err)
	signature, err := key.Sign(bz)
	require.NoError(c, err)
	sig.Data = &signing.SingleSignatureData{SignMode: mode, Signature: signature}
	require.NoError(c, builder.SetSignatures(sig))
	out, err := txConfig.TxEncoder()(builder.GetTx())
	require.NoError(c, err)
	return out
}

// NewAccount adds a named account that does not exist on the chain yet.
func (c *Chain) NewAccount(name string) *Account {
	a := newAccount(c, name)
	c.accounts[name] = a
	return a
}

// NewAddress adds a named account that has an address and no key, as those of contracts and modules.
func (c *Chain) NewAddress(name string, address sdk.AccAddress) *Account {
	a := &Account{Name: name, Chain: c, address: address, text: address.String()}
	c.accounts[name] = a
	return a
}
