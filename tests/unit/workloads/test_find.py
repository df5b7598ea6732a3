"""Every form in which a package names an image, each with its file and line."""

from __future__ import annotations

import pytest

from ci.workloads.find import find_packages
from ci.workloads.model import FoundImage, How, Package
from tests.unit.workloads.charts import DIGEST, chart, package, pods


def found(files: dict[str, str], name: str = "system/a") -> Package:
    return next(one for one in find_packages(files) if one.name == name)


def running(files: dict[str, str], name: str = "system/a") -> dict[str, list[str]]:
    """Reference → where, of the images that run; paths below the package."""
    return {image.reference: where(image) for image in found(files, name).images if image.runs}


def where(image: FoundImage) -> list[str]:
    return [f"{place}: {place.how}".removeprefix("packages/system/a/") for place in image.places]


def test_a_literal_in_a_template() -> None:
    files = package("system/a", {"templates/d.yaml": pods("redis:7")})
    assert running(files) == {"docker.io/library/redis:7": ["templates/d.yaml:9: template"]}


def test_a_literal_in_values_is_found_where_it_is_used_and_where_it_is_written() -> None:
    files = package(
        "system/a",
        {"values.yaml": f"a: 1\nimage: ghcr.io/x/y:v1@{DIGEST}\n", "templates/d.yaml": pods('"{{ .Values.image }}"')},
    )
    assert running(files) == {f"ghcr.io/x/y:v1@{DIGEST}": ["templates/d.yaml:9: template", "values.yaml:2: value"]}


@pytest.mark.parametrize(
    ("values", "template", "reference"),
    [
        (
            "image: {repository: quay.io/x/y, tag: v1}",
            "{{ .Values.image.repository }}:{{ .Values.image.tag }}",
            "quay.io/x/y:v1",
        ),
        (
            "image: {repository: x/y, tag: ''}",
            "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}",
            "docker.io/x/y:v9",
        ),
        (
            "image: {registry: quay.io, repository: x/y, digest: sha256:" + "a" * 64 + "}",
            "{{ .Values.image.registry }}/{{ .Values.image.repository }}@{{ .Values.image.digest }}",
            f"quay.io/x/y@{DIGEST}",
        ),
        (
            "images: {a: {repository: y}}\nglobal: {registry: {address: quay.io/x}}",
            "{{ .Values.global.registry.address }}/{{ .Values.images.a.repository }}:{{ .Chart.AppVersion }}",
            "quay.io/x/y:v9",
        ),
        (
            "image: {registry: quay.io, image: x/y, tag: 1.10}",
            "{{ with .Values.image }}{{ .registry }}/{{ .image }}:{{ .tag }}{{ end }}",
            "quay.io/x/y:1.1",
        ),
    ],
)
def test_split_forms(values: str, template: str, reference: str) -> None:
    files = package("system/a", {"values.yaml": values, "templates/d.yaml": pods(f"'{template}'")}, version="v9")
    assert list(running(files)) == [reference]


def test_split_values_that_no_template_is_understood_to_use_are_taken_as_they_are() -> None:
    values = (
        "a:\n  image:\n    repository: quay.io/x/y\n    tag:\n"
        "b:\n  image: {repository: nvcr.io/n, image: driver, version: '5'}\n"
    )
    files = package("system/a", {"values.yaml": values, "templates/d.yaml": "{{ unheardOf .Values }}"}, version="v9")
    assert running(files) == {
        "nvcr.io/n/driver:5": ["values.yaml:6: split value"],
        "quay.io/x/y:v9": ["values.yaml:3: split value"],
    }


def test_values_are_not_taken_where_templates_are_understood_and_give_no_image() -> None:
    template = "kind: Service\nmetadata:\n  name: {{ .Release.Name }}\n"
    files = package("system/a", {"values.yaml": "image: quay.io/x/y:1\n", "templates/s.yaml": template})
    assert {image.reference: image.runs for image in found(files).images} == {"quay.io/x/y:1": False}


def test_values_that_templates_do_not_use_are_named_and_do_not_run() -> None:
    values = "image: {repository: quay.io/x/y, tag: v1}\nother: {enabled: false, image: quay.io/x/other:v2}\n"
    template = pods("{{ .Values.image.repository }}:{{ .Values.image.tag }}")
    files = package("system/a", {"values.yaml": values, "templates/d.yaml": template})
    assert {image.reference: image.runs for image in found(files).images} == {
        "quay.io/x/other:v2": False,
        "quay.io/x/y:v1": True,
    }


def test_a_name_without_a_registry_is_not_docker_hubs_where_a_template_gives_it_one() -> None:
    values = "address: ghcr.io/x\nimages: {it: {repository: it, tag: v1}, other: {repository: other, tag: v1}}\n"
    template = pods("{{ .Values.address }}/{{ .Values.images.it.repository }}:{{ .Values.images.it.tag }}")
    files = package("system/a", {"values.yaml": values, "templates/d.yaml": template})
    assert {image.reference: image.runs for image in found(files).images} == {
        "docker.io/library/other:v1": False,
        "ghcr.io/x/it:v1": True,
    }


