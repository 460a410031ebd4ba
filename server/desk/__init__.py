"""The follow-up desk: SkyPortal's API around the sky maps of finished scans.

How to build on it
------------------
Handlers      inherit `handler.DeskHandler`; a method says `@allow("any")` (any token), `@needs(ACL)` or
              `@allow("everybody")`, and for a body `@takes(SomeBody)` with `self.typed(SomeBody)`, where the
              body is a `bodies.Body`. Answers by `self.success(data)`; errors are raised: `BadRequest` (400)
              for everything bad, `errors.Unauthorized` (401) for a missing right.
              Parameters: `self.query`, `self.query_given` (None for "", null, undefined), `self.query_bool`,
              `self.page(default=…, cap=…)`, `self.number(text, name)` for ids in the path,
              `paging.id_list` and `paging.words` for comma-separated lists, `dates.query_date`.
Access        `self.who` is the `access.Visitor`. Every query on rows that belong to groups is joined with
              `access.visible(kind, who)` by ``{"$and": [query, visible(kind, who)]}``; before a write
              `access.may(kind, who, row)`. `access.own_groups(who, group_ids)` gives the groups of a new row.
Ids           `ids.next_id(ctx, kind)`; objects and tokens have string ids. `groups.shown(row)` turns `_id` to
              `id`.
Objects       `objs.find`, `objs.ensure`, `objs.change`; `hpix29` is their nested order-29 HEALPix index
              (`positions.hpix29`). `sources.save` keeps them for groups, `notes.add` annotates them.
Instruments   `instruments.first_of_nickname` for imports that name a telescope.
Follow-up     `requests.submit` asks a facility or our own grid, `rows` lists what was asked; hours of an
              allocation are `spending.usage`; nights and visibility are `nights`.
Regions       `regions.find_region` gives the ranges of a stored map's region; `membership.restrict` makes a
              query of them and checks what it finds. `tiles.Tiles` is a map, `localizations` keeps them.
Background    `jobs.add` stores what outlasts a request, `jobs.service` has it done; workers may be repeated.
Rules         what happens is an event: `events.log_row` after the write of a row that is marked `unlogged`;
              what can be done by itself is an action (`server.rules`, `rules.standing`).
Outside       only through `outside.calls`: known hosts, limits, retries, records.
Routes        a module `<noun>_routes.py` with ROUTES, and INDEXES beside the storage, joined below. The names
              of collections begin with `desk_`.
"""

from __future__ import annotations

from server.desk.analyses import (
    analyses,
    analysis_routes,
    call_back_routes,
    running,
    service_routes,
    services,
)
from server.desk.catalogs import catalog_queries, catalog_routes, transients
from server.desk.common import blobs, jobs
from server.desk.followup import (
    allocation_routes,
    following,
    message_routes,
    prioritization,
    request_routes,
    rows,
    schedule_routes,
    sending,
)
from server.desk.judgement import (
    candidate_routes,
    candidates,
    classification_routes,
    classifications,
    filter_routes,
    filters,
    kept_lists,
    scan_maps,
    taxonomies,
    taxonomy_routes,
    votes,
)
from server.desk.maps import (
    earthquake_routes,
    earthquakes,
    event_list,
    event_routes,
    events,
    localizations,
)
from server.desk.objects import (
    galaxies,
    galaxy_imports,
    galaxy_routes,
    listings,
    measurements,
    notes,
    objs,
    source_routes,
    sources,
    spatial_catalogs,
    spatial_routes,
)
from server.desk.observing import (
    allocations,
    assignments,
    instrument_routes,
    instruments,
    run_routes,
    runs,
)
from server.desk.outside import calls, run_ends
from server.desk.people import group_routes, groups, handler, people, system_routes, user_routes
from server.desk.plans import efficiencies, efficiency_routes, plan_routes, plans
from server.desk.rules import default_analysis_routes, default_routes, rule_routes
from server.rest.routing import Route
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "ROUTES", "SERVICES"]

ROUTES: list[Route] = [
    *system_routes.ROUTES,
    *group_routes.ROUTES,
    *user_routes.ROUTES,
    *instrument_routes.ROUTES,
    *source_routes.ROUTES,
    *filter_routes.ROUTES,
    *candidate_routes.ROUTES,
    *taxonomy_routes.ROUTES,
    *classification_routes.ROUTES,
    *event_routes.ROUTES,
    *earthquake_routes.ROUTES,
    *galaxy_routes.ROUTES,
    *spatial_routes.ROUTES,
    *catalog_routes.ROUTES,
    *allocation_routes.ROUTES,
    *service_routes.ROUTES,
    *call_back_routes.ROUTES,
    *analysis_routes.ROUTES,
    *schedule_routes.ROUTES,
    *request_routes.ROUTES,
    *plan_routes.ROUTES,
    *efficiency_routes.ROUTES,
    *default_routes.ROUTES,
    *default_analysis_routes.ROUTES,
    *rule_routes.ROUTES,
    *message_routes.ROUTES,
    *run_routes.ROUTES,
    Route("/api(?:/.*)?", handler.NoSuchEndpoint, "desk"),  # the last one of all below /api/
]

INDEXES: list[Index] = [
    *people.INDEXES,
    *groups.INDEXES,
    *instruments.INDEXES,
    *objs.INDEXES,
    *sources.INDEXES,
    *notes.INDEXES,
    *filters.INDEXES,
    *candidates.INDEXES,
    *measurements.INDEXES,
    *kept_lists.INDEXES,
    *listings.INDEXES,
    *taxonomies.INDEXES,
    *classifications.INDEXES,
    *votes.INDEXES,
    *blobs.INDEXES,
    *events.INDEXES,
    *event_list.INDEXES,
    *earthquakes.INDEXES,
    *localizations.INDEXES,
    *scan_maps.INDEXES,
    *galaxies.INDEXES,
    *spatial_catalogs.INDEXES,
    *jobs.INDEXES,
    *calls.INDEXES,
    *allocations.INDEXES,
    *services.INDEXES,
    *analyses.INDEXES,
    *runs.INDEXES,
    *assignments.INDEXES,
    *rows.INDEXES,
    *prioritization.INDEXES,
    *plans.INDEXES,
    *efficiencies.INDEXES,
]

SERVICES: list[Service] = [
    *scan_maps.SERVICES,
    *galaxy_imports.SERVICES,
    *transients.SERVICES,
    *catalog_queries.SERVICES,
    *running.SERVICES,
    *sending.SERVICES,
    *prioritization.SERVICES,
    *plans.SERVICES,
    *efficiencies.SERVICES,
    *following.SERVICES,
    *run_ends.SERVICES,
]
