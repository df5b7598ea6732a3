"""Several variants and architectures in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from ci.common.arch import Arch
from ci.common.errors import BuildError, UserError, VariantError
from ci.execute import several
from ci.execute.sealing import BuiltAssets
from ci.execute.several import Order, build_orders, passing_tree, plan_orders
from ci.load.variant import BUILTIN, Variants, load_variants, parse_variant, read_variants
from ci.plan.outputs import Layout
from tests.unit.planning import HEAD, plan_of, request

if TYPE_CHECKING:
    from collections.abc import Iterable

    import dagger

    from ci.execute.inputs import Inputs
    from ci.execute.signing import Signer
    from ci.plan.model import Plan

ARM = HEAD + "architectures: [arm64]\n"


class Given:
    """Inputs of which only variants are known, and what is planned of them."""

    def __init__(self, variants: Variants | None = None) -> None:
        self.variants = variants or read_variants(BUILTIN)

    async def plan(
        self, variant: str, outputs: Iterable[str] | None, layout: str, arch: Arch, *given: str | None
    ) -> Plan:
        assert (outputs, *given) == (None, None, None)
        return await plan_of(request(self.variants.get(variant), arch=arch, layout=Layout(layout)))


async def places(names: str, *arches: Arch, layout: str = "boot", variants: Variants | None = None) -> list[str]:
    inputs = cast("Inputs", Given(variants))
    orders = await plan_orders(inputs, names, arches or (Arch.ARM64,), layout=layout)
    for order in orders:
        assert order.plan.arch.value in order.place or layout == "upstream"
    return [order.place for order in orders]


async def test_one_variant_lies_where_it_always_does() -> None:
    assert await places("spin-only") == ["assets/talos/arm64"]
    assert await places("spin-only", layout="upstream") == ["_out/assets"]


async def test_several_variants_lie_in_folders_of_their_names() -> None:
    wanted = ["assets/talos/arm64/spin-tailscale", "assets/talos/arm64/spin-only"]
    assert await places("spin-tailscale, spin-only") == wanted
    assert await places("spin-tailscale,spin-only", layout="upstream") == [
        "_out/assets/spin-tailscale",
        "_out/assets/spin-only",
    ]


async def test_several_architectures_lie_in_folders_of_their_names() -> None:
    both = (Arch.ARM64, Arch.AMD64)
    assert await places("spin-only", *both) == ["assets/talos/arm64", "assets/talos/amd64"]
    assert await places("spin-only", *both, layout="upstream") == ["_out/assets/arm64", "_out/assets/amd64"]
    assert await places("spin-only,spin-tailscale", *both) == [
        *("assets/talos/arm64/spin-only", "assets/talos/arm64/spin-tailscale"),
        *("assets/talos/amd64/spin-only", "assets/talos/amd64/spin-tailscale"),
    ]


async def test_all_variants_lie_in_folders_however_many_there_are() -> None:
    assert await places("all") == ["assets/talos/arm64/spin-only", "assets/talos/arm64/spin-tailscale"]
    assert await places("all", variants=load_variants({"mine.yaml": HEAD})) == ["assets/talos/arm64/mine"]


async def test_a_variant_that_is_named_twice_is_built_once() -> None:
    assert await places("spin-only,spin-only,") == ["assets/talos/arm64"]
    assert await places("tailscale+spin,spin-tailscale") == ["assets/talos/arm64"]


async def test_of_all_variants_those_for_another_architecture_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    variants = load_variants({"mine.yaml": HEAD, "board.yaml": ARM})
    assert await places("all", Arch.ARM64, Arch.AMD64, variants=variants) == [
        *("assets/talos/arm64/board", "assets/talos/arm64/mine", "assets/talos/amd64/mine"),
    ]
    assert capsys.readouterr().err == "board is not for amd64: left out there\n"


async def test_a_variant_that_is_named_has_to_be_for_every_architecture() -> None:
    variants = load_variants({"mine.yaml": HEAD, "board.yaml": ARM})
    with pytest.raises(VariantError, match="amd64"):
        await places("mine,board", Arch.ARM64, Arch.AMD64, variants=variants)


async def test_all_of_none_is_refused() -> None:
    with pytest.raises(UserError, match="no variant is for amd64"):
        await places("all", Arch.AMD64, variants=load_variants({"board.yaml": ARM}))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("spin-only,spin_tailscale", "unknown variant 'spin_tailscale': did you mean spin-tailscale?"),
        (" , ", "no variant is asked for: choose from spin-only, spin-tailscale, or all"),
        ("", "no variant is asked for: choose from spin-only, spin-tailscale, or all"),
    ],
)
async def test_a_wrong_name_among_several_is_refused(names: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        await places(names)
    assert str(raised.value) == message


def test_no_variant_can_be_called_all() -> None:
    with pytest.raises(VariantError, match="it stands for all variants"):
        parse_variant("variants/all.yaml", HEAD)


class Tree:
    """A folder that knows what was put into it."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def directory(self, path: str | None = None) -> Tree:
        return Tree() if path is None else Tree(path)

    def with_directory(self, path: str, tree: Tree) -> Tree:
        assert path == "."
        return Tree(*self.parts, *tree.parts)


