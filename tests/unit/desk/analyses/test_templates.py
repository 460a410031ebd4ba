"""Templates of an installation's own: read, or refused with the file and the reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config.settings import Settings
from server.desk.analyses.templates import TemplateError, known, shipped
from server.rest.context import Context

GOOD = "title: t\ndescription: d\nkind: meta_analysis\ninputs: [photometry]\n"


def having(ctx: Context, folder: Path, text: str, program: str | None = "print(1)") -> Context:
    (folder / "peak_color.yaml").write_text(text)
    if program is not None:
        (folder / "peak_color.py").write_text(program)
    desk = msgspec.structs.replace(Settings().desk, analysis_templates=str(folder))
    return Context(msgspec.structs.replace(Settings(), desk=desk), ctx.db, ctx.secret)


def test_those_of_a_folder_stand_beside_those_that_ship(ctx: Context, tmp_path: Path) -> None:
    found = known(having(ctx, tmp_path, GOOD))
    assert set(found) == {*shipped(), "peak-color"}
    assert (found["peak-color"].program, found["peak-color"].hours) == ("print(1)", 8.0)


@pytest.mark.parametrize(("text", "program", "reason"), [
    ("title: [", "", "peak_color.yaml"), (GOOD + "colour: red\n", "", "colour"),
    (GOOD, None, "peak_color.py"),
    (GOOD.replace("photometry", "gold"), "", "there is no 'gold'"),
    (GOOD + "requirements: {cpu: many}\n", "", "cpu")])
def test_bad_ones_are_named(ctx: Context, tmp_path: Path, text: str, program: str | None,
                            reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        known(having(ctx, tmp_path, text, program))
