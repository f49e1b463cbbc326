"""One connection pool to a Cassandra cluster: statements in waves, under one deadline a wave."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.catalog_cassandra_errors import is_transient, missing_extra, translated
from lookalike.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cassandra.cluster import Cluster, ResponseFuture, Session

    from lookalike.adapters.catalog_cassandra_options import CassandraOptions
    from lookalike.adapters.catalog_cassandra_schema import Statement

WAVE: Final = 512
TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.05
DDL_TIMEOUT_S: Final = 60.0
RECONNECT_S: Final = 4.0

Line = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A statement with its values; `further` ones of the same partition go with it, at once.

    In a wave of compare-and-sets `stamp` names this very write: sent again after a doubtful
    answer, it is told from another's by it.
    """

    statement: Statement
    values: Sequence[Any] = ()
    further: Sequence[Call] = ()
    stamp: int | None = None


@dataclass(slots=True)
class _Flight:
    at: int
    future: ResponseFuture


@dataclass(slots=True)
class _Wave:
    """The calls that are still to be made, how often each was tried, and what came of it."""

    calls: Sequence[Call]
    outcomes: list[list[Line] | BaseException] = field(init=False)
    tries: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.outcomes = [[] for _ in self.calls]
        self.tries = [0] * len(self.calls)


class CassandraClient:
    """Prepared statements over one session; safe to use from many threads.

    Every error of the driver leaves as one of ours. A wave is sent with at most
    `options.in_flight` statements under way, each of them for one partition. A statement is sent
    again after a transient failure, as long as the deadline is not over; counters never are.
    """

    def __init__(self, options: CassandraOptions, cluster: Cluster, session: Session) -> None:
        self.options = options
        self._cluster = cluster
        self._session = session
        self._prepared: dict[str, Any] = {}
        self._preparing = threading.Lock()
        self._is_closed = False

    @classmethod
    def connect(cls, options: CassandraOptions) -> CassandraClient:
        """Connect; the keyspace need not be there yet.

        Raises:
            BackendError: nothing answers, or it refuses.
            MissingExtraError: the driver is not installed.
        """
        driver_errors = _driver_errors()
        try:
            cluster = _cluster(options)
        except driver_errors as error:
            raise translated(error, options.name) from error
        try:
            session = cluster.connect()
        except BaseException as error:
            cluster.shutdown()
            if not isinstance(error, driver_errors):
                raise
            raise translated(error, options.name) from error
        # Of preparing; the driver lets a profile say it of executing only.
        session._default_timeout = options.request_timeout_s  # pyright: ignore[reportPrivateUsage]
        return cls(options, cluster, session)

    def require_open(self) -> None:
        """Raise when `close` was called."""
        if self._is_closed:
            raise StoreError(f"{self.options.name} is closed", hint="open the index again")

    def close(self) -> None:
        """Close every connection; again, it does nothing."""
        with self._preparing:
            if self._is_closed:
                return
            self._is_closed = True
        self._cluster.shutdown()

    def run(self, statement: Statement, *values: Any) -> list[Line]:
        """Run one statement and return its lines, all pages of them."""
        return self.wave([Call(statement, values)])[0]

    def wave(self, calls: Sequence[Call]) -> list[list[Line]]:
        """Run statements side by side and return the lines of each, all pages of them.

        Raises:
            BackendError: one of them failed; others may have passed.
        """
        return [_lines(one, self.options.name) for one in self.attempt(calls)]

    def attempt(self, calls: Sequence[Call]) -> list[list[Line] | BaseException]:
        """Run statements side by side and return the lines or the driver's error of each.

        `WAVE` of them have one deadline; after one that failed, no further ones are begun.
        """
        self.require_open()
        outcomes: list[list[Line] | BaseException] = []
        for at in range(0, len(calls), WAVE):
            failed = next((one for one in outcomes if isinstance(one, BaseException)), None)
            if failed is not None:
                return [*outcomes, *[failed] * (len(calls) - at)]
            outcomes += self._attempt(calls[at : at + WAVE])
        return outcomes

    def _attempt(self, calls: Sequence[Call]) -> list[list[Line] | BaseException]:
        wave = _Wave(calls)
        deadline = time.monotonic() + self.options.request_timeout_s
        waiting, flying = deque(range(len(calls))), deque[_Flight]()
        while waiting or flying:
            while waiting and len(flying) < self.options.in_flight:
                self._send(wave, waiting.popleft(), flying, deadline)
            if flying:
                self._land(wave, flying.popleft(), waiting, deadline)
        return wave.outcomes

    def streams(self, calls: Sequence[Call]) -> list[Iterator[Line]]:
        """Ask for the first pages side by side; each iterator fetches the others as it goes."""
        self.require_open()
        try:
            futures = [self._execute(call, self.options.request_timeout_s) for call in calls]
            results = [future.result() for future in futures]
        except _driver_errors() as error:
            raise translated(error, self.options.name) from error
        return [self._lines_of(result) for result in results]

    def execute(
        self, cql: str, values: Sequence[Any] = (), *, timeout_s: float = 0.0
    ) -> list[Line]:
        """Run a statement that is not prepared, on one and the same host for everybody.

        Nodes that change the schema at once may end with tables of two identities; one alone
        does one change after the other.
        """
        self.require_open()
        hosts = {str(host.endpoint): host for host in self._metadata.all_hosts() if host.is_up}
        chosen = hosts[min(hosts)] if hosts else None
        try:
            return list(
                self._session.execute(
                    cql,
                    values or None,
                    timeout=timeout_s or self.options.request_timeout_s,
                    host=chosen,
                )
            )
        except _driver_errors() as error:
            raise translated(error, self.options.name) from error

    def token_ranges(self) -> list[tuple[int, int]]:
        """Return the ring in pieces (above, up to), each held whole by its replicas."""
        low, high = -(1 << 63), (1 << 63) - 1
        tokens = self._metadata.token_map
        ring = sorted({token.value for token in tokens.ring or ()} if tokens else set[int]())
        edges = [low, *(token for token in ring if low < token < high), high]
        return list(pairwise(edges))

    @property
    def _metadata(self) -> Any:
        return self._cluster.metadata

    def _send(self, wave: _Wave, at: int, flying: deque[_Flight], deadline: float) -> None:
        wave.tries[at] += 1
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            wave.outcomes[at] = TimeoutError("the deadline was over before it could be sent")
            return
        try:
            flying.append(_Flight(at, self._execute(wave.calls[at], remaining)))
        except _driver_errors() as error:
            wave.outcomes[at] = error

    def _land(self, wave: _Wave, flight: _Flight, waiting: deque[int], deadline: float) -> None:
        at = flight.at
        try:
            wave.outcomes[at] = list(flight.future.result())
        except _driver_errors() as error:
            wave.outcomes[at] = error
            pause = FIRST_PAUSE_S * 2 ** wave.tries[at] * random.uniform(0.5, 1.0)  # noqa: S311
            is_again = (
                is_transient(error)
                and wave.calls[at].statement.kind != "count"
                and wave.tries[at] < TRIES
                and time.monotonic() + pause < deadline
            )
            if is_again:
                time.sleep(pause)
                waiting.append(at)

    def _execute(self, call: Call, timeout_s: float) -> ResponseFuture:
        return self._session.execute_async(self._bound(call), timeout=timeout_s)

    def _bound(self, call: Call) -> Any:
        """Return what the driver sends for a call: a bound statement, or a batch of them."""
        bound = self._prepare(call.statement).bind(call.values)
        if not call.further:
            return bound
        from cassandra.query import BatchStatement, BatchType

        batch = BatchStatement(
            BatchType.UNLOGGED,
            consistency_level=bound.consistency_level,
            serial_consistency_level=bound.serial_consistency_level,
        )
        batch.is_idempotent = True
        batch.add(bound)
        for one in call.further:
            batch.add(self._prepare(one.statement).bind(one.values))
        return batch

    def _prepare(self, statement: Statement) -> Any:
        found = self._prepared.get(statement.cql)
        if found is not None:
            return found
        from cassandra import ConsistencyLevel

        with self._preparing:
            cql = statement.cql.replace("@", f"{self.options.keyspace}.")
            prepared = self._session.prepare(cql)
            options = self.options
            level = options.reads if statement.kind == "read" else options.writes
            prepared.consistency_level = getattr(ConsistencyLevel, level)
            prepared.serial_consistency_level = getattr(
                ConsistencyLevel, options.serial_consistency
            )
            prepared.is_idempotent = statement.kind != "count"
            prepared.fetch_size = statement.page_rows or options.page_rows
            self._prepared[statement.cql] = prepared
        return prepared

    def _lines_of(self, result: Any) -> Iterator[Line]:
        try:
            yield from result
        except _driver_errors() as error:
            raise translated(error, self.options.name) from error


