package app

import (
	"encoding/json"
	"errors"
	"fmt"

	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
)

// ExportAppStateAndValidators returns the state as a genesis for a chain that goes on at the next height, or for
// one that starts anew at height zero. For zero height jailAllowed, if not empty, names the validators that are
// not to be jailed. Nothing is written to the stores.
func (app *App) ExportAppStateAndValidators(
	forZeroHeight bool, jailAllowed, modulesToExport []string,
) (servertypes.ExportedApp, error) {
	ctx, err := app.lastBlockContext()
	if err != nil {
		return servertypes.ExportedApp{}, err
	}

	height := app.LastBlockHeight() + 1
	if forZeroHeight {
		height = 0
		if err := app.prepareForZeroHeight(ctx, jailAllowed); err != nil {
			return servertypes.ExportedApp{}, fmt.Errorf("prepare for zero height: %w", err)
		}
	}

	state, err := app.ModuleManager.ExportGenesisForModules(ctx, app.encoding.Codec, modulesToExport)
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	appState, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	validators, err := staking.WriteValidators(ctx, app.StakingKeeper)
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	return servertypes.ExportedApp{
		AppState:        appState,
		Validators:      validators,
		Height:          height,
		ConsensusParams: app.GetConsensusParams(ctx),
	}, nil
}

// lastBlockContext returns a context at the height and, where the chain keeps it, the time of the last block. The
// time matters: validators that the export jails begin unbonding at it.
func (app *App) lastBlockContext() (sdk.Context, error) {
	header := cmtproto.Header{Height: app.LastBlockHeight()}
	ctx := app.NewContextLegacy(true, header)
	info, err := app.StakingKeeper.GetHistoricalInfo(ctx, header.Height)
	if errors.Is(err, stakingtypes.ErrNoHistoricalInfo) {
		return ctx, nil
	}
	return ctx.WithBlockTime(info.Header.Time), err
}

// prepareForZeroHeight pays out and resets everything that refers to heights of the old chain.
func (app *App) prepareForZeroHeight(ctx sdk.Context, jailAllowed []string) error {
	if err := app.resetDistribution(ctx); err != nil {
		return fmt.Errorf("distribution: %w", err)
	}
	if err := app.resetStaking(ctx, jailAllowed); err != nil {
		return fmt.Errorf("staking: %w", err)
	}
	if err := app.resetSlashing(ctx); err != nil {
		return fmt.Errorf("slashing: %w", err)
	}
	if err := app.Mesh.PrepareForZeroHeight(ctx); err != nil {
		return fmt.Errorf("mesh: %w", err)
	}
	return nil
}

// resetDistribution withdraws all rewards and starts the reward periods of all delegations again at height zero.
func (app *App) resetDistribution(ctx sdk.Context) error {
	validators, err := app.StakingKeeper.GetAllValidators(ctx)
	if err != nil {
		return err
	}
	delegations, err := app.StakingKeeper.GetAllDelegations(ctx)
	if err != nil {
		return err
	}

	valAddrs := make([]sdk.ValAddress, len(validators))
	for i, validator := range validators {
		if valAddrs[i], err = validatorCodec().StringToBytes(validator.GetOperator()); err != nil {
			return err
		}
		_, err := app.DistrKeeper.WithdrawValidatorCommission(ctx, valAddrs[i])
		if err != nil && !errors.Is(err, distrtypes.ErrNoValidatorCommission) {
			return err
		}
	}
	for _, d := range delegations {
		delAddr, valAddr, err := delegationAddresses(d)
		if err != nil {
			return err
		}
		if _, err := app.DistrKeeper.WithdrawDelegationRewards(ctx, delAddr, valAddr); err != nil {
			return err
		}
	}

	app.DistrKeeper.DeleteAllValidatorSlashEvents(ctx)
	app.DistrKeeper.DeleteAllValidatorHistoricalRewards(ctx)

	genesisCtx := ctx.WithBlockHeight(0)
	for _, valAddr := range valAddrs {
		if err := app.donateOutstandingRewards(ctx, valAddr); err != nil {
			return err
		}
		if err := app.DistrKeeper.Hooks().AfterValidatorCreated(genesisCtx, valAddr); err != nil {
			return err
		}
	}
	for _, d := range delegations {
		delAddr, valAddr, err := delegationAddresses(d)
		if err != nil {
			return err
		}
		if err := app.DistrKeeper.Hooks().BeforeDelegationCreated(genesisCtx, delAddr, valAddr); err != nil {
			return err
		}
		if err := app.DistrKeeper.Hooks().AfterDelegationModified(genesisCtx, delAddr, valAddr); err != nil {
			return err
		}
	}
	return nil
}

