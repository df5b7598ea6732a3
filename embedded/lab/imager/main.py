"""The command line: `imager -` with a profile on stdin, or `imager NAME` for a built-in one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .build import build
from .contract import installed_contract
from .errors import FILE, INVALID, ImagerError, failing_with, os_error_text
from .meta import MetaContents, MetaValue
from .overlay import host_architecture
from .profile import ContainerAsset, Customization, Input, Output, OutputKind, Overlay, Profile
from .profile_reader import parse_profile
from .report import Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .contract import Contract


def main(arguments: Sequence[str], contract: Contract | None = None) -> int:
    """Runs the imager and returns its exit code: 0, or 1 after `Error: …` on standard error.

    Without a contract, the one that the image was built for counts.
    """
    try:
        options = _parse(arguments)
        contract = contract or installed_contract()
        reporter = Reporter(sys.stderr)
        reporter.report("assembling the finalized profile...")
        if options.profile == "-":
            with failing_with(INVALID):
                profile = parse_profile(sys.stdin.buffer.read().decode(errors="replace"), contract)
        else:
            profile = _named(options)
        out = Path(options.output)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImagerError(os_error_text("mkdir", out, error)) from None
        try:
            build(profile, out, contract, reporter)
        except ImagerError as error:
            reporter.report(str(error))
            raise
    except ImagerError as error:
        return _fail(contract, str(error), error.code)
    except OSError as error:
        return _fail(contract, os_error_text("open", error.filename or "", error), FILE)
    return 0


def _fail(contract: Contract | None, text: str, code: int | None) -> int:
    """Says what failed, as this version of the imager does, and returns its exit code."""
    typed = contract is not None and contract.has_exit_codes
    print(text if typed else f"Error: {text}", file=sys.stderr)
    return code or 1 if typed else 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ImagerError(message)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="imager", description="Generate various boot assets and images.", allow_abbrev=False)
    parser.add_argument("profile", metavar="<profile>|-")
    parser.add_argument("--output", default="/out", help="The output directory path")
    parser.add_argument("--output-kind", default="", help="Override output kind")
    parser.add_argument("--platform", default="", help="The value of talos.platform")
    parser.add_argument("--arch", default=host_architecture(), help="The target architecture")
    parser.add_argument("--base-installer-image", default="", help="Base installer image to use")
    parser.add_argument("--insecure", action="store_true", help="Pull assets from insecure registry")
    parser.add_argument("--extra-kernel-arg", action="append", default=[], help="Extra argument to pass to the kernel")
    parser.add_argument("--meta", action="append", default=[], help="A key/value pair for META")
    parser.add_argument("--system-extension-image", action="append", default=[], help="A system extension to install")
    parser.add_argument("--overlay-name", default="", help="The name of the overlay to use")
    parser.add_argument("--overlay-image", default="", help="The image reference to the overlay")
    parser.add_argument("--overlay-option", action="append", default=[], help="Extra options to pass to the overlay")
    return parser.parse_args(_joined(arguments))


def _joined(arguments: Sequence[str]) -> list[str]:
    """Joins `--extra-kernel-arg` with its value: argparse would take `-pti` for another flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--extra-kernel-arg":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _named(options: argparse.Namespace) -> Profile:
    """Returns a profile that inherits from a named one, with the command line's changes.

    Raises ImagerError for a kind or an option that is none.
    """
    kind = OutputKind.UNKNOWN
    if options.output_kind:
        if options.output_kind not in {known.value for known in OutputKind}:
            raise ImagerError(f"{options.output_kind} does not belong to OutputKind values")
        kind = OutputKind(options.output_kind)
    overlay = None
    if options.overlay_name or options.overlay_image:
        given = (text.partition("=") for text in options.overlay_option)
        chosen = dict(sorted((key, value) for key, _, value in given))
        overlay = Overlay(options.overlay_name, ContainerAsset(image_ref=options.overlay_image), chosen)
    return Profile(
        base_profile_name=options.profile,
        arch=options.arch,
        platform=options.platform,
        customization=Customization(
            extra_kernel_args=options.extra_kernel_arg,
            meta_contents=MetaContents(_parse_meta(text) for text in options.meta),
        ),
        input=Input(
            base_installer=ContainerAsset(image_ref=options.base_installer_image, force_insecure=options.insecure),
            overlay_installer=ContainerAsset(image_ref=options.overlay_image),
            system_extensions=[
                ContainerAsset(image_ref=reference, force_insecure=options.insecure)
                for reference in options.system_extension_image
            ],
        ),
        overlay=overlay,
        output=Output(kind),
    )


def _parse_meta(text: str) -> MetaValue:
    key, equals, value = text.partition("=")
    if not equals:
        raise ImagerError(f'invalid value "{text}"')
    try:
        return MetaValue(int(key, 0), value)
    except ValueError:
        raise ImagerError(f'invalid key "{key}"') from None
