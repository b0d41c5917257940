package consumer

import (
	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"

	"github.com/mesh-security/mesh/x/consumer/types"
)

// AutoCLIOptions describes the module's commands. Most messages are sent by governance, in proposals.
func (AppModule) AutoCLIOptions() *autocliv1.ModuleOptions {
	provider := []*autocliv1.PositionalArgDescriptor{{ProtoField: "provider_id"}}
	query := "meshd query " + types.ModuleName + " "
	return &autocliv1.ModuleOptions{
		Query: &autocliv1.ServiceCommandDescriptor{
			Service:              types.QueryServiceName,
			EnhanceCustomCommand: true,
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "Params", Use: "params", Short: "Show the parameters", Example: query + "params"},
				{
					RpcMethod: "Providers", Use: "providers", Short: "List the providers, removed ones included",
					Long:    "List the providers with their caps of the moment, virtual stake and freshness. --status selects one status.",
					Example: query + "providers --status provider-status-active",
				},
				{
					RpcMethod: "Provider", Use: "provider [provider-id]", Short: "Show a provider with its limits of the moment",
					Example: query + "provider 07-tendermint-0", PositionalArgs: provider,
				},
				{
					RpcMethod: "Stakes", Use: "stakes [provider-id]", Short: "List what a provider has on each validator",
					Long:    "List, by validator, the amount reported, what of it is executed, the target if a change is pending, and the virtual stake.",
					Example: query + "stakes 07-tendermint-0 --page-limit 50", PositionalArgs: provider,
				},
				{
					RpcMethod: "SlashLog", Use: "slash-log [provider-id]", Short: "List the slashes that a provider is told of",
					Long: "List the slashes of validators on which the provider had stake at or since the infraction, whether it has " +
						"recorded them, and by which fraction its amounts have shrunk. Indices begin at 1 in each session.",
					Example: query + "slash-log 07-tendermint-0", PositionalArgs: provider,
				},
				{
					RpcMethod: "ValidatorStakes", Use: "validator-stakes [validator]", Short: "List what each provider has on a validator",
					Example:        query + "validator-stakes meshvaloper1…",
					PositionalArgs: []*autocliv1.PositionalArgDescriptor{{ProtoField: "validator"}},
				},
				{
					RpcMethod: "Validators", Use: "validators", Short: "List the validators with native and virtual tokens",
					Example: query + "validators",
				},
				{
					RpcMethod: "Price", Use: "price [provider-id]", Short: "Show a provider's price: posted, in force, and its age",
					Example: query + "price 07-tendermint-0", PositionalArgs: provider,
				},
				{
					RpcMethod: "PricePosts", Use: "price-posts [provider-id]", Short: "List what a provider's feeders have posted",
					Example: query + "price-posts 07-tendermint-0", PositionalArgs: provider,
				},
				{
					RpcMethod: "PriceObservations", Use: "price-observations [provider-id]",
					Short: "List the accumulators that a provider's price is averaged with",
					Long: "List the accumulators that a provider's price is averaged with, by their time. They are the source's where prices are\n" +
						"proved, else the module's own sum of price × time.",
					Example: query + "price-observations 07-tendermint-0", PositionalArgs: provider,
				},
				{RpcMethod: "Epoch", Use: "epoch", Short: "Show the epoch and how far its plan is executed", Example: query + "epoch"},
				{
					RpcMethod: "Supply", Use: "supply", Short: "Show the supply of the bond denom with and without virtual stake",
					Example: query + "supply",
				},
				{
					RpcMethod: "Security", Use: "security", Short: "Show the bonded stake: native, virtual, and by provider",
					Example: query + "security",
				},
				{
					RpcMethod: "Tally", Use: "tally [proposal-id]", Short: "Show a proposal's tally with and without virtual stake",
					Long: "Show what the votes on a proposal in its voting period amount to, and whether it would pass now: with virtual stake " +
						"weighted as governance has set (what decides), without any, and with all of it counted like any other stake.",
					Example: query + "tally 7", PositionalArgs: []*autocliv1.PositionalArgDescriptor{{ProtoField: "proposal_id"}},
				},
				{
					RpcMethod: "Rewards", Use: "rewards [provider-id]", Short: "Show a provider's rewards by denom, and where they are sent",
					Long: "Show, by denom, what was set aside for a provider and how much of it waits, is in flight and was delivered; " +
						"and the reward account, which the provider registers as the sender.",
					Example: query + "rewards 07-tendermint-0", PositionalArgs: provider,
				},
				{
					RpcMethod: "PendingRewards", Use: "pending-rewards [provider-id]", Short: "List a provider's rewards that wait to be sent",
					Long:    "List the rewards that wait to be sent, by denom and validator. --denom selects one denom.",
					Example: query + "pending-rewards 07-tendermint-0 --denom umesh", PositionalArgs: provider,
				},
				{
					RpcMethod: "RewardTransfers", Use: "reward-transfers", Short: "List the transfers of rewards in flight",
					Long:    "List the transfers of rewards that are neither acknowledged nor refunded. --provider-id selects one provider.",
					Example: query + "reward-transfers --provider-id 07-tendermint-0",
				},
				{
					RpcMethod: "Invariants", Use: "invariants",
					Short: "Check one page of what must hold after every block (check-invariants goes through all)",
					Long: "Check one page of what must hold after every block, and list what does not. --key takes the next_key of the page\n" +
						"before, at the same --height. check-invariants goes through all pages.",
					Example: query + "invariants --invariant stakes --limit 500",
				},
			},
		},
		Tx: &autocliv1.ServiceCommandDescriptor{
			Service:              types.MsgServiceName,
			EnhanceCustomCommand: true,
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				proposal("AddProvider", "add-provider", "Propose to register a provider", "add-provider --config provider.json"),
				proposal("UpdateProvider", "update-provider", "Propose to change a provider's configuration", "update-provider --config provider.json"),
				proposal("RemoveProvider", "remove-provider [provider-id]", "Propose to remove a provider", "remove-provider 07-tendermint-0", "provider_id"),
				proposal("PauseProvider", "pause-provider [provider-id]", "Propose to pause a provider", "pause-provider 07-tendermint-0", "provider_id"),
				proposal("ResumeProvider", "resume-provider [provider-id]", "Propose to end a provider's pause", "resume-provider 07-tendermint-0", "provider_id"),
				proposal("SetPrice", "set-price [provider-id] [price]",
					"Propose a price, in whole native tokens per whole collateral token", "set-price 07-tendermint-0 0.45", "provider_id", "price"),
				{
					RpcMethod: "PostPrice", Use: "post-price [provider-id] [price]",
					Short:   "Post a price as one of the provider's feeders, in whole native tokens per whole collateral token",
					Example: "meshd tx " + types.ModuleName + " post-price 07-tendermint-0 0.45 --from feeder",
					PositionalArgs: []*autocliv1.PositionalArgDescriptor{
						{ProtoField: "provider_id"}, {ProtoField: "price"},
					},
				},
				// The command of that name fetches value and proof itself.
				{RpcMethod: "ProvePrice", Skip: true},
				proposal("RetireChannel", "retire-channel [provider-id]", "Propose to give up a provider's channel", "retire-channel 07-tendermint-0", "provider_id"),
				proposal("UpdateParams", "update-params", "Propose to change the parameters", "update-params --params params.json"),
			},
		},
	}
}

// proposal describes a command that submits a governance proposal with one message.
func proposal(method, use, short, example string, args ...string) *autocliv1.RpcCommandOptions {
	options := &autocliv1.RpcCommandOptions{
		RpcMethod: method, Use: use, Short: short, GovProposal: true,
		Example: "meshd tx " + types.ModuleName + " " + example + " --title … --summary … --deposit 10000000umesh --from alice",
	}
	for _, arg := range args {
		options.PositionalArgs = append(options.PositionalArgs, &autocliv1.PositionalArgDescriptor{ProtoField: arg})
	}
	return options
}
