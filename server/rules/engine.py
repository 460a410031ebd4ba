"""The engine: makes up for rows that were not logged, finds the rules of each event, and does what they say.

Every step may be repeated: an event is logged once by its name, a firing once by rule and row, and an action
does nothing twice by the firing's key. An event counts as matched only when all its firings are written; a
firing is done only when its action ended. So a crash anywhere leaves something that is found again, and
nothing that is done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from pymongo.errors import PyMongoError

from server.common.errors import ApiError, TooManyRequests, Unavailable
from server.rest.context import Context
from server.rules import decisions, events, firings, kinds, rules
from server.rules.decisions import Event
from server.rules.kinds import Firing
from server.services.leader import Service

__all__ = ["INDEXES", "SERVICES", "run"]

log = logging.getLogger("server.rules")

PERIOD = 5.0  # seconds; for what other server processes logged, and after a crash
_AT_ONCE = 100

INDEXES = [*events.INDEXES, *rules.INDEXES, *firings.INDEXES]


async def run(ctx: Context) -> None:
    """Do all there is to do."""
    await events.sweep(ctx)
    await match_all(ctx)
    while (row := await firings.claim(ctx)) is not None:
        await _fire(ctx, row)


async def match_all(ctx: Context) -> None:
    """Write the firings of all events that have not been matched, in their order."""
    while found := await events.waiting(ctx, _AT_ONCE):
        for event in found:
            for rule in await rules.for_event(ctx, event.kind):
                if not decisions.why_not(rule, event):
                    await firings.add(ctx, rule, event)
            await _follow(ctx, event)
            await events.matched(ctx, event)


async def _follow(ctx: Context, event: Event) -> None:
    """Let others hear of an event; what fails in one of them stops no rule."""
    for name, follow in kinds.followers().items():
        try:
            await follow(ctx, event)
        except PyMongoError:
            raise
        except Exception:
            log.exception("an event could not be followed",
                          extra={"action": "rule", "follower": name, "event": event.key})


async def _fire(ctx: Context, row: Mapping[str, Any]) -> None:
    rule = await rules.find(ctx, row["rule"])
    if rule is None or not rule.is_active:
        what = "removed" if rule is None else "switched off"
        await firings.end(ctx, row, firings.SKIPPED, f"the rule was {what} before it could act")
        return
    try:
        firing = Firing(row["_id"], rule, firings.event_of(row))
        async with asyncio.timeout(0.8 * firings.LEASE):
            result = await kinds.action(rule.action).run(ctx, firing)
    except (Unavailable, TooManyRequests) as error:
        await firings.postpone(ctx, row, error.reason)
    except ApiError as error:
        await firings.end(ctx, row, firings.FAILED, error.reason)
    except TimeoutError:
        await firings.postpone(ctx, row, "it took too long")
    except PyMongoError:
        raise  # the lease ends, and then it is tried again
    except Exception as error:
        log.exception("an action failed", extra={"action": "rule", "firing": row["_id"]})
        await firings.postpone(ctx, row, f"{type(error).__name__}: see the server's log")
    else:
        await firings.end(ctx, row, firings.DONE, result=result)
        log.info("a rule fired", extra={"action": "rule", "firing": row["_id"]})


SERVICES = [Service("rules", lambda ctx: PERIOD, run, signal=events.SIGNAL)]
