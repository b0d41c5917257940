// Command printproto prints, as protobuf source, files whose descriptors are
// compiled into the Go modules it imports.
package main

import (
	"fmt"
	"io"
	"os"

	gogoproto "github.com/cosmos/gogoproto/proto"
	"github.com/jhump/protoreflect/desc"
	"github.com/jhump/protoreflect/desc/protoprint"

	_ "github.com/cosmos/ics23/go"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := printFile(os.Stdout, path); err != nil {
			fmt.Fprintf(os.Stderr, "printproto: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func printFile(w io.Writer, path string) error {
	file, err := gogoproto.HybridResolver.FindFileByPath(path)
	if err != nil {
		return err
	}
	wrapped, err := desc.WrapFile(file)
	if err != nil {
		return err
	}
	return new(protoprint.Printer).PrintProtoFile(wrapped, w)
}
