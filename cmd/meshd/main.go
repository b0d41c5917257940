// Command meshd runs a node of the reference chain, and is its client.
package main

import (
	"fmt"
	"os"

	"github.com/mesh-security/mesh/cmd/meshd/cmd"
)

func main() {
	if err := cmd.Execute(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
