"""What is looked at to tell whether an installation is sound, for ``iceprod doctor``.

In: a `Subject`, which is settings, a directory and a server. Out: `Finding`s in words, with what to do about
each. Checks that need more than this package live beside what they look at (entry points ``iceprod.checks``).
"""

__all__ = ["clocks", "examination", "findings", "subject"]
