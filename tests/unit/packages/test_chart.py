"""The Helm chart, rendered by Helm itself: Kubernetes takes what comes of it, and it fits the program."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from config.settings import Settings, SettingsError, load
from config.version import version
from grid.cli import pilot
from server.app import ROUTES

CHART = Path(__file__).parents[3] / "packaging" / "helm" / "iceprod"
ALL = {
    "replicas": 3,
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"server": {"trusted_proxies": ["10.0.0.0/8"]}, "pilots": {"isolation": "off"}},
    "environment": [{"name": "ICEPROD__NOTIFY__SMTP__PASSWORD",
                     "valueFrom": {"secretKeyRef": {"name": "mail", "key": "password"}}}],
    "ingress": {"enabled": True, "host": "iceprod.example.org", "className": "nginx",
                "tlsSecret": "certificate",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "64m"}},
    "pilots": {"enabled": True, "isolation": "required", "lifetime": 12},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}]}},
}
VALUES = {"as it comes": {}, "with pilots": {"pilots": {"enabled": True}}, "with everything": ALL}
OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()


def rendered(values: dict[str, Any], name: str = "demo") -> dict[str, dict[str, Any]]:
    """Manifests by kind; the pilots' Deployment by "pilots"."""
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(values, name=name, namespace="physics")
    found = {}
    for path, text in texts.items():
        for manifest in yaml.safe_load_all(text) if path.endswith(".yaml") else ():
            if manifest:
                found["pilots" if path.endswith("pilots.yaml") else manifest["kind"]] = manifest
    return found


