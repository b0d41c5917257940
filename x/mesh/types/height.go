package types

import (
	"cmp"
	"fmt"

	errorsmod "cosmossdk.io/errors"
)

// maxInt63 is the highest height, sequence number, time or duration allowed on the wire.
const maxInt63 = 1<<63 - 1

// NewHeight returns the height h of revision r.
func NewHeight(r, h uint64) Height { return Height{Revision: r, Height: h} }

// Compare returns -1, 0 or 1 as h is below, at or above o. The revision counts first.
func (h Height) Compare(o Height) int {
	if c := cmp.Compare(h.Revision, o.Revision); c != 0 {
		return c
	}
	return cmp.Compare(h.Height, o.Height)
}

// IsZero says whether h is the zero height, which stands for "none".
func (h Height) IsZero() bool { return h.Revision == 0 && h.Height == 0 }

// Next returns the height above h in the same revision; the highest height stays.
func (h Height) Next() Height {
	if h.Height < maxInt63 {
		h.Height++
	}
	return h
}

// String returns "revision-height", as ibc-go prints heights.
func (h Height) String() string { return fmt.Sprintf("%d-%d", h.Revision, h.Height) }

// Validate returns ErrInvalidHeight unless both numbers are below 2^63.
func (h Height) Validate() error {
	if h.Revision > maxInt63 || h.Height > maxInt63 {
		return errorsmod.Wrapf(ErrInvalidHeight, "%s is not below 2^63", h)
	}
	return nil
}
