"""What one inspection has used up so far, and where it puts what must be read out of order."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast

from ci.inspect.errors import LimitExceededError, NoSpaceError, UnsafePathError
from ci.inspect.limits import LIMITS, Limits
from ci.inspect.seen import Seen
from ci.inspect.source import FileSource, is_zeros

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable


class Context:
    """Counters against the limits, and what was read already.

    One context serves one file, of a folder each its own. The same initramfs stands in up to six outputs of one build:
    `seen` has each content once, by digest, and is shared by all files of an inspection.
    """

    def __init__(self, limits: Limits = LIMITS, *, unsigned: bool = False, seen: Seen | None = None) -> None:
        self.limits = limits
        #: Whether signed programs are looked at without their signatures, as for a comparison.
        self.unsigned = unsigned
        #: Those in what was expanded last.
        self.left_out: tuple[str, ...] = ()
        self.seen = seen or Seen()
        #: Digests of what is being read with this context.
        self.own: set[str] = set()
        self._entries = 0
        self._expanded = 0
        self._spooled = 0
        self._documents = 0
        self.nesting = 0

    def for_another_file(self) -> Context:
        """Return a context for the next file of a folder, its counters at zero."""
        return Context(self.limits, unsigned=self.unsigned, seen=self.seen)

    def count_entry(self, name: str, path: str) -> None:
        """Count a listed name and refuse one that leads out of its archive."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise LimitExceededError(name, path[:80], f"more than {self.limits.entries} names in one file")
        if len(path.encode()) > self.limits.path:
            raise LimitExceededError(name, path[:80], f"a name of more than {self.limits.path} bytes")
        if path.startswith("/") or "\0" in path or ".." in path.split("/"):
            raise UnsafePathError(name, repr(path), "a name that leads out of the archive")

    def count_expanded(self, name: str, length: int) -> None:
        """Count bytes that came out of a decompressor."""
        self._expanded += length
        if self._expanded > self.limits.expanded:
            raise LimitExceededError(name, "", f"expands to more than {self.limits.expanded} bytes")

    def take_document(self, size: int) -> bool:
        """Return whether a text of that size may be kept whole; of one file all together are limited."""
        self._documents += size
        return size <= self.limits.text and self._documents <= self.limits.documents

    def spool(self, name: str, chunks: Iterable[bytes]) -> FileSource:
        """Return the content as a source that can be read anywhere: a temporary file, gone when it is closed."""
        try:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (the source that is returned closes it)
        except OSError as error:
            raise _no_space(name, error) from error
        try:
            self._fill(name, file, chunks)
        except BaseException:
            file.close()
            raise
        return FileSource(name, cast("BinaryIO", file))

    def _fill(self, name: str, file: io.FileIO, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            # A hole takes no space: a compressed disk image is mostly holes.
            if is_zeros(chunk):
                file.seek(len(chunk), os.SEEK_CUR)
                continue
            self._spooled += len(chunk)
            if self._spooled > self.limits.spooled:
                raise LimitExceededError(name, "", f"needs more than {self.limits.spooled} bytes of temporary space")
            try:
                left = memoryview(chunk)
                while left:
                    left = left[file.write(left) :]
            except OSError as error:
                raise _no_space(name, error) from error
        file.truncate(file.tell())


def _no_space(name: str, error: OSError) -> NoSpaceError:
    reason = f"no temporary file for it: {error.strerror or error}; TMPDIR may name a folder with more space"
    return NoSpaceError(name, "", reason)
