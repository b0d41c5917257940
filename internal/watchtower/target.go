package watchtower

import "strings"

// targetOf names a consumer on a provider chain. Chain ids contain no slash.
func targetOf(providerChain, consumerID string) string { return providerChain + "/" + consumerID }

func providerOf(target string) string {
	chainID, _, _ := strings.Cut(target, "/")
	return chainID
}
