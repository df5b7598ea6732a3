package main

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/util/network/cniprovider"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"
)

func newWorker(ctx context.Context, settings *config.Config) (*base.Worker, error) {
	own := settings.Workers.OCI
	snapshots, err := snapshotter(settings.Root, own.Snapshotter)
	if err != nil {
		return nil, err
	}
	network := netproviders.Opt{
		Mode: own.Mode,
		CNI: cniprovider.Opt{
			Root:         settings.Root,
			ConfigPath:   own.CNIConfigPath,
			BinaryDir:    own.CNIBinaryPath,
			PoolSize:     own.CNIPoolSize,
			BridgeName:   own.BridgeName,
			BridgeSubnet: own.BridgeSubnet,
		},
	}
	var names *oci.DNSConfig
	if settings.DNS != nil {
		names = &oci.DNSConfig{
			Nameservers:   settings.DNS.Nameservers,
			Options:       settings.DNS.Options,
			SearchDomains: settings.DNS.SearchDomains,
		}
	}
	var parallel *semaphore.Weighted
	if own.MaxParallelism > 0 {
		parallel = semaphore.NewWeighted(int64(own.MaxParallelism))
	}
	options, err := runc.NewWorkerOpt(
		settings.Root, snapshots, false, oci.ProcessSandbox, own.Labels, nil, network, names, own.Binary,
		own.ApparmorProfile, own.SELinux, parallel, "", own.DefaultCgroupParent, nil,
	)
	if err != nil {
		return nil, err
	}
	if snapshots.Name == "overlayfs" && canBeVolatile(settings.Root) {
		options.Snapshotter = volatile{options.Snapshotter}
	}
	options.GCPolicy = policy(own.GCConfig, settings.Root)
	options.BuildkitVersion = client.BuildkitVersion{
		Package: version.Package, Version: version.Version, Revision: version.Revision,
	}
	options.RegistryHosts = resolver.NewRegistryConfig(settings.Registries)
	options.Platforms = nil
	if len(own.Platforms) == 0 {
		for _, platform := range archutil.SupportedPlatforms(false) {
			options.Platforms = append(options.Platforms, platforms.Normalize(platform))
		}
	}
	for _, text := range own.Platforms {
		platform, err := platforms.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("worker.oci.platforms has %q: %w", text, err)
		}
		options.Platforms = append(options.Platforms, platforms.Normalize(platform))
	}
	return base.NewWorker(ctx, options)
}

// snapshotter finds one by its name: overlayfs where the file system can do it, else plain copies, by default.
func snapshotter(root, name string) (runc.SnapshotterFactory, error) {
	if name == "" || name == "auto" {
		name = "overlayfs"
		if err := overlayutils.Supported(root); err != nil {
			logrus.Warnf("overlayfs is not available for %s, files are copied instead: %v", root, err)
			name = "native"
		}
	}
	switch name {
	case "overlayfs":
		return runc.SnapshotterFactory{Name: name, New: func(folder string) (snapshots.Snapshotter, error) {
			return overlay.NewSnapshotter(folder, overlay.AsynchronousRemove)
		}}, nil
	case "native":
		return runc.SnapshotterFactory{Name: name, New: native.NewSnapshotter}, nil
	}
	return runc.SnapshotterFactory{}, fmt.Errorf(
		"worker.oci.snapshotter is %q: the embedded engine's BuildKit has auto, overlayfs and native", name)
}

// policy makes rules for the garbage collector of sizes and shares of the disk.
func policy(limits config.GCConfig, root string) []client.PruneInfo {
	if limits.GC != nil && !*limits.GC {
		return nil
	}
	space, _ := disk.GetDiskStat(root)
	rules := limits.GCPolicy
	if len(rules) == 0 {
		rules = config.DefaultGCPolicy(limits, space)
	}
	var found []client.PruneInfo
	for _, rule := range rules {
		found = append(found, client.PruneInfo{
			Filter:        rule.Filters,
			All:           rule.All,
			KeepDuration:  rule.KeepDuration.Duration,
			ReservedSpace: rule.ReservedSpace.AsBytes(space),
			MaxUsedSpace:  rule.MaxUsedSpace.AsBytes(space),
			MinFreeSpace:  rule.MinFreeSpace.AsBytes(space),
		})
	}
	return found
}
