"""Site files: what is accepted, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.settings import SettingsError
from grid.condor.site import Site, Size, is_site_file, load_site

EXAMPLES = sorted((Path(__file__).parents[3] / "config" / "sites").glob("*.yaml"))
LEAST = "site: here\nserver: https://x\n"


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    return file


def test_two_lines_are_enough(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, "site: here\nserver: https://x/\n"))
    assert (site.site, site.server, site.limits.pilots) == ("here", "https://x", 100)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_sites(path: Path) -> None:
    assert is_site_file(path)
    load_site(path)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_settings_are_no_site(tmp_path: Path) -> None:
    assert not is_site_file(write(tmp_path, "pilots: {count: 3}\n"))


@pytest.mark.parametrize(("text", "says"), [
    ("site: here", "server"),
    ("server: https://x", "site"),
    (LEAST + "limit: {}", "unknown setting 'limit'; did you mean 'limits'?"),
    (LEAST + "limits: {pilot: 1}", "limits: unknown setting 'pilot'; did you mean 'pilots'?"),
    (LEAST + "limits: {pilots: many}", "limits.pilots"),
    (LEAST + "limits: {queued: 0}", "limits: queued must be at least 1"),
    (LEAST + "limits: {pilots: 2, warm: 3}", "warm (3) is more than pilots (2)"),
    ("site: a b\nserver: https://x", "'a b' is not a name"),
    ("site: here\nserver: x", "'x' is not an address"),
    (LEAST + "smallest: {cores: 9}", "cores (9) is more than the largest (8)"),
    (LEAST + "smallest: {memory: 0}", "memory must be more than 0"),
    (LEAST + "smallest: {gpus: 1}\nlargest: {gpus: 1}", "gpus must be 0"),
    (LEAST + "pilot: {python: python3}", "python must be an absolute path"),
    (LEAST + "pilot: {classads: {IceProdSite: x}}", "'IceProdSite' cannot be set"),
    (LEAST + "pilot: {classads: {'a b': x}}", "'a b' cannot be set"),
    (LEAST + "pilot: {submit: {executable: /bin/sh}}", "'executable' is set by us"),
    (LEAST + "pilot: {environment: {'A B': x}}", "'A B' is not a variable"),
    (LEAST + "pace: {look_seconds: 0}", "look_seconds must be more than 0"),
    (LEAST + "condor: {authentication: magic}", "condor.authentication"),
])
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=r"site\.yaml") as caught:
        load_site(write(tmp_path, text))
    assert says in str(caught.value)


def test_the_defaults_stand_in_the_full_example() -> None:
    """The example that lists every setting lists every one."""
    full = yaml.safe_load((EXAMPLES[0].parent / "every-setting.yaml").read_text())
    site = load_site(EXAMPLES[0].parent / "every-setting.yaml")
    assert site == Site(site=site.site, server=site.server)
    for name in site.__struct_fields__:
        part = getattr(site, name)
        if isinstance(part, Size) or hasattr(part, "__struct_fields__"):
            assert set(full[name]) == set(part.__struct_fields__), name
        else:
            assert name in full
