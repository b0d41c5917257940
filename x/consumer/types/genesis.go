package types

import (
	"fmt"
	"time"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// DefaultGenesis returns a state without providers. Its first epoch begins with the first block.
func DefaultGenesis() *GenesisState { return &GenesisState{Params: DefaultParams()} }

// Validate returns an error unless the state is consistent in itself.
func (gs GenesisState) Validate() error {
	if err := gs.Params.Validate(); err != nil {
		return err
	}
	providers := map[string]*uint32{}
	channels, chains := map[string]bool{}, map[string]bool{}
	var live []ProviderConfig
	for _, p := range gs.Providers {
		id := p.Config.ProviderId
		if err := p.validate(); err != nil {
			return errorsmod.Wrapf(err, "provider %q", id)
		}
		if providers[id] != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "provider %q twice", id)
		}
		providers[id] = new(uint32)
		if p.ChannelId != "" && p.Config.UsesV2() {
			return errorsmod.Wrapf(ErrInvalidGenesis, "provider %q has a channel and IBC v2", id)
		}
		if p.ChannelId != "" {
			if channels[p.ChannelId] {
				return errorsmod.Wrapf(ErrInvalidGenesis, "channel %q twice", p.ChannelId)
			}
			channels[p.ChannelId] = true
		}
		if p.Status != PROVIDER_STATUS_REMOVED {
			if chains[p.Config.ChainId] {
				return errorsmod.Wrapf(ErrInvalidGenesis, "chain %q twice", p.Config.ChainId)
			}
			chains[p.Config.ChainId] = true
			live = append(live, p.Config)
		}
	}
	if err := ValidateTogether(live, third); err != nil {
		return err
	}

	seen := map[string]bool{}
	once := func(kind string, keys ...any) error {
		key := fmt.Sprintf("%s %v", kind, keys)
		if seen[key] {
			return errorsmod.Wrapf(ErrInvalidGenesis, "%s twice", key)
		}
		seen[key] = true
		return nil
	}
	entry := func(kind, providerID string, val []byte) error {
		if providers[providerID] == nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "%s of unknown provider %q", kind, providerID)
		}
		if err := validateOperator(val); err != nil {
			return err
		}
		return once(kind, providerID, val)
	}
	for _, r := range gs.Prices {
		if providers[r.ProviderId] == nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "price of unknown provider %q", r.ProviderId)
		}
		if err := ValidatePrice(r.Price.Price); err != nil {
			return err
		}
		if err := once("price", r.ProviderId); err != nil {
			return err
		}
	}
	for _, r := range gs.Stakes {
		if err := entry("stake", r.ProviderId, r.Validator); err != nil {
			return err
		}
		if err := r.Record.validate(); err != nil {
			return err
		}
		*providers[r.ProviderId]++
	}
	for _, p := range gs.Providers {
		if *providers[p.Config.ProviderId] != p.Stakes {
			return errorsmod.Wrapf(ErrInvalidGenesis, "provider %q has %d stakes, says %d",
				p.Config.ProviderId, *providers[p.Config.ProviderId], p.Stakes)
		}
	}
	for _, r := range gs.Plan {
		if err := entry(fmt.Sprintf("plan %t", r.Increase), r.ProviderId, r.Validator); err != nil {
			return err
		}
		if !isAmount(r.Target.Tokens) || !isAmount(r.Target.Amount) || r.Target.Price.IsNil() || r.Target.Price.IsNegative() {
			return errorsmod.Wrapf(ErrInvalidGenesis, "target of %q on %X", r.ProviderId, r.Validator)
		}
	}
	for _, r := range gs.Validators {
		if err := validateOperator(r.Validator); err != nil {
			return err
		}
		if err := once("validator", r.Validator); err != nil {
			return err
		}
		if err := r.State.ConsensusKey.Validate(); err != nil {
			return err
		}
	}
	for _, r := range gs.Dirty {
		if err := entry("dirty", r.ProviderId, r.Validator); err != nil {
			return err
		}
	}
	for _, val := range gs.Changed {
		if err := validateOperator(val); err != nil {
			return err
		}
		if err := once("changed", val); err != nil {
			return err
		}
	}
	for _, val := range gs.Strays {
		if err := validateOperator(val); err != nil {
			return err
		}
		if err := once("stray", val); err != nil {
			return err
		}
	}
	for _, r := range gs.Flows {
		if err := validateOperator(r.Validator); err != nil {
			return err
		}
		if r.Height < 0 || !isAmount(r.Flow.Left) || !isAmount(r.Flow.Came) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "flow of %X at %d", r.Validator, r.Height)
		}
		if err := once("flow", r.Validator, r.Height); err != nil {
			return err
		}
	}
	if err := gs.validatePrices(func(id string) bool { return providers[id] != nil }, once); err != nil {
		return err
	}
	if err := gs.validateSlashLogs(); err != nil {
		return err
	}
	if err := gs.validateRewards(func(id string) bool { return providers[id] != nil }); err != nil {
		return err
	}
	for _, r := range gs.Heights {
		if err := once("height", r.Height); err != nil {
			return err
		}
	}
	return nil
}

