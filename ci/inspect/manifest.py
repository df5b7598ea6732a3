"""The two YAML files of system extensions: an image's `manifest.yaml`, an initramfs's `extensions.yaml`.

Field names are those of github.com/siderolabs/talos/pkg/machinery/extensions.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from ci.common.text import is_plain
from ci.inspect.errors import CorruptFileError, LimitExceededError
from ci.inspect.models import LayerFacts

#: YAML events (scalars, list and map starts…) in a document; aliases are refused, so this bounds its size in memory.
_MOST_EVENTS = 100_000

#: Of YAML events: none, or that of a text.
_TAGS = (None, "!", "tag:yaml.org,2002:str")

_Model = TypeVar("_Model", bound=BaseModel)


class _Yaml(BaseModel):
    # Talos itself reads past fields that it doesn't know; a later Talos may add some.
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class Constraint(_Yaml):
    """What Talos version is wanted."""

    version: str = ""


class Compatibility(_Yaml):
    """What an extension goes with."""

    talos: Constraint = Constraint()


def _one_line(text: str) -> str:
    if not is_plain(text):
        raise ValueError("has control characters, line breaks or bidirectional overrides in it")
    return text


#: Part of a file's name, and of the imager's profile.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")]
_Version = Annotated[str, StringConstraints(max_length=128), AfterValidator(_one_line)]
_Line = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_one_line)]


class Metadata(_Yaml):
    """What an extension is."""

    name: _Name
    version: _Version
    author: _Line = ""
    description: str = ""
    compatibility: Compatibility = Compatibility()


class Manifest(_Yaml):
    """An extension image's `/manifest.yaml`."""

    version: str
    metadata: Metadata


class _Layer(_Yaml):
    image: str
    metadata: Metadata


class _Layers(_Yaml):
    layers: list[_Layer] = []


def parse_manifest(name: str, text: bytes) -> Manifest:
    """Return an extension's manifest; raises with the field that is missing or wrong."""
    return _validate(name, Manifest, _load(name, text))


def parse_layers(name: str, text: bytes) -> list[LayerFacts]:
    """Return the layers that an `extensions.yaml` lists, in mount order."""
    return [
        LayerFacts(
            image=layer.image,
            name=layer.metadata.name,
            version=layer.metadata.version,
            author=layer.metadata.author,
            description=layer.metadata.description.strip(),
            compatibility=layer.metadata.compatibility.talos.version,
        )
        for layer in _validate(name, _Layers, _load(name, text)).layers
    ]


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Read every scalar as the text that it is: a version `20250808` is no number, `1.10` is not `1.1`."""


_Loader.yaml_implicit_resolvers = {}


def _load(name: str, text: bytes) -> Any:
    try:
        for count, event in enumerate(yaml.parse(text, Loader=_Loader)):  # type: ignore[no-untyped-call]
            if isinstance(event, yaml.AliasEvent):
                raise CorruptFileError(name, _line(event), "YAML aliases have no place here")
            if getattr(event, "tag", None) not in _TAGS:  # a number of base 60 costs the square of its length
                raise CorruptFileError(name, _line(event), "no valid YAML: tags have no place here")
            if count > _MOST_EVENTS:
                raise LimitExceededError(name, _line(event), f"more than {_MOST_EVENTS} YAML items")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (_Loader is a SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, LookupError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        raise CorruptFileError(name, place, f"no valid YAML: {getattr(error, 'problem', None) or error}") from error


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else ""


def _validate(name: str, model: type[_Model], value: Any) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise CorruptFileError(name, place, first["msg"]) from error
