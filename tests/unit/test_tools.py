"""The floor contract for adapters, and the reference of the command line."""

from typing import Annotated

import grimp
import typer
import typer.main
from importlinter.domain.contract import registry

from tools import cli_help
from tools.adapter_families import AdapterFamiliesContract

PACKAGE = "app.adapters"


def check(*imports, joined=("encoder bundle",)):
    graph = grimp.ImportGraph()
    for module in ("app", PACKAGE, *(m for pair in imports for m in pair)):
        graph.add_module(module)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    options = {"package": PACKAGE, "joined": list(joined)}
    contract = AdapterFamiliesContract("adapters", {}, options)
    return contract.check(graph, verbose=False)


def test_a_family_may_share_code():
    assert check(
        ("app.adapters.vectors_ivf", "app.adapters.vectors_exact"),
        ("app.adapters.encoder_onnx", "app.adapters.bundle_files"),
        ("app.adapters.vectors_ivf", "app.ports.vectors"),
    ).kept


def test_families_do_not_know_each_other():
    found = check(("app.adapters.vectors_ivf", "app.adapters.text_tantivy"))
    assert not found.kept
    assert found.metadata["crossings"] == [
        ("app.adapters.vectors_ivf", "app.adapters.text_tantivy")
    ]


def test_words_are_one_family_only_when_joined():
    assert not check(("app.adapters.encoder_onnx", "app.adapters.bundle_files"), joined=()).kept


def test_import_linter_can_load_the_contract():
    registry.register(AdapterFamiliesContract, "adapter_families")
    assert registry.get_contract_class("adapter_families") is AdapterFamiliesContract


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
