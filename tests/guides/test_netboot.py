"""dnsmasq as the guide configures it, asked as the firmware of an arm64 machine asks, and as iPXE does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.debian import unpacked

GUIDE = Path(__file__).parents[2] / "docs/guides/netboot.md"
CLIENT = Path(__file__).parent / "pxe_client.py"
#: The server's address in the guide.
SERVER = "192.168.1.5"
#: One network namespace has the server, another one the machine that starts.
NETWORKS = f"""\
set -e
ip link set lo up
ip link add server type veth peer name client
unshare --net sleep 60 &
machine=$!
trap 'kill $machine' EXIT
until [ "$(readlink /proc/$machine/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set client netns $machine
ip addr add {SERVER}/24 dev server
ip link set server up
nsenter --target $machine --net sh -c 'ip addr add 192.168.1.20/24 dev client && ip link set client up'
LD_LIBRARY_PATH=$1 "$2" --no-daemon --conf-file="$3" --user=root --pid-file= &
trap 'kill $machine $!' EXIT
nsenter --target $machine --net "$4" "$5" {SERVER}
nsenter --target $machine --net "$4" "$5" {SERVER} iPXE
"""


def test_dnsmasq_gives_firmware_the_loader_and_the_loader_the_script(tmp_path: Path) -> None:
    (text,) = re.findall(r"talos\.conf <<END\n(.*?)^END$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "tftp").mkdir()
    (conf := tmp_path / "talos.conf").write_text(text.replace("/srv/tftp", str(tmp_path / "tftp")))
    name = "usr/sbin/dnsmasq"
    root, libraries = unpacked("dnsmasq", ["dnsmasq-base"], name)
    dnsmasq = (libraries, str(root / name))
    words = ["unshare", "--net", "bash", "-c", NETWORKS, "bash", *dnsmasq, str(conf), sys.executable, str(CLIENT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{SERVER} ipxe-arm64.efi", f"{SERVER} http://{SERVER}:8080/boot.ipxe"]
