"""How much any reader may read, expand or list before it gives up: one place for all of them.

The readers open files from anywhere, so a size in a header is a claim, not a fact. Every number here is well above
what real Talos assets need (a v1.13 initramfs: about 110 MB, 250 MB expanded, some thousand names) and keeps a reader
below 512 MiB of memory: nothing is held but one block, one decompression window and the list of names. Of a folder two
files are read at the same time, each within these limits.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

#: Bytes read from a file at a time.
CHUNK = 1 * MIB


@dataclass(frozen=True)
class Limits:
    """The limits of one inspection of one file, everything nested in it included."""

    #: Names listed, over all archives and file systems inside the file.
    entries: int = 200_000
    #: Bytes that compressed content may expand to, over all streams and file systems inside the file.
    expanded: int = 12 * GIB
    #: Bytes of expanded content held on disk at a time (a compressed disk image's holes do not count).
    spooled: int = 6 * GIB
    #: Bytes of a file that has a checksum: of a sparse one, holes count too, and zeros take as long as anything else.
    digested: int = 16 * GIB
    #: Bytes of a text that is read whole: manifest, command line, image configuration.
    text: int = 4 * MIB
    #: Bytes of the SPDX documents that are kept of one file; those beyond are passed over.
    documents: int = 32 * MIB
    #: Bytes of a path.
    path: int = 4096
    #: Directories below one another.
    depth: int = 64
    #: Archives inside archives.
    nesting: int = 8
    #: Compressed frames after one another in an initramfs.
    frames: int = 64
    #: Layers of an image.
    layers: int = 128
    #: Partitions of a disk.
    partitions: int = 128
    #: Bytes before the first partition that are kept; boards' boot code ends below 10 MiB.
    boot_code: int = 16 * MIB
    #: Sections of a PE file. The format's own limit is 96.
    sections: int = 96
    #: Memory of a decompressor's window; the kernel takes no larger one.
    window: int = 128 * MIB
    #: Bytes of an ISO's directory records and of a FAT's table and directories.
    metadata: int = 64 * MIB
    #: Bytes of an XFS's inodes, trees and directories: each is read with a checksum that takes a second for 10 MB.
    checked: int = 32 * MIB


LIMITS = Limits()
