"""Rules: what is to be done by itself when something happens, and the record of what was done and why not.

In: events (a row was written) and actions, each registered by the family that knows what they mean, and rules
that people make. Out: actions that ran once for each rule and row.

How to build on it
------------------
Kind of event   `kinds.register_kind` names the facts that conditions may ask for. A family whose rows are
                events writes each with ``unlogged: True`` and calls `events.log_row` after it; `kinds.Source`
                lets the engine make up for a crash in between.
Action          `kinds.register_action`: ``async run(ctx, firing)``, which may be called again after a crash
                and must do nothing twice; `firing.key` names it for good. An ApiError says why it failed.
Follower        `kinds.register_follower`: hears of every event, perhaps more than once.
Rule            `rules.add`; `rules.Rule` says which kind, under which condition, how often a day.
"""

__all__: list[str] = ["conditions", "decisions", "engine", "events", "firings", "kinds", "preview", "rules"]
