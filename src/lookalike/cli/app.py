"""`lookalike`: the commands, and how their errors end."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from typing import Annotated, Never

import typer

from lookalike import __version__
from lookalike.cli import (
    checking,
    completing,
    copying,
    crawling,
    evaluating,
    indexing,
    learning,
    models,
    moving,
    searching,
    serving,
    tending,
    working,
)
from lookalike.cli.output import print_error
from lookalike.domain.errors import DiskFullError, LookalikeError, StoreError

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
app.command("crawl")(crawling.crawl)
app.command("search")(searching.search)
app.command("similar")(searching.similar)
app.command("complete")(completing.complete)
app.command("copies")(copying.copies)
app.command("show")(tending.show)
app.command("remove")(tending.remove)
app.command("status")(tending.status)
app.command("optimize")(tending.optimize)
app.command("doctor")(checking.doctor)
app.command("init-cluster")(checking.init_cluster)
app.command("serve")(serving.serve)
app.command("worker")(working.worker)
app.command("export")(moving.export)
app.command("import")(moving.import_)
app.command("eval")(evaluating.evaluate)
app.command("learn")(learning.learn)
app.command("clicks")(learning.clicks)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run a command; exit with 0 done, 1 nothing found or part failed, 2 usage, 3 cannot open."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # file names hold what no locale can print
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except LookalikeError as error:
        _fail(error)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        _fail(_of_system(error))


def _fail(error: LookalikeError) -> Never:
    print_error(error, is_json="--json" in sys.argv)
    sys.exit(error.exit_code)


def _of_system(error: OSError) -> LookalikeError:
    """Return our error for one of the system's that no adapter knew: a file of the user's, say."""
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    message = where + (error.strerror or str(error))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(message, hint="free some space and go on")
    return StoreError(message, hint="check that the place exists, and its rights")


if __name__ == "__main__":
    main()
