package localnet

import (
	"context"

	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	signingtypes "github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsigning "github.com/cosmos/cosmos-sdk/x/auth/signing"
)

// operatorOf is the operator address of an account.
func (e *encoding) operatorOf(account string) (string, error) {
	bz, err := e.accounts.StringToBytes(account)
	if err != nil {
		return "", err
	}
	return e.validators.BytesToString(bz)
}

type signRequest struct {
	key      cryptotypes.PrivKey
	chainID  string
	number   uint64
	sequence uint64
	msgs     []sdk.Msg
	gas      uint64
	fee      sdk.Coins
	memo     string
}

// sign builds and signs a transaction without any global state.
func (e *encoding) sign(r signRequest) (authsigning.Tx, error) {
	builder := e.tx.NewTxBuilder()
	if err := builder.SetMsgs(r.msgs...); err != nil {
		return nil, err
	}
	builder.SetGasLimit(r.gas)
	builder.SetFeeAmount(r.fee)
	builder.SetMemo(r.memo)

	const mode = signingtypes.SignMode_SIGN_MODE_DIRECT
	sig := signingtypes.SignatureV2{
		PubKey:   r.key.PubKey(),
		Data:     &signingtypes.SingleSignatureData{SignMode: mode},
		Sequence: r.sequence,
	}
	// The signer's public key and sequence are part of what is signed.
	if err := builder.SetSignatures(sig); err != nil {
		return nil, err
	}
	address, err := e.accounts.BytesToString(r.key.PubKey().Address())
	if err != nil {
		return nil, err
	}
	bz, err := authsigning.GetSignBytesAdapter(context.Background(), e.tx.SignModeHandler(), mode, authsigning.SignerData{
		Address:       address,
		ChainID:       r.chainID,
		AccountNumber: r.number,
		Sequence:      r.sequence,
		PubKey:        r.key.PubKey(),
	}, builder.GetTx())
	if err != nil {
		return nil, err
	}
	signature, err := r.key.Sign(bz)
	if err != nil {
		return nil, err
	}
	sig.Data = &signingtypes.SingleSignatureData{SignMode: mode, Signature: signature}
	if err := builder.SetSignatures(sig); err != nil {
		return nil, err
	}
	return builder.GetTx(), nil
}
