package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/containerd/errdefs"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// storePrefix is what BuildKit puts before the name in a source's attribute oci.store.
const storePrefix = "oci:"

// layouts are OCI layouts that the daemon reads blobs from, by name. They are read as they stand: containerd's own
// local store would create folders in them.
type layouts struct {
	named[string, string]
}

func (l *layouts) add(name, path string) error {
	if err := existingDir(name, path); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(path, ocispecs.ImageLayoutFile)); err != nil {
		return fmt.Errorf("%q is not an OCI layout: %w", path, err)
	}
	l.set(storePrefix+name, path)
	return nil
}

func (l *layouts) Register(server *grpc.Server) {
	contentapi.RegisterContentServer(server, contentserver.New(l))
}

func (l *layouts) blob(ctx context.Context, dgst digest.Digest) (string, error) {
	if err := dgst.Validate(); err != nil {
		return "", fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, err)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, name := range md.Get(sessioncontent.GRPCHeaderID) {
		if path, ok := l.get(name); ok {
			return filepath.Join(path, ocispecs.ImageBlobsDir, dgst.Algorithm().String(), dgst.Encoded()), nil
		}
		return "", fmt.Errorf("no OCI layout named %q was given: %w", name, errdefs.ErrNotFound)
	}
	return "", fmt.Errorf("request lacks %s: %w", sessioncontent.GRPCHeaderID, errdefs.ErrInvalidArgument)
}

func (l *layouts) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	path, err := l.blob(ctx, dgst)
	if err != nil {
		return content.Info{}, err
	}
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return content.Info{}, fmt.Errorf("blob %s of the OCI layout: %w", dgst, errdefs.ErrNotFound)
	}
	if err != nil {
		return content.Info{}, err
	}
	return content.Info{Digest: dgst, Size: info.Size(), CreatedAt: info.ModTime(), UpdatedAt: info.ModTime()}, nil
}

func (l *layouts) ReaderAt(ctx context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	path, err := l.blob(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	return local.OpenReader(path)
}

var errReadOnly = fmt.Errorf("an OCI layout is only read here: %w", errdefs.ErrNotImplemented)

func (l *layouts) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errReadOnly
}
func (l *layouts) Walk(context.Context, content.WalkFunc, ...string) error { return errReadOnly }
func (l *layouts) Delete(context.Context, digest.Digest) error             { return errReadOnly }
func (l *layouts) Abort(context.Context, string) error                     { return errReadOnly }
func (l *layouts) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errReadOnly
}
func (l *layouts) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return nil, errReadOnly
}
func (l *layouts) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errReadOnly
}
