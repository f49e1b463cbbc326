"""`lookalike`: the commands, and how their errors end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lookalike import __version__
from lookalike.cli import indexing, models, searching, serving, tending
from lookalike.cli.output import print_error
from lookalike.domain.errors import LookalikeError

app = typer.Typer(
    name="lookalike",
    help="Search pictures by words and by picture.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Search pictures by words and by picture."""


app.command("index")(indexing.index)
app.command("search")(searching.search)
app.command("similar")(searching.similar)
app.command("copies")(searching.copies)
app.command("show")(tending.show)
app.command("remove")(tending.remove)
app.command("status")(tending.status)
app.command("optimize")(tending.optimize)
app.command("doctor")(tending.doctor)
app.command("serve")(serving.serve)
app.command("eval")(serving.evaluate)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run a command; the exit code is 0 done, 1 nothing found or part failed, 2 usage, 3 cannot open."""
    try:
        app()
    except LookalikeError as error:
        print_error(error, is_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()
