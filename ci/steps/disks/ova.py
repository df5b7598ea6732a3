"""Disks as OVA: a tar of a virtual machine's description, a manifest of checksums, and the disk as VMDK.

Format: DMTF's DSP0243, "Open Virtualization Format Specification" 1.1. The machine is as Talos's own OVA has it:
hardware of version 15 (ESXi 6.7 U2), two processors, 2 GiB, a paravirtual SCSI controller, a VMXNET3 network card, the
property `talos.config` handed on as guest information; and its firmware is UEFI, which arm64 needs.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from ci.inspect.limits import CHUNK
from ci.steps.disks.vmdk import write_vmdk
from ci.steps.normalise.files import NormaliseError, written

if TYPE_CHECKING:
    from ci.common.arch import Arch

OVF, MANIFEST, DISK = "talos.ovf", "talos.mf", "talos-disk1.vmdk"

_OVF: Final = "http://schemas.dmtf.org/ovf/envelope/1"
_RASD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
_VSSD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
_VMW: Final = "http://www.vmware.com/schema/ovf"
_STREAM: Final = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_NAMESPACES: Final = {"ovf": _OVF, "rasd": _RASD, "vssd": _VSSD, "vmw": _VMW}
_NETWORK: Final = "VM Network"
_NAME: Final = re.compile(r"[a-zA-Z0-9.-]{1,80}")

#: Resource types of CIM.
_PROCESSOR, _MEMORY, _SCSI, _ETHERNET, _DISK_DRIVE = "3", "4", "6", "10", "17"
#: Number of a 64-bit Linux among CIM's operating systems.
_LINUX_64: Final = "101"


def write_ova(source: Path, out: Path, epoch: int, name: str, arch: Arch) -> None:
    """Write a raw disk image as an OVA; `name` is the virtual machine's."""
    if not _NAME.fullmatch(name):
        raise NormaliseError(name, "a virtual machine's name has letters, digits, dots and dashes")
    capacity = source.stat().st_size
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        disk = Path(folder) / DISK
        write_vmdk(source, disk)
        description = _description(name, arch, capacity, disk.stat().st_size)
        manifest = f"SHA256({OVF})= {hashlib.sha256(description).hexdigest()}\nSHA256({DISK})= {_sha256(disk)}\n"
        # The standard wants the description first, the manifest behind it, and this form of tar.
        with written(out) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for member, data in ((OVF, description), (MANIFEST, manifest.encode("ascii"))):
                path = Path(folder) / member
                path.write_bytes(data)
                _add(archive, path, epoch)
            _add(archive, disk, epoch)


def _add(archive: tarfile.TarFile, path: Path, epoch: int) -> None:
    info = tarfile.TarInfo(path.name)
    info.size, info.mtime, info.mode = path.stat().st_size, epoch, 0o644
    with path.open("rb") as file:
        archive.addfile(info, file)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _description(name: str, arch: Arch, capacity: int, size: int) -> bytes:
    for prefix, uri in _NAMESPACES.items():
        ET.register_namespace(prefix, uri)
    envelope = ET.Element(_q("Envelope"))
    references = _child(envelope, "References")
    _child(references, "File", {"href": DISK, "id": "file1", "size": str(size)})
    disks = _section(envelope, "DiskSection", "The disk")
    disk = {"capacity": str(capacity), "capacityAllocationUnits": "byte", "diskId": "vmdisk1", "fileRef": "file1"}
    _child(disks, "Disk", {**disk, "format": _STREAM})
    networks = _section(envelope, "NetworkSection", "The network")
    _child(_child(networks, "Network", {"name": _NETWORK}), "Description", text="The network of the machine")
    system = _section(envelope, "VirtualSystem", f"Talos Linux for {arch.value}", {"id": name})
    _child(system, "Name", text=name)
    product = _section(system, "ProductSection", "Talos Linux", {"required": "false"})
    config = {"userConfigurable": "true", "type": "string", "key": "talos.config", "value": ""}
    machine_configuration = _child(product, "Property", config)
    _child(machine_configuration, "Label", text="Machine configuration")
    _child(machine_configuration, "Description", text="Machine configuration of Talos, base64-encoded")
    guest = _section(system, "OperatingSystemSection", "The guest", {"id": _LINUX_64})
    guest.set(_q("osType", _VMW), "other3xLinux64Guest")
    _hardware(system, name)
    ET.indent(envelope)
    return ET.tostring(envelope, encoding="UTF-8", xml_declaration=True) + b"\n"


def _hardware(system: ET.Element, name: str) -> None:
    hardware = _section(system, "VirtualHardwareSection", "The hardware", {"transport": "com.vmware.guestInfo"})
    family = _child(hardware, "System")
    for tag, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", name),
        ("VirtualSystemType", "vmx-15"),
    ):
        _child(family, tag, text=text, space=_VSSD)
    items: tuple[dict[str, str], ...] = (
        {
            "AllocationUnits": "hertz * 10^6",
            "ElementName": "2 processors",
            "InstanceID": "1",
            "ResourceType": _PROCESSOR,
            "VirtualQuantity": "2",
        },
        {
            "AllocationUnits": "byte * 2^20",
            "ElementName": "2048 MiB of memory",
            "InstanceID": "2",
            "ResourceType": _MEMORY,
            "VirtualQuantity": "2048",
        },
        {
            "Address": "0",
            "ElementName": "SCSI controller",
            "InstanceID": "3",
            "ResourceSubType": "VirtualSCSI",
            "ResourceType": _SCSI,
        },
        {
            "AddressOnParent": "0",
            "ElementName": "disk",
            "HostResource": "ovf:/disk/vmdisk1",
            "InstanceID": "4",
            "Parent": "3",
            "ResourceType": _DISK_DRIVE,
        },
        {
            "AddressOnParent": "2",
            "AutomaticAllocation": "true",
            "Connection": _NETWORK,
            "ElementName": "network card",
            "InstanceID": "5",
            "ResourceSubType": "VmxNet3",
            "ResourceType": _ETHERNET,
        },
    )
    for item in items:
        element = _child(hardware, "Item")
        for tag, text in item.items():
            _child(element, tag, text=text, space=_RASD)
    for key, value in (("firmware", "efi"), ("tools.syncTimeWithHost", "false")):
        _vmware(hardware, "Config", key, value)
    # Volumes of Kubernetes are found by the disks' ids.
    _vmware(hardware, "ExtraConfig", "disk.EnableUUID", "TRUE")


def _vmware(hardware: ET.Element, tag: str, key: str, value: str) -> None:
    element = _child(hardware, tag, {"required": "false"}, space=_VMW)
    element.set(_q("key", _VMW), key)
    element.set(_q("value", _VMW), value)


def _section(parent: ET.Element, tag: str, info: str, attributes: dict[str, str] | None = None) -> ET.Element:
    section = _child(parent, tag, attributes)
    _child(section, "Info", text=info)
    return section


def _child(
    parent: ET.Element,
    tag: str,
    attributes: dict[str, str] | None = None,
    *,
    text: str | None = None,
    space: str = _OVF,
) -> ET.Element:
    element = ET.SubElement(parent, _q(tag, space))
    for key, value in (attributes or {}).items():
        element.set(_q(key), value)
    element.text = text
    return element


def _q(tag: str, space: str = _OVF) -> str:
    return f"{{{space}}}{tag}"
