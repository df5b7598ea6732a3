"""Asks a boot server as the firmware of an arm64 machine does; prints which file it names.

pxe_client.py SERVER [USER-CLASS]
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_DISCOVER, _REQUEST = 1, 3
#: Of the client's architecture, by RFC 4578: arm64 with UEFI.
_ARM64_EFI = 11
_INTERFACE = b"client"
_COOKIE = b"\x63\x82\x53\x63"
#: Where a DHCP server is asked, and the boot server that it names.
_DHCP, _BOOT = 67, 4011


def message(kind: int, user_class: bytes) -> bytes:
    """Return a message of the kind, from 192.168.1.20."""
    options = {
        53: bytes([kind]),
        55: bytes([1, 3, 60, 66, 67]),
        60: b"PXEClient:Arch:00011:UNDI:003000",
        93: struct.pack(">H", _ARM64_EFI),
        94: b"\x01\x03\x00",
        97: b"\x00" + b"\x11" * 16,
    }
    if user_class:
        options[77] = user_class
    broadcast = 0x8000 if kind == _DISCOVER else 0
    address = socket.inet_aton("0.0.0.0" if kind == _DISCOVER else "192.168.1.20")
    head = struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x1234, 0, broadcast) + address + bytes(12)
    listed = b"".join(bytes([number, len(value)]) + value for number, value in options.items())
    return head + bytes.fromhex("525400123456") + bytes(10 + 192) + _COOKIE + listed + b"\xff"


def ask(address: tuple[str, int], kind: int, user_class: bytes) -> bytes:
    """Send a message until it is answered; return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _INTERFACE)  # there is no route yet
        client.bind(("", 68))
        client.settimeout(0.5)
        for _ in range(20):
            try:
                client.sendto(message(kind, user_class), address)
                return client.recv(4096)
            except (TimeoutError, OSError):  # the server, or its interface, is not up yet
                time.sleep(0.1)
    sys.exit(f"{address[0]}:{address[1]} does not answer")


def main() -> None:
    """Find the boot server by DHCP, ask it, and print the file that it names."""
    user_class = (sys.argv[2] if len(sys.argv) > 2 else "").encode()
    offer = ask(("255.255.255.255", _DHCP), _DISCOVER, user_class)
    server = socket.inet_ntoa(offer[20:24])
    answer = ask((server, _BOOT), _REQUEST, user_class)
    print(f"{server} {answer[108:236].rstrip(bytes(1)).decode()}")


main()
