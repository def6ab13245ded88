"""The ``pfitre`` command, one file for each of its commands: parse, call, save.

Exit codes: 0 done; 2 bad input, in one line that says what came, what was expected and the fix; 1 a failure
that names itself, such as any in :func:`~pfitre_jax.cli.console.work` (``PFITRE_DEBUG=1`` shows its
traceback); 130 interrupted.

What a command needs is imported inside it, so that ``pfitre --help`` does not wait for JAX.
"""

from pfitre_jax.cli.app import app, main

# To import them registers them, in the order of pfitre --help.
from pfitre_jax.cli import (  # isort: skip  # noqa: F401
    recon,
    watch,
    project,
    inspect,
    center,
    simulate,
    train,
    adapt,
    evaluate,
    info,
)

__all__ = ["app", "main"]
