from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config.settings import Settings, SettingsError, load, read_document


def test_defaults() -> None:
    assert load(None, {}) == Settings()


def test_file_then_environment(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("server: {port: 9001, host: 0.0.0.0}\npilots: {count: 7}\n")
    settings = load(file, {"ICEPROD__SERVER__PORT": "9002", "ICEPROD_SERVER": "http://not-a-setting"})
    assert (settings.server.port, settings.server.host, settings.pilots.count) == (9002, "0.0.0.0", 7)


@pytest.mark.parametrize(("text", "says"), [
    ("servr: {}", "did you mean 'server'"),
    ("server: {prot: 1}", "server: unknown setting 'prot'; did you mean 'port'"),
    ("server: {port: eighty}", "server.port"),
    ("server: 5", "server"),
    ("- a", "expected a mapping"),
    ("a: [", "not YAML"),
])
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"site\.yaml") as error:
        load(file, {})
    assert says in str(error.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="did you mean 'port'"):
        load(None, {"ICEPROD__SERVER__POTR": "1"})


def test_a_missing_file() -> None:
    with pytest.raises(SettingsError, match="cannot read settings file"):
        load("/nowhere/site.yaml", {})


def test_the_default_file_says_what_the_code_does() -> None:
    assert load(Path(__file__).parents[2] / "config" / "default.yaml", {}) == Settings()


def test_the_default_file_names_every_setting() -> None:
    written = read_document(Path(__file__).parents[2] / "config" / "default.yaml")
    for section, values in msgspec.to_builtins(Settings()).items():
        assert section in written
        if isinstance(values, dict):
            assert set(values) == set(written[section]), section


@pytest.mark.parametrize("seconds", ["1", "-1", ".nan"])
def test_a_watchdog_that_would_end_servers_that_work(seconds: str) -> None:
    with pytest.raises(SettingsError, match="watchdog_seconds"):
        load(environment={"ICEPROD__SERVER__WATCHDOG_SECONDS": seconds})
    assert load(environment={"ICEPROD__SERVER__WATCHDOG_SECONDS": "0"}).server.watchdog_seconds == 0
