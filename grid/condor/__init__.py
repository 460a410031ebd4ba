"""Pilots as jobs of an HTCondor pool.

One process serves one site. What it does in one round:

    demand   which classes of tasks wait             GET /task_classes             demand.py
    jobs     where our pilots stand                  event log, queue and history  tracker.py
    decide   how many pilots of which shape are due  a pure function               decide.py
    act      submit, remove, drain                                                 schedd.py, jobs.py
    tell     what became of them                     PATCH /grids, DELETE /pilots  service.py

HTCondor's queue is the only record of what was submitted: every job carries ClassAd attributes that say whose
it is, so that a grid that starts again finds its pilots there and neither loses nor doubles any.
"""

__all__: list[str] = []
