"""How clouds take a disk image: the commands of their own tools, a row for each platform.

docs/clouds.md says the same at more length. The commands follow the clouds' documentation and were not run there.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ci.common.arch import Arch
from ci.common.platforms import PLATFORMS
from ci.report.pages.uses import unpack_command, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci.plan.model import PlannedOutput


@dataclass(frozen=True)
class Step:
    """What to do, and the commands for it."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Cloud:
    """One row. Between % are of the image `path`, `name` without folders, `form` and `FORM`; and words of `words`."""

    steps: tuple[Step, ...]
    #: Whether the cloud takes the image as it is built, packed.
    packed: bool = False
    #: What the cloud calls an architecture.
    words: Mapping[str, Mapping[Arch, str]] | None = None


def _named(arm64: str, amd64: str) -> Mapping[Arch, str]:
    return {Arch.ARM64: arm64, Arch.AMD64: amd64}


_USER_DATA: Final = "Start a machine, with its machine configuration as user data."
#: Of clouds that fetch the image themselves.
_FETCHED: Final = "Let it be fetched: URL is where this file can be had."

CLOUDS: Final[Mapping[str, Cloud]] = {
    "aws": Cloud(
        (
            Step(
                "Import the disk as a snapshot; the role vmimport has to be allowed to read the bucket.",
                "aws s3 cp %path% s3://BUCKET/%name%\n"
                "aws ec2 import-snapshot --disk-container Format=%FORM%,UserBucket='{S3Bucket=BUCKET,S3Key=%name%}'\n"
                "aws ec2 describe-import-snapshot-tasks",
            ),
            Step(
                "When the snapshot is there, make an image of it.",
                "aws ec2 register-image --name talos --architecture %arch% --boot-mode uefi --ena-support "
                "--virtualization-type hvm --root-device-name /dev/xvda "
                "--block-device-mappings 'DeviceName=/dev/xvda,Ebs={SnapshotId=SNAPSHOT,VolumeSize=20,VolumeType=gp3}'",
            ),
            Step(
                _USER_DATA,
                "aws ec2 run-instances --image-id AMI --instance-type %type% --user-data file://this-node.yaml",
            ),
        ),
        words={"arch": _named("arm64", "x86_64"), "type": _named("t4g.large", "t3.large")},
    ),
    "azure": Cloud(
        (
            Step(
                "Upload the disk as a page blob.",
                "az storage blob upload --account-name ACCOUNT --container-name CONTAINER --type page "
                "--file %path% --name %name%",
            ),
            Step(
                "Make it an image of a gallery.",
                "az sig create --resource-group GROUP --gallery-name GALLERY\n"
                "az sig image-definition create --resource-group GROUP --gallery-name GALLERY "
                "--gallery-image-definition talos --publisher PUBLISHER --offer talos --sku %sku% --os-type Linux "
                "--os-state Generalized --architecture %arch% --hyper-v-generation V2\n"
                "az sig image-version create --resource-group GROUP --gallery-name GALLERY "
                "--gallery-image-definition talos --gallery-image-version 1.0.0 --os-vhd-storage-account ACCOUNT "
                "--os-vhd-uri https://ACCOUNT.blob.core.windows.net/CONTAINER/%name%",
            ),
            Step(
                _USER_DATA,
                "az vm create --resource-group GROUP --name node --image IMAGE_VERSION_ID --size %size% "
                "--custom-data this-node.yaml --admin-username talos --generate-ssh-keys",
            ),
        ),
        words={
            "arch": _named("Arm64", "x64"),
            "sku": _named("arm64", "amd64"),
            "size": _named("Standard_D2ps_v5", "Standard_D2s_v5"),
        },
    ),
    "gcp": Cloud(
        (
            Step(
                "Upload the archive as it is, and make an image of it.",
                "gcloud storage cp %path% gs://BUCKET/%name%\n"
                "gcloud compute images create talos --source-uri=gs://BUCKET/%name% --architecture=%arch% "
                "--guest-os-features=UEFI_COMPATIBLE,GVNIC,VIRTIO_SCSI_MULTIQUEUE",
            ),
            Step(
                _USER_DATA,
                "gcloud compute instances create node --image=talos --machine-type=%type% --boot-disk-size=20GB "
                "--metadata-from-file=user-data=this-node.yaml",
            ),
        ),
        packed=True,
        words={"arch": _named("ARM64", "X86_64"), "type": _named("t2a-standard-2", "e2-standard-2")},
    ),
    "oracle": Cloud(
        (
            Step(
                "Upload the disk and import it as a custom image.",
                "oci os object put --bucket-name BUCKET --file %path% --name %name%\n"
                "oci compute image import from-object --bucket-name BUCKET --name %name% --namespace NAMESPACE "
                "--compartment-id COMPARTMENT --display-name talos --launch-mode PARAVIRTUALIZED "
                "--source-image-type QCOW2",
            ),
            Step(
                "Say that it fits the shape, and in the console, with Edit image capabilities, that its firmware is "
                "UEFI_64.",
                "oci compute image-shape-compatibility-entry add --image-id IMAGE --shape-name %shape%",
            ),
            Step(
                _USER_DATA,
                'oci compute instance launch --shape %shape% --shape-config \'{"ocpus": 2, "memoryInGBs": 12}\' '
                "--image-id IMAGE --availability-domain DOMAIN --compartment-id COMPARTMENT --subnet-id SUBNET "
                "--user-data-file this-node.yaml",
            ),
        ),
        words={"shape": _named("VM.Standard.A1.Flex", "VM.Standard.E4.Flex")},
    ),
    "openstack": Cloud(
        (
            Step(
                "Import the disk.",
                "openstack image create talos --disk-format %form% --file %path% --property hw_architecture=%arch% "
                "--property hw_firmware_type=uefi --property hw_machine_type=%machine%",
            ),
            Step(
                _USER_DATA,
                "openstack server create node --image talos --flavor FLAVOR --network NETWORK "
                "--user-data this-node.yaml",
            ),
        ),
        words={"arch": _named("aarch64", "x86_64"), "machine": _named("virt", "q35")},
    ),
    "hcloud": Cloud(
        (
            Step(
                "Write the disk in the rescue system of a server, and keep it as a snapshot.",
                "hcloud-upload-image upload --image-path %path% --architecture %arch%",
            ),
            Step(
                _USER_DATA,
                "hcloud server create --name node --image IMAGE_ID --type %type% --user-data-from-file this-node.yaml",
            ),
        ),
        words={"arch": _named("arm", "x86"), "type": _named("cax21", "cx32")},
    ),
    "scaleway": Cloud(
        (
            Step(
                "Import the disk from a bucket of the same region; Scaleway takes qcow2.",
                "aws s3 cp %path% s3://BUCKET/%name% --endpoint-url https://s3.fr-par.scw.cloud\n"
                "scw block snapshot import-from-object-storage name=talos bucket=BUCKET key=%name% zone=fr-par-2\n"
                "scw instance image create name=talos arch=%arch% snapshot-id=SNAPSHOT zone=fr-par-2",
            ),
            Step(
                _USER_DATA,
                "scw instance server create name=node type=%type% image=IMAGE zone=fr-par-2 cloud-init=@this-node.yaml",
            ),
        ),
        words={"arch": _named("arm64", "x86_64"), "type": _named("COPARM1-2C-8G", "PRO2-XS")},
    ),
    "exoscale": Cloud(
        (
            Step(
                "Upload the disk, and register it under the URL that it then has.",
                "exo storage upload %path% sos://BUCKET/%name% --acl public-read\n"
                "exo compute instance-template register talos URL \"$(md5sum %path% | cut -d' ' -f1)\" "
                "--boot-mode uefi --disable-password --disable-ssh-key",
            ),
            Step(
                _USER_DATA,
                "exo compute instance create node --template talos --template-visibility private "
                "--cloud-init this-node.yaml",
            ),
        ),
    ),
    "vmware": Cloud(
        (
            Step(
                "Import the machine, and start it with its machine configuration as guest information.",
                "govc import.ova -name node %path%\n"
                'govc vm.change -vm node -e "guestinfo.talos.config=$(base64 -w0 this-node.yaml)"\n'
                "govc vm.power -on node",
            ),
        ),
    ),
    "nocloud": Cloud(
        (
            Step(
                "Proxmox VE: make a machine that starts by UEFI, give it the disk, and the machine configuration as a "
                "snippet.",
                "qm create 900 --name node --memory 4096 --bios ovmf %machine%--efidisk0 STORAGE:0 "
                "--net0 virtio,bridge=vmbr0\n"
                "qm set 900 --scsihw virtio-scsi-single --scsi0 STORAGE:0,import-from=$PWD/%path% --boot order=scsi0\n"
                "qm set 900 --ide2 STORAGE:cloudinit --cicustom user=local:snippets/this-node.yaml\n"
                "qm start 900",
            ),
        ),
        words={"machine": _named("", "--machine q35 ")},
    ),
    "cloudstack": Cloud(
        (
            Step(
                _FETCHED,
                "cmk register template name=talos displaytext=talos url=URL/%name% format=%FORM% hypervisor=KVM "
                "arch=%arch% zoneid=ZONE ostypeid=OSTYPE requireshvm=true",
            ),
            Step(
                _USER_DATA,
                "cmk deploy virtualmachine name=node templateid=TEMPLATE serviceofferingid=OFFERING zoneid=ZONE "
                'networkids=NETWORK boottype=UEFI bootmode=Legacy userdata="$(base64 -w0 this-node.yaml)"',
            ),
        ),
        packed=True,
        words={"arch": _named("aarch64", "x86_64")},
    ),
    "opennebula": Cloud(
        (
            Step(
                _FETCHED,
                "oneimage create --name talos --path URL/%name% --format %form% --datastore default",
            ),
        ),
    ),
    "digital-ocean": Cloud(
        (Step(_FETCHED, "doctl compute image create talos --region nyc3 --image-url URL/%name%"),), packed=True
    ),
    "akamai": Cloud(
        (
            Step(
                "Upload the disk. Set the kernel of its machines to linode/direct-disk before they start.",
                "linode-cli image-upload --region us-ord --label talos %path%",
            ),
        ),
        packed=True,
    ),
    "upcloud": Cloud(
        (
            Step(
                "Import the disk.",
                "upctl storage import --source-location %path% --title talos --zone fi-hel1",
            ),
        ),
    ),
    "alibabacloud": Cloud(
        (
            Step(
                "Upload the disk and import it.",
                "ossutil cp %path% oss://BUCKET/%name%\n"
                "aliyun ecs ImportImage --RegionId REGION --ImageName talos --OSType linux --Platform 'Others Linux' "
                "--Architecture %arch% --BootMode UEFI --DiskDeviceMapping.1.Format %form% "
                "--DiskDeviceMapping.1.OSSBucket BUCKET --DiskDeviceMapping.1.OSSObject %name%",
            ),
        ),
        words={"arch": _named("arm64", "x86_64")},
    ),
}
_GUIDE: Final = Cloud((Step("Import the image as your cloud's guide says, for a machine that starts by UEFI."),))


def title_of(platform: str) -> str:
    """Return how a platform's vendor writes it; the name itself for one that is not in the table."""
    return PLATFORMS[platform].title if platform in PLATFORMS else platform


def import_steps(disk: PlannedOutput, arch: Arch) -> Iterator[Step]:
    """Yield how a cloud takes a disk image; it is unpacked first where the cloud wants that."""
    cloud = CLOUDS.get(disk.platform, _GUIDE)
    path = disk.path
    if not cloud.packed and (command := unpack_command(path)):
        path = unpacked(path)
        yield Step("Unpack the image.", command)
    form = disk.disk_format.value.rpartition(".")[2]  # clusters that are packed are nothing that a cloud has to know
    words = {"path": path, "name": posixpath.basename(path), "form": form, "FORM": form.upper()}
    words |= {word: values[arch] for word, values in (cloud.words or {}).items()}
    for step in cloud.steps:
        yield Step(step.text, re.sub(r"%([A-Za-z]+)%", lambda found: words[found[1]], step.command))
