"""A drive with a node's machine configuration, where Talos for metal looks for it with `talos.config=metal-iso`.

Talos mounts the volume with this label and reads `config.yaml` from its root folder (internal/app/machined/pkg/runtime/
v1alpha1/platform/metal/metal.go, pkg/machinery/constants). It needs neither a network nor a server, and fits every way
of booting.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

#: The volume's label, which is the value of the kernel argument too.
LABEL: Final = "metal-iso"
FILE: Final = "config.yaml"


def write_config_drive(file: Path, configuration: str) -> None:
    """Write the drive's image."""
    import pycdlib  # noqa: PLC0415 - the module's face imports this room; the library takes a tenth of its time

    content = configuration.encode()
    iso: Any = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09")
    try:
        iso.add_fp(BytesIO(content), len(content), f"/{FILE.upper()};1", rr_name=FILE)
        iso.write(str(file))
    finally:
        iso.close()
