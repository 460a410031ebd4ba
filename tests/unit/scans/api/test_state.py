"""The rule that makes `scan_state`, over all combinations of what it depends on."""

from __future__ import annotations

from itertools import product

import pytest

from server.scans.api.state import FINAL, Deactivated, Stage, deactivation, scan_state, stage
from server.scans.manifests.manifests import UNREQUESTED, Manifest

PROGRESS = {None: None, "no rate": {"processing_stats": {"rate": {}}},
            "rate": {"processing_stats": {"rate": {"all recos": {}}}}}


def manifest(workflow: str | None = "WF", progress: str | None = None, *,
             is_deleted: bool = False) -> Manifest:
    return Manifest(scan_id="s", ewms_workflow_id=workflow, progress=PROGRESS[progress],
                    is_deleted=is_deleted)


@pytest.mark.parametrize(("workflow", "progress", "state"), [
    (UNREQUESTED, None, "PENDING__PRESTARTUP"),
    (UNREQUESTED, "rate", "PENDING__PRESTARTUP"),
    ("WF", None, "PENDING__WAITING_ON_SCANNER_SERVER_STARTUP"),
    ("WF", "no rate", "IN_PROGRESS__WAITING_ON_FIRST_PIXEL_RECO"),
    ("WF", "rate", "IN_PROGRESS__PARTIAL_RESULT_GENERATED"),
])
def test_states_of_a_scan_at_work(workflow: str, progress: str | None, state: str) -> None:
    assert scan_state(manifest(workflow, progress), False, None) == state


@pytest.mark.parametrize("stopped", list(Deactivated))
def test_stopped_workers_replace_the_prefix(stopped: Deactivated) -> None:
    for workflow, progress in product((UNREQUESTED, "WF"), PROGRESS):
        before, _, after = scan_state(manifest(workflow, progress), False, None).partition("__")
        assert before in ("PENDING", "IN_PROGRESS")
        assert scan_state(manifest(workflow, progress), False, stopped) == f"{stopped}__{after}"


def test_a_final_result_wins_over_everything() -> None:
    for workflow, progress, stopped in product((None, UNREQUESTED, "WF"), PROGRESS, (None, *Deactivated)):
        assert scan_state(manifest(workflow, progress), True, stopped) == FINAL


def test_scans_from_before_workflows_are_stopped() -> None:
    assert scan_state(manifest(None, "rate"), False, None) == "STOPPED__PARTIAL_RESULT_GENERATED"


def test_deletion_aborts_unless_the_scan_was_finished() -> None:
    gone = manifest(is_deleted=True)
    assert deactivation(gone, None, False, 0.0) is Deactivated.ABORTED
    assert deactivation(gone, 100.0, False, 101.0) is Deactivated.FINISHED
    assert deactivation(manifest(UNREQUESTED, is_deleted=True), None, False, 0.0) is Deactivated.ABORTED
    assert deactivation(manifest(None, is_deleted=True), None, False, 0.0) is None


def test_workers_stop_a_while_after_the_final_result() -> None:
    assert deactivation(manifest(), 100.0, False, 159.0) is None
    assert deactivation(manifest(), 100.0, False, 160.0) is Deactivated.FINISHED
    assert deactivation(manifest(), None, False, 160.0) is None


def test_every_stage_can_be_reached() -> None:
    reached = {stage(manifest(w, p)) for w, p in product((UNREQUESTED, "WF"), PROGRESS)}
    assert reached == set(Stage)