def pods(manifests: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for manifest in manifests.values():
        if manifest["kind"] == "Deployment":
            yield manifest["spec"]["template"]


def settings_of(manifests: dict[str, dict[str, Any]], folder: Path) -> Settings:
    """What a server of the chart reads, with values of secrets that stand for real ones."""
    file = folder / "server.yaml"
    file.write_text(manifests["ConfigMap"]["data"]["server.yaml"])
    [server] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    return load(file, {one["name"]: one.get("value", "mongodb://database") for one in server["env"]})


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_kubernetes_takes_it(values: dict[str, Any], release: str) -> None:
    manifests = rendered(values)
    assert {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget"} <= set(manifests)
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, release, strict=True)


def test_helm_has_nothing_to_say_against_it() -> None:
    report = helm_python.lint(CHART, ALL, strict=True)
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


def test_it_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version()
    for pod in pods(rendered(ALL)):
        [container] = pod["spec"]["containers"]
        assert container["image"].endswith(f":{version()}")


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_settings_are_settings(values: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_of(rendered(values), tmp_path)
    assert settings.server.host == "0.0.0.0"
    assert settings.database.url == "mongodb://database"
    ingress = values.get("ingress", {})
    assert settings.server.public_url == ("https://iceprod.example.org" if ingress else "")


def test_what_users_set_wins_over_what_the_chart_knows(tmp_path: Path) -> None:
    ours = {"server": {"public_url": "https://other.example.org", "max_body_mb": 8}}
    settings = settings_of(rendered({**ALL, "settings": ours}), tmp_path)
    assert settings.server.public_url == "https://other.example.org"
    assert settings.server.max_body_mb == 8


def test_an_unknown_setting_is_refused_when_the_server_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'pilots'"):
        settings_of(rendered({"settings": {"pilot": {}}}), tmp_path)


@pytest.mark.parametrize(("values", "told"), [
    ({"replicas": 0}, "/replicas"),
    ({"replica": 2}, "'replica' not allowed"),
    ({"ingress": {"enabled": True}}, "/ingress/host"),
    ({"image": {"tag": "latest"}}, "/image/tag"),
    ({"credentials": "My Secret"}, "/credentials"),
    ({"service": {"port": 0}}, "/service/port"),
    ({"pilots": {"isolation": "some"}}, "/pilots/isolation"),
    ({"pilots": {"memory": "4Gi"}}, "/pilots/memory"),
    ({"environment": [{"name": "not a name"}]}, "/environment/0/name"),
    ({"settings": {"database": {"url": "mongodb://ada:lovelace@db"}}}, "put it into the Secret iceprod"),
    ({"settings": {"server": {"port": 9000}}}, "settings.server.port"),
])
def test_bad_values_are_refused_with_their_names(values: dict[str, Any], told: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert told in str(refused.value)
    assert "lovelace" not in str(refused.value)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_no_pod_has_rights(values: dict[str, Any]) -> None:
    for pod in pods(rendered(values)):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_walls_of_pilots_are_asked_of_the_cluster_when_they_are_required() -> None:
    def asked(isolation: str) -> tuple[Any, ...]:
        values = {"pilots": {"enabled": True, "isolation": isolation}}
        pod = rendered(values)["pilots"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        return (pod.get("hostUsers"), pod["securityContext"]["seccompProfile"]["type"],
                container["securityContext"].get("procMount"))

    assert asked("required") == (False, "Unconfined", "Unmasked")
    assert asked("auto") == asked("off") == (None, "RuntimeDefault", None)


@pytest.mark.parametrize("name", ["demo", "iceprod"])
def test_names_and_selectors_fit(name: str) -> None:
    manifests = rendered(ALL, name)
    server, service = manifests["Deployment"], manifests["Service"]
    labels = server["spec"]["template"]["metadata"]["labels"].items()
    for selector in (service["spec"]["selector"], server["spec"]["selector"]["matchLabels"],
                     manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels
        assert not selector.items() <= manifests["pilots"]["spec"]["template"]["metadata"]["labels"].items()
    [rule] = manifests["Ingress"]["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == service["metadata"]["name"]
    volumes = server["spec"]["template"]["spec"]["volumes"]
    mounted = [one.get("configMap", {}).get("name") for one in volumes]
    assert manifests["ConfigMap"]["metadata"]["name"] in mounted
    [pilots] = manifests["pilots"]["spec"]["template"]["spec"]["containers"]
    [port] = service["spec"]["ports"]
    assert f"--server=http://{service['metadata']['name']}:{port['port']}" in pilots["args"]


def test_a_new_server_is_there_before_an_old_one_goes_and_answers_are_given_to_the_end() -> None:
    spec = rendered({})["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = spec["template"]["spec"]
    [server] = pod["containers"]
    drained = float(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > drained + Settings().server.shutdown_seconds + 5
    starting = server["startupProbe"]
    assert spec["progressDeadlineSeconds"] > starting["periodSeconds"] * starting["failureThreshold"]


def test_probes_ask_what_is_there_and_a_lost_database_restarts_nobody() -> None:
    [server] = rendered({})["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    asked = {name: server[name]["httpGet"]["path"] for name in probes}
    assert asked == {"startupProbe": "/healthz", "readinessProbe": "/healthz", "livenessProbe": "/metrics"}
    assert set(asked.values()) <= {route.path for route in ROUTES}


def test_changed_settings_bring_new_servers() -> None:
    def mark(settings: dict[str, Any]) -> str:
        pod = rendered({"settings": settings})["Deployment"]["spec"]["template"]
        return str(pod["metadata"]["annotations"])

    assert mark({}) == mark({})
    assert mark({}) != mark({"limits": {"user_burst": 1000}})


def test_programs_take_what_they_are_given() -> None:
    manifests = rendered(ALL)
    [server] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    python, *module = server["command"]
    assert python == "python"
    done = subprocess.run([sys.executable, *module, "--help"], check=True, capture_output=True, text=True)
    assert all(word in done.stdout for word in server["args"] if word.startswith("--"))
    [ours] = manifests["pilots"]["spec"]["template"]["spec"]["containers"]
    words = [word.partition("=")[0] for word in ours["args"]]
    assert {"--server", "--token-file"} <= set(words)
    assert all(word in pilot.manual() for word in words)


def test_no_secret_is_made_of_values() -> None:
    """They are named, and made by whoever may: values end up in Helm's own records."""
    assert "Secret" not in rendered(ALL)
    assert base64.b64encode(b"secret") not in str(rendered(ALL)).encode()
