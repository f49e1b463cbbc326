"""The floor contract for adapters, and the reference of the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
import typer.main

from tools import cli_help

ROOT = Path(__file__).resolve().parent.parent.parent
LINT = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()")
RULES = """
[importlinter]
root_package = app
contract_types =
    adapter_families: tools.adapter_families.AdapterFamiliesContract

[importlinter:contract:adapters]
name = Families
type = adapter_families
package = app.adapters
joined =
    {joined}
"""


@pytest.fixture
def lint(tmp_path):
    """Have import-linter look at a package whose adapters import each other as pairs say."""

    def linted(*imports, joined="encoder bundle"):
        adapters = tmp_path / "app" / "adapters"
        adapters.mkdir(parents=True)
        (adapters.parent / "__init__.py").touch()
        (adapters / "__init__.py").touch()
        for importer, imported in imports:
            (adapters / f"{imported}.py").touch()
            (adapters / f"{importer}.py").write_text(f"import app.adapters.{imported}\n")
        (tmp_path / "rules.ini").write_text(RULES.format(joined=joined))
        paths = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}
        return subprocess.run(
            [*LINT, "--config", "rules.ini", "--no-cache", "--no-logo"],
            cwd=tmp_path, env=os.environ | paths, text=True, capture_output=True, check=False,
        )  # fmt: skip

    return linted


def test_a_family_may_share_code(lint):
    done = lint(("vectors_ivf", "vectors_exact"), ("encoder_onnx", "bundle_files"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 kept, 0 broken" in done.stdout


def test_families_do_not_know_each_other(lint):
    done = lint(("vectors_ivf", "text_tantivy"), ("vectors_exact", "vectors_ivf"))
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "app.adapters.vectors_ivf is not allowed to import app.adapters.text_tantivy" in told
    assert told.count("is not allowed") == 1


def test_words_are_one_family_only_when_joined(lint):
    assert lint(("encoder_onnx", "bundle_files"), joined="vectors regions").returncode == 1


def test_the_reference_holds_every_command_argument_and_option():
    app = typer.Typer(help="Do things.")

    @app.command()
    def find(
        words: Annotated[list[str], typer.Argument(help="What | to find.")],
        k: Annotated[int, typer.Option("-k", help="How many.")] = 20,
        place: Annotated[str, typer.Option(metavar="DIR", envvar="PLACE", help="Where.")] = "here",
    ):
        """Find things.

        At length.
        """

    @app.command(hidden=True)
    def secret():
        """Not shown."""

    @app.command()
    def stop():
        """Stop."""

    text = cli_help.render(typer.main.get_command(app))
    assert "lookalike find [OPTIONS] WORDS..." in text
    assert "| `WORDS` | What \\| to find. |" in text
    assert "| `-k` | How many. Default: `20`. |" in text
    assert "| `--place` DIR | Where. From the environment: `PLACE`. Default: `here`. |" in text
    assert "| `find` | Find things. |" in text
    assert "secret" not in text
