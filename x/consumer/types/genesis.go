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
func (gs GenesisState) Validate() (err error) {
	// Amounts that no chain has make sums overflow, which panics.
	defer func() {
		if r := recover(); r != nil {
			err = errorsmod.Wrapf(ErrInvalidGenesis, "%v", r)
		}
	}()
	if err := gs.Params.Validate(); err != nil {
		return err
	}
	providers := map[string]*uint32{}
	for _, p := range gs.Providers {
		id := p.Config.ProviderId
		if err := p.Validate(); err != nil {
			return errorsmod.Wrapf(err, "provider %q", id)
		}
		if providers[id] != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "provider %q twice", id)
		}
		providers[id] = new(uint32)
	}
	if err := ValidateProvidersTogether(gs.Providers); err != nil {
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
		if err := ValidateOperator(val); err != nil {
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
		if err := r.Record.Validate(); err != nil {
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
		if err := r.Target.Validate(); err != nil {
			return errorsmod.Wrapf(err, "%q on %X", r.ProviderId, r.Validator)
		}
	}
	for _, r := range gs.Validators {
		if err := ValidateOperator(r.Validator); err != nil {
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
		if err := ValidateOperator(val); err != nil {
			return err
		}
		if err := once("changed", val); err != nil {
			return err
		}
	}
	for _, val := range gs.Strays {
		if err := ValidateOperator(val); err != nil {
			return err
		}
		if err := once("stray", val); err != nil {
			return err
		}
	}
	for _, r := range gs.Flows {
		if err := ValidateFlow(r); err != nil {
			return err
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

// ValidateProvidersTogether returns an error if a channel serves two providers, two that are not removed are one chain, or
// their limits add up to too much.
func ValidateProvidersTogether(providers []Provider) error {
	channels, chains := map[string]bool{}, map[string]bool{}
	var live []ProviderConfig
	for _, p := range providers {
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
	return ValidateTogether(live, third)
}

// ValidateFlow returns an error unless the totals of a validator's flow are set and not negative.
func ValidateFlow(r meshtypes.TokenFlowRecord) error {
	if err := ValidateOperator(r.Validator); err != nil {
		return err
	}
	if r.Height < 0 || !isAmount(r.Flow.Left) || !isAmount(r.Flow.Came) {
		return errorsmod.Wrapf(ErrInvalidGenesis, "flow of %X at %d", r.Validator, r.Height)
	}
	return nil
}

// Validate returns an error unless the provider's state is consistent in itself.
func (p Provider) Validate() error {
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
	case p.ChannelId != "" && p.Config.UsesV2():
		return errorsmod.Wrap(ErrInvalidGenesis, "a channel and IBC v2")
	}
	return p.DroppedHeight.Validate()
}

// SlashLogOrder is how far a provider's slash log has been looked through.
type SlashLogOrder struct {
	// Next is the index that comes next.
	Next uint64 `json:"next"`
	// Last is when the last entry was logged.
	Last time.Time `json:"last"`
}

// Add returns an error unless the record is the next of the log, and its entry valid.
func (o *SlashLogOrder) Add(r SlashRecord) error {
	if err := r.Entry.Validate(); err != nil {
		return err
	}
	if r.Entry.Index != o.Next || r.LoggedAt.Before(o.Last) {
		return errorsmod.Wrapf(ErrInvalidGenesis, "slash log: index %d, expected %d", r.Entry.Index, o.Next)
	}
	o.Next, o.Last = o.Next+1, r.LoggedAt
	return nil
}

// validateSlashLogs checks that each provider's log has every entry from its first to its last index, in this order and
// in the order of time.
func (gs GenesisState) validateSlashLogs() error {
	logs := map[string]*SlashLogOrder{}
	for _, p := range gs.Providers {
		logs[p.Config.ProviderId] = &SlashLogOrder{Next: p.FirstIndex}
	}
	for _, r := range gs.SlashLog {
		log := logs[r.ProviderId]
		if log == nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "slash log of unknown provider %q", r.ProviderId)
		}
		if err := log.Add(r.Record); err != nil {
			return errorsmod.Wrapf(err, "provider %q", r.ProviderId)
		}
	}
	for _, p := range gs.Providers {
		if logs[p.Config.ProviderId].Next != p.LastIndex+1 {
			return errorsmod.Wrapf(ErrInvalidGenesis, "slash log of %q ends before index %d", p.Config.ProviderId, p.LastIndex)
		}
	}
	return nil
}

// Validate returns an error unless no amount is negative and nothing is executed that was not received.
func (r StakeRecord) Validate() error {
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

// Validate returns ErrInvalidGenesis unless the target's amounts and price are set and not negative.
func (t Target) Validate() error {
	if !isAmount(t.Tokens) || !isAmount(t.Amount) || t.Price.IsNil() || t.Price.IsNegative() {
		return errorsmod.Wrap(ErrInvalidGenesis, "target")
	}
	return nil
}

// ValidateOperator returns ErrInvalidValidator unless the raw address is neither empty nor longer than MaxOperatorBytes.
func ValidateOperator(val []byte) error {
	if len(val) == 0 || len(val) > meshtypes.MaxOperatorBytes {
		return errorsmod.Wrapf(ErrInvalidValidator, "%d bytes", len(val))
	}
	return nil
}

// isAmount says whether an amount is set and not negative.
func isAmount(i sdkmath.Int) bool { return !i.IsNil() && !i.IsNegative() }
