"""Publishing: images are built and checked, pushed by digest, given their documents, and tagged at the very end."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci.common.concurrency import gather_each
from ci.common.errors import RegistryError, UserError
from ci.common.oci import INDEX, MANIFEST
from ci.execute.imaging import make_image
from ci.execute.signing import signs
from ci.plan.images import channel_tag, parse_channel, release_tag
from ci.publish import cosign, statements
from ci.publish.address import parse_address
from ci.publish.auth import Credentials
from ci.publish.bounded import SECONDS
from ci.publish.client import Manifest, Registry
from ci.publish.moves import check_moves
from ci.publish.publication import PublishedImage, PublishedPlatform, PublishedTag, Referrer
from ci.publish.push import Image, Pusher, digest_of, make_index

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import dagger

    from ci.execute.imaging import AssetImage
    from ci.execute.sealing import BuiltAssets
    from ci.execute.signing import Signer
    from ci.load.upstream import Upstream
    from ci.plan.images import ImageKind
    from ci.plan.model import Plan
    from ci.publish.address import Address
    from ci.publish.push import Artifact, Descriptor


@dataclass(frozen=True)
class Destination:
    """Where to publish, as whom, and under which floating tag."""

    address: Address
    credentials: Credentials | None = None
    plain_http: bool = False
    channel: str | None = None
    #: Whether tags may be moved from anything to anything.
    force: bool = False
    #: How long the registry may be silent.
    seconds: float = SECONDS


async def parse_destination(
    address: str,
    channel: str | None,
    username: str | None,
    password: dagger.Secret | None,
    *,
    plain_http: bool,
    force: bool = False,
    seconds: float = SECONDS,
) -> Destination:
    """Read where to publish; raises for a bad address, channel or limit, and for half of the credentials."""
    if seconds <= 0:
        raise UserError(f"--network-seconds {seconds}: give a number of seconds, for example 120")
    where = parse_address(address)
    if (username is None) != (password is None):
        missing = "--password env:NAME" if password is None else "--username"
        raise RegistryError(f"credentials for {where.host} are incomplete: add {missing}")
    credentials = None
    if username is not None and password is not None:
        credentials = Credentials(username, await password.plaintext())
    return Destination(where, credentials, plain_http, parse_channel(channel) if channel else None, force, seconds)


def refuse_stand_ins(plans: Sequence[Plan], address: Address) -> None:
    """Raise `UserError` where stand-ins would leave this machine."""
    if any(plan.stand_in for plan in plans) and not address.loopback:
        raise UserError(
            f"these images are stand-ins from the lab, and {address.host} is not on this machine: publish them to a "
            "registry on 127.0.0.1, or leave out --lab to build the real ones"
        )


@dataclass
class _Made:
    """An image of one kind, built for its platforms."""

    kind: ImageKind
    images: list[tuple[AssetImage, BuiltAssets]]


async def publish(
    orders: Mapping[ImageKind, Sequence[Plan]],
    upstream: Upstream,
    to: Destination,
    build: Callable[[Plan], Awaitable[BuiltAssets]],
    signer: Signer | None = None,
) -> list[PublishedImage]:
    """Publish images, each for the platforms of its plans; `build` raises for assets that fail their checks."""
    refuse_stand_ins([plan for plans in orders.values() for plan in plans], to.address)
    async with Registry(to.address, to.credentials, plain_http=to.plain_http, seconds=to.seconds) as registry:
        for kind in orders:  # before anything is built
            await registry.check_push(to.address.repository(kind.repository))
        await _check_moves(registry, orders, to)
        if signer is not None:
            await signer.check()
        made = await _build(orders, upstream, build)
        with tempfile.TemporaryDirectory(prefix="cozystack-talos-") as folder:
            pushed = [await _push(registry, to, one, Path(folder)) for one in made]
        if signer is not None:
            pushed = [await sign(one, signer) for one in pushed]
        await _check_moves(registry, orders, to)  # somebody else may have published meanwhile
        return [await _tag(one, to) for one in pushed]


async def _check_moves(registry: Registry, orders: Mapping[ImageKind, Sequence[Plan]], to: Destination) -> None:
    for kind, plans in orders.items():
        await check_moves(registry, to.address.repository(kind.repository), plans, to.channel, force=to.force)


async def _build(
    orders: Mapping[ImageKind, Sequence[Plan]], upstream: Upstream, build: Callable[[Plan], Awaitable[BuiltAssets]]
) -> list[_Made]:
    """Build all assets at the same time, those of equal plans once."""
    plans = {plan.id: plan for plans in orders.values() for plan in plans}
    assets = dict(zip(plans, await gather_each(build, plans.values()), strict=True))
    return [
        _Made(kind, [(await make_image(kind, assets[plan.id], upstream), assets[plan.id]) for plan in plans])
        for kind, plans in orders.items()
    ]


@dataclass(frozen=True)
class Pushed:
    """An image that is in its repository, without a tag."""

    pusher: Pusher
    plan: Plan
    #: What tags are to name: the image's manifest, or the index of several.
    manifest: Manifest
    published: PublishedImage
    #: Digest of a platform's image → what is attached to it, as in-toto statements.
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


async def _push(registry: Registry, to: Destination, made: _Made, folder: Path) -> Pushed:
    """Push everything but signatures and tags."""
    name = to.address.repository(made.kind.repository)
    pusher = Pusher(registry, name)
    images: list[Image] = []
    platforms: list[PublishedPlatform] = []
    claims: dict[str, tuple[str, ...]] = {}
    for made_image, assets in made.images:
        image = await _read(made_image, folder / f"{made.kind.name}-{made_image.plan.arch}")
        await pusher.image(image)
        images.append(image)
        sbom, provenance = await _documents(f"{to.address.host}/{name}", image, made_image, assets)
        referrers = tuple([await _attach(pusher, image.descriptor, one) for one in (sbom, provenance)])
        about = statements.sbom_statement(image.digest, sbom.content.decode())
        claims[image.digest] = (about, provenance.content.decode())
        platforms.append(
            PublishedPlatform(
                platform=made_image.plan.arch.platform,
                digest=image.digest,
                plan=made_image.plan.id,
                referrers=referrers,
            )
        )
    manifest = Manifest(images[0].manifest, MANIFEST)
    if len(images) > 1:
        manifest = Manifest(make_index(images, _common(made)), INDEX)
        await pusher.manifest(manifest)
    published = PublishedImage(
        image=made.kind.name,
        repository=f"{to.address.host}/{name}",
        digest=digest_of(manifest.content),
        platforms=tuple(platforms),
    )
    return Pushed(pusher, made.images[0][0].plan, manifest, published, claims)


async def sign(pushed: Pushed, signer: Signer) -> Pushed:
    """Sign the index and every platform's image, and what is attached to these, unless the same key did so before."""
    published, pusher = pushed.published, pushed.pusher
    index = {
        "mediaType": pushed.manifest.media_type,
        "digest": published.digest,
        "size": len(pushed.manifest.content),
    }
    subjects = {published.digest: index}
    if pushed.manifest.media_type == INDEX:
        subjects |= {one["digest"]: one for one in json.loads(pushed.manifest.content)["manifests"]}
    found: dict[str, tuple[Referrer, ...]] = {}
    for digest, subject in subjects.items():
        claims = [cosign.signature_statement(digest), *pushed.claims.get(digest, ())]
        there = await pusher.referrers(digest)
        found[digest] = tuple(
            [
                await _signed(pusher, subject, there, claim, artifact)
                for claim, artifact in zip(claims, await signer.sign(pushed.plan, claims), strict=True)
            ]
        )
    platforms = tuple(
        one.model_copy(update={"referrers": (*one.referrers, *found[one.digest])}) for one in published.platforms
    )
    own = found[published.digest] if pushed.manifest.media_type == INDEX else ()
    signed_image = published.model_copy(update={"platforms": platforms, "referrers": own})
    return replace(pushed, published=signed_image)


