"""The Typer app, and how exceptions become exit codes."""

from __future__ import annotations

import shlex

import typer

from pfitre_jax.cli.compilation_cache import use_cache
from pfitre_jax.cli.console import Failure, fail, message, named, say

#: Where the context keeps the command line.
COMMAND = "pfitre.command"
#: What Typer raises for options and arguments that it cannot read; the class has moved between versions.
_UsageError = typer.BadParameter.__mro__[1]


class _Commands(typer.core.TyperGroup):
    """Turns exceptions into exit codes, and remembers the command line."""

    def parse_args(self, ctx, args):
        use_cache()
        ctx.meta[COMMAND] = shlex.join(["pfitre", *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted", "yellow")
            raise typer.Exit(130) from None
        except _UsageError as error:
            where = error.ctx.command_path.split()[-1:] if error.ctx and error.ctx.parent else []
            hint = " ".join(["pfitre", *where, "--help"])
            fail(error, f"{' '.join(error.format_message().split()).rstrip('.')}; see {hint}", 2)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, OSError) as error:
            fail(error, message(error), 2)
        except Failure as failure:
            fail(failure.__cause__, named(failure.__cause__), 1)
        except Exception as error:
            fail(error, named(error), 1)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Limited-angle X-ray tomography with a learned prior.",
)


def main() -> None:
    """Entry point of the ``pfitre`` command."""
    app()
