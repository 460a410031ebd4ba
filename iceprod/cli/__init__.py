"""The ``iceprod`` command: one module per subcommand, whose docstring is what ``--help`` shows."""
