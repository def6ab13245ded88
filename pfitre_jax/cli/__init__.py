"""The ``pfitre`` command line: one file per command; each parses, validates, calls the library and prints.

Exit codes: 0 success; 2 invalid input, reported in one line; 1 failure of a computation
(:func:`pfitre_jax.cli.errors.computation`), reported with the name of the exception, with a traceback if
``PFITRE_DEBUG`` is set; 130 interrupted.

Commands import the library inside their functions, so that ``pfitre --help`` does not load JAX.
"""

from pfitre_jax.cli.app import app, main

# Importing a module registers its command, in the order of pfitre --help.
from pfitre_jax.cli import (  # isort: skip  # noqa: F401
    inspect,
    center,
    recon,
    watch,
    project,
    export,
    report,
    compare,
    simulate,
    priors,
    adapt,
    train,
    evaluate,
    info,
)

__all__ = ["app", "main"]
