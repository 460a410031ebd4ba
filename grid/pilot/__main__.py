"""``python -m grid.pilot``: run a pilot."""

import sys

from grid.pilot.main import main

if __name__ == "__main__":
    sys.exit(main())
