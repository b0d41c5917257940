package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// reportsPerEpoch bounds how many reports one provider is sent at the end of an epoch; the rest waits for the next one.
const reportsPerEpoch = 10

// sendDueReports sends the reports of an epoch once its plan has been executed.
func (k *Keeper) sendDueReports(ctx sdk.Context) error {
	epoch, err := k.Epoch.Get(ctx)
	if err != nil || !epoch.ReportDue {
		return err
	}
	if empty, err := k.planEmpty(ctx); err != nil || !empty {
		return err
	}
	epoch.ReportDue = false
	if err := k.Epoch.Set(ctx, epoch); err != nil {
		return err
	}
	return k.sendReports(ctx)
}

// sendReports sends every provider what it has not been told: one that cannot be reached holds up no other.
func (k *Keeper) sendReports(ctx sdk.Context) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	providers, err := k.allProviders(ctx)
	if err != nil {
		return err
	}
	cache := statusCache{}
	for _, p := range providers {
		if !p.IsOpen() || p.RetryAt.After(ctx.BlockTime()) {
			continue
		}
		if err := k.reportTo(ctx, params, p, cache); err != nil {
			if err := k.reportFailed(ctx, params, p.Config.ProviderId, 0, err.Error()); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportTo sends one provider its dirty validators in chunks, the first with the entries of its slash log that it has not
// acknowledged; or a report without validators if there are such entries, its limits have changed or it has never answered. As long as the provider's half of the session is not known nothing would be accepted, so nothing but
// an empty report is sent.
func (k *Keeper) reportTo(ctx sdk.Context, params types.Params, p types.Provider, cache statusCache) error {
	own, err := k.staking.UnbondingTime(ctx)
	if err != nil {
		return err
	}
	report := meshtypes.ConsumerReport{
		Session:         p.Session,
		FirstIndex:      p.FirstIndex,
		UnbondingPeriod: uint64(max(own, 0)),
		FreshnessLimit:  uint64(FreshnessLimit(params, own, p.UnbondingPeriod)),
	}
	var dirty [][]byte
	if p.Session.Provider != 0 {
		if dirty, err = k.waiting(ctx, p.Config.ProviderId, reportsPerEpoch*meshtypes.MaxReports); err != nil {
			return err
		}
	}
	if p.Session.Provider != 0 {
		if report.Slashes, err = k.slashTail(ctx, p); err != nil {
			return err
		}
	}
	news := len(report.Slashes) > 0 || report.UnbondingPeriod != uint64(p.ReportedUnbonding) || report.FreshnessLimit != uint64(p.ReportedFreshness)
	if len(dirty) == 0 && (!news || p.ReportInFlight != 0) {
		return nil
	}
	for first := true; first || len(dirty) > 0; first = false {
		chunk := dirty[:min(len(dirty), meshtypes.MaxReports)]
		dirty = dirty[len(chunk):]
		var sent types.Provider
		_, err := isolated(ctx, blockGas, func(ctx sdk.Context) error {
			var err error
			sent, err = k.sendReport(ctx, params, p, report, chunk, cache)
			return err
		})
		if err != nil {
			return err
		}
		p, report.Slashes = sent, nil
	}
	return nil
}

// waiting lists the provider's dirty validators that no report in flight carries.
func (k *Keeper) waiting(ctx context.Context, providerID string, limit int) (vals [][]byte, err error) {
	err = k.Dirty.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](providerID),
		func(key stakeKey, state types.DirtyValidator) (bool, error) {
			if state.InFlight == 0 {
				vals = append(vals, key.K2())
			}
			return len(vals) >= limit, nil
		})
	return vals, err
}

// sendReport sends one report and notes it in flight.
func (k *Keeper) sendReport(
	ctx sdk.Context, params types.Params, p types.Provider, report meshtypes.ConsumerReport, vals [][]byte, cache statusCache,
) (types.Provider, error) {
	p.LastSeq++
	report.Seq = p.LastSeq
	report.Validators = make([]meshtypes.ValidatorReport, 0, len(vals))
	// Once for all validators: each conversion copies it to the heap.
	var goCtx context.Context = ctx
	for _, val := range vals {
		key := collections.Join(p.Config.ProviderId, val)
		entry, ok, err := k.validatorReport(goCtx, p.Config.ProviderId, val, cache)
		if err != nil {
			return p, err
		}
		if !ok {
			if err := k.Dirty.Remove(goCtx, key); err != nil {
				return p, err
			}
			continue
		}
		report.Validators = append(report.Validators, entry)
		if err := k.Dirty.Set(goCtx, key, types.DirtyValidator{InFlight: report.Seq}); err != nil {
			return p, err
		}
	}
	if err := report.Validate(); err != nil {
		return p, err
	}
	bz, err := report.Marshal()
	if err != nil {
		return p, err
	}
	if err := k.send(ctx, params, p, bz); err != nil {
		return p, err
	}
	p.ReportInFlight = report.Seq
	if err := k.setProvider(ctx, p); err != nil {
		return p, err
	}
	k.emit(ctx, &types.EventReportSent{
		ProviderId: p.Config.ProviderId, Seq: report.Seq, Validators: uint32(len(report.Validators)), Slashes: uint32(len(report.Slashes)),
	})
	return p, nil
}

// sendV1 hands a packet to IBC v1.
func (k *Keeper) sendV1(ctx sdk.Context, params types.Params, channelID string, bz []byte) error {
	if k.sender == nil {
		return types.ErrNotConnected
	}
	timeout := uint64(ctx.BlockTime().Add(params.PacketTimeout).UnixNano())
	_, err := k.sender.SendPacket(ctx, types.ModuleName, channelID, clienttypes.ZeroHeight(), timeout, bz)
	return err
}

