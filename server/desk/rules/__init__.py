"""Standing requests: default follow-ups, plans, efficiencies and analyses, as rules of the one engine.

In: what groups want done by themselves. Out: requests, plans, efficiencies and analyses, and pages that
say what was done and why not.
"""

__all__: list[str] = ["default_analyses", "default_analysis_routes", "default_plans", "default_routes",
                      "followups", "rule_routes", "standing"]