func (p Provider) validate() error {
	if err := p.Config.Validate(); err != nil {
		return err
	}
	if err := p.Session.Validate(); err != nil {
		return err
	}
	switch {
	case p.Status <= PROVIDER_STATUS_UNSPECIFIED || p.Status > PROVIDER_STATUS_REMOVED:
		return errorsmod.Wrapf(ErrInvalidGenesis, "status %d", p.Status)
	case p.Session.Consumer == 0:
		return errorsmod.Wrap(ErrInvalidGenesis, "no session")
	case p.Price.IsNil() || p.Price.IsNegative() || p.Price.GT(MaxPrice):
		return errorsmod.Wrap(ErrInvalidGenesis, "price in force")
	case !isAmount(p.Cap):
		return errorsmod.Wrap(ErrInvalidGenesis, "cap")
	case p.FirstIndex == 0 || p.AckedIndex > p.LastIndex || p.FirstIndex-1 > p.LastIndex:
		return errorsmod.Wrap(ErrInvalidGenesis, "slash log positions")
	case p.ReportInFlight > p.LastSeq:
		return errorsmod.Wrap(ErrInvalidGenesis, "report in flight was never sent")
	}
	return p.DroppedHeight.Validate()
}

// validateSlashLogs checks that each provider's log has every entry from its first to its last index, in this order and
// in the order of time.
func (gs GenesisState) validateSlashLogs() error {
	next := map[string]uint64{}
	for _, p := range gs.Providers {
		next[p.Config.ProviderId] = p.FirstIndex
	}
	last := map[string]time.Time{}
	for _, r := range gs.SlashLog {
		id, entry := r.ProviderId, r.Record.Entry
		if next[id] == 0 {
			return errorsmod.Wrapf(ErrInvalidGenesis, "slash log of unknown provider %q", id)
		}
		if err := entry.Validate(); err != nil {
			return err
		}
		if entry.Index != next[id] || r.Record.LoggedAt.Before(last[id]) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "slash log of %q: index %d, expected %d", id, entry.Index, next[id])
		}
		next[id]++
		last[id] = r.Record.LoggedAt
	}
	for _, p := range gs.Providers {
		if next[p.Config.ProviderId] != p.LastIndex+1 {
			return errorsmod.Wrapf(ErrInvalidGenesis, "slash log of %q ends before index %d", p.Config.ProviderId, p.LastIndex)
		}
	}
	return nil
}

func (r StakeRecord) validate() error {
	switch {
	case !isAmount(r.Amount) || !isAmount(r.ExecutedAmount):
		return errorsmod.Wrap(ErrInvalidGenesis, "amount of a stake")
	case r.Price.IsNil() || r.Price.IsNegative():
		return errorsmod.Wrap(ErrInvalidGenesis, "price of a stake")
	case r.ExecutedSeq > r.Seq:
		return errorsmod.Wrapf(ErrInvalidGenesis, "executed seq %d above %d", r.ExecutedSeq, r.Seq)
	}
	return r.ExecutedHeight.Validate()
}

func validateOperator(val []byte) error {
	if len(val) == 0 || len(val) > meshtypes.MaxOperatorBytes {
		return errorsmod.Wrapf(ErrInvalidValidator, "%d bytes", len(val))
	}
	return nil
}

// isAmount says whether an amount is set and not negative.
func isAmount(i sdkmath.Int) bool { return !i.IsNil() && !i.IsNegative() }
