"""Generate docs/cli.md from the commands themselves, or check that it is up to date.

Run: python -m tools.cli_help --write | --check
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tools.repository import ROOT, write_or_compare

TARGET = ROOT / "docs" / "cli.md"
HEAD = """# The command line

Generated from the commands by `make fix`: `lookalike COMMAND --help` says the same. The query
language that `search` takes is in [query-language.md](query-language.md).
"""
HEAD_WITHOUT_QUERIES = HEAD.split(" The query\n", maxsplit=1)[0] + "\n"


def load_command() -> Any | None:
    """Return the root command, or None while the command line does not exist."""
    if importlib.util.find_spec("lookalike.cli.app") is None:
        return None
    import typer.main

    from lookalike.cli.app import app

    return typer.main.get_command(app)


def subcommands(command: Any) -> Mapping[str, Any]:
    """Return the commands below one, hidden ones left out."""
    below = getattr(command, "commands", {})
    return {name: c for name, c in below.items() if not c.hidden}


def walk(command: Any, name: str = "lookalike") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, the root first."""
    yield name, command
    for below, child in subcommands(command).items():
        yield from walk(child, f"{name} {below}")


def options_of(command: Any) -> set[str]:
    """Return every option name a command takes."""
    names = {n for p in command.params for n in (*p.opts, *p.secondary_opts) if n.startswith("-")}
    return names | {"--help", "-h"}


def render(command: Any) -> str:
    """Return the reference of a command and everything below it."""
    has_language = (ROOT / "docs" / "query-language.md").exists()
    blocks = [HEAD if has_language else HEAD_WITHOUT_QUERIES]
    for name, child in walk(command):
        blocks.append(f"## `{name}`\n")
        blocks.append(f"{_text(child.help)}\n")
        blocks.append(f"```text\n{' '.join(_usage(name, child))}\n```\n")
        shown = [p for p in child.params if not getattr(p, "hidden", False)]
        blocks += _table("argument", [p for p in shown if p.param_type_name == "argument"])
        blocks += _table("option", [p for p in shown if p.param_type_name == "option"])
        if below := subcommands(child):
            blocks.append("| command | |\n|---|---|")
            blocks.append(
                "\n".join(f"| `{n}` | {_first_line(c.help)} |" for n, c in below.items()) + "\n"
            )
    return "\n".join(blocks).rstrip() + "\n"


def _usage(name: str, command: Any) -> Iterator[str]:
    yield name
    if any(p.param_type_name == "option" for p in command.params):
        yield "[OPTIONS]"
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            word = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
            yield word if parameter.required else f"[{word}]"
    if subcommands(command):
        yield "COMMAND"


def _table(kind: str, parameters: list[Any]) -> Iterator[str]:
    if not parameters:
        return
    rows = [f"| {kind} | |", "|---|---|"]
    for parameter in parameters:
        if kind == "argument":
            name = f"`{parameter.name.upper()}`"
        else:
            name = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
            name += f" {parameter.metavar}" if parameter.metavar else ""
        rows.append(f"| {name} | {_cell(parameter)} |")
    yield "\n".join(rows) + "\n"


def _cell(parameter: Any) -> str:
    parts = [_first_line(getattr(parameter, "help", "") or "")]
    if getattr(parameter, "envvar", None):
        parts.append(f"From the environment: `{parameter.envvar}`.")
    if _has_default(parameter.default):
        parts.append(f"Default: `{_plain(parameter.default)}`.")
    return " ".join(part for part in parts if part).replace("|", "\\|")


def _has_default(default: object) -> bool:
    is_plain = isinstance(default, str | int | float) or hasattr(default, "value")
    return is_plain and not isinstance(default, bool) and _plain(default) != ""


def _plain(value: object) -> str:
    return str(getattr(value, "value", value))


def _text(help_: str | None) -> str:
    return (help_ or "").replace("\b\n", "").strip()


def _first_line(help_: str | None) -> str:
    return " ".join(_text(help_).split("\n\n")[0].split())


def main(arguments: list[str]) -> int:
    """Write or check the reference."""
    command = load_command()
    if command is None:
        print("help: there is no command line yet")
        return 0
    faults = write_or_compare(
        TARGET, render(command), is_written="--write" in arguments, remedy="make fix"
    )
    print("\n".join(faults) or f"help: {sum(1 for _ in walk(command))} commands as documented")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
