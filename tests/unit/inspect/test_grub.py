"""GRUB's menu: words, quotes, comments and blocks, as its manual describes them."""

from __future__ import annotations

import pytest

from ci.inspect.grub import is_menu, menu_entries


def lines(text: str) -> list[tuple[str, str, str]]:
    return [(entry.title, entry.kernel, entry.cmdline) for entry in menu_entries(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("menuentry A { linux /vmlinuz a=b c\n}", [("A", "/vmlinuz", "a=b c")]),
        ("menuentry 'A b' --class x {\n\tlinux\t/v  a \\\n  b\n}\n", [("A b", "/v", "a b")]),
        ('menuentry "A \\"b\\" $x" { linuxefi /v; }', [('A "b" $x', "/v", "")]),
        ("menuentry A { linux /v a\\;b\\{c\\} 'd e'\"f g\" }", [("A", "/v", "a;b{c} d ef g")]),
        ("menuentry A { # linux /no\n linux ${root}/v a#b # end\n}", [("A", "${root}/v", "a#b")]),
        ("submenu S { menuentry A { linux /a }\nmenuentry B { linux /b } }", [("A", "/a", ""), ("B", "/b", "")]),
        ("menuentry A { chainloader /x }\nmenuentry B { linux /b", [("B", "/b", "")]),
        (
            "menuentry A { linux /v talos.platform=metal console=tty0\n}",
            [("A", "/v", "talos.platform=metal console=tty0")],
        ),
        ('menuentry A { linux /v "open\n}', [("A", "/v", '"open')]),
        ("linux /v a\n", []),
        ("menuentry", []),
        ("set timeout=3\n", []),
        ("", []),
    ],
)
def test_each_entry_that_starts_a_kernel_is_read(text: str, found: list[tuple[str, str, str]]) -> None:
    assert lines(text) == found


def test_all_that_follows_the_kernel_into_memory_is_named() -> None:
    (entry,) = menu_entries("menuentry A { linux /v\n initrd /ucode /initramfs.xz\n}")
    assert entry.initrd == ("/ucode", "/initramfs.xz")


def test_a_menu_without_end_is_bounded() -> None:
    assert len(menu_entries("menuentry A { linux /v\n}\n" * 5000)) == 1000


@pytest.mark.parametrize("text", ['"' * 200_000, "'" * 200_001, "\\" * 200_001, "${" * 100_000, '"\\' * 100_000])
def test_text_that_is_no_menu_is_read_in_time(text: str) -> None:
    assert lines(f"menuentry A {{ linux /v {text}") != []


@pytest.mark.parametrize(
    ("path", "found"),
    [("grub/grub.cfg", True), ("EFI/BOOT/GRUB.CFG", True), ("grub.cfg", True), ("grub/grub.cfg.bak", False)],
)
def test_a_menu_is_looked_for_under_its_name(path: str, *, found: bool) -> None:
    assert is_menu(path) is found
