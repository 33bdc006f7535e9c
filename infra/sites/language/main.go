// Command pulumi-language-python lets the CLI run the Python program that a Pulumi.yaml names.
//
// The official host cannot be had as a module; this one answers the part of the published protocol that `up`, `preview`
// and `destroy --run-program` use, and starts the script that the SDK's module ships for the purpose. Dependencies are
// installed by whoever made the virtual environment, never by this host.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

//go:generate go run ./embed

//go:embed exec.py
var script []byte

// The script exits with it after it has told the user what is wrong.
const toldTheUser = 32

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string
	script string
}

func main() {
	flag.String("root", "", "ignored: each request names its own")
	flag.String("tracing", "", "ignored: nothing is traced")
	flag.Parse()
	if err := serve(flag.Arg(0)); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-language-python: %v\n", err)
		os.Exit(1)
	}
}

// serve answers on a free port, which it prints as the protocol asks, until the engine is gone.
func serve(engine string) error {
	folder, err := os.MkdirTemp("", "pulumi-language-python-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "exec.py")
	if err := os.WriteFile(path, script, 0o600); err != nil {
		return err
	}
	done := make(chan bool)
	if engine != "" {
		ctx, cancel := context.WithCancel(context.Background())
		if err := rpcutil.Healthcheck(ctx, engine, 5*time.Minute, cancel); err != nil {
			return fmt.Errorf("the engine at %s does not answer: %w", engine, err)
		}
		go func() { <-ctx.Done(); close(done) }()
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: done,
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, &host{engine: engine, script: path})
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}

func (h *host) Handshake(_ context.Context, request *pulumirpc.LanguageHandshakeRequest) (
	*pulumirpc.LanguageHandshakeResponse, error,
) {
	h.engine = request.EngineAddress
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "3.274.1"}, nil
}

// GetRequiredPackages names none: providers come with the project file or lie on PATH, and nothing is downloaded.
func (h *host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (
	*pulumirpc.GetRequiredPackagesResponse, error,
) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *host) GetProgramDependencies(context.Context, *pulumirpc.GetProgramDependenciesRequest) (
	*pulumirpc.GetProgramDependenciesResponse, error,
) {
	return &pulumirpc.GetProgramDependenciesResponse{}, nil
}

func (h *host) About(context.Context, *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	return &pulumirpc.AboutResponse{Executable: python()}, nil
}

func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Run runs the program to its end; what it prints goes to the engine as it comes.
func (h *host) Run(ctx context.Context, request *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	configuration, err := configurationOf(request)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, python(), append(h.arguments(request), request.Args...)...)
	command.Dir = request.Info.ProgramDirectory
	command.Env = append(os.Environ(), configuration...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	err = command.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &ended) && ended.ExitCode() == toldTheUser:
		return &pulumirpc.RunResponse{Bail: true}, nil
	default:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("the program failed: %v", err)}, nil
	}
}

func (h *host) arguments(request *pulumirpc.RunRequest) []string {
	return []string{
		"-u", h.script,
		"--monitor", request.MonitorAddress,
		"--engine", h.engine,
		"--project", request.Project,
		"--root_directory", request.Info.RootDirectory,
		"--pwd", request.Pwd,
		"--stack", request.Stack,
		"--organization", request.Organization,
		"--parallel", strconv.Itoa(int(request.Parallel)),
		"--dry_run", strconv.FormatBool(request.DryRun),
		filepath.Join(request.Info.ProgramDirectory, request.Info.EntryPoint),
	}
}

// configurationOf writes the stack's configuration as the SDK reads it; an absent one must be an empty object, not null.
func configurationOf(request *pulumirpc.RunRequest) ([]string, error) {
	values, secrets := request.Config, request.ConfigSecretKeys
	if values == nil {
		values = map[string]string{}
	}
	if secrets == nil {
		secrets = []string{}
	}
	config, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	return []string{"PULUMI_CONFIG=" + string(config), "PULUMI_CONFIG_SECRET_KEYS=" + string(keys)}, nil
}

// python is the interpreter of the active virtual environment, else the one on PATH.
func python() string {
	if environment := os.Getenv("VIRTUAL_ENV"); environment != "" {
		return filepath.Join(environment, "bin", "python")
	}
	return "python3"
}
