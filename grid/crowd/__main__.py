"""The process of a crowd: everything that waits becomes a greenlet before anything else is imported."""

from gevent import monkey

monkey.patch_all()

from grid.crowd.crowd import main  # noqa: E402

main()
