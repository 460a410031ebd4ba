"""What is loaded when it is first needed: also when several threads of a server need it first."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST = """
import asyncio, random, sys
import server.app
from server.desk.analyses import pictures
from server.desk.followup import reports, schedule_charts
from server.desk.objects import distances
from server.desk.observing import charts
from scanner.maps import catalogue, surface
from server.scans.results import sketches

def with_nothing(function, *arguments):
    try:
        function(*arguments)
    except ImportError:
        raise
    except Exception:
        pass  # what it is given is nothing to draw

jobs = [lambda: pictures._figure(3, 3), lambda: schedule_charts._paper(3, "%d"),
        lambda: distances._luminosity(0.1),
        lambda: with_nothing(charts.draw, None, "png"), lambda: with_nothing(charts._mark, None, None),
        lambda: with_nothing(charts._draw_image, None, None),
        lambda: with_nothing(catalogue._picture, None, "", "sky", "png", "", None),
        lambda: with_nothing(sketches._made, "", 0.0, None, None),
        lambda: with_nothing(reports._drawn, None, "png"),
        lambda: with_nothing(surface._Surface, None, None, None, 1.0),
        lambda: with_nothing(surface._Surface.through, None, 1.0)]

async def main():
    random.Random(int(sys.argv[1])).shuffle(jobs)
    sys.setswitchinterval(1e-4)
    await asyncio.gather(*(asyncio.to_thread(job) for job in jobs))

asyncio.run(main())
"""


@pytest.mark.parametrize("order", range(3))
def test_threads_that_draw_first_at_the_same_time(order: int) -> None:
    ended = subprocess.run([sys.executable, "-c", FIRST, str(order)], capture_output=True, text=True,
                           check=False)
    assert ended.returncode == 0, ended.stderr
