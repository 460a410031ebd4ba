"""``iceprod completion``: let the shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from iceprod.cli.common.errors import USAGE, CommandError

__all__ = ["completion"]

VARIABLE = "_ICEPROD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes SHELL complete commands and options of `iceprod`.

    \b
    bash:  iceprod completion bash > ~/.local/share/bash-completion/completions/iceprod
    zsh:   iceprod completion zsh > ~/.zfunc/_iceprod     (with fpath+=~/.zfunc before compinit)
    fish:  iceprod completion fish > ~/.config/fish/completions/iceprod.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise CommandError(f"no completion for {shell}", USAGE)
    from iceprod.cli.main import iceprod  # it knows this module by name alone, so there is no circle

    print(found(iceprod, {}, "iceprod", VARIABLE).source())
    return 0
