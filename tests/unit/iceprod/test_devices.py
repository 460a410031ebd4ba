"""GPUs as HTCondor and the driver list them, and what a pilot with some of them offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from iceprod.batch.devices import devices_here, from_driver, from_machine_ad, offered

AD = """AvailableGPUs = { GPUs_GPU_a0223334 }
GPUs_Capability = 8.0
GPUs_GPU_a0223334 = [ Id = "GPU-a0223334"; Capability = 8.0; DeviceName = "A100-SXM4-40GB"; DeviceUuid = \
"a0223334-4445-5667-899a-abbccddeeff0"; ECCEnabled = true; GlobalMemoryMb = 47661 ]
GPUs_GPU_b1 = [ Id = "GPU-b1"; Capability = 9.0; DeviceName = "H100"; GlobalMemoryMb = 81559 ]
Machine = "w1"
"""
DRIVER = """0, GPU-c5b4a1d2-1111-2222-3333-444455556666, NVIDIA H200, 143771, 9.0
1, GPU-d5b4a1d2-1111-2222-3333-444455556666, Tesla T4, 15360, 7.5
Failed to initialize
"""


def test_of_a_machine_ad() -> None:
    first, second = from_machine_ad(AD)
    assert (first.name, first.capability, first.memory) == ("A100-SXM4-40GB", 8.0, 49.976)
    assert (second.name, second.capability) == ("H100", 9.0)


def test_of_the_driver() -> None:
    assert [(one.name, one.memory, one.capability) for one in from_driver(DRIVER)] == [
        ("NVIDIA H200", 150.755, 9.0), ("Tesla T4", 16.106, 7.5)]


@pytest.mark.parametrize("name", ["GPU-a0223334", "GPU-a0223334-4445-5667-899a-abbccddeeff0", "a0223334"])
def test_cuda_names_them_in_several_ways(name: str) -> None:
    assert offered([name], from_machine_ad(AD)) == {
        "gpus_minimum_capability": 8.0, "gpus_minimum_memory": 49.976, "gpus_device_name": "A100-SXM4-40GB"}


def test_a_pilot_of_several_offers_the_least() -> None:
    assert offered(["0", "1"], from_driver(DRIVER)) == {
        "gpus_minimum_capability": 7.5, "gpus_minimum_memory": 16.106, "gpus_device_name": ""}


def test_who_does_not_know_offers_nothing() -> None:
    assert offered(["0", "7"], from_driver(DRIVER)) == {}
    assert offered([], from_driver(DRIVER)) == {}


def test_the_batch_system_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ad").write_text(AD)
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\ncat <<'E'\n{DRIVER}E\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("_CONDOR_MACHINE_AD", str(tmp_path / "ad"))
    assert devices_here()[0].name == "A100-SXM4-40GB"
    monkeypatch.delenv("_CONDOR_MACHINE_AD")
    assert devices_here()[0].name == "NVIDIA H200"
    driver.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices_here() == []
