"""The production family: datasets, jobs, tasks and the pilots that run them."""

from __future__ import annotations

from server.production import repair
from server.production.activity import host_hours, series
from server.production.datasets import configs, dataset_routes, datasets, job_routes, jobs, totals
from server.production.datasets import news as dataset_news
from server.production.failures import insight_routes, reliability, reliability_routes, tallies
from server.production.failures import news as quarantine_news
from server.production.leases import claim_routes, demand_routes
from server.production.people import (
    auth_routes,
    credential_routes,
    credentials,
    groups,
    login_links,
    throttle,
    token_routes,
    user_routes,
    users,
)
from server.production.records import (
    file_routes,
    files,
    log_routes,
    logs,
    tails,
    task_stat_routes,
    task_stats,
)
from server.production.sites import (
    exchange_routes,
    grid_routes,
    grids,
    pilot_routes,
    pilots,
    sampling,
    site_control,
    site_tests,
)
from server.production.submission import action_routes, config_routes, scripts
from server.production.tasks import (
    bulk_routes,
    classes,
    follow_ups,
    history,
    requests,
    task_routes,
    task_store,
)
from server.rest.health import register_probe
from server.rest.routing import Route
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES", "scripts"]

ROUTES: list[Route] = [
    *dataset_routes.ROUTES, *job_routes.ROUTES, *task_routes.ROUTES, *claim_routes.ROUTES,
    *bulk_routes.ROUTES, *config_routes.ROUTES, *file_routes.ROUTES,
    *task_stat_routes.ROUTES, *log_routes.ROUTES, *grid_routes.ROUTES, *pilot_routes.ROUTES,
    *exchange_routes.ROUTES,
    *user_routes.ROUTES, *auth_routes.ROUTES, *token_routes.ROUTES, *action_routes.ROUTES,
    *insight_routes.ROUTES, *credential_routes.ROUTES,
    *demand_routes.ROUTES, *reliability_routes.ROUTES,
]
INDEXES: list[Index] = [
    *datasets.INDEXES, *totals.INDEXES, *jobs.INDEXES, *task_store.INDEXES, *classes.INDEXES,
    *task_stats.INDEXES, *logs.INDEXES, *grids.INDEXES, *configs.INDEXES, *files.INDEXES,
    *groups.INDEXES, *users.INDEXES, *requests.INDEXES, *credentials.INDEXES, *login_links.INDEXES,
    *throttle.INDEXES,
    *pilots.INDEXES, *site_tests.INDEXES, *tallies.INDEXES, *follow_ups.INDEXES, *history.INDEXES,
    *tails.INDEXES, *series.INDEXES, *host_hours.INDEXES,
    *dataset_news.INDEXES, *quarantine_news.INDEXES,
]
SERVICES: list[Service] = [*repair.SERVICES, *site_control.SERVICES, *reliability.SERVICES,
                           *history.SERVICES, *sampling.SERVICES]

register_probe("pilots", pilots.probe)
