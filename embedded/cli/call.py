"""`call` and `core`: read the chain, ask the session, print or save what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedded.cli.arguments import argument_values
from embedded.cli.chain import Chain, answer_path, build_query, read_chain, unwrap
from embedded.cli.changes import apply_changes
from embedded.cli.help import print_chain_help
from embedded.cli.lab import fallback_arguments, refuse_what_the_lab_replaces
from embedded.cli.model import Function, Kind, Model
from embedded.cli.options import call_flags, global_flags
from embedded.cli.output import print_objects, print_result, save_result, say
from embedded.engine.errors import EngineError
from embedded.shown import shown

if TYPE_CHECKING:
    from embedded.cli.flags import FlagSet
    from embedded.cli.progress import Progress
    from embedded.cli.protocol import Mode, Session

_EXPORTABLE = frozenset({"Changeset", "Container", "Directory", "File"})


async def call(
    session: Session,
    model: Model,
    words: list[str],
    progress: Progress,
    *,
    command: str,
    mode: Mode,
    wants_help: bool,
    auto_apply: bool,
) -> None:
    """Run what follows `call` on the command line; changes are made without asking where `auto_apply` says so.

    Errors: UsageError for the line itself, EngineError for what the functions do.
    """
    common = (call_flags(), global_flags())
    fallback = fallback_arguments(mode, session.registry)
    chain = read_chain(model, words, common, command, fallback=fallback, help_only=wants_help)
    if wants_help or not chain.named:
        print_chain_help(model, chain, common)
        return
    refuse_what_the_lab_replaces(chain, mode)
    await _run(session, model, chain, common[0], progress, auto_apply=auto_apply)


async def _run(
    session: Session, model: Model, chain: Chain, own: FlagSet, progress: Progress, *, auto_apply: bool
) -> None:
    output: str = own["output"].value.get()
    as_json: bool = own["json"].value.get()
    links = [
        (link.function, await argument_values(session, link.function, link.flags, link.command)) for link in chain.links
    ]
    last = chain.links[-1].function
    result = last.type
    leaf, leaf_values = _leaf(model, last, output)
    query, variables = build_query(links, leaf, leaf_values)
    data = await session.execute(query, variables)
    answer = unwrap(data, answer_path([function for function, _ in links], leaf))

    progress.close()
    if result.kind is Kind.VOID:
        return
    if result.object_name == "Changeset" and not output:
        await apply_changes(session, answer, leaf, auto_apply=auto_apply)
    elif leaf == "export":
        if not isinstance(answer, str):
            raise EngineError(f"-o can't write a list of {result.object_name}: choose one of its elements")
        say(f'Saved to "{shown(answer)}".')
    elif result.object_name:
        print_objects(model, result, answer, as_json=as_json)
    else:
        text = print_result(answer, as_json=as_json)
        for name in session.from_cache(str(answer)) if progress.shows else ():
            say(f"from the cache, without running it again: {name}")
        if output:
            save_result(Path(output), text)


def _leaf(model: Model, last: Function, output: str) -> tuple[str, dict[str, tuple[str, Any]]]:
    """Choose the field that makes an object at the chain's end happen: its export, its evaluation or its id."""
    owner = last.type.object_name
    if not owner:
        return "", {}
    export = model.field(owner, "export")
    if output and export is not None and owner in _EXPORTABLE:
        values: dict[str, tuple[str, Any]] = {"path": ("String!", output)}
        if any(arg.name == "allowParentDirPath" for arg in export.arguments):
            values["allowParentDirPath"] = ("Boolean", True)
        return "export", values
    if last.gives_itself:
        return "", {}
    return ("sync" if model.field(owner, "sync") else "id"), {}