def test_lists_of_images_in_tag_files() -> None:
    files = package(
        "system/a",
        {
            "images/x.tag": f"ghcr.io/cozystack/cozystack/x:v1@{DIGEST}\n",
            "images/alone.tag": "ghcr.io/cozystack/cozystack/alone:v1\n",
            "templates/d.yaml": pods('"{{ $.Files.Get "images/x.tag" | trim }}"'),
        },
    )
    assert running(files) == {
        f"ghcr.io/cozystack/cozystack/x:v1@{DIGEST}": ["templates/d.yaml:9: template", "images/x.tag:1: tag file"],
        "ghcr.io/cozystack/cozystack/alone:v1": ["images/alone.tag:1: tag file"],
    }


def test_operators_arguments_and_environment() -> None:
    operator = pods("quay.io/o/operator:1") + (
        "        args:\n"
        "        - --sidecar-image=quay.io/o/sidecar:1\n"
        "        - --backup-image\n"
        "        - backup/tool:2\n"
        "        - --config=quay.io/o/reloader:3\n"
        "        env:\n"
        "        - name: RELATED_IMAGE_DB\n"
        "          value: mariadb:11\n"
        "        - name: LIST\n"
        "          value: |\n"
        "            3.8=quay.io/o/kafka:3.8\n"
        "            3.9=quay.io/o/kafka:3.9\n"
    )
    assert (
        running(package("system/a", {"templates/d.yaml": operator}))
        == {
            "quay.io/o/operator:1": ["templates/d.yaml:9: template"],
            "quay.io/o/sidecar:1": ["templates/d.yaml:12: argument"],
            "docker.io/backup/tool:2": ["templates/d.yaml:14: argument"],
            "quay.io/o/reloader:3": ["templates/d.yaml:15: argument"],
            "docker.io/library/mariadb:11": ["templates/d.yaml:18: environment"],
            "quay.io/o/kafka:3.8": ["templates/d.yaml:21: environment"],
            "quay.io/o/kafka:3.9": ["templates/d.yaml:22: environment"],
        }
        | {}
    )


def test_configuration_in_a_config_map() -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\ndata:\n"
        "  RELATED_IMAGE_X: quay.io/c/x:1\n"
        "  a.yaml: |\n"
        "    base: quay.io/piraeus\n"
        "    components:\n"
        "      server:\n"
        "        tag: v1\n"
        "        image: piraeus-server\n"
        "      module:\n"
        "        tag: v9\n"
        "        match:\n"
        "        - osImage: Debian\n"
        "          image: drbd9-bookworm\n"
        "  b.yaml: |\n"
        "    # image: quay.io/c/comment:1\n"
        "    pod: {image: busybox:1.37}\n"
        "  c.ini: |\n"
        "    [x]\n"
        "    image = quay.io/c/ini:1\n"
    )
    assert running(package("system/a", {"templates/c.yaml": text})) == {
        "quay.io/c/x:1": ["templates/c.yaml:4: environment"],
        "quay.io/piraeus/piraeus-server:v1": ["templates/c.yaml:10: configuration"],
        "quay.io/piraeus/drbd9-bookworm:v9": ["templates/c.yaml:15: configuration"],
        "docker.io/library/busybox:1.37": ["templates/c.yaml:18: configuration"],
        "quay.io/c/ini:1": ["templates/c.yaml:21: configuration"],
    }


def test_custom_resources() -> None:
    text = (
        "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec:\n  imageName: ghcr.io/cloudnative-pg/postgresql:17\n"
        "---\napiVersion: x/v1\nkind: VMAgent\nspec:\n  image:\n    repository: victoriametrics/vmagent\n    tag: v1\n"
    )
    assert running(package("system/a", {"templates/r.yaml": text})) == {
        "docker.io/victoriametrics/vmagent:v1": ["templates/r.yaml:10: split value"],
        "ghcr.io/cloudnative-pg/postgresql:17": ["templates/r.yaml:4: custom resource"],
    }


def test_objects_in_files_and_manifests() -> None:
    files = package("system/a", {"files/m.yaml": pods("quay.io/f/m:1"), "manifests/n.yaml": pods("quay.io/f/n:1")})
    assert list(running(files)) == ["quay.io/f/m:1", "quay.io/f/n:1"]


def test_definitions_tests_and_comments_name_nothing() -> None:
    definition = "kind: CustomResourceDefinition\nspec:\n  default: {image: quay.io/n/crd:1}\n"
    tested = pods("quay.io/n/test:1", kind="Pod").replace(
        "name: it\nspec", "annotations:\n    helm.sh/hook: test\nspec"
    )
    comments = "# image: quay.io/n/comment:1\n{{/* image: quay.io/n/other:1 */}}\n"
    files = package(
        "system/a", {"templates/a.yaml": definition, "templates/b.yaml": tested, "templates/c.yaml": comments}
    )
    assert found(files).images == ()