// statusCache holds what a validator's report to each provider has in common, while reports are built.
type statusCache map[string]meshtypes.ValidatorReport

// validatorReport returns the absolute state of one validator for one provider; false if it is in no registry.
func (k *Keeper) validatorReport(
	ctx context.Context, providerID string, val []byte, cache statusCache,
) (meshtypes.ValidatorReport, bool, error) {
	report, ok := cache[string(val)]
	if !ok {
		state, err := k.Validators.Get(ctx, val)
		if errors.Is(err, collections.ErrNotFound) {
			return report, false, nil
		}
		if err != nil {
			return report, false, err
		}
		status, err := k.validatorStatus(ctx, val, state)
		if err != nil {
			return report, false, err
		}
		report = meshtypes.ValidatorReport{
			Operator: val, Status: status, ConsensusKey: state.ConsensusKey, KeyHeight: state.KeyHeight,
		}
		cache[string(val)] = report
	}
	rec, _, err := k.getStake(ctx, providerID, val)
	if err != nil {
		return report, false, err
	}
	report.ExecutedSeq, report.ExecutedHeight = rec.ExecutedSeq, rec.ExecutedHeight
	return report, true, nil
}

// reportDelivered takes the validators of an acknowledged report off the provider's list, unless they have changed
// since.
func (k *Keeper) reportDelivered(ctx sdk.Context, p types.Provider, report meshtypes.ConsumerReport) error {
	for _, v := range report.Validators {
		key := collections.Join(p.Config.ProviderId, v.Operator)
		state, err := k.Dirty.Get(ctx, key)
		if errors.Is(err, collections.ErrNotFound) || (err == nil && state.InFlight != report.Seq) {
			continue
		}
		if err != nil {
			return err
		}
		if err := k.Dirty.Remove(ctx, key); err != nil {
			return err
		}
	}
	p.Retries, p.RetryAt = 0, time.Time{}
	if p.ReportInFlight == report.Seq {
		p.ReportInFlight = 0
		p.ReportedUnbonding = time.Duration(report.UnbondingPeriod)
		p.ReportedFreshness = time.Duration(report.FreshnessLimit)
	}
	if err := k.setProvider(ctx, p); err != nil {
		return err
	}
	k.emit(ctx, &types.EventReportAcknowledged{ProviderId: p.Config.ProviderId, Seq: report.Seq})
	return nil
}

// reportLost lists the validators of a report that was not accepted again, to be sent at doubling intervals.
func (k *Keeper) reportLost(ctx sdk.Context, p types.Provider, report meshtypes.ConsumerReport, reason string) error {
	params, err := k.Params.Get(ctx)
	if err != nil {
		return err
	}
	for _, v := range report.Validators {
		key := collections.Join(p.Config.ProviderId, v.Operator)
		state, err := k.Dirty.Get(ctx, key)
		if errors.Is(err, collections.ErrNotFound) || (err == nil && state.InFlight != report.Seq) {
			continue
		}
		if err != nil {
			return err
		}
		if err := k.Dirty.Set(ctx, key, types.DirtyValidator{}); err != nil {
			return err
		}
	}
	return k.reportFailed(ctx, params, p.Config.ProviderId, report.Seq, reason)
}

// reportFailed notes a failure: the next report goes out after a delay that doubles each time, from one epoch to a day.
func (k *Keeper) reportFailed(ctx sdk.Context, params types.Params, providerID string, seq uint64, reason string) error {
	p, err := k.GetProvider(ctx, providerID)
	if err != nil {
		return err
	}
	if seq != 0 && p.ReportInFlight == seq {
		p.ReportInFlight = 0
	}
	if !p.RetryAt.After(ctx.BlockTime()) { // the chunks of one epoch fail together
		p.RetryAt = ctx.BlockTime().Add(RetryDelay(params.EpochDuration, p.Retries))
		if p.Retries < maxRetries {
			p.Retries++
		}
	}
	k.Logger(ctx).Info("report failed", "provider", providerID, "seq", seq, "reason", reason)
	k.emit(ctx, &types.EventReportFailed{ProviderId: providerID, Seq: seq, Reason: reason})
	return k.setProvider(ctx, p)
}

// maxRetries is where the count of failures stops: the delay is at its longest long before.
const maxRetries = 62

// RetryDelay returns how long to wait after a failure that follows so many others: one epoch, doubled each time, at most
// a day, but never less than an epoch that is longer.
func RetryDelay(epoch time.Duration, before uint32) time.Duration {
	longest := max(types.MaxRetryDelay, epoch)
	delay := epoch
	for range min(before, maxRetries) {
		if delay >= longest/2 {
			return longest
		}
		delay *= 2
	}
	return min(delay, longest)
}

// unsend counts all reports in flight to a provider as not sent.
func (k *Keeper) unsend(ctx context.Context, providerID string) error {
	var keys []stakeKey
	err := k.Dirty.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](providerID),
		func(key stakeKey, state types.DirtyValidator) (bool, error) {
			if state.InFlight != 0 {
				keys = append(keys, key)
			}
			return false, nil
		})
	if err != nil {
		return fmt.Errorf("reports in flight: %w", err)
	}
	for _, key := range keys {
		if err := k.Dirty.Set(ctx, key, types.DirtyValidator{}); err != nil {
			return err
		}
	}
	return nil
}
