"""From images to packages, applications and bundles: on which image each "no" depends, and what to do about it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import yaml

from ci.workloads.advise import Advice, advise, bases_to_ask, lacking, node_selectors, others
from ci.workloads.answers import Answers, Entry, Manifest, Newest, Platform
from ci.workloads.changes import compare
from ci.workloads.find import find_workloads
from ci.workloads.report import selectors_text
from ci.workloads.verdict import PackageState, SourceState, State, Verdict, judge
from tests.unit.workloads.charts import package, pods
from tests.unit.workloads.platform import v0, v1

if TYPE_CHECKING:
    from ci.workloads.model import Workloads

KUBEOVN = "ghcr.io/cozystack/cozystack/kubeovn:v1"


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def answers(found: Workloads, *, lacking: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> Answers:
    """Return answers in which all images have both architectures, but for those named."""
    references = {image.reference for one in found.packages for image in one.images}
    manifests: dict[str, Manifest] = {}
    for reference in references - set(unknown):
        names = ["linux/amd64"] if reference in lacking else ["linux/amd64", "linux/arm64"]
        platforms = tuple(Platform(name=name, digest=digest(reference + name)) for name in names)
        manifests[digest(reference)] = Manifest(index=True, platforms=platforms)
    return Answers(
        digests={reference: digest(reference) for reference in references - set(unknown)},
        manifests=manifests,
        problems=dict.fromkeys(unknown, "no answer"),
    )


def verdict(files: dict[str, str], *, lacking: tuple[str, ...] = (), unknown: tuple[str, ...] = ()) -> Verdict:
    found = find_workloads(files)
    return judge(found, answers(found, lacking=lacking, unknown=unknown), "arm64")


def package_of(judged: Verdict, name: str) -> PackageState:
    return next(one for one in judged.packages if one.name == name)


def source_of(judged: Verdict, name: str) -> SourceState:
    everything = (*judged.bundles, *judged.applications, *judged.parts)
    return next(one for one in everything if one.name.removeprefix("cozystack.") == name)


def causes(one: SourceState) -> list[tuple[str, tuple[str, ...], str]]:
    return [(cause.package, cause.images, cause.through.removeprefix("cozystack.")) for cause in one.causes]


def test_where_all_images_are_there_everything_is() -> None:
    judged = verdict(v1())
    assert {one.state for one in (*judged.packages, *judged.bundles, *judged.applications)} == {State.YES}
    assert source_of(judged, "paas").causes == ()


def test_an_application_runs_partly_where_what_it_needs_does_not() -> None:
    judged = verdict(v1(), lacking=(KUBEOVN,))
    redis = source_of(judged, "redis-application")
    assert (redis.own, redis.state) == (State.YES, State.PARTLY)
    assert causes(redis) == [("system/kubeovn", (KUBEOVN,), "networking")]
    assert source_of(judged, "isp-full").state is State.PARTLY
    # networking is switched off there
    assert source_of(judged, "isp-hosted").state is State.YES
    assert package_of(judged, "system/kubeovn").state is State.NO


def test_an_application_without_any_image_for_it_does_not_run() -> None:
    judged = verdict(v1(), lacking=(KUBEOVN, "quay.io/r/operator:v1", "docker.io/library/redis:8"))
    redis = source_of(judged, "redis-application")
    assert (redis.own, redis.state) == (State.NO, State.NO)
    assert [cause.package for cause in redis.causes] == ["apps/redis", "system/kubeovn", "system/redis-operator"]


def test_a_package_runs_partly_where_one_of_its_images_is_not_there() -> None:
    files = package("system/a", {"templates/d.yaml": pods("quay.io/x/y:1") + "---\n" + pods("quay.io/x/z:1")})
    a = package_of(verdict(files, lacking=("quay.io/x/z:1",)), "system/a")
    assert (a.state, a.because) == (State.PARTLY, ("quay.io/x/z:1",))


def test_what_is_not_known_says_why_and_is_not_a_no() -> None:
    judged = verdict(v1(), unknown=("docker.io/library/redis:8",))
    redis = source_of(judged, "redis-application")
    assert (redis.state, causes(redis)) == (
        State.UNKNOWN,
        [("apps/redis", ("docker.io/library/redis:8: no answer",), "")],
    )
    # a no weighs more than what is not known
    both = verdict(v1(), unknown=("docker.io/library/redis:8",), lacking=(KUBEOVN,))
    assert source_of(both, "redis-application").state is State.PARTLY


def test_optional_members_do_not_count_but_are_listed() -> None:
    judged = verdict(v1(), lacking=("nvcr.io/nvidia/gpu:1",))
    bundle = source_of(judged, "isp-full")
    assert (bundle.state, bundle.optional) == (State.YES, ("cozystack.keycloak", "cozystack.gpu"))


def test_named_images_do_not_count() -> None:
    values = "other: {image: 'quay.io/x/other:1'}\n"
    files = package("system/a", {"values.yaml": values, "templates/d.yaml": pods("quay.io/x/y:1")})
    judged = verdict(files, lacking=("quay.io/x/other:1",))
    assert package_of(judged, "system/a").state is State.YES
    assert lacking(judged) == ()


def test_a_package_of_which_no_image_can_be_told_is_not_known() -> None:
    judged = verdict(package("system/a", {"templates/d.yaml": pods("quay.io/x/y:{{ .Capabilities.X }}")}))
    assert package_of(judged, "system/a").state is State.UNKNOWN


def test_bundles_before_v1_follow_their_releases() -> None:
    judged = verdict(v0(), lacking=("quay.io/cilium/cilium:v1",))
    assert causes(source_of(judged, "paas-full")) == [
        ("system/cilium", ("quay.io/cilium/cilium:v1",), "paas-full/cilium")
    ]
    assert [one.name for one in judged.applications] == ["apps/redis"]


def test_an_image_that_is_labelled_arm64_and_holds_another_program_is_not_there() -> None:
    found = find_workloads(v1())
    known = answers(found)
    arm64 = known.manifest(KUBEOVN)
    assert arm64
    entry = {str(arm64.digest_for("linux/arm64")): Entry(path="/kube-ovn/start", arch="amd64")}
    judged = judge(found, known.model_copy(update={"entries": entry}), "arm64")
    image = next(one for one in judged.images if one.reference == KUBEOVN)
    assert (image.state, image.reason) == (
        State.NO,
        "it is labelled arm64, and /kube-ovn/start in it is a program for amd64",
    )


DOCKERFILE = """ARG BASE=quay.io/only/amd64:1
FROM golang:1.26 AS builder
RUN GOARCH=amd64 go build
RUN curl -L https://example.io/x-linux-amd64.tgz | tar xz
RUN case $TARGETARCH in amd64) x=1 ;; arm64) x=2 ;; esac
RUN curl -L https://example.io/tool-linux-$TARGETARCH.tar.gz
# COPY comment-amd64 /
FROM --platform=linux/amd64 alpine:3 AS tools
FROM $BASE
COPY --from=builder /x /x
COPY --from=quay.io/other/tool:2 /y /y
"""


def advice(dockerfile: str) -> tuple[Advice, tuple[str, ...]]:
    files = {**v1(), "packages/system/kubeovn/images/kubeovn/Dockerfile": dockerfile}
    found = find_workloads(files)
    known = answers(found, lacking=(KUBEOVN,))
    bases = bases_to_ask(found, [KUBEOVN])
    both = tuple(Platform(name=name, digest=digest(name)) for name in ("linux/amd64", "linux/arm64"))
    manifests = {**known.manifests, digest("good"): Manifest(index=True, platforms=both)}
    manifests[digest("bad")] = Manifest(index=False, platforms=both[:1])
    digests = {**known.digests, **{base: digest("bad" if "only" in base else "good") for base in bases}}
    known = known.model_copy(update={"digests": digests, "manifests": manifests})
    (one,) = advise(found, judge(found, known, "arm64"), known)
    return one, bases


def test_what_in_a_dockerfile_stands_in_the_way() -> None:
    one, bases = advice(DOCKERFILE)
    file = "packages/system/kubeovn/images/kubeovn/Dockerfile"
    assert bases == (
        "docker.io/library/golang:1.26",
        "docker.io/library/alpine:3",
        "quay.io/only/amd64:1",
        "quay.io/other/tool:2",
    )
    assert one.obstacles == (
        f"{file}:3: compiles for amd64: write GOARCH=$TARGETARCH: RUN GOARCH=amd64 go build",
        f"{file}:4: downloads what is made for amd64: RUN curl -L https://example.io/x-linux-amd64.tgz | tar xz",
        f"{file}:8: takes alpine:3 for amd64, whatever is built: FROM --platform=linux/amd64 alpine:3 AS tools",
        f"{file}:9: its base quay.io/only/amd64:1 is not there for arm64: it is made for linux/amd64 alone",
    )


def test_a_dockerfile_in_which_nothing_stands_in_the_way_only_has_to_be_built() -> None:
    # what compiles may run on the builder's own architecture alone
    builder = "FROM --platform=$BUILDPLATFORM quay.io/only/amd64:1 AS b\n"
    one, _ = advice(builder + "RUN GOARCH=$TARGETARCH go build\nFROM scratch\n")
    assert one.obstacles == ()
    assert "make -C packages/system/kubeovn image PLATFORM=linux/amd64,linux/arm64" in one.what


def test_of_others_images_the_newest_tag_is_named() -> None:
    found = find_workloads(v1())
    reference = "quay.io/metallb/speaker:v1"
    known = answers(found, lacking=(reference,))
    judged = judge(found, known, "arm64")
    assert others(found, lacking(judged)) == ("quay.io/metallb/speaker",)
    for newest, what in (
        (Newest(tag="v2"), "the newest tag with arm64 is quay.io/metallb/speaker:v2"),
        (Newest(), "none of the newest tags of quay.io/metallb/speaker is there for arm64: ask upstream for it"),
        (Newest(problem="no"), "it is quay.io/metallb/speaker's; its tags can't be listed: no"),
    ):
        told = known.model_copy(update={"newest": {"quay.io/metallb/speaker linux/arm64": newest}})
        assert [one.what for one in advise(found, judged, told)] == [what]


def test_of_an_image_that_is_labelled_wrongly_its_own_tag_is_no_way_out() -> None:
    found = find_workloads(v1())
    reference = "quay.io/metallb/speaker:v1"
    known = answers(found)
    manifest = known.manifest(reference)
    assert manifest is not None
    digest = manifest.digest_for("linux/arm64")
    assert digest is not None
    known = known.model_copy(
        update={
            "entries": {digest: Entry(path="/speaker", arch="amd64")},
            "newest": {"quay.io/metallb/speaker linux/arm64": Newest(tag="v1")},
        }
    )
    (one,) = advise(found, judge(found, known, "arm64"), known)
    assert one.what == "no newer tag of quay.io/metallb/speaker is there for arm64: tell upstream what is in this one"


def test_the_name_of_an_applications_pods_has_a_part_that_its_user_chooses() -> None:
    image = "quay.io/x/y:1"
    named = pods(image, name='"{{ .Release.Name }}-it"')
    found = find_workloads(
        {**package("apps/redis", {"templates/d.yaml": named}), **package("extra/etcd", {"templates/d.yaml": named})}
    )
    known = answers(found, lacking=(image,))
    entries = node_selectors(judge(found, known, "arm64"), {}, "arm64")
    assert [entry["patches"][0]["target"]["name"] for entry in entries] == ["redis-.*-it", "etcd-it"]


CRON = """apiVersion: batch/v1
kind: CronJob
metadata:
  name: it
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - image: quay.io/j/j:1
"""


def test_patches_keep_pods_on_amd64_nodes() -> None:
    files = {**v1(), **package("system/job", {"templates/d.yaml": CRON})}
    judged = verdict(files, lacking=(KUBEOVN, "docker.io/library/redis:8", "quay.io/j/j:1"))
    written = yaml.safe_load(selectors_text(node_selectors(judged, {"apps/redis": ("nodeSelector",)}, "arm64")))
    entries = {entry["package"]: entry for entry in written}
    (patch,) = entries["system/kubeovn"]["patches"]
    assert patch["target"] == {"kind": "DaemonSet", "name": "it"}
    assert yaml.safe_load(patch["patch"])["spec"] == {
        "template": {"spec": {"nodeSelector": {"kubernetes.io/arch": "amd64"}}}
    }
    (job,) = entries["system/job"]["patches"]
    assert job["target"]["kind"] == "CronJob"
    assert "nodeSelector" in yaml.safe_load(job["patch"])["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert entries["apps/redis"]["values"] == ["nodeSelector"]
    assert "an operator makes the pods" in entries["apps/redis"]["note"]


def test_without_a_no_there_are_no_patches() -> None:
    assert selectors_text(node_selectors(verdict(v1()), {}, "arm64")) == "[]\n"


def test_what_gained_and_lost_between_two_releases() -> None:
    before = verdict(v1(), lacking=(KUBEOVN, "quay.io/metallb/speaker:v1"))
    newer = {**v1(), **package("system/metallb", {"templates/d.yaml": pods("quay.io/metallb/speaker:v2")})}
    after = verdict(newer, lacking=(KUBEOVN, "docker.io/library/redis:8"))
    changes = compare(before, after)
    assert [(one.name, one.before, one.after) for one in changes.images] == [
        ("docker.io/library/redis", State.YES, State.NO),
        ("quay.io/metallb/speaker", State.NO, State.YES),
    ]
    assert [(one.name, one.after) for one in changes.packages] == [
        ("apps/redis", State.NO),
        ("system/metallb", State.YES),
    ]
    assert changes.lost
    assert not compare(before, before).images


def test_what_came_without_the_architecture_is_told_and_what_came_with_it_is_not() -> None:
    before = verdict({key: text for key, text in v1().items() if "redis" not in key})
    after = verdict(v1(), lacking=("docker.io/library/redis:8",))
    changes = compare(before, after)
    assert [(one.name, one.before, one.after) for one in changes.packages] == [("apps/redis", None, State.NO)]
    assert [one.name for one in changes.bundles] == ["paas"]
