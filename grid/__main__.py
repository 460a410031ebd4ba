"""``python -m grid``: the same as ``iceprod grid``."""

import sys

from config.settings import SettingsError
from grid.cli import grid
from iceprod.cli.common.errors import CommandError
from iceprod.client import ClientError

if __name__ == "__main__":
    try:
        grid(prog_name="grid")
    except (ClientError, CommandError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
