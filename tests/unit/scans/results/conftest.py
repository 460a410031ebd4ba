"""Results on a real embedded store."""

from tests.unit.alerts.conftest import ctx, store_url  # noqa: F401