def _lines(outcome: list[Line] | BaseException, backend: str) -> list[Line]:
    if isinstance(outcome, BaseException):
        raise translated(outcome, backend) from outcome
    return outcome


def _driver_errors() -> tuple[type[BaseException], ...]:
    """Return what the driver raises; not bugs of ours such as a TypeError."""
    try:
        from cassandra import DriverException, UnresolvableContactPoints
        from cassandra.cluster import NoHostAvailable
        from cassandra.connection import ConnectionException
        from cassandra.protocol import ErrorMessage
    except ImportError as error:
        raise missing_extra() from error
    return (
        DriverException,
        ErrorMessage,
        NoHostAvailable,
        ConnectionException,
        UnresolvableContactPoints,
        OSError,
    )


def _cluster(options: CassandraOptions) -> Cluster:
    """Return a cluster that is not connected yet."""
    from cassandra import ProtocolVersion
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import (
        DCAwareRoundRobinPolicy,
        ExponentialReconnectionPolicy,
        TokenAwarePolicy,
    )
    from cassandra.query import tuple_factory

    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(options.local_datacenter)),
        request_timeout=options.request_timeout_s,
        row_factory=tuple_factory,
    )
    return Cluster(
        contact_points=list(options.hosts),
        auth_provider=PlainTextAuthProvider(options.username, options.password)
        if options.username
        else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=ProtocolVersion.V5,
        # A node that was down is looked for again soon, and for as long as it takes.
        reconnection_policy=ExponentialReconnectionPolicy(0.25, RECONNECT_S, 1 << 31),
        connect_timeout=options.connect_timeout_s,  # pyright: ignore[reportArgumentType]
        control_connection_timeout=options.connect_timeout_s,
        ssl_context=_tls(options) if options.is_encrypted else None,
        monitor_reporting_enabled=False,
        application_name="lookalike",
    )


def _tls(options: CassandraOptions) -> Any:
    import ssl

    return ssl.create_default_context(cafile=options.ca_file or None)
