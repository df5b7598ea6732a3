package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// provider is what the session offers. BuildKit's own services look into it on each request, so it may grow while
// the session is open.
type provider struct {
	state   string
	dirs    *dirs
	secrets *secretStore
	logins  *logins
	layouts *layouts
	sockets *sockets
	targets *targets
	stop    func()
}

func newProvider(state string) *provider {
	return &provider{
		state:   state,
		dirs:    &dirs{},
		secrets: &secretStore{},
		logins:  &logins{},
		layouts: &layouts{},
		sockets: &sockets{},
		targets: &targets{},
		stop:    func() {},
	}
}

// close cuts off what is under way, and lets it clear away what is not whole.
func (p *provider) close() {
	p.stop()
	p.targets.settle(500 * time.Millisecond)
}

func (p *provider) services() []session.Attachable {
	p.logins.fallback = authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(os.Stderr))
	// BuildKit keeps a seed in Docker's configuration folder. That is the user's: this program has one of its own.
	config.SetDir(p.state)
	return []session.Attachable{
		filesync.NewFSSyncProvider(p.dirs),
		secretsprovider.NewSecretProvider(p.secrets),
		authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: p.logins.config}),
		p.layouts,
		p.sockets,
		p.targets,
	}
}

// named is a map that may grow while others read it.
type named[K comparable, V any] struct {
	mu     sync.RWMutex
	values map[K]V
}

func (n *named[K, V]) set(key K, value V) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.values == nil {
		n.values = map[K]V{}
	}
	n.values[key] = value
}

func (n *named[K, V]) get(key K) (V, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	value, ok := n.values[key]
	return value, ok
}

// dirs are the local folders. As with buildctl everything in them belongs to root for the daemon: who owns a
// checkout must not change what is built from it.
type dirs struct {
	named[string, fsutil.FS]
}

func (d *dirs) add(name, path string) error {
	if err := existingDir(name, path); err != nil {
		return err
	}
	fs, err := fsutil.NewFS(path)
	if err != nil {
		return err
	}
	fs, err = fsutil.NewFilterFS(fs, &fsutil.FilterOpt{
		Map: func(_ string, stat *fstypes.Stat) fsutil.MapResult {
			stat.Uid, stat.Gid = 0, 0
			return fsutil.MapResultKeep
		},
	})
	if err != nil {
		return err
	}
	d.set(name, fs)
	return nil
}

func (d *dirs) LookupDir(name string) (fsutil.FS, bool) { return d.get(name) }

type secretStore struct {
	named[string, []byte]
}

func (s *secretStore) GetSecret(_ context.Context, id string) ([]byte, error) {
	if value, ok := s.get(id); ok {
		return value, nil
	}
	return nil, fmt.Errorf("secret %s: %w", id, secrets.ErrNotFound)
}

// logins are registry credentials by host.
type logins struct {
	named[string, types.AuthConfig]
	fallback authprovider.AuthConfigProvider
}

func (l *logins) add(host, username, password string) error {
	if host == "" {
		return errors.New("give a host")
	}
	l.set(registryHost(host), types.AuthConfig{Username: username, Password: password, ServerAddress: host})
	return nil
}

func (l *logins) config(
	ctx context.Context, host string, scopes []string, expired authprovider.ExpireCachedAuthCheck,
) (types.AuthConfig, error) {
	if login, ok := l.get(registryHost(host)); ok {
		return login, nil
	}
	return l.fallback(ctx, host, scopes, expired)
}

// registryHost is the one name of a registry: Docker Hub has several, and people write a scheme before a host.
func registryHost(host string) string {
	host = strings.TrimPrefix(strings.TrimPrefix(host, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "docker.io", "index.docker.io":
		return authprovider.DockerHubRegistryHost
	}
	return host
}
