"""Functions that say which of CozyStack's packages run on an architecture."""

import dagger
from dagger import dag

from ci import args
from ci.api import api_function
from ci.common.arch import parse_arch
from ci.common.deferred import deferred
from ci.common.errors import AssetsError, UserError
from ci.functions.base import Functions

with deferred():
    from ci.execute import workloads as execute
    from ci.report import tables
    from ci.workloads import answers, changes, report

#: What `--save` is answered with.
SAVING = (
    "--save {file}: a Dagger function can't write to your machine, the command line can: write "
    "`--format json -o {file}` instead. The report in that file has all answers; `--offline {file}` reads it and asks "
    "no registry"
)


class WorkloadFunctions(Functions):
    """Functions that say which of CozyStack's packages run on an architecture."""

    @api_function
    async def workloads(
        self,
        upstream: args.WorkloadsUpstream,
        release: args.WorkloadsRelease = None,
        arch: args.WorkloadsArchitecture = None,
        bundle: args.Bundles = None,
        format_: args.DiffFormat = "text",
        node_selectors: args.NodeSelectors = False,
        deep: args.Deep = False,
        offline: args.Offline = None,
        mirrors: args.Mirrors = None,
        render: args.Render = False,
        rendered: args.RenderedCharts = None,
        save: args.Save = None,
    ) -> str:
        """Show which bundles and applications of CozyStack run on arm64 nodes, and on which image each "no" depends.

        The images of all packages are found in the checkout and looked up in their registries.

        Ask once, read anywhere: `--format json -o answers.json` saves the answers, `--offline answers.json` takes them.
        """
        if save is not None:
            raise UserError(SAVING.format(file=save or "answers.json"))
        form = tables.parse_format(format_, tables.Format)
        asked = self._asked_for(
            arch, bundle, mirrors=mirrors, offline=offline, deep=deep, render=render, rendered=rendered
        )
        found, made = await self._reported(upstream, release, asked)
        if node_selectors:
            return report.selectors_text(execute.selectors(found, made.verdict))
        return report.report_as(made, form)

    @api_function
    async def workloads_diff(
        self,
        upstream: args.WorkloadsUpstream,
        before_upstream: args.WorkloadsBefore,
        before: args.BeforeRelease = None,
        release: args.WorkloadsRelease = None,
        arch: args.WorkloadsArchitecture = None,
        offline: args.Offline = None,
        mirrors: args.Mirrors = None,
        format_: args.DiffFormat = "text",
        fail_on_loss: args.FailOnLoss = False,
    ) -> str:
        """Show which packages and images of CozyStack gained or lost arm64 between two releases."""
        form = tables.parse_format(format_, tables.Format)
        asked = self._asked_for(arch, None, mirrors=mirrors, offline=offline)
        if before is None and before_upstream is None:
            raise UserError("nothing to compare with: give --before RELEASE, or --before-upstream with a checkout")
        found, titles = await self._changed((before_upstream, before), (upstream, release), asked)
        text = report.changes_as(found, form, titles)
        if fail_on_loss and found.lost:
            raise AssetsError(text)
        return text

    @api_function
    async def workloads_record(
        self,
        upstream: args.WorkloadsUpstream,
        release: args.WorkloadsRelease = None,
        before: args.BeforeRelease = None,
        arch: args.WorkloadsArchitecture = None,
        deep: args.Deep = False,
        render: args.Render = False,
        mirrors: args.Mirrors = None,
        offline: args.Offline = None,
    ) -> dagger.Directory:
        """Return the whole report on CozyStack's workloads as files, with the registries' answers.

        Layout: workloads.{txt,json,html}; answers.json, which --offline takes; node-selectors.yaml, patches that keep
        pods on amd64 nodes; with --before, changes.{txt,json,html} since that release.
        """
        asked = self._asked_for(arch, None, mirrors=mirrors, offline=offline, deep=deep, render=render)
        found, made = await self._reported(upstream, release, asked)
        folder = dag.directory().with_new_file("answers.json", answers.answers_text(made.answers))
        folder = folder.with_new_file(
            "node-selectors.yaml", report.selectors_text(execute.selectors(found, made.verdict))
        )
        changed = await self._changed((None, before), (upstream, release), asked) if before else None
        for ending, form in (("txt", tables.Format.TEXT), ("json", tables.Format.JSON), ("html", tables.Format.HTML)):
            folder = folder.with_new_file(f"workloads.{ending}", report.report_as(made, form))
            if changed:
                folder = folder.with_new_file(f"changes.{ending}", report.changes_as(changed[0], form, changed[1]))
        return folder

    def _asked_for(
        self,
        arch: str | None,
        bundle: list[str] | None,
        *,
        mirrors: list[str] | None,
        offline: dagger.File | None,
        deep: bool = False,
        render: bool = False,
        rendered: dagger.Directory | None = None,
    ) -> "execute.Asked":
        own, login, _ = self._parsed()
        return execute.Asked.of(
            parse_arch(arch) if arch else own,
            login,
            bundles=bundle,
            mirrors=mirrors,
            offline=offline,
            deep=deep,
            render=render,
            rendered=rendered,
        )

    async def _reported(
        self, upstream: dagger.Directory | None, release: str | None, asked: "execute.Asked"
    ) -> "tuple[execute.Found, execute.Report]":
        if upstream is None and self.upstream is not None:
            # What the module's own argument takes of a checkout are its profiles.
            raise UserError("--upstream belongs behind this function: dagger call workloads --upstream DIR")
        known = await execute.recorded(asked.offline)
        found = await execute.find(upstream, release, asked, self.release)
        return found, await execute.report(found, asked, known)

    async def _changed(
        self,
        before: tuple[dagger.Directory | None, str | None],
        after: tuple[dagger.Directory | None, str | None],
        asked: "execute.Asked",
    ) -> "tuple[changes.Changes, tuple[str, str]]":
        older, newer = await self._reported(*before, asked), await self._reported(*after, asked)
        return changes.compare(older[1].verdict, newer[1].verdict), (older[0].title, newer[0].title)
