"""The Typer application: command registration, deprecated options, and exit codes."""

from __future__ import annotations

import dataclasses
import inspect
import io
import shlex
import sys
import typing
from collections.abc import Callable
from typing import Any

import typer

from pfitre_jax.cli.compilation_cache import enable_cache
from pfitre_jax.cli.console import print_note, print_warnings
from pfitre_jax.cli.errors import ComputationError, describe_error, exit_with, in_options, one_line
from pfitre_jax.cli.options.panels import EXECUTION

#: Panels of ``pfitre --help``.
SCAN_PANEL = "Inspect a scan"
RECONSTRUCTION_PANEL = "Reconstruct"
SIMULATION_PANEL = "Simulate"
PRIORS_PANEL = "Priors"
INSTALLATION_PANEL = "Installation"
#: Key of the command line in ``ctx.meta``.
_COMMAND_LINE = "pfitre.command"
#: Command -> deprecated option -> option that replaces it.
DEPRECATED_OPTIONS: dict[str, dict[str, str]] = {
    "recon": {"--weight": "--tv-weight"},
    "watch": {
        "--weight": "--tv-weight",
        "--views": "--min-views",
        "--step": "--refresh-views",
        "--until": "--max-views",
        "--every": "--poll",
        "--patience": "--timeout",
    },
}
#: What Typer raises for options and arguments that it cannot parse; its module differs between versions.
_UsageError: Any = typer.BadParameter.__mro__[1]


class _Command(typer.core.TyperCommand):
    """A command that accepts deprecated options with a warning and states every default in the same words."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            _state_default(parameter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        renamed = DEPRECATED_OPTIONS.get(self.name or "", {})
        for k, word in enumerate(args):
            name, equals, value = word.partition("=")
            if word == "--":
                break
            if name in renamed:
                args[k] = renamed[name] + equals + value
                print_warnings([f"{name} is deprecated; use {renamed[name]}"])
        return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        help_option = super().get_help_option(ctx)
        if help_option is not None:
            help_option.rich_help_panel, help_option.metavar = EXECUTION, ""
        return help_option


def _state_default(parameter: Any) -> None:
    """Adds the default of an option or argument to its help: its value or, for None, its ``show_default``."""
    if isinstance(parameter.show_default, str):
        default = parameter.show_default
    elif parameter.show_default and not parameter.required and parameter.default is not None:
        default = f"{parameter.default:g}" if isinstance(parameter.default, float) else str(parameter.default)
    else:
        return
    parameter.help = f"{parameter.help} Default: {default}."
    parameter.show_default = False


class _Application(typer.core.TyperGroup):
    """Records the command line and turns exceptions into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        enable_cache()
        ctx.meta[_COMMAND_LINE] = shlex.join(["pfitre", *args])
        return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        help_option = super().get_help_option(ctx)
        if help_option is not None:
            help_option.metavar = ""
        return help_option

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_note("interrupted", "yellow")
            raise typer.Exit(130) from None
        except _UsageError as error:
            names = error.ctx.command_path.split()[-1:] if error.ctx and error.ctx.parent else []
            hint = " ".join(["pfitre", *names, "--help"])
            exit_with(error, f"{' '.join(error.format_message().split()).rstrip('.')}; see {hint}", 2)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, OSError) as error:
            exit_with(error, in_options(one_line(error)), 2)
        except ComputationError as error:
            cause = error.__cause__ or error
            exit_with(cause, describe_error(cause), 1)
        except Exception as error:
            exit_with(error, describe_error(error), 1)


app = typer.Typer(
    cls=_Application,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"max_content_width": 120},
    help="Reconstruction of limited-angle X-ray tomography scans with a learned prior.",
    epilog="'pfitre COMMAND --help' describes a command and its options. Documentation: docs/index.md.",
)


def command(panel: str) -> Any:
    """Registers a function as a command; the command has the name of the function.

    Args:
        panel: Panel of ``pfitre --help`` that lists it.
    """
    return app.command(cls=_Command, rich_help_panel=panel)


def takes_options(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a command whose options are the fields of a dataclass.

    The command is a function of its context and of an instance of the dataclass.

    Args:
        options: Dataclass whose fields are annotated like the parameters of a command.
    """
    hints = typing.get_type_hints(options, include_extras=True)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(ctx: typer.Context, **values: Any) -> None:
            function(ctx, options(**values))

        empty = inspect.Parameter.empty
        fields = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=empty if field.default is dataclasses.MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in dataclasses.fields(options)
        ]
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        # Typer reads name, help and parameters of a command from these attributes.
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__dict__["__signature__"] = inspect.Signature([context, *fields])
        run.__annotations__ = {"ctx": typer.Context} | {field.name: field.annotation for field in fields}
        return run

    return decorate


def command_line(ctx: typer.Context) -> str:
    """Returns the command line of a context as it can be typed again.

    Bytes of paths that are not UTF-8, which HDF5 cannot store, are replaced.
    """
    return ctx.find_root().meta[_COMMAND_LINE].encode(errors="surrogateescape").decode(errors="replace")


def main() -> None:
    """Entry point of the ``pfitre`` command."""
    # Paths may hold bytes that are not UTF-8; they are printed as they are.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    app()
