// Package cli has commands that both modules have.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	gogogrpc "github.com/cosmos/gogoproto/grpc"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/metadata"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	grpctypes "github.com/cosmos/cosmos-sdk/types/grpc"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/mesh/types"
)

const (
	flagInvariant = "invariant"
	flagLimit     = "limit"

	// maxFailures is how many failures are listed; the rest is not looked for.
	maxFailures = 1_000
)

// ErrBroken is what check-invariants ends with if an invariant does not hold.
var ErrBroken = errors.New("invariants do not hold")

// InvariantsPage is a module's answer to Query/Invariants.
type InvariantsPage interface {
	GetFailures() []types.InvariantFailure
	GetNextKey() []byte
	GetRecords() uint64
	GetHeight() int64
}

// FetchInvariants asks a module for a page.
type FetchInvariants func(ctx context.Context, conn gogogrpc.ClientConn, name string, key []byte, limit uint64) (InvariantsPage, error)

// Report is what all pages say.
type Report struct {
	// Height is that of the state looked at.
	Height int64 `json:"height"`
	// Pages is how many there were, Records how many records they read.
	Pages   int    `json:"pages"`
	Records uint64 `json:"records"`
	// Complete says whether everything was looked at: after 1,000 failures no more is.
	Complete bool                     `json:"complete"`
	Failures []types.InvariantFailure `json:"failures"`
}

// CheckInvariants asks for all pages of an invariant, or of all if the name is empty, at the height of the first, which is the
// given one or the latest for zero.
func CheckInvariants(ctx context.Context, conn gogogrpc.ClientConn, fetch FetchInvariants, name string, height int64, limit uint64) (Report, error) {
	report := Report{Height: height, Failures: []types.InvariantFailure{}}
	var key []byte
	for {
		at := ctx
		if report.Height > 0 {
			at = metadata.AppendToOutgoingContext(ctx, grpctypes.GRPCBlockHeightHeader, strconv.FormatInt(report.Height, 10))
		}
		page, err := fetch(at, conn, name, key, limit)
		if err != nil {
			return report, fmt.Errorf("page %d: %w", report.Pages+1, err)
		}
		report.Height = page.GetHeight()
		report.Pages++
		report.Records += page.GetRecords()
		report.Failures = append(report.Failures, page.GetFailures()...)
		if key = page.GetNextKey(); len(key) == 0 {
			report.Complete = true
			return report, nil
		}
		if len(report.Failures) >= maxFailures {
			return report, nil
		}
	}
}

// NewCheckInvariantsCmd returns the command that checks all invariants of a module, page by page.
func NewCheckInvariantsCmd(module string, fetch FetchInvariants) *cobra.Command {
	c := &cobra.Command{
		Use:   "check-invariants",
		Short: "Check what must hold after every block, and fail if something does not",
		Long: "Check what must hold after every block, page by page, all at the height of the first page. What does not hold is listed\n" +
			"with the object that it concerns, and the command fails. Each page is little work for the node; --limit says how much.\n" +
			"The node must keep the state of that height until the last page: choose one with --height if it prunes soon.",
		Example: "meshd query " + module + " check-invariants --output json\n" +
			"meshd query " + module + " check-invariants --" + flagInvariant + " rewards",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			clientCtx, err := client.GetClientQueryContext(cmd)
			if err != nil {
				return err
			}
			name, err := cmd.Flags().GetString(flagInvariant)
			if err != nil {
				return err
			}
			limit, err := cmd.Flags().GetUint64(flagLimit)
			if err != nil {
				return err
			}
			report, err := CheckInvariants(cmd.Context(), clientCtx, fetch, name, clientCtx.Height, limit)
			if err != nil {
				return err
			}
			out, err := json.Marshal(report)
			if err != nil {
				return err
			}
			if err := clientCtx.PrintRaw(out); err != nil {
				return err
			}
			if len(report.Failures) > 0 {
				cmd.SilenceUsage = true
				return fmt.Errorf("%w: %d failures at height %d", ErrBroken, len(report.Failures), report.Height)
			}
			return nil
		},
	}
	flags.AddQueryFlagsToCmd(c)
	c.Flags().String(flagInvariant, "", "check only this one")
	c.Flags().Uint64(flagLimit, invariant.MaxLimit, "records that the node reads for a page, at most "+strconv.Itoa(invariant.MaxLimit))
	return c
}

// NewQueryCmd returns a module's query command with the commands that AutoCLI cannot make; it adds the others.
func NewQueryCmd(module, short string, fetch FetchInvariants) *cobra.Command {
	c := &cobra.Command{
		Use:                        module,
		Short:                      short,
		DisableFlagParsing:         true,
		SuggestionsMinimumDistance: 2,
		RunE:                       client.ValidateCmd,
	}
	c.AddCommand(NewCheckInvariantsCmd(module, fetch))
	return c
}
