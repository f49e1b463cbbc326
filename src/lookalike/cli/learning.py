"""`learn` and `clicks`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder
from lookalike.cli.output import print_json, shown
from lookalike.domain.errors import UsageError


def learn(
    index: opt.IndexDir = None,
    config: opt.Config = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Learn from what clicks --export wrote, not from the index's own log.",
            show_default=False,
        ),
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Fit and judge, but keep and promote nothing.")
    ] = False,
    is_list: Annotated[bool, typer.Option("--list", help="List every version.")] = False,
    use: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Put a version in use, or rrf.", show_default=False),
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put in use what was before.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is held out.")] = 0,
    is_json: opt.Json = False,
) -> None:
    """Learn the order of hits from clicks, and promote the model if it is surely better."""
    if sum((is_list, use is not None, rollback, is_dry or source is not None)) > 1:
        raise UsageError("--list, --use and --rollback each stand alone")
    from lookalike.engine.learning import learn_from, list_versions
    from lookalike.wiring.learning import read_sessions
    from lookalike.wiring.learning_open import open_learning

    with open_learning(index_folder(index), config_file(index, config)) as learning:
        versions = learning.versions
        if is_list:
            _print_versions(list_versions(versions), is_json=is_json)
            return
        if use is not None or rollback:
            choice = versions.roll_back() if use is None else versions.use(_version(use))
            name = choice.version or "rrf"
            if is_json:
                print_json({"in_use": name})
            else:
                typer.echo(f"in use   {name}")
            return
        sessions = learning.log.sessions() if source is None else read_sessions(source)
        report = learn_from(sessions, versions, seed=seed, is_dry=is_dry).to_json()
    if is_json:
        print_json(report)
    else:
        _print_report(report)


def clicks(
    index: opt.IndexDir = None,
    config: opt.Config = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the log as JSON lines.", show_default=False),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Delete all, what was shown before a DATE, or the answer of a query id.",
            show_default=False,
        ),
    ] = None,
    is_json: opt.Json = False,
) -> None:
    """Show, export or delete what is logged of answers and clicks."""
    from lookalike.wiring.learning_open import open_learning

    with open_learning(index_folder(index), config_file(index, config)) as learning:
        answer: dict[str, Any] = {}
        if export is not None:
            answer["exported"] = _export(learning.log.sessions(), export)
        if forget is not None:
            answer["forgotten"] = learning.log.forget(**_forgotten(forget))
        counts = learning.log.counts()
        settings = learning.settings
    from lookalike.domain.answers import timestamp

    answer |= {
        "is_logged": settings.is_logged,
        "answers": counts.answers,
        "clicks": counts.clicks,
        "oldest": timestamp(counts.oldest),
        "newest": timestamp(counts.newest),
        "days": settings.days,
        "most_answers": settings.most_answers,
    }
    if is_json:
        print_json(answer)
        return
    for name, value in answer.items():
        typer.echo(f"{name.replace('_', ' '):13} {'–' if value is None else value}")


def _version(text: str) -> int:
    if text.lower() == "rrf":
        return 0
    number = text.lower().removeprefix("fusion-")
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UsageError(f"{text!r} is no version", hint="lookalike learn --list shows all")
    return int(number)


def _forgotten(text: str) -> dict[str, Any]:
    """Return which answers are meant."""
    from lookalike.domain.clicks import QUERY_ID
    from lookalike.domain.filters import parse_date

    if text == "all":
        return {}
    if QUERY_ID.fullmatch(text):
        return {"query_id": text}
    return {"before": parse_date(text)}


def _export(sessions: Any, path: Path) -> int:
    from lookalike.domain.clicks import session_json
    from lookalike.domain.errors import StoreError

    count = 0
    try:
        with path.open("w", encoding="utf-8") as file:
            for session in sessions:
                file.write(json.dumps(session_json(session), allow_nan=False) + "\n")
                count += 1
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    return count


def _print_report(report: dict[str, Any]) -> None:
    counts = report["counts"]
    typer.echo(
        f"answers  {counts['answers']}, {counts['clicked']} of them clicked; "
        f"{counts['judging']} held out by {report['held_out']}"
    )
    looked = report["propensity"]
    how = f"from {looked['clicks']} clicks on swapped pairs"
    typer.echo(
        f"looks    fall as position^-{looked['power']:.2f} "
        + (how if looked["is_estimated"] else f"(as logged: only {looked['clicks']} on pairs)")
    )
    for name, one in report["estimates"].items():
        typer.echo(f"DCG      {name:14} {_interval(one)}")
    for name, one in report["differences"].items():
        typer.echo(f"lead     over {name:9} {_interval(one)}")
    for name, weight in sorted(report["weights"].items(), key=lambda one: -abs(one[1])):
        typer.echo(f"weight   {name:14} {weight:+.3f}")
    version = f"version {report['version']}" if report["version"] else "a dry run: nothing kept"
    if report["promoted"]:
        typer.echo(f"promoted {version}, {report['objective']}")
    else:
        why = "" if report["is_better"] else f", not surely better than {report['before']}"
        typer.echo(f"kept     {version}{why}" if report["version"] else f"{version}{why}")


def _interval(one: dict[str, float]) -> str:
    return f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"


def _print_versions(versions: list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        print_json({"versions": versions})
        return
    from lookalike.domain.answers import timestamp

    for one in versions:
        mark = "*" if one["in_use"] else " "
        line = f"{mark} {one['version']!s:>6}"
        if one.get("problem"):
            line += f"  {shown(one['problem'])}"
        elif "created" in one:
            lead = next(iter(one["differences"].values()), None)
            line += f"  {timestamp(one['created'])}  {one['objective']}  from {one['parent']}"
            line += f"  lead {_interval(lead)}" if lead else ""
        typer.echo(line)
