"""Content of a given size and density, from a seed: the same bytes on every machine, hundreds of megabytes a second.

What the lab has in place of a real program or firmware must be as large as that, and pack as well as that: what builds
cost, and what they gain by a cache, follows from both. Compiled code is imitated by words of twelve bytes from a small
vocabulary (what a compressor finds again) between bytes that it can do nothing about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

_BLOCK: Final = 4096
_WORD: Final = 12
_WORDS_DENSITY: Final = 0.14
"""What zstd makes of words alone, about."""
_STEP: Final = 1 << 20


def blocks(seed: str, size: int, density: float) -> Iterator[bytes]:
    """Yield `size` bytes in pieces; `density` is what a compressor leaves of them, 0 to 1."""
    for number, step in enumerate(range(0, size, _STEP)):
        yield _piece(f"{seed} {number}", min(_STEP, size - step), density)


def content(seed: str, size: int, density: float) -> bytes:
    """Return `size` bytes; `density` is what a compressor leaves of them, 0 to 1."""
    return b"".join(blocks(seed, size, density))


def _piece(seed: str, size: int, density: float) -> bytes:
    if density >= 1:
        return _random(seed, size)
    full, noise = 1.0, 0.0
    if density < _WORDS_DENSITY:
        full = density / _WORDS_DENSITY  # the rest is zeros
    else:
        noise = (density - _WORDS_DENSITY) / (1 - _WORDS_DENSITY)
    raw = int(_BLOCK * noise)
    words = int((_BLOCK - raw) * full / _WORD)
    zeros = bytes(_BLOCK - raw - words * _WORD)
    vocabulary = _random(f"{seed} words", 256 * _WORD)
    word = [vocabulary[at : at + _WORD] for at in range(0, len(vocabulary), _WORD)].__getitem__
    count = -(-size // _BLOCK)
    stream = _random(seed, count * (raw + words))
    parts: list[bytes] = []
    for at in range(0, len(stream), raw + words) if raw + words else ():
        parts += (stream[at : at + raw], *map(word, stream[at + raw : at + raw + words]), zeros)
    return b"".join(parts)[:size] if parts else bytes(size)


def _random(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)
