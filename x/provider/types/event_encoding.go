package types

import (
	"strconv"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// ToEvent returns what sdk.TypedEventToEvent does, without reflection: there is one for each delegator a slash hits.
func (m *EventSettled) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventSettled",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONInt(m.Amount)},
		sdk.Attribute{Key: "delegator", Value: meshtypes.JSONString(m.Delegator)},
		sdk.Attribute{Key: "pool_id", Value: meshtypes.JSONUint64(m.PoolId)},
	)
}

// ToEvent returns what sdk.TypedEventToEvent does, without reflection: there is one for each delegator a slash hits.
func (m *EventBurned) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventBurned",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONInt(m.Amount)},
		sdk.Attribute{Key: "debt", Value: meshtypes.JSONInt(m.Debt)},
		sdk.Attribute{Key: "delegator", Value: meshtypes.JSONString(m.Delegator)},
		sdk.Attribute{Key: "unbonding", Value: strconv.FormatBool(m.Unbonding)},
		sdk.Attribute{Key: "validator", Value: meshtypes.JSONString(m.Validator)},
	)
}

// ToEvent returns what sdk.TypedEventToEvent does, without reflection.
func (m *EventRewardsWithdrawn) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventRewardsWithdrawn",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONString(m.Amount)},
		sdk.Attribute{Key: "consumer_id", Value: meshtypes.JSONString(m.ConsumerId)},
		sdk.Attribute{Key: "delegator", Value: meshtypes.JSONString(m.Delegator)},
		sdk.Attribute{Key: "receiver", Value: meshtypes.JSONString(m.Receiver)},
	)
}

// ToEvent returns what sdk.TypedEventToEvent does, without reflection.
func (m *EventRewardsAccrued) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventRewardsAccrued",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONString(m.Amount)},
		sdk.Attribute{Key: "delegator", Value: meshtypes.JSONString(m.Delegator)},
		sdk.Attribute{Key: "pool_id", Value: meshtypes.JSONUint64(m.PoolId)},
	)
}

// ToEvent returns what sdk.TypedEventToEvent does, without reflection: there is one for each validator of a transfer.
func (m *EventPoolRewarded) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventPoolRewarded",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONString(m.Amount)},
		sdk.Attribute{Key: "consumer_id", Value: meshtypes.JSONString(m.ConsumerId)},
		sdk.Attribute{Key: "pool_id", Value: meshtypes.JSONUint64(m.PoolId)},
		sdk.Attribute{Key: "validator", Value: meshtypes.JSONString(m.Validator)},
	)
}

// ToEvent returns what sdk.TypedEventToEvent does, without reflection: that was a sixth of the message's time.
func (m *EventCrossStake) ToEvent() sdk.Event {
	return sdk.NewEvent("mesh.provider.v1.EventCrossStake",
		sdk.Attribute{Key: "amount", Value: meshtypes.JSONInt(m.Amount)},
		sdk.Attribute{Key: "consumer_id", Value: meshtypes.JSONString(m.ConsumerId)},
		sdk.Attribute{Key: "delegator", Value: meshtypes.JSONString(m.Delegator)},
		sdk.Attribute{Key: "pool_id", Value: meshtypes.JSONUint64(m.PoolId)},
		sdk.Attribute{Key: "shares", Value: meshtypes.JSONInt(m.Shares)},
		sdk.Attribute{Key: "validator", Value: meshtypes.JSONString(m.Validator)},
	)
}
