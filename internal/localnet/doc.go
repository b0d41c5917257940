// Package localnet runs any number of Mesh Security chains and a real IBC
// relayer on one machine, from a topology file.
//
// Every chain is a set of meshd processes, every link is opened by the Go
// relayer (rly), and every pairing is registered by governance proposals that
// the chains' validators vote on: nothing is mocked and nothing is short-cut.
//
//	topo, err := localnet.LoadTopology("demo.yaml")
//	net, err := localnet.Up(ctx, topo, localnet.Options{Home: "build/demo"})
//	defer net.Down(context.Background())
//
//	osmosis := net.Chain("osmosis-local")
//	res, err := osmosis.Tx(ctx, "alice", msg)
//
// Every node and relayer can have a network namespace of its own, so that links
// between them can be cut and chains split (Options.Namespaces).
//
// Processes belong to the caller until Detach: should the caller die in any
// way, a guard process ends all of them. After Detach they live on, and Open
// finds them again through the state file.
package localnet
