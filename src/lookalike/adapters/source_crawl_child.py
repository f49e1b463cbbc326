"""The crawler's process: `python -m lookalike.adapters.source_crawl_child STATE`.

It ends when there is nothing left to fetch, on SIGTERM, or when its standard input ends, which
is what happens when the process that started it is gone.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from lookalike.adapters.source_crawl_spool import CrawlSpool
from lookalike.domain.pages_crawl import CrawlPlan


def main(folder: str) -> None:
    """Crawl by the plan that stands in a state folder."""
    from scrapy.crawler import CrawlerProcess

    from lookalike.adapters.source_crawl_spider import PictureSpider, scrapy_settings

    state = Path(folder)
    with closing(CrawlSpool(state)) as spool:
        plan = CrawlPlan.from_json(spool.plan())
        process = CrawlerProcess(scrapy_settings(plan, state / "crawl.log"))
        crawler = process.create_crawler(PictureSpider)
        process.crawl(crawler, plan=plan, spool=spool)
        watcher = threading.Thread(target=_watch, args=(process, crawler), daemon=True)
        watcher.start()
        process.start(install_signal_handlers=True)


def _watch(process: Any, crawler: Any) -> None:
    """Stop the crawl when standard input says so, or ends."""
    while os.read(0, 1 << 10):  # not sys.stdin, whose lock Python wants when it ends
        pass
    from twisted.internet import reactor

    def stop() -> None:
        if crawler.spider is not None:
            crawler.spider.stop_asking()
        process.stop()

    cast("Any", reactor).callFromThread(stop)


if __name__ == "__main__":
    main(sys.argv[1])