async def _signed(
    pusher: Pusher, subject: Descriptor, there: list[dict[str, Any]], claim: str, artifact: Artifact
) -> Referrer:
    """Attach a signature of a statement, unless the same key's is among what is there."""
    for listed in there:
        if await _same_signer(pusher, listed, claim, artifact):
            return _referrer(artifact, str(listed["digest"]))
    return await _attach(pusher, subject, artifact)


async def _same_signer(pusher: Pusher, listed: dict[str, Any], claim: str, artifact: Artifact) -> bool:
    """Say whether what refers to an image is a signature of a statement by the key that made `artifact`.

    Anybody who may push can write a key's name at a document, so the document is read, and has to hold the statement.
    That the key made it is not known: its public half is nowhere here. Who forges one keeps a statement from being
    signed once more; it is taken for a signature by nobody who checks.
    """
    annotations: Mapping[str, str] = listed.get("annotations") or {}
    if listed.get("artifactType") != cosign.BUNDLE or any(
        annotations.get(key) != artifact.annotations[key] for key in (statements.KEY_HINT, statements.PREDICATE)
    ):
        return False
    content = await pusher.document(listed)
    return content is not None and signs(content, claim, artifact.annotations[statements.KEY_HINT])


async def _tag(pushed: Pushed, to: Destination) -> PublishedImage:
    pusher = pushed.pusher
    names = [release_tag(pushed.plan), *([channel_tag(pushed.plan, to.channel)] if to.channel else [])]
    tags = tuple([PublishedTag(tag=name, before=await pusher.tag(name, pushed.manifest)) for name in names])
    sent = {"sent_blobs": pusher.blobs, "sent_bytes": pusher.size, "sent_manifests": pusher.manifests}
    return pushed.published.model_copy(update={"tags": tags, **sent})


def _common(made: _Made) -> dict[str, str]:
    """Return what all platforms' images say of themselves alike."""
    said = [image.spec.labels for image, _ in made.images]
    return {key: value for key, value in said[0].items() if all(one.get(key) == value for one in said)}


async def _read(made: AssetImage, folder: Path) -> Image:
    index = json.loads(await made.layout.file("index.json").contents())
    (descriptor,) = index["manifests"]
    digest = str(descriptor["digest"]).removeprefix("sha256:")
    manifest = await made.layout.file(f"blobs/sha256/{digest}").contents()

    async def fetch() -> Path:
        # from the engine into this process's own files: the machine's, or those of the module's container
        await made.layout.directory("blobs/sha256").export(str(folder))
        return folder

    return Image(descriptor, manifest.encode(), fetch)


async def _documents(name: str, image: Image, made: AssetImage, assets: BuiltAssets) -> tuple[Artifact, Artifact]:
    """Return an image's SBOM and provenance."""
    validation = assets.folder.directory("validation")
    sbom = statements.sbom(made.plan, await validation.file("sbom.spdx.json").contents())
    document = await validation.file("provenance.json").contents()
    return sbom, statements.provenance(made.plan, document, name, image.digest, made.base)


async def _attach(pusher: Pusher, subject: Descriptor, artifact: Artifact) -> Referrer:
    return _referrer(artifact, await pusher.artifact(subject, artifact))


def _referrer(artifact: Artifact, digest: str) -> Referrer:
    predicate = artifact.annotations.get(statements.PREDICATE)
    return Referrer(artifact_type=artifact.artifact_type, digest=digest, predicate_type=predicate)
