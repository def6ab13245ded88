"""Runs the ``pfitre`` command in this process."""

from typer.testing import CliRunner

from pfitre_jax.cli import app


def pfitre(*words: object):
    """Runs ``pfitre`` with these words; the result has exit code, stdout and stderr."""
    return CliRunner().invoke(app, [str(word) for word in words])
