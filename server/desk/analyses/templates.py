"""Templates of analyses: ``<name>.yaml``, which says what is needed, and the program ``<name>.py`` beside it.

The program runs in a task's directory with a Python of at least 3.9. It finds its inputs there, each as
``<input>.csv``, and ``parameters.json``; it leaves ``result.json``, which is what a service would call back
with (`server.desk.analyses.results`). Those that ship need the standard library alone, so they run at any
site.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from iceprod import requirements
from server.common.errors import Unavailable
from server.desk.common.vocabulary import ENUM_TYPES
from server.rest.context import Context

__all__ = ["INPUTS", "Template", "TemplateError", "known", "shipped"]

INPUTS = tuple(ENUM_TYPES["ANALYSIS_INPUT_TYPES"])
"""What an analysis can be given of an object; `server.desk.analyses.inputs` says what is in each."""

SHIPPED = Path(__file__).parent / "programs"


class TemplateError(Unavailable):
    """A template that cannot be used; the text names its file and the reason."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of a template says."""

    title: str
    description: str
    kind: str  # such as lightcurve_fitting
    inputs: tuple[str, ...]
    parameters: dict[str, list[Any]] = msgspec.field(default_factory=dict)  # with values to choose from
    requirements: dict[str, Any] = msgspec.field(default_factory=dict)
    container: str = ""
    program: str = ""  # the program's text

    @property
    def hours(self) -> float:
        return float(self.requirements.get("time") or requirements.DEFAULTS["time"])


@lru_cache(maxsize=1)
def shipped() -> dict[str, Template]:
    """The templates that come with the product, by name."""
    return _inside(SHIPPED)


def known(ctx: Context) -> Mapping[str, Template]:
    """All templates of an installation, by name; its own win. Raises TemplateError."""
    folder = ctx.settings.desk.analysis_templates
    return {**shipped(), **_inside(Path(folder))} if folder else shipped()


def _inside(folder: Path) -> dict[str, Template]:
    return {path.stem.replace("_", "-"): _read(path) for path in sorted(folder.glob("*.yaml"))}


def _read(path: Path) -> Template:
    try:
        template = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf8")), Template)
        requirements.check(template.requirements)
        program = path.with_suffix(".py").read_text(encoding="utf8")
    except (OSError, yaml.YAMLError, msgspec.ValidationError, requirements.RequirementError) as error:
        raise TemplateError(f"template {path}: {error}") from None
    if unknown := set(template.inputs) - set(INPUTS):
        raise TemplateError(f"template {path}: inputs: there is no {min(unknown)!r}; there are "
                            f"{', '.join(INPUTS)}")
    return msgspec.structs.replace(template, program=program)
