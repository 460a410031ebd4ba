"""Judgement: candidates pass filters, and people classify and vote.

In: objects, maps of finished scans. Out: candidates to search, their classifications by taxonomies.
"""

__all__ = [
    "candidate_query", "candidate_rows", "candidate_search", "candidates", "classifications", "filters",
    "taxonomies", "votes",
]