def test_where_a_condition_is_not_known_the_image_of_each_way_counts() -> None:
    version = "{{- if ge (int .Capabilities.KubeVersion.Minor) 22 }}"
    template = pods("quay.io/x/new:1").replace(
        "      - image: quay.io/x/new:1\n        name: it\n",
        f"      - name: it\n        {version}\n        image: quay.io/x/new:1\n        {{{{- else }}}}\n"
        "        image: quay.io/x/old:1\n        {{- end }}\n",
    )
    assert list(running(package("system/a", {"templates/d.yaml": template}))) == ["quay.io/x/new:1", "quay.io/x/old:1"]


@pytest.mark.parametrize(
    "condition", [".Values._namespace.etcd", '(index .Values._cluster "oidc")', ".Values._cluster.x"]
)
def test_what_cozystack_hands_down_to_a_chart_hides_nothing(condition: str) -> None:
    template = f"{{{{- if {condition} }}}}\n{pods('quay.io/x/y:1')}{{{{- end }}}}\n"
    assert list(running(package("apps/a", {"templates/d.yaml": template}), "apps/a")) == ["quay.io/x/y:1"]


def test_a_condition_that_is_off_hides_an_image() -> None:
    template = (
        "{{ if .Values.first }}\n"
        + pods("quay.io/x/on:1")
        + "---\n{{ end }}{{ if .Values.second }}\n"
        + pods("quay.io/x/off:1")
        + "{{ end }}\n"
    )
    files = package("system/a", {"values.yaml": "first: true\nsecond: false\n", "templates/d.yaml": template})
    assert list(running(files)) == ["quay.io/x/on:1"]
    (off,) = (image for image in found(files).images if not image.runs)
    assert (off.reference, where(off)) == ("quay.io/x/off:1", ["templates/d.yaml:22: template"])


def test_versions_that_can_be_ordered_are_named() -> None:
    files = package(
        "system/a",
        {
            "values.yaml": "version: v2\n",
            "files/versions.yaml": '"v2": "2.5"\n"v1": "1.9"\n',
            "templates/_v.tpl": '{{ define "v" }}{{ $all := .Files.Get "files/versions.yaml" }}'
            "{{ get ($all | fromYaml) .Values.version }}{{ end }}",
            "templates/r.yaml": 'kind: Db\nspec:\n  image: redis:{{ include "v" . }}\n',
        },
    )
    assert {image.reference: image.runs for image in found(files).images} == {
        "docker.io/library/redis:1.9": False,
        "docker.io/library/redis:2.5": True,
    }


def test_what_the_checkout_does_not_say_is_listed_with_its_place() -> None:
    files = package("system/a", {"templates/d.yaml": pods("registry.k8s.io/scheduler:{{ .Capabilities.KubeVersion }}")})
    package_ = found(files)
    assert package_.images == ()
    assert [(one.file, one.line, one.text) for one in package_.unresolved] == [
        ("packages/system/a/templates/d.yaml", 9, "registry.k8s.io/scheduler:…")
    ]


def test_a_template_that_is_not_understood_is_read_as_text() -> None:
    text = "{{ if }}{{ !! }}\n" + pods("quay.io/x/y:1") + "        - image: {{ .Values.x }}\n"
    files = package("system/a", {"templates/d.yaml": text})
    assert running(files) == {"quay.io/x/y:1": ["templates/d.yaml:10: template"]}
    assert [one.line for one in found(files).unresolved] == [12]


def test_charts_in_a_chart_get_its_values() -> None:
    files = {
        **package("system/a", {"values.yaml": "inner:\n  image:\n    repository: ghcr.io/own/x\n    tag: v2\n"}),
        **chart(
            "packages/system/a/charts/inner",
            {
                "values.yaml": "image:\n  repository: quay.io/theirs/x\n  tag: v1\n",
                "templates/d.yaml": pods(
                    "{{ .Values.image.repository }}:{{ .Values.image.tag }}", name="{{ .Release.Name }}-x"
                ),
            },
            name="inner",
        ),
    }
    package_ = found(files)
    own, theirs = package_.images
    assert (own.reference, own.runs, theirs.reference, theirs.runs) == (
        "ghcr.io/own/x:v2",
        True,
        "quay.io/theirs/x:v1",
        False,
    )
    assert [place.how for place in own.places] == [How.TEMPLATE, How.SPLIT]
    assert [(one.kind, one.name) for one in own.workloads] == [("Deployment", "a-x")]


def test_further_values_files_name_what_they_switch_on() -> None:
    files = package(
        "system/a",
        {
            "values.yaml": "extra: false\n",
            "values-x.yaml": "extra: true\n",
            "templates/d.yaml": pods("quay.io/x/y:1")
            + "{{ if .Values.extra }}\n---\n"
            + pods("quay.io/x/z:1")
            + "{{ end }}",
        },
    )
    assert {image.reference: image.runs for image in found(files).images} == {
        "quay.io/x/y:1": True,
        "quay.io/x/z:1": False,
    }


def test_paths_of_node_selectors_are_known() -> None:
    files = package("system/a", {"values.yaml": "a: {nodeSelector: {}}\nb: {c: {nodeSelector: {x: y}}}\n"})
    assert found(files).selectors == ("a.nodeSelector", "b.c.nodeSelector")
