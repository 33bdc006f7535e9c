// Command pulumi-resource-kubernetes serves the published Kubernetes provider under the version that the Python SDK is
// pinned to.
//
// Upstream's own main embeds two files that its release generates and its module leaves out; go generate writes both
// beside this file, from what the module does hold.
package main

//go:generate go run ./embed github.com/pulumi/pulumi-kubernetes/provider/v4 4.25.0

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
