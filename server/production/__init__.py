"""The production family: datasets, jobs, tasks and the pilots that run them."""

from __future__ import annotations

from server.health import register_probe
from server.production import (
    action_routes,
    auth_routes,
    bulk_routes,
    claim_routes,
    classes,
    config_routes,
    configs,
    credential_routes,
    credentials,
    dataset_routes,
    datasets,
    demand_routes,
    file_routes,
    files,
    follow_ups,
    grid_routes,
    grids,
    groups,
    history,
    insight_routes,
    job_routes,
    jobs,
    log_routes,
    logs,
    pilot_routes,
    pilots,
    reliability,
    reliability_routes,
    repair,
    requests,
    scripts,
    site_control,
    tallies,
    task_routes,
    task_stat_routes,
    task_stats,
    task_store,
    token_routes,
    user_routes,
    users,
)
from server.routing import Route
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES", "scripts"]

ROUTES: list[Route] = [
    *dataset_routes.ROUTES, *job_routes.ROUTES, *task_routes.ROUTES, *claim_routes.ROUTES,
    *bulk_routes.ROUTES, *config_routes.ROUTES, *file_routes.ROUTES,
    *task_stat_routes.ROUTES, *log_routes.ROUTES, *grid_routes.ROUTES, *pilot_routes.ROUTES,
    *user_routes.ROUTES, *auth_routes.ROUTES, *token_routes.ROUTES, *action_routes.ROUTES,
    *insight_routes.ROUTES, *credential_routes.ROUTES,
    *demand_routes.ROUTES, *reliability_routes.ROUTES,
]
INDEXES: list[Index] = [
    *datasets.INDEXES, *jobs.INDEXES, *task_store.INDEXES, *classes.INDEXES, *task_stats.INDEXES,
    *logs.INDEXES, *grids.INDEXES, *configs.INDEXES, *files.INDEXES,
    *groups.INDEXES, *users.INDEXES, *requests.INDEXES, *credentials.INDEXES, *pilots.INDEXES,
    *tallies.INDEXES, *follow_ups.INDEXES, *history.INDEXES,
]
SERVICES: list[Service] = [*repair.SERVICES, *site_control.SERVICES, *reliability.SERVICES,
                           *history.SERVICES]

register_probe("pilots", pilots.probe)
