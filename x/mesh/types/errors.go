package types

import (
	"google.golang.org/grpc/codes"

	errorsmod "cosmossdk.io/errors"
)

// Errors of packets, of the handshake, of reward memos, of IBC v2 and of the queries of invariants.
var (
	ErrPacketSize        = errorsmod.Register(ModuleName, 2, "packet is empty or too large")
	ErrPacketEncoding    = errorsmod.Register(ModuleName, 3, "packet cannot be decoded")
	ErrUnknownField      = errorsmod.Register(ModuleName, 4, "packet has an unknown field")
	ErrNotCanonical      = errorsmod.Register(ModuleName, 5, "packet is not in its canonical encoding")
	ErrTooManyEntries    = errorsmod.Register(ModuleName, 6, "packet has too many entries")
	ErrInvalidSession    = errorsmod.Register(ModuleName, 7, "invalid session")
	ErrInvalidSequence   = errorsmod.Register(ModuleName, 8, "invalid sequence number")
	ErrInvalidOperator   = errorsmod.Register(ModuleName, 9, "invalid operator address")
	ErrNotSorted         = errorsmod.Register(ModuleName, 10, "entries are not sorted by operator")
	ErrDuplicateOperator = errorsmod.Register(ModuleName, 11, "operator is listed twice")
	ErrInvalidAmount     = errorsmod.Register(ModuleName, 12, "invalid amount")
	ErrInvalidFraction   = errorsmod.Register(ModuleName, 13, "invalid fraction")
	ErrInvalidHeight     = errorsmod.Register(ModuleName, 14, "invalid height")
	ErrInvalidTime       = errorsmod.Register(ModuleName, 15, "invalid time or duration")
	ErrInvalidStatus     = errorsmod.Register(ModuleName, 16, "invalid validator status")
	ErrInvalidKey        = errorsmod.Register(ModuleName, 17, "invalid consensus key")
	ErrInvalidSlash      = errorsmod.Register(ModuleName, 18, "invalid slash log entry")
	ErrInvalidCode       = errorsmod.Register(ModuleName, 19, "invalid acknowledgement code")

	ErrChannelOrder     = errorsmod.Register(ModuleName, 20, "channel must be unordered")
	ErrChannelVersion   = errorsmod.Register(ModuleName, 21, "channel version not supported")
	ErrChannelPort      = errorsmod.Register(ModuleName, 22, "wrong port")
	ErrChannelHops      = errorsmod.Register(ModuleName, 23, "channel must have exactly one connection hop")
	ErrConnection       = errorsmod.Register(ModuleName, 24, "connection not found")
	ErrChannelInitiator = errorsmod.Register(ModuleName, 25, "the consumer's side opens the channel")
	ErrChannelClose     = errorsmod.Register(ModuleName, 26, "users cannot close the channel")
	ErrChannelExists    = errorsmod.Register(ModuleName, 27, "the pairing has an open channel")
	ErrChannelUnknown   = errorsmod.Register(ModuleName, 28, "channel belongs to no pairing, or was retired")

	ErrMemoSize      = errorsmod.Register(ModuleName, 29, "reward memo is too long")
	ErrMemoEncoding  = errorsmod.Register(ModuleName, 30, "reward memo has not the form of one")
	ErrMemoEntries   = errorsmod.Register(ModuleName, 31, "reward memo has no entries or too many")
	ErrMemoValidator = errorsmod.Register(ModuleName, 32, "invalid validator in reward memo")
	ErrMemoAmount    = errorsmod.Register(ModuleName, 33, "invalid amount in reward memo")

	ErrCounterparty    = errorsmod.Register(ModuleName, 34, "client has another counterparty in IBC v2, or none")
	ErrMerklePrefix    = errorsmod.Register(ModuleName, 35, "counterparty of the client is not proved from its IBC store")
	ErrPayloadEncoding = errorsmod.Register(ModuleName, 36, "payload encoding not supported")
	ErrSigner          = errorsmod.Register(ModuleName, 37, "only the module itself sends from its port")
	ErrTransport       = errorsmod.Register(ModuleName, 38, "packets of the pairing go another way")

	ErrInvariantUnknown = errorsmod.RegisterWithGRPCCode(ModuleName, 40, codes.InvalidArgument, "unknown invariant")
	ErrInvariantKey     = errorsmod.RegisterWithGRPCCode(ModuleName, 41, codes.InvalidArgument, "malformed key of a page of invariants")
	ErrInvariantLimit   = errorsmod.RegisterWithGRPCCode(ModuleName, 42, codes.InvalidArgument, "limit of a page of invariants is too high")
	ErrInvariantHeight  = errorsmod.RegisterWithGRPCCode(ModuleName, 43, codes.FailedPrecondition, "pages of invariants are of different heights")
)
