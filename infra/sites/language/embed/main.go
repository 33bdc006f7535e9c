// Command embed copies the script that the SDK's module ships beside the host's main.go, which embeds it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "embed: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3").Output()
	if err != nil {
		return fmt.Errorf("where is the SDK's module? %w", err)
	}
	script := filepath.Join(strings.TrimSpace(string(folder)), "python", "cmd", "pulumi-language-python-exec")
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	return os.WriteFile("exec.py", text, 0o644)
}
