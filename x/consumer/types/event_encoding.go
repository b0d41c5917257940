package types

import (
	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// ToEvent returns what sdk.TypedEventToEvent does, without reflection: the event lists hundreds of changes.
func (m *EventVirtualStakeChanged) ToEvent() sdk.Event {
	bz := make([]byte, 0, 2+128*len(m.Changes))
	bz = append(bz, '[')
	for i, c := range m.Changes {
		if i > 0 {
			bz = append(bz, ',')
		}
		bz = append(bz, `{"validator":`...)
		bz = meshtypes.AppendJSONString(bz, c.Validator)
		if c.Increase {
			bz = append(bz, `,"increase":true,"tokens":"`...)
		} else {
			bz = append(bz, `,"increase":false,"tokens":"`...)
		}
		bz = append(bz, c.Tokens.String()...)
		bz = append(bz, `"}`...)
	}
	bz = append(bz, ']')
	return sdk.NewEvent("mesh.consumer.v1.EventVirtualStakeChanged",
		sdk.Attribute{Key: "changes", Value: string(bz)},
		sdk.Attribute{Key: "provider_id", Value: meshtypes.JSONString(m.ProviderId)},
	)
}
