// Package soak puts two real chains, the relayer between them and their
// delegators under faults for some minutes: processes are killed, links cut,
// clocks wrong, disks full. Then it heals everything and adds up whether
// anything was lost. docs/soak.md describes it.
package soak
