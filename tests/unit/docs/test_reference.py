"""The reference lists what there is, and notices what nobody described."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from prometheus_client import REGISTRY, Counter

from config.settings import Part, Settings
from server import app, reference
from server.common.errors import ApiError
from server.reference import PAGES, commands, house, settings
from server.reference.__main__ import main
from server.rest import health
from server.rest.handler import Handler
from server.rest.routing import Route, allow
from server.services.leader import Service


@pytest.mark.parametrize("name", PAGES)
def test_nothing_lacks_a_description(name: str) -> None:
    assert PAGES[name].missing() == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_markdown_with_a_title(name: str) -> None:
    text = PAGES[name].text()
    assert text.startswith(f"# {PAGES[name].title}\n")
    assert text.endswith("\n")


def test_all_routes_settings_and_commands_are_there() -> None:
    api, listed = PAGES["api"].text(), PAGES["settings"].text()
    for route in app.ROUTES:
        for method in route.methods():
            assert f"| {method.upper()} | `{route.openapi_path}` |" in api
    for name in Settings.__struct_fields__:
        assert f"`{name}" in listed
    for name, _ in commands.commands():
        assert f"## {name}\n" in PAGES["commands"].text()
    assert "iceprod store restore" in PAGES["commands"].text()


def test_comments_of_settings_are_found() -> None:
    found = {one.path: one for one in settings.settings()}
    assert found["leases.seconds"].meaning.startswith("without a heartbeat")
    assert found["scans.clusters"].meaning == (
        "each cluster with its worker cap in debug mode; the sites of registered grids need not be here")
    assert found["credentials.issuers.*.token_url"].meaning.startswith("the issuer's token endpoint")
    assert (found["server.port"].kind, found["server.port"].default) == ("int", "8080")


class _Undescribed(Part, frozen=True):
    port: int = 1
    # above
    host: str = ""
    name: str = ""  # beside


def test_a_setting_without_a_comment_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_sections", lambda: iter([("new", _Undescribed)]))
    assert settings.missing() == ["new.port"]
    assert [one.meaning for one in settings.settings()] == ["", "above", "beside"]


def test_a_route_without_a_docstring_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Handler):
        @allow("any")
        def get(self) -> None:
            self.send({})

    Silent.__doc__ = None
    monkeypatch.setattr(house, "_routes", [Route("/silent", Silent, "x")])
    assert PAGES["api"].missing() == ["GET /silent"]


def test_a_metric_without_a_text_or_with_an_unknown_label_is_noticed() -> None:
    silent, unbounded = Counter("iceprod_silent", ""), Counter("iceprod_unbounded", "Counts", ["username"])
    try:
        assert PAGES["metrics"].missing() == [
            "iceprod_silent_total", "iceprod_unbounded_total: label username"]
    finally:
        REGISTRY.unregister(silent)
        REGISTRY.unregister(unbounded)


def test_errors_services_and_probes_without_docstrings_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(ctx: object) -> None:
        pass

    class Silent(ApiError):
        pass

    monkeypatch.setattr(house, "_services", [Service("silent", lambda ctx: 1.0, run)])
    monkeypatch.setattr(health, "_probes", {"mute": run})
    assert PAGES["services"].missing() == ["silent", "mute"]
    assert "Silent" in PAGES["errors"].missing()
    Silent.__doc__ = "It says nothing."
    assert "Silent" not in PAGES["errors"].missing()


def test_a_command_or_option_without_help_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    group = click.Group("iceprod", {"mute": click.Command("mute", params=[click.Option(["--x"])])})
    monkeypatch.setattr(commands, "commands", lambda: iter([("iceprod mute", group.commands["mute"])]))
    assert commands.missing() == ["iceprod mute", "iceprod mute --x"]


def test_it_is_written_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out")]) == 0
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(PAGES)
    assert main([]) == 2
    assert "FOLDER" in capsys.readouterr().err


def test_methods_that_clients_make_up_are_one_label() -> None:
    from server.common import metrics

    metrics.observe_request("Test", "FROBNICATE", 405, 0.001)
    labels = {"handler": "Test", "method": "other", "status": "405"}
    assert REGISTRY.get_sample_value("iceprod_requests_total", labels) == 1
    assert reference.PAGES
