"""Large libraries are loaded when they are first needed, in whichever thread: by one thread at a time.

Two that load parts of one library at once may each wait for what the other has begun. Python then lets them
see modules that are not complete, and whoever draws first fails: `cannot import name`.
"""

from __future__ import annotations

import threading

__all__ = ["LOADING"]

LOADING = threading.RLock()
"""Hold it while a function imports matplotlib, scipy, astropy, or what imports them."""
