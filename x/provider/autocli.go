package provider

import (
	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"

	"github.com/mesh-security/mesh/x/provider/types"
)

func args(names ...string) []*autocliv1.PositionalArgDescriptor {
	out := make([]*autocliv1.PositionalArgDescriptor, len(names))
	for i, name := range names {
		out[i] = &autocliv1.PositionalArgDescriptor{ProtoField: name}
	}
	return out
}

// AutoCLIOptions describes the module's commands.
func (AppModule) AutoCLIOptions() *autocliv1.ModuleOptions {
	governed := func(method, use, short string) *autocliv1.RpcCommandOptions {
		return &autocliv1.RpcCommandOptions{RpcMethod: method, Use: use, Short: short, GovProposal: true}
	}
	return &autocliv1.ModuleOptions{
		Query: &autocliv1.ServiceCommandDescriptor{
			Service:              types.QueryServiceName,
			EnhanceCustomCommand: true,
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{RpcMethod: "Params", Use: "params", Short: "Show the parameters"},
				{RpcMethod: "Epoch", Use: "epoch", Short: "Show the running epoch, the native ratio and the queues' lengths"},
				{RpcMethod: "Consumers", Use: "consumers", Short: "List consumers with their status, session and age of synced_at"},
				{
					RpcMethod: "Consumer", Use: "consumer [consumer-id]", Short: "Show one consumer",
					Example: "consumer 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "ConsumerValidators", Use: "validators [consumer-id]", Short: "List the known validators of a consumer",
					Example: "validators 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "Pools", Use: "pools [consumer-id]", Short: "List a consumer's pools of active cross-stake",
					Example: "pools 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "Pool", Use: "pool [consumer-id] [validator]", Short: "Show the pool of one validator and what was last executed",
					Example: "pool 07-tendermint-0 axelarvaloper1...", PositionalArgs: args("consumer_id", "validator"),
				},
				{
					RpcMethod: "Batches", Use: "batches [consumer-id]", Short: "List a consumer's unbonding batches and what they wait for",
					Example: "batches 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "Positions", Use: "positions [delegator]", Short: "List a delegator's cross-stake with its value",
					Example: "positions osmo1...", PositionalArgs: args("delegator"),
				},
				{
					RpcMethod: "Unbonding", Use: "unbonding [delegator]", Short: "List a delegator's cross-stake that is leaving, and until when",
					Example: "unbonding osmo1...", PositionalArgs: args("delegator"),
				},
				{
					RpcMethod: "Collateral", Use: "collateral [delegator]",
					Short:   "Show every term of a delegator's collateral, and why native unbonding is held",
					Example: "collateral osmo1...", PositionalArgs: args("delegator"),
				},
				{
					RpcMethod: "Outbox", Use: "outbox [consumer-id]", Short: "List what a consumer has not acknowledged yet",
					Example: "outbox 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "Slashes", Use: "slashes [consumer-id]", Short: "List what consumers claimed and what was proved, and what became of it",
					Example:        "slashes 07-tendermint-0 --status SLASH_STATUS_PENDING",
					PositionalArgs: []*autocliv1.PositionalArgDescriptor{{ProtoField: "consumer_id", Optional: true}},
				},
				{
					RpcMethod: "Slash", Use: "slash [id]", Short: "Show one slash: fractions, amount, when it is due, why it was refused",
					Example: "slash 7", PositionalArgs: args("id"),
				},
				{
					RpcMethod: "Meter", Use: "meter [consumer-id]", Short: "Show how much a consumer may still take without proof",
					Example: "meter 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{RpcMethod: "Accounts", Use: "accounts", Short: "List delegators with liens, debt or held entries"},
				{RpcMethod: "Holds", Use: "holds", Short: "List native unbonding entries on hold"},
				{RpcMethod: "Settlement", Use: "settlement", Short: "Show what was slashed, burned and fell short, and the queues"},
				{
					RpcMethod: "Debts", Use: "debts", Short: "List delegators that owe what was slashed, the longest waiting first",
					Example: "debts --page-limit 10",
				},
				{
					RpcMethod: "Rewards", Use: "rewards [delegator] [consumer-id]", Short: "List what a delegator can withdraw of consumers' rewards",
					Example: "rewards osmo1... 07-tendermint-0",
					PositionalArgs: []*autocliv1.PositionalArgDescriptor{
						{ProtoField: "delegator"}, {ProtoField: "consumer_id", Optional: true},
					},
				},
				{
					RpcMethod: "ConsumerRewards", Use: "consumer-rewards [consumer-id]",
					Short:   "Show what became of a consumer's rewards: received, withdrawn, claimable, dust",
					Example: "consumer-rewards 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{RpcMethod: "Shortfalls", Use: "shortfalls", Short: "List debts that nothing was left to pay"},
				{
					RpcMethod: "Heights", Use: "heights [consumer-id]", Short: "List which height of a consumer was known when",
					Example: "heights 07-tendermint-0", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "Invariants", Use: "invariants",
					Short: "Check one page of what must hold after every block (check-invariants goes through all)",
					Long: "Check one page of what must hold after every block, and list what does not. --key takes the next_key of the page\n" +
						"before, at the same --height. check-invariants goes through all pages.",
					Example: "invariants --invariant pools --limit 500",
				},
			},
		},
		Tx: &autocliv1.ServiceCommandDescriptor{
			Service: types.MsgServiceName,
			RpcCommandOptions: []*autocliv1.RpcCommandOptions{
				{
					RpcMethod: "CrossStake", Use: "cross-stake [consumer-id] [validator] [amount]",
					Short:          "Stake natively staked tokens a second time, to a validator of a consumer",
					Example:        "cross-stake 07-tendermint-0 axelarvaloper1... 1000000uosmo --from alice",
					PositionalArgs: args("consumer_id", "validator", "amount"),
				},
				{
					RpcMethod: "CrossUnstake", Use: "cross-unstake [consumer-id] [validator] [amount]",
					Short:          "Take cross-stake back; it is free after the consumer's unbonding period",
					Example:        "cross-unstake 07-tendermint-0 axelarvaloper1... 1000000uosmo --from alice",
					PositionalArgs: args("consumer_id", "validator", "amount"),
				},
				{
					RpcMethod: "CrossRedelegate", Use: "cross-redelegate [consumer-id] [from] [to] [amount]",
					Short:          "Move cross-stake to another validator of the same consumer, with effect at once",
					Example:        "cross-redelegate 07-tendermint-0 axelarvaloper1x... axelarvaloper1y... 1000000uosmo --from alice",
					PositionalArgs: args("consumer_id", "from", "to", "amount"),
				},
				{
					RpcMethod: "WithdrawRewards", Use: "withdraw-rewards [consumer-id] [validator]",
					Short: "Take what cross-stake on a consumer has earned, with one of its validators or all",
					Long: "Take what cross-stake on a consumer has earned, with one of its validators or all. It is paid in vouchers of the\n" +
						"consumer's tokens; with --receiver they are sent on to an address on the consumer.",
					Example: "withdraw-rewards 07-tendermint-0 --from alice\n" +
						"withdraw-rewards 07-tendermint-0 axelarvaloper1... --receiver axelar1... --from alice",
					PositionalArgs: []*autocliv1.PositionalArgDescriptor{
						{ProtoField: "consumer_id"}, {ProtoField: "validator", Optional: true},
					},
					FlagOptions: map[string]*autocliv1.FlagOptions{
						"receiver": {Name: "receiver", Usage: "address on the consumer to send it to"},
					},
				},
				{
					RpcMethod: "PauseConsumer", Use: "pause-consumer [consumer-id]",
					Short:   "Stop new stake on a consumer (its guardian, or governance)",
					Example: "pause-consumer 07-tendermint-0 --from guardian", PositionalArgs: args("consumer_id"),
				},
				{
					RpcMethod: "StopSlash", Use: "stop-slash [slash-id]",
					Short:   "Delay a pending slash once, so that governance can decide (the consumer's guardian, or governance)",
					Example: "stop-slash 7 --from guardian", PositionalArgs: args("slash_id"),
				},
				{
					RpcMethod: "VetoSlash", Use: "veto-slash [slash-id]", Short: "Propose to take a pending slash away",
					Example: "veto-slash 7 --from alice --title ... --summary ... --deposit 10000000uosmo", PositionalArgs: args("slash_id"), GovProposal: true,
				},
				governed("AddConsumer", "add-consumer", "Propose to register a consumer"),
				governed("UpdateConsumer", "update-consumer", "Propose to change a consumer's configuration"),
				{
					RpcMethod: "RemoveConsumer", Use: "remove-consumer [consumer-id]", Short: "Propose to wind a consumer down",
					PositionalArgs: args("consumer_id"), GovProposal: true,
				},
				{
					RpcMethod: "ResumeConsumer", Use: "resume-consumer [consumer-id]", Short: "Propose to end a consumer's pause",
					PositionalArgs: args("consumer_id"), GovProposal: true,
				},
				{
					RpcMethod: "RetireChannel", Use: "retire-channel [consumer-id]", Short: "Propose to give up a consumer's channel",
					PositionalArgs: args("consumer_id"), GovProposal: true,
				},
				{
					RpcMethod: "SubmitDoubleVote", Use: "submit-double-vote [consumer-id] [evidence]",
					Short:          "Prove that a consumer's validator signed two conflicting votes",
					Long:           "Prove that a consumer's validator signed two conflicting votes. The evidence is JSON with vote_a and vote_b.",
					Example:        "submit-double-vote 07-tendermint-0 evidence.json --from carol",
					PositionalArgs: args("consumer_id", "evidence"),
					FlagOptions: map[string]*autocliv1.FlagOptions{
						// --chain-id is the one to send to.
						"chain_id": {Name: "evidence-chain-id", Usage: "chain id the votes were signed for, if it is not the consumer's present one"},
					},
				},
				{
					RpcMethod: "SubmitMisbehaviour", Use: "submit-misbehaviour [consumer-id] [misbehaviour]",
					Short: "Prove a light-client attack by a consumer's validators",
					Long: "Prove a light-client attack by a consumer's validators. The misbehaviour is JSON with two headers of one height, as\n" +
						"IBC's 07-tendermint client takes them.",
					Example:        "submit-misbehaviour 07-tendermint-0 misbehaviour.json --from carol",
					PositionalArgs: args("consumer_id", "misbehaviour"),
				},
				{
					RpcMethod: "VouchKey", Use: "vouch-key [consumer-id] [validator] [consensus-key] [account-key] [signature]",
					Short: "Make a later consensus key of a consumer's validator count at once",
					Long: "Make a later consensus key of a consumer's validator count at once, by its operator's signature. Without it the key\n" +
						"proves nothing until one unbonding period has passed. The operator makes the arguments offline, where its account\n" +
						"key is: meshd keys sign-vouch. Anyone may submit them.",
					Example:        `vouch-key 07-tendermint-0 axelarvaloper1... '{"type":"ed25519","key":"..."}' 02ab... 1234... --from carol`,
					PositionalArgs: args("consumer_id", "validator", "consensus_key", "account_key", "signature"),
				},
				{
					RpcMethod: "SetEvidenceMinHeight", Use: "set-evidence-min-height [consumer-id] [chain-id] [height]",
					Short:          "Propose to raise the lowest height at which evidence counts",
					Example:        "set-evidence-min-height 07-tendermint-0 axelar-1 1000000 --from alice",
					PositionalArgs: args("consumer_id", "chain_id", "height"), GovProposal: true,
				},
				governed("UpdateParams", "update-params", "Propose to change the parameters"),
			},
		},
	}
}
