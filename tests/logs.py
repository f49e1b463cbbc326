"""Ingest logs for tests, by URL; and, as a program, a worker that is meant to be killed."""

import sys
import time

from lookalike.adapters.log_sqlite import SqliteIngestLog
from lookalike.adapters.log_sqlite_schema import SqliteLogOptions


def open_log(url, **settings):
    """Open a log of either kind."""
    if url.startswith("kafka:"):
        from lookalike.adapters.log_kafka import KafkaIngestLog
        from lookalike.adapters.log_kafka_options import KafkaOptions

        quick = {"session_timeout_s": 6.0, "request_timeout_s": 20.0}
        return KafkaIngestLog(KafkaOptions.from_url(url, **(quick | settings)))
    return SqliteIngestLog(SqliteLogOptions.from_url(url, **({"lease_s": 3.0} | settings)))


def settle(*logs):
    """Let workers of one Kafka group share its partitions out; files need none of it."""
    for _ in range(0 if isinstance(logs[0], SqliteIngestLog) else 5):
        for log in logs:
            assert not log.poll(most=1, timeout_s=0.3)


def drop_topics(url):
    """Delete a log's topics, so that a broker does not gather those of every test."""
    from confluent_kafka.admin import AdminClient

    servers, _, topic = url.removeprefix("kafka://").partition("/")
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for future in admin.delete_topics([topic, f"{topic}.dead"], request_timeout=20).values():
        future.result()


def take_and_hang(url, expected):
    """Poll some messages, acknowledge the first, say so, and do nothing any more."""
    log = open_log(url)
    taken = []
    deadline = time.monotonic() + 60
    while len(taken) < expected and time.monotonic() < deadline:
        taken += log.poll(most=expected - len(taken), timeout_s=0.5)
    log.acknowledge(taken[:1])
    sys.stdout.write(f"{len(taken)} {taken[0].key}\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    take_and_hang(sys.argv[1], int(sys.argv[2]))
