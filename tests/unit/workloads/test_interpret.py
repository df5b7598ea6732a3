"""Templates as Helm reads them, as far as the checkout says."""

from __future__ import annotations

from typing import Any

import pytest

from ci.workloads.charts import Parsed, load, render
from ci.workloads.gotemplate import TemplateError, parse
from ci.workloads.interpret import Interpreter
from ci.workloads.known import HOLE
from tests.unit.workloads.charts import chart

VALUES: dict[str, Any] = {
    "image": {"registry": "quay.io", "repository": "a/b", "tag": ""},
    "on": True,
    "off": False,
    "list": ["x", "y"],
    "number": 1.0,
}


def given(text: str, helpers: str = "") -> str:
    """What a template gives, its named templates defined before."""
    interpreter = Interpreter(
        {**VALUES}, {"AppVersion": "1.2.3"}, "it", {"files/v.yaml": 'a: "1"\n'}, parse(helpers).defines
    )
    return "\n".join(line.text for line in interpreter.lines(parse(text).nodes)).strip()


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}", "a/b:1.2.3"),
        ('{{ printf "%s/%s" .Values.image.registry .Values.image.repository }}', "quay.io/a/b"),
        (
            "{{ with .Values.image }}{{ .registry }}/{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}",
            "quay.io/a/b:1.2.3",
        ),
        ("{{ if .Values.off }}no{{ else if .Values.on }}yes{{ else }}never{{ end }}", "yes"),
        ("{{ range .Values.list }}{{ . }},{{ end }}", "x,y,"),
        ("{{ range $i, $x := .Values.list }}{{ $i }}{{ $x }}{{ end }}", "0x1y"),
        ('{{ $x := "a" }}{{ if true }}{{ $x = "b" }}{{ end }}{{ $x }}', "b"),
        ('{{ (.Files.Get "files/v.yaml" | fromYaml).a }}', "1"),
        ('{{ get (.Files.Get "files/v.yaml" | fromYaml) "a" | quote }}', '"1"'),
        ("{{ .Values.number }}", "1"),
        ("{{/* a comment with }} in it */}}x", "x"),
        ("a {{- /* no spaces */ -}} b", "ab"),
        ("{{ `{{ raw }}` }}", "{{ raw }}"),
        ('{{ "a-b" | replace "-" "." | trimPrefix "a" | upper }}', ".B"),
        ('{{ ternary "x" "y" .Values.on }}', "x"),
        ("{{ .Values.nothing.at.all }}x", "x"),
        ('{{ dig "image" "tag" "none" .Values }}', ""),
        ("{{ if gt (len .Values.image) 0 }}a{{ end }}{{ if lt 2 1 }}b{{ end }}{{ if ge 2 2 }}c{{ end }}", "ac"),
        ("{{ if le (int .Capabilities.KubeVersion.Minor) 22 }}a{{ else }}b{{ end }}", "ab"),
        ("{{ index .Values.list 1 }}", "y"),
        ('{{ tpl "{{ .Values.image.registry }}" . }}', "quay.io"),
        ("{{ toYaml .Values.list | nindent 2 }}", "- x\n  - y"),
    ],
)
def test_expressions(template: str, result: str) -> None:
    assert given(template) == result


def test_named_templates_are_called_with_their_own_dot() -> None:
    helpers = '{{ define "image" }}{{ .image.registry }}/{{ .image.repository }}:{{ .version }}{{ end }}'
    template = '{{ include "image" (dict "image" .Values.image "version" .Chart.AppVersion) }}'
    assert given(template, helpers) == "quay.io/a/b:1.2.3"


def test_what_is_not_known_is_a_hole_and_every_way_is_followed() -> None:
    assert given("x:{{ someNewFunction 1 }}") == f"x:{HOLE}"
    assert given('{{ if .Capabilities.APIVersions.Has "a/v1" }}one{{ else }}two{{ end }}') == "onetwo"


def test_a_cluster_is_never_asked() -> None:
    assert given('{{ if lookup "v1" "Secret" "a" "b" }}there{{ else }}not there{{ end }}') == "not there"


@pytest.mark.parametrize("text", ["{{ if .a }}", "{{ .a", "{{ end }}", "{{ (f }}", '{{ "x }}'])
def test_a_broken_template_says_so(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


def test_a_template_without_an_end_ends() -> None:
    helpers = '{{ define "a" }}{{ include "a" . }}{{ end }}'
    assert given('{{ include "a" . }}', helpers) == HOLE
    deep = "{{ range $.Values.list }}" * 40 + "x" + "{{ end }}" * 40
    with pytest.raises(TemplateError, match="steps"):
        given(deep)
    with pytest.raises(TemplateError, match="deeper"):
        parse("{{ if .a }}" * 100 + "{{ end }}" * 100)


def test_lines_are_those_of_the_template() -> None:
    text = (
        "a: 1\n{{- if .Values.on }}\nimage: {{ .Values.image.registry }}/x:1\n{{- end }}\n"
        "b:\n  {{- toYaml .Values.list | nindent 2 }}\nc: 2\n"
    )
    lines = Interpreter(VALUES, {}, "it", {}, {}).lines(parse(text).nodes)
    assert {line.text.strip(): line.line for line in lines if line.text.strip()} == {
        "a: 1": 1,
        "image: quay.io/x:1": 3,
        "b:": 5,
        "- x": 6,
        "- y": 6,
        "c: 2": 7,
    }


def test_values_are_merged_down_to_the_charts_in_a_chart() -> None:
    files = {
        **chart(
            "packages/system/a",
            {
                "values.yaml": "global: {registry: r.example.io}\nb:\n  image: {tag: '2'}\nc: {enabled: false}\n",
                "templates/_helpers.tpl": '{{ define "common" }}own{{ end }}',
            },
        ),
        **chart(
            "packages/system/a/charts/b",
            {
                "values.yaml": "image: {repository: x/y, tag: '1'}\n",
                "templates/_helpers.tpl": '{{ define "common" }}of b{{ end }}',
                "templates/a.yaml": "i: {{ .Values.global.registry }}/{{ .Values.image.repository }}"
                ':{{ .Values.image.tag }} {{ include "common" . }}\n',
            },
            name="b",
        ),
        **chart("packages/system/a/charts/c", {"templates/a.yaml": "never: true\n"}, name="c"),
    }
    files["packages/system/a/Chart.yaml"] += "dependencies:\n- {name: c, condition: c.enabled}\n"
    rendered = list(render(load(files, "packages/system/a"), Parsed()))
    assert [(one.file, one.lines[0].text) for one in rendered] == [
        ("packages/system/a/charts/b/templates/a.yaml", "i: r.example.io/x/y:2 own")
    ]
