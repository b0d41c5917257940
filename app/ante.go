package app

import (
	"errors"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/auth/ante"

	ibcante "github.com/cosmos/ibc-go/v11/modules/core/ante"
	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"
)

// AnteOptions are the SDK's ante options and the keeper that recognises redundant relaying.
type AnteOptions struct {
	ante.HandlerOptions
	IBCKeeper *ibckeeper.Keeper
}

// NewAnteHandler returns the SDK's chain of decorators, in its order, and at the end the one of ibc-go that drops
// transactions in which every packet was already relayed: relayers race, and only one should pay.
func NewAnteHandler(options AnteOptions) (sdk.AnteHandler, error) {
	switch {
	case options.AccountKeeper == nil:
		return nil, errors.New("ante handler: account keeper is required")
	case options.BankKeeper == nil:
		return nil, errors.New("ante handler: bank keeper is required")
	case options.SignModeHandler == nil:
		return nil, errors.New("ante handler: sign mode handler is required")
	case options.IBCKeeper == nil:
		return nil, errors.New("ante handler: ibc keeper is required")
	}

	return sdk.ChainAnteDecorators(
		ante.NewSetUpContextDecorator(), // first: sets the gas meter and recovers from running out of gas
		ante.NewExtensionOptionsDecorator(options.ExtensionOptionChecker),
		ante.NewValidateBasicDecorator(),
		ante.NewTxTimeoutHeightDecorator(),
		ante.NewValidateMemoDecorator(options.AccountKeeper),
		ante.NewConsumeGasForTxSizeDecorator(options.AccountKeeper),
		ante.NewDeductFeeDecorator(options.AccountKeeper, options.BankKeeper, options.FeegrantKeeper, options.TxFeeChecker),
		ante.NewSetPubKeyDecorator(options.AccountKeeper), // before everything that verifies signatures
		ante.NewValidateSigCountDecorator(options.AccountKeeper),
		ante.NewSigGasConsumeDecorator(options.AccountKeeper, options.SigGasConsumer),
		ante.NewSigVerificationDecorator(options.AccountKeeper, options.SignModeHandler, options.SigVerifyOptions...),
		ante.NewIncrementSequenceDecorator(options.AccountKeeper),
		ibcante.NewRedundantRelayDecorator(options.IBCKeeper),
	), nil
}

func (app *App) setAnteHandler() error {
	handler, err := NewAnteHandler(AnteOptions{
		HandlerOptions: ante.HandlerOptions{
			AccountKeeper:   app.AccountKeeper,
			BankKeeper:      app.BankKeeper,
			FeegrantKeeper:  app.FeeGrantKeeper,
			SignModeHandler: app.encoding.TxConfig.SignModeHandler(),
			SigGasConsumer:  ante.DefaultSigVerificationGasConsumer,
		},
		IBCKeeper: app.IBCKeeper,
	})
	if err != nil {
		return err
	}
	app.SetAnteHandler(handler)
	return nil
}
