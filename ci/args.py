"""The arguments that several functions take, each with its text."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import dagger
from dagger import DefaultPath, Doc, Ignore, Name

from ci.boot.ways import WAYS
from ci.common import pins
from ci.common.kinds import KINDS, PROFILES
from ci.load.layouts import LAYOUTS
from ci.plan.outputs import DEFAULT_OUTPUTS, FORMS, NETBOOT, REPRODUCED_OUTPUTS
from ci.upkeep.vendors import PATHS, VENDORS
from ci.workloads.checkout import PASSED_OVER, TOPS

#: All of a checkout but what is read of it: the profiles, the matchbox files, and what holds the commit and its date.
#: As in a .dockerignore, the last pattern that fits decides.
UPSTREAM_IGNORE = [
    "*",
    *(f"!{layout}/images" for layout in LAYOUTS),
    *(f"!.git/{name}" for name in ("HEAD", "refs", "packed-refs", "shallow", "objects")),
]
#: All of this project but what its unit tests read.
TEST_IGNORE = [
    "*",
    *(
        f"!{name}"
        for name in (
            "ci",
            "variants",
            "tests",
            "deploy",
            "docs",
            "README.md",
            "CONTRIBUTING.md",
            "dagger.json",
            "pyproject.toml",
            "hatch_build.py",
        )
    ),
    "!.github/workflows",
    "**/__pycache__",
]
#: All of this project but what names versions of CozyStack and of extensions.
UPDATE_IGNORE = ["*", *(f"!{name}" for name in pins.NAMED_IN), "!variants/*.yaml"]
#: All of a repository but its CI files, and the file that shows whether it is this project.
CI_FILES_IGNORE = ["*", "!dagger.json", *(f"!{path}" for path in PATHS)]

#: All of a checkout but what says which images its packages run; `ci.workloads.checkout` reads no more of it.
WORKLOADS_IGNORE = [
    "*",
    *(f"!{top}" for top in TOPS),
    *(f"packages/**/{name}" for name in sorted(PASSED_OVER)),
    "**/README.md",
]

#: To be used without a default, though it is optional: Dagger applies the patterns to a default of null, and fails.
Upstream: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("CozyStack checkout: a folder, or a git URL with a ref (https://…/cozystack.git#v1.6.2). Instead of --release"),
    Ignore(UPSTREAM_IGNORE),
]
Release: TypeAlias = Annotated[
    str | None,
    Doc(f"CozyStack release to build for, by its git tag, for example {pins.DEFAULT_RELEASE.tag} (the default)"),
]
VariantFiles: TypeAlias = Annotated[
    dagger.Directory | None,
    Name("variants"),
    Doc("Folder with variant files (*.yaml) of your own, in addition to the built-in ones"),
]
Architecture: TypeAlias = Annotated[str, Doc("Architecture of the nodes: arm64 or amd64")]
SourceDateEpoch: TypeAlias = Annotated[
    int | None,
    Doc("Time of all timestamps in the outputs, in seconds since 1970; default: the date of upstream's commit"),
]
VariantName: TypeAlias = Annotated[
    str, Doc("Name of a variant, for example spin-only; the function variants lists them")
]
VariantNames: TypeAlias = Annotated[
    str,
    Doc(
        "Names of variants, separated by commas, or all; for example spin-only,spin-tailscale. The function variants "
        "lists them"
    ),
]
BuiltArchitectures: TypeAlias = Annotated[
    list[str] | None, Doc("Architectures to build for, for example arm64,amd64; default: that of --arch")
]
Outputs: TypeAlias = Annotated[
    list[str] | None,
    Doc(
        f"Outputs, separated by commas: {', '.join(KINDS)}, upstream (the {len(PROFILES)} that CozyStack makes), or a "
        "platform of Talos's with or without a form, for example aws, oracle.qcow2, openstack.iso; default: "
        f"{','.join(DEFAULT_OUTPUTS)}"
    ),
]
AssetOutputs: TypeAlias = Annotated[
    list[str] | None, Doc("What the asset image holds, as for the function build; default: " + ",".join(NETBOOT))
]
DiskFormat: TypeAlias = Annotated[
    str,
    Name("format"),
    Doc(f"raw (large), raw.xz (small), raw.zst (small, unpacked faster), or one of {', '.join(list(FORMS)[3:])}"),
]
DiskSize: TypeAlias = Annotated[
    str | None,
    Doc("Size of disk images, for example 8GiB or 2500MiB; default: Talos's for the platform, CozyStack's for its own"),
]
BaseUrl: TypeAlias = Annotated[
    str | None,
    Doc("URL of the folder that holds kernel and initramfs, for ipxe, for example http://192.168.1.10:8080/assets"),
]
ReproducedOutputs: TypeAlias = Annotated[
    list[str] | None,
    Doc(
        f"Outputs as for the function build; default: {','.join(REPRODUCED_OUTPUTS)}, and against the imager the "
        "initramfs"
    ),
]
ReproducedAgainst: TypeAlias = Annotated[
    str,
    Doc(
        "build: another build of the same; imager: one imager run with all extensions, in place of the several runs "
        "that the initramfs is put together from"
    ),
]
LayoutName: TypeAlias = Annotated[
    str, Doc("boot: assets/talos/<arch>/boot/…; upstream: the file names of CozyStack's _out/assets")
]
Format: TypeAlias = Annotated[str, Name("format"), Doc("text, json or yaml")]
DiffFormat: TypeAlias = Annotated[str, Name("format"), Doc("text, json, yaml, or html: a page to look at")]
Registry: TypeAlias = Annotated[
    str | None,
    Doc("Registry that asks for a login before it gives an image: host, or host:port; with --registry-username"),
]
RegistryUsername: TypeAlias = Annotated[str | None, Doc("User name at --registry")]
RegistryPassword: TypeAlias = Annotated[
    dagger.Secret | None, Doc("Password or token at --registry, for example env:REGISTRY_PASSWORD")
]
ExtensionFile: TypeAlias = Annotated[
    list[dagger.File] | None,
    Doc(
        "Image archives (docker save, crane pull, OCI) of system extensions to add, separated by commas, "
        "for example sensors.tar"
    ),
]
ExtensionLayout: TypeAlias = Annotated[
    list[dagger.Directory] | None,
    Doc("Folders of the OCI image layout with system extensions to add, separated by commas"),
]
SecureBootKey: TypeAlias = Annotated[
    dagger.Secret | None,
    Doc("Key that signs boot images for secure boot (RSA, PKCS#1, PEM), for example file:uki-signing-key.pem"),
]
SecureBootCert: TypeAlias = Annotated[dagger.File | None, Doc("Certificate of --secureboot-key (PEM)")]
SecureBootPcrKey: TypeAlias = Annotated[
    dagger.Secret | None,
    Doc("Key that signs PCR measurements (RSA, PKCS#1, PEM), for example file:pcr-signing-key.pem"),
]
SecureBootEnrolment: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("Folder with PK.auth, KEK.auth and db.auth to enrol; default: made from the certificate"),
]
DiskSectorSize: TypeAlias = Annotated[
    int | None,
    Doc("Bytes in a sector of the disks that disk images are for: 512, or 4096 (from Talos v1.14 on); default: 512"),
]
AuthKey: TypeAlias = Annotated[
    dagger.Secret | None,
    Doc(
        "Tailscale auth key, or the secret of an OAuth client, for example env:TS_AUTHKEY or file:key.txt. It is then "
        "in the result; default: a placeholder to replace"
    ),
]
Routes: TypeAlias = Annotated[
    list[str] | None,
    Doc(
        "Networks that the node routes into the tailnet, separated by commas; default: CozyStack's pod and service "
        "networks, 10.244.0.0/16,10.96.0.0/16"
    ),
]
Hostname: TypeAlias = Annotated[
    str | None, Doc("Name of the node in the tailnet, for example cluster-router; default: its host name")
]
TailscaleArguments: TypeAlias = Annotated[
    str | None,
    Doc(
        "Further arguments of tailscale up, for example --tailscale-args=--ssh. Settings that have an argument "
        "here are refused"
    ),
]
LoginServer: TypeAlias = Annotated[
    str | None, Doc("Headscale's URL, for example https://headscale.example.com; default: Tailscale's own server")
]
AcceptRoutes: TypeAlias = Annotated[
    bool | None, Doc("Take the routes that other nodes of the tailnet advertise; default: it does not")
]
AcceptDns: TypeAlias = Annotated[bool | None, Doc("Take the tailnet's DNS settings; default: it does not")]
AdvertiseTags: TypeAlias = Annotated[
    list[str] | None, Doc("Tags of the node in the tailnet, for example tag:router; an OAuth client needs one")
]
TailscaleClientId: TypeAlias = Annotated[
    str | None,
    Doc("Client id of identity federation, in place of an auth key; needs --tailscale-audience and --advertise-tags"),
]
TailscaleAudience: TypeAlias = Annotated[
    str | None, Doc("Audience of the token that the node's cloud issues, for --tailscale-client-id")
]
Installer: TypeAlias = Annotated[
    str | None,
    Doc(
        "Installer image of this variant, for the first installation: the reference that publish prints; default: what "
        "the node's configuration names"
    ),
]
InstallDisk: TypeAlias = Annotated[
    str | None,
    Doc(
        "With --installer: disk for the first installation, for example /dev/sda; from Talos v1.14 on also an "
        "expression, for example disk.transport=='nvme'"
    ),
]
JoinCidr: TypeAlias = Annotated[
    str | None, Doc("CozyStack's join network (networking.joinCIDR); default: 100.64.0.0/16")
]
NodeSubnets: TypeAlias = Annotated[
    list[str] | None,
    Doc(
        "Networks that hold the nodes' own addresses, for example 192.168.1.0/24, so that no node takes its address in "
        "the tailnet; default: Talos chooses"
    ),
]
NodeKind: TypeAlias = Annotated[
    str | None,
    Doc("controlplane, worker or router: node.yaml then holds all that such a node needs; default: files for each"),
]
Talm: TypeAlias = Annotated[bool, Doc("Write talm's form as well: a node's file, and lines of values.yaml")]
CheckedFiles: TypeAlias = Annotated[
    list[dagger.File] | None,
    Doc(
        "Machine configurations to check against the variant, for example controlplane.yaml,worker.yaml; problems are "
        "an error, and secrets in the files are not shown"
    ),
]
VerifySignatures: TypeAlias = Annotated[
    bool, Doc("Check with cosign, before anything is built, that Sidero Labs signed every image that goes in")
]
CosignKey: TypeAlias = Annotated[
    dagger.File | None,
    Doc("Public key (cosign.pub): images signed with it pass --verify-signatures too, and others' images only then"),
]
CosignMirrors: TypeAlias = Annotated[
    list[str] | None,
    Doc("Where cosign finds images and signatures, if not in their registry: ghcr.io=registry.example.com/ghcr.io"),
]
TestSource: TypeAlias = Annotated[
    dagger.Directory,
    DefaultPath("/"),
    Ignore(TEST_IGNORE),
    Doc("This project's own checkout, with its tests"),
]
CiFilesSource: TypeAlias = Annotated[
    dagger.Directory,
    DefaultPath("/"),
    Ignore(CI_FILES_IGNORE),
    Doc("Checkout that the changes are compared with: . for your own repository; default: this project's"),
]
VendorNames: TypeAlias = Annotated[
    list[str],
    Doc(f"CI vendors, separated by commas: {', '.join(vendor.name for vendor in VENDORS)}, or all"),
]
ModuleReference: TypeAlias = Annotated[
    str | None,
    Name("module"),
    Doc(
        "How the calls in the files name this module, for example github.com/OWNER/cozystack-talos@v0.1.0; "
        "default: not at all, which is right in a checkout of this project"
    ),
]
ReleasedVariants: TypeAlias = Annotated[
    list[str] | None,
    Doc("Variants that a release builds, separated by commas; default: those in --variants, else the built-in ones"),
]
VariantsFolder: TypeAlias = Annotated[
    str | None, Doc("Where the folder given as --variants is in your repository; default: variants")
]
ReleasedOutputs: TypeAlias = Annotated[
    list[str] | None,
    Doc("Outputs that a release builds, as for build; default: those of this project's own releases"),
]
ReleaseAddress: TypeAlias = Annotated[
    str | None,
    Doc(
        "Registry and folder that a release publishes its images to, for example registry.example.com/talos; "
        "default: the vendor's own registry on GitHub and GitLab, elsewhere nothing is published"
    ),
]
DaggerVersion: TypeAlias = Annotated[
    str | None, Name("dagger"), Doc("Version of Dagger that the jobs run, for example 1.0.0; default: the tested one")
]
DaggerChecksum: TypeAlias = Annotated[
    str | None,
    Doc(
        "SHA-256 of that version's Linux archive; default: the jobs take it from the checksums that Dagger publishes "
        "next to the archive"
    ),
]
Assets: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("Folder of boot assets of any origin and layout: this project's, CozyStack's, Image Factory's"),
]
AssetImage: TypeAlias = Annotated[
    str | None,
    Doc("Container image, instead of --assets: ghcr.io/siderolabs/installer:v1.13.6; of --arch, if it has several"),
]
AssetFile: TypeAlias = Annotated[
    dagger.File | None, Doc("A single file of any kind, instead of --assets: an initramfs, UKI, ISO…")
]
Before: TypeAlias = Annotated[dagger.Directory | None, Doc("Folder of the older assets")]
BeforeImage: TypeAlias = Annotated[str | None, Doc("The older container image, instead of --before")]
BeforeFile: TypeAlias = Annotated[dagger.File | None, Doc("The older file, instead of --before")]
After: TypeAlias = Annotated[dagger.Directory | None, Doc("Folder of the newer assets")]
AfterImage: TypeAlias = Annotated[str | None, Doc("The newer container image, instead of --after")]
AfterFile: TypeAlias = Annotated[dagger.File | None, Doc("The newer file, instead of --after")]
AllFiles: TypeAlias = Annotated[bool, Name("all"), Doc("Name every file in the text, also in folders of many")]
FailOnChange: TypeAlias = Annotated[bool, Doc("Make any difference an error, whose text is the difference")]
PlannedVariant: TypeAlias = Annotated[
    str | None,
    Doc("Variant that the assets have to be; without it, they only have to agree with themselves"),
]
ImageNames: TypeAlias = Annotated[
    list[str] | None,
    Name("images"),
    Doc("Images to publish, separated by commas: installer, assets, matchbox; default: all three"),
]
DiskImages: TypeAlias = Annotated[
    list[str] | None,
    Doc(
        "Disk images and ISOs to publish as an artifact of files, talos-disks, separated by commas, for example "
        "oracle.qcow2,aws"
    ),
]
Address: TypeAlias = Annotated[
    str, Doc("Registry and folder, for example ghcr.io/example; talos, talos-assets, matchbox are put below it")
]
Architectures: TypeAlias = Annotated[
    list[str] | None, Doc("Architectures of the images, for example arm64,amd64: one index; default: that of --arch")
]
Channel: TypeAlias = Annotated[
    str | None, Doc("Floating tag to move as well, for example stable: <variant>-stable; only after all checks passed")
]
SiteVariants: TypeAlias = Annotated[
    list[str] | None, Doc("Variants that the site offers, separated by commas; default: all, those in --variants too")
]
SiteAddress: TypeAlias = Annotated[
    str | None, Doc("Registry and folder that publish was given, for example ghcr.io/example; default: no images")
]
SiteArchitectures: TypeAlias = Annotated[
    list[str] | None, Doc("Architectures that the site offers, for example arm64,amd64; default: that of --arch")
]
SiteOutputs: TypeAlias = Annotated[
    list[str] | None,
    Doc("Outputs that the site offers, as for build; default: those of this project's own releases"),
]
SiteArchives: TypeAlias = Annotated[
    str | None,
    Doc(
        "URL of a folder with the archives VARIANT.tar and their checksums.sha256, such as a GitHub release's; "
        "default: the files are in the site"
    ),
]
SiteBefore: TypeAlias = Annotated[
    dagger.Directory | None, Doc("Site of the release before, for pages of what has changed since")
]
SiteKey: TypeAlias = Annotated[
    dagger.File | None, Doc("Public key (cosign.pub) that the images are signed with: the site then has it")
]
Username: TypeAlias = Annotated[str | None, Doc("User name at the registry")]
Password: TypeAlias = Annotated[dagger.Secret | None, Doc("Password or token at the registry, for example env:TOKEN")]
PlainHttp: TypeAlias = Annotated[bool, Doc("The registry speaks HTTP without TLS (on 127.0.0.1 that is found out)")]
SignKey: TypeAlias = Annotated[
    dagger.Secret | None, Doc("Sign the images with this private key of cosign's, for example file:cosign.key")
]
FilesSignKey: TypeAlias = Annotated[
    dagger.Secret | None,
    Doc(
        "Sign each output, the checksums and the report with this private key of cosign's, for example "
        "file:cosign.key: FILE.sigstore.json is then next to FILE"
    ),
]
FilesKey: TypeAlias = Annotated[
    dagger.File | None,
    Doc("Public key (cosign.pub) that the files in --assets have to be signed with, each in FILE.sigstore.json"),
]
Force: TypeAlias = Annotated[bool, Doc("Move tags that name other content, or another variant")]
NetworkSeconds: TypeAlias = Annotated[
    int, Doc("Seconds that the registry may be silent; the engine's own pulls have the engine's limit")
]
SignPassword: TypeAlias = Annotated[dagger.Secret | None, Doc("Password of --sign-key; left out: it has none")]
UpdateSource: TypeAlias = Annotated[
    dagger.Directory, DefaultPath("/"), Ignore(UPDATE_IGNORE), Doc("This project's own checkout")
]
Repository: TypeAlias = Annotated[
    str | None, Doc("Git repository with CozyStack's releases as tags; default: CozyStack's own")
]
WantedRelease: TypeAlias = Annotated[str | None, Doc("CozyStack release to go to; default: the newest")]
ImagesFormat: TypeAlias = Annotated[
    str, Name("format"), Doc("text (a reference a line) or json (with what each is for)")
]
BootFrom: TypeAlias = Annotated[
    str, Name("from"), Doc(f"What to boot from: {', '.join(WAYS)}, or an output, for example oracle.qcow2")
]
BootWays: TypeAlias = Annotated[
    list[str] | None,
    Doc("Boot the assets before they are returned, from each of these: " + ", ".join(WAYS) + "; default: none"),
]
BootedAssets: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("Folder that the function build exported, to boot that; without it, what is booted is built"),
]
MachineConfiguration: TypeAlias = Annotated[
    dagger.File | None,
    Doc("Machine configuration that the booted machine gets: a node's own, or node.yaml of machine-config"),
]
Deadline: TypeAlias = Annotated[
    int, Doc("Seconds without progress after which a machine is given up; the whole boot may take six times as long")
]
KernelArguments: TypeAlias = Annotated[
    str | None, Doc("Further kernel arguments, separated by spaces, for example talos.dashboard.disabled=1")
]
Kvm: TypeAlias = Annotated[bool, Doc("Let the host's processor run the machine where it can: a privileged step")]
Boot: TypeAlias = Annotated[bool, Doc("Boot every variant in QEMU too, from kernel, UKI, ISO and disk image")]
WorkloadsUpstream: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("CozyStack checkout, for its packages: a folder, or a git URL with a ref. Instead of --release"),
    Ignore(WORKLOADS_IGNORE),
]
WorkloadsRelease: TypeAlias = Annotated[
    str | None,
    Doc("CozyStack release, by its git tag; newest is the newest one; default: pinned, that of the module's --release"),
]
WorkloadsBefore: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("CozyStack checkout to compare with. Instead of --before"),
    Ignore(WORKLOADS_IGNORE),
]
BeforeRelease: TypeAlias = Annotated[str | None, Doc("CozyStack release to compare with, as --release: v1.5.4, pinned")]
WorkloadsArchitecture: TypeAlias = Annotated[
    str | None, Name("arch"), Doc("Architecture of the nodes: arm64 or amd64; default: that of the module's --arch")
]
Bundles: TypeAlias = Annotated[
    list[str] | None,
    Doc("Only what is in these bundles and what they need, separated by commas, for example isp-full,paas"),
]
NodeSelectors: TypeAlias = Annotated[
    bool, Doc("Write a list of patches instead that keep pods on amd64 nodes whose images are not there for --arch")
]
Deep: TypeAlias = Annotated[
    bool, Doc("Look into each image as well: whether the program that starts is for --arch. Layers are downloaded")
]
Offline: TypeAlias = Annotated[
    dagger.File | None, Doc("Recorded answers (answers.json, or a report in the format json): no registry is asked")
]
Save: TypeAlias = Annotated[
    str | None,
    Doc("Not possible: a function can't write to your machine. --format json -o FILE saves the report and the answers"),
]
Mirrors: TypeAlias = Annotated[
    list[str] | None,
    Doc("Where images are found, if not in their registry: ghcr.io=registry.example.com/ghcr.io"),
]
Render: TypeAlias = Annotated[
    bool,
    Doc("Render every chart with Helm too, in a container: what it gives is what runs; the text is read next to it"),
]
RenderedCharts: TypeAlias = Annotated[
    dagger.Directory | None,
    Doc("Folder with what helm template printed of packages, <group>/<package>.yaml. Instead of --render"),
]
FailOnLoss: TypeAlias = Annotated[bool, Doc("Make it an error if anything lost --arch, whose text is the difference")]