// donateOutstandingRewards gives the fractions of a validator's rewards that cannot be paid to the community pool.
func (app *App) donateOutstandingRewards(ctx sdk.Context, valAddr sdk.ValAddress) error {
	scraps, err := app.DistrKeeper.GetValidatorOutstandingRewardsCoins(ctx, valAddr)
	if err != nil {
		return err
	}
	pool, err := app.DistrKeeper.FeePool.Get(ctx)
	if err != nil {
		return err
	}
	pool.CommunityPool = pool.CommunityPool.Add(scraps...)
	return app.DistrKeeper.FeePool.Set(ctx, pool)
}

// resetStaking sets all heights to zero and jails the validators that are not allowed to stay.
func (app *App) resetStaking(ctx sdk.Context, jailAllowed []string) error {
	allowed := make(map[string]bool, len(jailAllowed))
	for _, operator := range jailAllowed {
		if _, err := validatorCodec().StringToBytes(operator); err != nil {
			return fmt.Errorf("allowed validator %q: %w", operator, err)
		}
		allowed[operator] = true
	}

	// The store is not written while it is iterated.
	var (
		redelegations []stakingtypes.Redelegation
		unbondings    []stakingtypes.UnbondingDelegation
	)
	err := app.StakingKeeper.IterateRedelegations(ctx, func(_ int64, r stakingtypes.Redelegation) bool {
		redelegations = append(redelegations, r)
		return false
	})
	if err != nil {
		return err
	}
	err = app.StakingKeeper.IterateUnbondingDelegations(ctx, func(_ int64, u stakingtypes.UnbondingDelegation) bool {
		unbondings = append(unbondings, u)
		return false
	})
	if err != nil {
		return err
	}
	for _, r := range redelegations {
		for i := range r.Entries {
			r.Entries[i].CreationHeight = 0
		}
		if err := app.StakingKeeper.SetRedelegation(ctx, r); err != nil {
			return err
		}
	}
	for _, u := range unbondings {
		for i := range u.Entries {
			u.Entries[i].CreationHeight = 0
		}
		if err := app.StakingKeeper.SetUnbondingDelegation(ctx, u); err != nil {
			return err
		}
	}

	validators, err := app.StakingKeeper.GetAllValidators(ctx)
	if err != nil {
		return err
	}
	for _, validator := range validators {
		validator.UnbondingHeight = 0
		if len(allowed) > 0 && !allowed[validator.GetOperator()] && !validator.Jailed {
			if err := app.StakingKeeper.DeleteValidatorByPowerIndex(ctx, validator); err != nil {
				return err
			}
			validator.Jailed = true
		}
		if err := app.StakingKeeper.SetValidator(ctx, validator); err != nil {
			return err
		}
	}
	_, err = app.StakingKeeper.ApplyAndReturnValidatorSetUpdates(ctx)
	return err
}

// resetSlashing starts every validator's window of signed blocks at height zero.
func (app *App) resetSlashing(ctx sdk.Context) error {
	infos := map[string]slashingtypes.ValidatorSigningInfo{}
	err := app.SlashingKeeper.IterateValidatorSigningInfos(ctx,
		func(consAddr sdk.ConsAddress, info slashingtypes.ValidatorSigningInfo) bool {
			infos[string(consAddr)] = info
			return false
		})
	if err != nil {
		return err
	}
	for consAddr, info := range infos {
		info.StartHeight = 0
		if err := app.SlashingKeeper.SetValidatorSigningInfo(ctx, sdk.ConsAddress(consAddr), info); err != nil {
			return err
		}
	}
	return nil
}

func delegationAddresses(d stakingtypes.Delegation) (sdk.AccAddress, sdk.ValAddress, error) {
	delAddr, err := accountCodec().StringToBytes(d.DelegatorAddress)
	if err != nil {
		return nil, nil, err
	}
	valAddr, err := validatorCodec().StringToBytes(d.ValidatorAddress)
	if err != nil {
		return nil, nil, err
	}
	return delAddr, valAddr, nil
}
