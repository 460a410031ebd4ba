"""Benching: the command that measures: each part by itself, all of them into one file, two files compared.

In: benchmarks as programs, each with the JSON object that it prints; files of earlier runs. Out: files of
figures, what got worse or better between two, and tables on pages.
"""

__all__: list[str] = []
