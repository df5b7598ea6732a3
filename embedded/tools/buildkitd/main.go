// Command buildkitd is BuildKit's daemon with what the embedded engine uses of it: one OCI worker with overlay or plain
// copies, sources, exporters, sessions and the client's gateway. It has neither frontends nor remote caches, neither the
// containerd worker nor lazy snapshotters, which are a third of what the whole daemon takes to compile.
//
//	buildkitd --config FILE
//
// It reads the keys of BuildKit's own configuration; those for what it does not have are refused or have no effect, as
// the function check says. SIGTERM lets running builds end, a second signal does not wait for them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/appcontext"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // the codec of vtprotobuf, which its messages are made for
	"github.com/moby/buildkit/util/resolver/limited"
	"github.com/moby/buildkit/util/stack"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/sirupsen/logrus"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

func main() {
	path := flag.String("config", "", "the configuration, as BuildKit's buildkitd.toml")
	flag.Parse()
	apicaps.ExportedProduct = "buildkit"
	stack.SetVersionInfo(version.Version, version.Revision)
	if err := run(*path); err != nil {
		fmt.Fprintf(os.Stderr, "buildkitd: %v\n", err)
		os.Exit(1)
	}
}

func run(path string) error {
	if path == "" || flag.NArg() > 0 {
		return errors.New("usage: buildkitd --config FILE")
	}
	settings, err := config.LoadFile(path)
	if err != nil {
		return err
	}
	if err := check(&settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := apply(&settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ctx, cancel := context.WithCancelCause(appcontext.Context())
	defer cancel(nil)
	unlock, err := lock(settings.Root)
	if err != nil {
		return err
	}
	defer unlock()
	listeners, err := listen(settings.GRPC.Address)
	if err != nil {
		return err
	}
	state, err := openSettled(settings.Root, bootIDFile)
	if err != nil {
		return err
	}
	defer state.close()
	controller, err := newController(ctx, &settings)
	if err != nil {
		return err
	}
	defer controller.Close()

	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(logged, state.unary, grpcerrors.UnaryServerInterceptor),
		grpc.ChainStreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	controller.Register(server)
	ended := make(chan error, len(listeners))
	for _, listener := range listeners {
		logrus.Infof("running server on %s", listener.Addr())
		go func() { ended <- server.Serve(listener) }()
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	logrus.Info("stopping server")
	go func() {
		<-appcontext.Shutdown().Done()
		server.Stop()
	}()
	server.GracefulStop()
	return err
}

// check refuses what this daemon would have to have and does not.
func check(settings *config.Config) error {
	oci := settings.Workers.OCI
	missing := map[string]bool{
		"worker.containerd.enabled":       settings.Workers.Containerd.Enabled != nil && *settings.Workers.Containerd.Enabled,
		"worker.oci.proxySnapshotterPath": oci.ProxySnapshotterPath != "",
		"worker.oci.rootless":             oci.Rootless,
		"worker.oci.noProcessSandbox":     oci.NoProcessSandbox,
		"grpc.tls":                        settings.GRPC.TLS.Cert != "",
	}
	for key, set := range missing {
		if set {
			return fmt.Errorf("%s is set, which the embedded engine's BuildKit does not have", key)
		}
	}
	if settings.Root == "" || len(settings.GRPC.Address) == 0 {
		return errors.New("root and grpc.address must be set")
	}
	return nil
}

// apply sets what holds for the whole process.
func apply(settings *config.Config) error {
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true})
	if settings.Log.Format == "json" {
		logrus.SetFormatter(&logrus.JSONFormatter{})
	}
	if settings.Log.Level != "" {
		level, err := logrus.ParseLevel(settings.Log.Level)
		if err != nil {
			return err
		}
		logrus.SetLevel(level)
	}
	system := settings.System
	if system == nil {
		return nil
	}
	if system.PlatformsCacheMaxAge != nil {
		archutil.CacheMaxAge = system.PlatformsCacheMaxAge.Duration
	}
	if system.MaxRegistryConcurrency != nil {
		if *system.MaxRegistryConcurrency <= 0 {
			return fmt.Errorf("system.maxRegistryConcurrency is %d, it must be greater than zero", *system.MaxRegistryConcurrency)
		}
		limited.SetMaxConcurrency(int64(*system.MaxRegistryConcurrency))
	}
	if system.SessionAuthTimeout != nil {
		auth.SessionAuthTimeout = system.SessionAuthTimeout.Duration
	}
	return nil
}

// lock makes the folder and sees to it that one daemon uses it.
func lock(root string) (func(), error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(root, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("another daemon uses %s", root)
	}
	return func() { file.Close() }, nil
}

// listen opens Unix sockets, for their owner alone.
func listen(addresses []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		path, ok := strings.CutPrefix(address, "unix://")
		if !ok {
			return nil, fmt.Errorf("grpc.address is %q, it must begin with unix://", address)
		}
		_ = os.Remove(path)
		before := unix.Umask(0o177)
		listener, err := net.Listen("unix", path)
		unix.Umask(before)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

func newController(ctx context.Context, settings *config.Config) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	one, err := newWorker(ctx, settings)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(one); err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(settings.Root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(settings.Root, "history.db"), 0o600, &bbolt.Options{
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
	})
	if err != nil {
		return nil, err
	}
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{},
		CacheManager:     solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		Entitlements:     settings.Entitlements,
		HistoryDB:        history,
		CacheStore:       cache,
		LeaseManager:     one.LeaseManager(),
		ContentStore:     one.ContentStore(),
		HistoryConfig:    settings.History,
		ProxyNetwork:     settings.ProxyNetwork,
		GarbageCollect:   one.GarbageCollect,
		GracefulStop:     ctx.Done(),
	})
}

// logged writes what a call failed with to the log.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if err != nil {
		logrus.Errorf("%s returned error: %v", info.FullMethod, err)
	}
	return answer, err
}
