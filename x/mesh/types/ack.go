package types

import (
	errorsmod "cosmossdk.io/errors"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
)

// ParseAck decodes an IBC acknowledgement. It returns the result bytes of a successful one, or isError for an error
// acknowledgement, which carries no reason. Errors: ErrPacketSize, ErrPacketEncoding.
func ParseAck(bz []byte) (result []byte, isError bool, err error) {
	// JSON of base64: the largest result grows by a third.
	if len(bz) > 2*MaxPacketBytes {
		return nil, false, errorsmod.Wrapf(ErrPacketSize, "acknowledgement of %d bytes", len(bz))
	}
	var ack channeltypes.Acknowledgement
	if err := channeltypes.SubModuleCdc.UnmarshalJSON(bz, &ack); err != nil {
		return nil, false, errorsmod.Wrap(ErrPacketEncoding, err.Error())
	}
	switch r := ack.Response.(type) {
	case *channeltypes.Acknowledgement_Result:
		return r.Result, false, nil
	case *channeltypes.Acknowledgement_Error:
		return nil, true, nil
	default:
		return nil, false, errorsmod.Wrapf(ErrPacketEncoding, "unknown acknowledgement %T", r)
	}
}
