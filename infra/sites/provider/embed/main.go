// Command embed writes, beside the provider's main.go, the two files that it embeds, from the published module.
//
// It is run by go generate: embed MODULE VERSION.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "embed: %v\n", err)
		os.Exit(1)
	}
}

func run(module, version string) error {
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("where is module %s? %w", module, err)
	}
	published := filepath.Join(strings.TrimSpace(string(folder)), "cmd", "pulumi-resource-kubernetes")
	mapping, err := os.ReadFile(filepath.Join(published, "terraform-mapping.json"))
	if err != nil {
		return err
	}
	if err := os.WriteFile("terraform-mapping.json", mapping, 0o644); err != nil {
		return err
	}
	return writeSchema(filepath.Join(published, "schema.json"), version)
}

// writeSchema copies the schema and sets its version, which upstream's release does as well.
func writeSchema(published, version string) error {
	text, err := os.ReadFile(published)
	if err != nil {
		return err
	}
	var schema map[string]json.RawMessage
	if err := json.Unmarshal(text, &schema); err != nil {
		return fmt.Errorf("%s: %w", published, err)
	}
	if schema["version"], err = json.Marshal(version); err != nil {
		return err
	}
	if text, err = json.Marshal(schema); err != nil {
		return err
	}
	return os.WriteFile("schema.json", text, 0o644)
}
