// Package watchtower follows chains over CometBFT RPC, finds validators that signed twice, and brings the proof to every
// chain where they are backed through Mesh Security.
//
// One follower per chain reads its blocks for evidence and compares the headers of its full nodes. What it finds goes
// into the state file together with the height it got to. One submitter per chain carries evidence about the other
// chains to it: it asks x/provider whether the offender is backed, updates the IBC client if it has to, and submits.
// A transaction's hash is on disk before the transaction leaves, and it can be included only up to a known height: so
// after a crash it is known whether it was included, and nothing is sent twice.
package watchtower