async def orders_of(*names: str) -> list[Order]:
    return [Order(await plan_of(request(name)), f"assets/{name}") for name in names]


async def built(monkeypatch: pytest.MonkeyPatch, orders: list[Order], *failing: str) -> list[BuiltAssets]:
    async def build(_: object, plan: Plan, signed: object, place: str) -> BuiltAssets:
        assert signed is None
        tree = cast("dagger.Directory", Tree(place))
        return BuiltAssets(plan, tree, place, passed=plan.variant not in failing)

    async def failure(assets: BuiltAssets) -> str:
        return f"{assets.plan.variant} fails"

    monkeypatch.setattr(several, "build_assets", build)
    monkeypatch.setattr(several, "failure", failure)
    monkeypatch.setattr(several, "dag", Tree())
    return await build_orders(cast("Inputs", None), orders)


async def test_what_is_built_lies_in_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = await orders_of("spin-only", "spin-tailscale")
    tree: Any = await passing_tree(await built(monkeypatch, orders))
    assert tree.parts == ("assets/spin-only", "assets/spin-tailscale")


async def test_all_that_fail_their_checks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = await orders_of("spin-only", "spin-tailscale")
    with pytest.raises(BuildError) as raised:
        await passing_tree(await built(monkeypatch, orders, "spin-only", "spin-tailscale"))
    assert str(raised.value) == "spin-only fails\nspin-tailscale fails"


async def test_with_a_key_each_is_signed_after_all_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sign(assets: BuiltAssets, signer: object) -> BuiltAssets:
        signed = cast("dagger.Directory", Tree(f"{signer} signed {assets.place}"))
        return BuiltAssets(assets.plan, signed, assets.place, passed=True)

    monkeypatch.setattr("ci.execute.signed_files.with_signatures", sign)
    key = cast("Signer", "the key")
    orders = await orders_of("spin-only", "spin-tailscale")
    tree: Any = await passing_tree(await built(monkeypatch, orders), key)
    assert tree.parts == ("the key signed assets/spin-only", "the key signed assets/spin-tailscale")
    with pytest.raises(BuildError, match=r"^spin-tailscale fails\Z"):
        await passing_tree(await built(monkeypatch, orders, "spin-tailscale"), key)


@pytest.mark.parametrize("names", [("spin-only",), ("spin-only", "spin-tailscale")])
async def test_an_error_says_which_of_several_it_is_of(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async def build(_: object, plan: Plan, *__: object) -> BuiltAssets:
        if plan.variant == "spin-only":
            raise BuildError("no space left")
        return cast("BuiltAssets", None)

    monkeypatch.setattr(several, "build_assets", build)
    with pytest.raises(BuildError) as raised:
        await build_orders(cast("Inputs", None), await orders_of(*names))
    assert str(raised.value) == ("spin-only for arm64: " if len(names) > 1 else "") + "no space left"
