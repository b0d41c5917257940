// Command meshd-hostile is meshd for validators who collude against their chain's allies: as a consumer it claims slashes
// that never happened, as a provider stake that it has not got. All of them must run it. For the demo and tests only.
package main

import (
	"fmt"
	"os"

	dbm "github.com/cosmos/cosmos-db"

	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/cmd/meshd/cmd"
	"github.com/mesh-security/mesh/internal/hostile"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func main() {
	if err := cmd.ExecuteFor(os.Args[1:], newApp); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// newApp is app.New with lies at the end of blocks, before reports are sent.
func newApp(
	logger log.Logger, db dbm.DB, loadLatest bool, appOpts servertypes.AppOptions, options ...func(*baseapp.BaseApp),
) *app.App {
	chain := app.New(logger, db, false, appOpts, options...) // loading seals it
	chain.SetEndBlocker(func(ctx sdk.Context) (sdk.EndBlock, error) {
		if err := lie(ctx, chain); err != nil {
			return sdk.EndBlock{}, err
		}
		return chain.EndBlocker(ctx)
	})
	chain.Mesh.Provider.SetPacketSender(boaster{chain})
	if loadLatest {
		if err := chain.LoadLatestVersion(); err != nil {
			panic(err)
		}
	}
	return chain
}

// boaster sends the provider's packets with more stake in them than there is.
type boaster struct{ chain *app.App }

// SendPacket implements providertypes.PacketSender.
func (b boaster) SendPacket(
	ctx sdk.Context, port, channel string, height clienttypes.Height, timestamp uint64, data []byte,
) (uint64, error) {
	denom, err := b.chain.StakingKeeper.BondDenom(ctx)
	if err != nil {
		return 0, err
	}
	if b.chain.BankKeeper.GetBalance(ctx, hostile.BoastAccount(), denom).Amount.ModRaw(2).IsPositive() {
		update, err := meshtypes.UnmarshalStakeUpdate(data)
		if err != nil {
			return 0, err
		}
		for i := range update.Stakes {
			update.Stakes[i].Amount = update.Stakes[i].Amount.MulRaw(hostile.BoastFactor)
		}
		if data, err = update.Marshal(); err != nil {
			return 0, err
		}
	}
	return b.chain.IBCKeeper.ChannelKeeper.SendPacket(ctx, port, channel, height, timestamp, data)
}

// lie writes slashes that were paid for into the slash logs, and gives the money to the community.
func lie(ctx sdk.Context, chain *app.App) error {
	denom, err := chain.StakingKeeper.BondDenom(ctx)
	if err != nil {
		return err
	}
	validators, err := chain.StakingKeeper.GetBondedValidatorsByPower(ctx)
	if err != nil {
		return err
	}
	for _, validator := range validators {
		operator, err := chain.StakingKeeper.ValidatorAddressCodec().StringToBytes(validator.OperatorAddress)
		if err != nil {
			return err
		}
		account := hostile.Account(operator)
		paid := chain.BankKeeper.GetBalance(ctx, account, denom)
		if !paid.IsPositive() {
			continue
		}
		if err := chain.DistrKeeper.FundCommunityPool(ctx, sdk.NewCoins(paid), account); err != nil {
			return err
		}
		fraction := sdkmath.LegacyMinDec(sdkmath.LegacyNewDecFromInt(paid.Amount).QuoInt64(hostile.LieUnit), sdkmath.LegacyOneDec())
		err = chain.Mesh.Consumer.LogSlash(ctx, consumertypes.SlashNote{
			Validator: operator, Kind: meshtypes.SLASH_KIND_DOWNTIME, Infraction: ctx.BlockHeight() - 1,
			Nominal: fraction, Effective: fraction, Burned: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
