"""`prune` removes what nobody uses, and says what that freed."""

from __future__ import annotations

from pathlib import Path

from embedded.setup import golang
from embedded.setup.paths import dev_marker, paths
from embedded.setup.progress import PlainReporter
from embedded.setup.prune import Removed, remove_superseded


def _used(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def test_gos_caches_go_unless_somebody_builds_or_develops() -> None:
    (paths().go / "mod").mkdir(parents=True)
    (paths().go / "mod/file").write_bytes(b"x" * 50_000)
    with golang.building(PlainReporter()):
        assert "Go's caches" not in [one.what for one in remove_superseded(_used)]
    dev_marker().parent.mkdir(parents=True)
    dev_marker().touch()
    assert remove_superseded(_used) == []
    dev_marker().unlink()
    assert remove_superseded(_used) == [Removed("Go's caches", 53_248)]
    assert not paths().go.exists()
