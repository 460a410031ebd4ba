"""``python -m iceprod``: the ``iceprod`` command."""

import sys

from iceprod.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
