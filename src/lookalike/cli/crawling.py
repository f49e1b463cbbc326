"""`crawl`: pictures of web sites, indexed while they are fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder, open_engine
from lookalike.cli.output import is_terminal, pairs, print_json, size_text
from lookalike.cli.stopping import stopping

if TYPE_CHECKING:
    from lookalike.wiring.crawling import CrawlReport
    from lookalike.wiring.embedded import OpenOptions


Depth: TypeAlias = Annotated[
    int, typer.Option(min=0, max=100, help="Links to follow from the first pages.")
]
Most: TypeAlias = Annotated[int, typer.Option(min=1, help="Pages to ask for at the most.")]
MostImages: TypeAlias = Annotated[int, typer.Option(min=0, help="Pictures to ask for at the most.")]
Delay: TypeAlias = Annotated[
    float, typer.Option(min=0.0, help="Least seconds between two requests to one host.")
]
SameSite: TypeAlias = Annotated[
    bool, typer.Option("--same-site/--any-site", help="Stay with the sites of the first pages.")
]
Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="A private host or network that may be asked."),
]
Contact: TypeAlias = Annotated[
    str, typer.Option(help="Your address or page, for those who run the sites.")
]
State: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the crawl's state stands (default: the index)."),
]
Encoder: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Bundle of a new index: a name or a folder.", show_default=False),
]
NoObjects: TypeAlias = Annotated[bool, typer.Option("--no-objects", help="Look for no objects.")]
NoOcr: TypeAlias = Annotated[bool, typer.Option("--no-ocr", help="Read no text off pictures.")]
Licence: TypeAlias = Annotated[
    str, typer.Option(help="Licence to assume where a page states none.")
]
Enqueue: TypeAlias = Annotated[
    bool, typer.Option("--enqueue", help="With a cluster: leave the work to its workers.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def crawl(
    url: Annotated[list[str], typer.Argument(help="Pages to begin at.")],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    depth: Depth = 2,
    most: Most = 1_000,
    most_images: MostImages = 10_000,
    delay: Delay = 1.0,
    same_site: SameSite = True,
    allow: Allow = None,
    contact: Contact = "",
    state: State = None,
    encoder: Encoder = None,
    no_objects: NoObjects = False,
    no_ocr: NoOcr = False,
    licence: Licence = "unknown",
    enqueue: Enqueue = False,
    quiet: Quiet = False,
    is_json: opt.Json = False,
) -> None:
    """Crawl web pages and index their pictures; a stopped crawl goes on where it stopped.

    It obeys robots.txt with its Crawl-delay, and what pages ask of robots; it never asks private
    addresses that are not allowed. Needs the extra `crawl`.
    """
    from lookalike.domain.licences import normalise_licence
    from lookalike.domain.pages_crawl import CrawlPlan, start_urls
    from lookalike.engine.ingest import IngestOptions
    from lookalike.settings import load_settings
    from lookalike.wiring.crawling import crawl_into, state_folder

    settings = load_settings()
    plan = CrawlPlan(
        starts=start_urls(url), depth=depth, most_pages=most, most_images=most_images,
        delay_s=delay, is_same_site=same_site, allow=(*settings.allow_hosts, *(allow or ())),
        contact=contact, is_opt_out_honoured=settings.is_opt_out_honoured,
    )  # fmt: skip
    home = Path() if config_file(index, config) is not None else index_folder(index)
    place = (state or state_folder(home, plan)).expanduser().absolute()
    run = IngestOptions(
        is_without_objects=no_objects, is_without_words=no_ocr, licence=normalise_licence(licence)
    )
    on_progress = _show if not quiet and is_terminal() else None
    options = _open_options(encoder, has_objects=not no_objects, has_ocr=not no_ocr)
    with open_engine(index, config, options) as engine, stopping() as stop:
        run = replace(run, stop=stop)
        report = crawl_into(engine, plan, place, run, is_enqueued=enqueue, on_progress=on_progress)
    if on_progress is not None:
        typer.echo("", err=True)
    _print_report(report, is_json=is_json)
    if not report.is_complete or not report.pages:
        raise typer.Exit(1)


def _open_options(encoder: str | None, *, has_objects: bool, has_ocr: bool) -> OpenOptions:
    from lookalike.settings.features import asked_features
    from lookalike.wiring.embedded import OpenOptions

    features = asked_features(
        has_objects=has_objects, ocr=None if has_ocr else "off", languages=None, has_place=False
    )
    return OpenOptions(encoder=encoder, is_creating=True, features=features)


def _show(report: CrawlReport) -> None:
    typer.echo(f"\r{_line(report)}\x1b[K", nl=False, err=True)


def _line(report: CrawlReport) -> str:
    return (
        f"{report.pages} pages ({report.pages_per_s:.1f}/s), {report.images} pictures "
        f"({size_text(report.bytes)}), {report.added} added ({report.images_per_s:.1f}/s), "
        f"{report.waiting} left"
    )


def _print_report(report: CrawlReport, *, is_json: bool) -> None:
    if is_json:
        print_json(report.to_json())
        return
    state = "done" if report.is_complete else "stopped; run it again to go on"
    typer.echo(
        f"{state}: {_line(report)}; {report.known} known, {report.merged} seen elsewhere too, "
        f"{report.seconds:.1f} s"
    )
    if report.failed:
        typer.echo(f"pictures refused: {pairs(dict(report.failed))}")
    if report.page_failures:
        typer.echo(f"pages refused: {pairs(report.page_failures)}")
    if report.skipped:
        typer.echo(f"passed over: {pairs(report.skipped)}")
