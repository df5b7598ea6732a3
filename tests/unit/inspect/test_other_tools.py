"""The readers against files that other programs wrote, and against what other programs say of ours."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from ci.inspect.inspect import inspect_path
from ci.inspect.models import InitramfsFacts, SquashfsFacts, UkiFacts
from tests.unit.inspect import samples
from tests.unit.inspect.samples import File
from tests.unit.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

#: Written by mksquashfs 4.5.1 from the three files below: `-b 4096 -all-root -all-time 1700000000 -nopad`.
MKSQUASHFS = {
    "zstd": (
        "XmfFM3IG5A0P$0001yBG0RR911^^5IzybjP1ONa4CIJ8d00000CISEe000009s&RW00000|NsC0|NsC0uK)l500000J^=s#00000"
        ")d2ti000005CQ-I00000D77#BU;qzA000PK0Ra5>fe<LQFa2PQ0%ZUIC}DJAX>0)igexEfa&>NWX>Da+ba`-PAUz-"
        "=X>TrLZ*Fv9X>Mh5WG-`XX>KldG9n6%04TLD{a{7_9RvUZ2^S)eE3E;KRsaA01#+&PwqXmseAMkm*pk<+O+8rDHX&Qe6d&|tJo-"
        ";lPJ|@YEc*)S`27JH3k7qTeBCYxRX3b)Ve_F&9=J~*4`vk;S9f3h)Tg~MszgAo^8yhdP$%97U1_j^ol86-"
        "7)%NemlYNujckbhvb&%84uvV2En0&BD77#BAj#DO0D?#u9I&|>3=Kvt$s9&yNIcDrDD_bSAnFAtX}z+0r}j>_*^dEHa+II_|7<R?"
        "&fo06eqbsY>ko#goV(rZ>O!$jW_bIlUtrS4+w4#N#&~Fr!`V;#Zpki@L1lD{19`Z;0|^KarpEzJ<$wS|?>Yc#RYMoN!oU>}fQSG9"
        "0000004D$d0RR910K)+Q0000005Je4wJ-f3P(=X%0s{vS(4{c|E3V**P=sntU`8WT|LQ;f;!l=;lY$`x5C8*`7~=s8-"
        "2ngq000001b_el000;Q00000000"
    ),
    "xz": (
        "XmfFM3IG5A0P$0001yBG0RR911ON;GzybjP1ONa4CIJ8d000009RmOW000006$1bO00000|NsC0|NsC0GXVeq00000=>Y%$00000"
        "tpWf5000002Lk{A00000{Wp48S^xk6X(HY>1Hd7GARz$&00000mD9*D;1B-*8C?J{@B6?0qp@D)_&>6$CRO-oa6xbt4kQ@Q00000"
        "bKIGn00A|CAOHXWZ(TNqJ}?c70ssI200CKA{Wp48S^xk6X(HY>1Hc%J2O$9f00000JmRUb-"
        "~)>Q5M2N;@B6?0qp&Ryi@B|wB6=VIx!vY@00AtF2LJ#7x^((lJ}?c70ssI200CKAa&>NWX>Da+ba`-PAUz-"
        "=X>TrLZ*Fv9X>Mh5WG-`XX>KldG9n7J0R1<5SXux80cj%MHUq$W#sVP$0ssI20Md!&^56kQ0CQac0RR-"
        "W=_au&4eR6(NvlS_eOO$S&;-a=N0x9Me<O!HLnu+oj^@D<nqu?cLUBk(5_JM+C{X;|w&1J-"
        "YloPVBVWQLJGHa)Jrp1nk*E2dCZ;yB8KbD(!4krO$Qur-Co6IaUwLkl$MFu{%}>MR84p?j045L%Z2$p}0mcFV0MtHlK|U}Iivj=u"
        "00045TCf29H+ooF0004LBHlIwz<0?3Aprsa0001Pq3^li0LTDuT>t=Te|r&b={U<4DJ1O;il|Wkw0+_0jWJldX$ikNwE#jIe^_)z"
        "wxor#B_DcYlpguWjCupDmRmk4y@KGeU(j(o0d1#QVIrjTu0)o8&$}=(K}_6$mzB#=F#CMgYFX5w<VaT%wU84(&aUR0v;Y8waG|yU"
        "0gD020RRBa(#3#2Fb#_W000000a;oQfD8cu0000004D$d0RR910Gk2;0000008oHn000000000$000000000W000000000000000"
        "000060RR910002y000000002S000000001h000000001}000000000c0RR910002B0ssI200004fB*mh01pEI0000000"
    ),
    "gzip": (
        "XmfFM3IG5A0P$0001yBG0RR910RRjDzybjP1ONa4CIJ8d000009|8aX000007XknP00000|NsC0|NsC0xBvhE00000NC5x<00000"
        "+yMXp000002?78B00000c-rm30Sy2E0K%ZG?_a_m4k!Qs0N~vK@5>Ndc-"
        "l)$90j9b6bv*dNzBXv0Qmn{LUMI(bZKp6UvznJWgtBuB57|fV{dMBVQFq<a%3)ZaA|HXb}}LgjsSStV`5ms$N&N#gHu@;P=PuSGc"
        "vq|%QHj8nSfXsN+ZiNLFGZ}WEm6~7}4Yzk>sTqtQfe!W+3D_fK&ny{|5q)P>(PJgA9-"
        "s1?%|_SH}r9mw|x|h?8>ile3GFZDB`pr6xllSQWB78;UE+8CcQeS&`&r82Z4jM3(1*%7a2nm0>vpH;@JZa^NLHfB<;fV_<*)7AVc"
        "cz|CN2pj%v!nWtBfSX2TPW?%+l1t4Z*U}Z?o&r8!wVSwvkU~mA-Ffk+-"
        "WimpAIe@qUEX~T0l#`#FUAzLQgc%5PGV`)wn%RN)7*umoW*$tK4TztCg;^MYdJ}VCrh@1MsQT2BWHv??FtfC{2mlqz6`T-"
        "&kpKVy00000CjbBe00000$^ifX00000BLH~XOJINi2Pmz;fC|_cA@nmS{}_~RfYK|Vv>H?$0FDL&!{h+~0000000e*l0000H0ssI"
        "20000"
    ),
}
BLOCKS = b"a" * 5000 + b"tail"
PART = b'runtime_type = "io.containerd.spin.v2"\n'


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> str:
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("kind", ["zstd", "xz", "gzip"])
def test_image_of_mksquashfs_is_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "image").write_bytes(base64.b85decode(MKSQUASHFS[kind]))
    facts = inspect_path(tmp_path / "image").facts
    assert isinstance(facts, SquashfsFacts)
    assert (facts.compression, facts.created) == (kind, 1700000000)
    files = {entry.path: (entry.size, entry.sha256) for entry in facts.entries if entry.type == "file"}
    assert files == {
        "etc/cri/conf.d/10-spin.part": (len(PART), samples.sha(PART)),
        "usr/local/bin/blocks": (len(BLOCKS), samples.sha(BLOCKS)),
    }
    assert [entry.target for entry in facts.entries if entry.type == "symlink"] == ["blocks"]
    assert {entry.uid for entry in facts.entries} == {0}


def a_tree(root: Path) -> dict[str, bytes]:
    files = {f"many/{number:04}": b"x" * number for number in range(700)}
    files |= {"big": os.urandom(700_000), "sparse": bytes(600_000) + b"end", "empty": b"", "dir/deep/er/file": b"1"}
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return files


@needs("mksquashfs")
@pytest.mark.parametrize(
    "options", [("zstd",), ("xz",), ("gzip",), ("zstd", "-noI", "-noD", "-noF"), ("gzip", "-no-fragments")]
)
def test_tree_packed_by_mksquashfs_is_read_file_by_file(tmp_path: Path, options: tuple[str, ...]) -> None:
    files = a_tree(tmp_path / "tree")
    run("mksquashfs", tmp_path / "tree", tmp_path / "image", "-comp", *options, "-no-progress", "-quiet")
    facts = inspect_path(tmp_path / "image").facts
    assert isinstance(facts, SquashfsFacts)
    found = {entry.path: entry.sha256 for entry in facts.entries if entry.type == "file"}
    assert found == {path: samples.sha(data) for path, data in files.items()}


@needs("unsquashfs")
@pytest.mark.parametrize("kind", ["zstd", "xz", "gzip"])
def test_unsquashfs_takes_the_samples_and_lists_the_same(tmp_path: Path, kind: str) -> None:
    many = [File(f"usr/lib/many/{number}", bytes([number]) * number * 50) for number in range(200)]
    (tmp_path / "image").write_bytes(samples.squashfs([*many, File("link", target="usr")], kind))
    facts = inspect_path(tmp_path / "image").facts
    assert isinstance(facts, SquashfsFacts)
    lines = run("unsquashfs", "-l", "-d", "", tmp_path / "image").splitlines()
    assert {line.strip("/") for line in lines if line.startswith("/")} == {entry.path for entry in facts.entries}
    run("unsquashfs", "-q", "-n", "-d", tmp_path / "out", tmp_path / "image")
    for entry in facts.entries:
        if entry.type == "file":
            assert samples.sha((tmp_path / "out" / entry.path).read_bytes()) == entry.sha256


@needs("cpio")
def test_archive_written_by_cpio_is_read_and_cpio_lists_the_same(tmp_path: Path) -> None:
    a_tree(tmp_path / "tree")
    names = sorted(str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*"))
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--quiet"],
        cwd=tmp_path / "tree",
        input="\n".join(names).encode(),
        capture_output=True,
        check=True,
    ).stdout
    (tmp_path / "initramfs").write_bytes(samples.zstd(archive))
    facts = inspect_path(tmp_path / "initramfs").facts
    assert isinstance(facts, InitramfsFacts)
    assert [entry.path for entry in facts.frames[0].entries] == names
    ours = samples.cpio([File("init", b"x"), File("usr/"), File("link", target="usr")])
    assert run("cpio", "--list", "--quiet", stdin=ours).split() == ["init", "usr", "link"]


@needs("objdump")
def test_objdump_sees_the_same_sections_of_a_uki(tmp_path: Path) -> None:
    path = tmp_path / "uki.efi"
    path.write_bytes(samples.uki(samples.kernel(), os.urandom(100_000), "amd64"))
    facts = inspect_path(path).facts
    assert isinstance(facts, UkiFacts)
    rows = re.findall(r"^ +\d+ (\S+) +([0-9a-f]{8}) +\S+ +\S+ +([0-9a-f]{8})", run("objdump", "-h", path), re.MULTILINE)
    found = [(section.name, section.offset) for section in facts.sections]
    assert [(name, int(offset, 16)) for name, _, offset in rows] == found


@needs("xorriso")
def test_iso_written_by_xorriso_is_read(tmp_path: Path) -> None:
    files = a_tree(tmp_path / "tree")
    run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-V", "TALOS", "-o", tmp_path / "image.iso", tmp_path / "tree")
    facts = inspect_path(tmp_path / "image.iso").facts
    found = {entry.path: entry.sha256 for entry in getattr(facts, "entries", ()) if entry.type == "file"}
    assert found == {path: samples.sha(data) for path, data in files.items()}
