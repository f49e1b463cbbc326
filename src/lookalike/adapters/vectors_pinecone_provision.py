"""What makes a Pinecone index ready, and what looks whether it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lookalike.adapters.vectors_pinecone_client import PineconeLink
from lookalike.domain.errors import BackendError, BackendMissingError, LookalikeError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.adapters.vectors_pinecone_options import PineconeOptions

_MAKING_S = 300


class PineconeProvisioner:
    """`Provisioner` of one serverless index for vectors of `dim` numbers.

    A namespace need not be made: it is there with its first vector.
    """

    def __init__(self, options: PineconeOptions, *, dim: int) -> None:
        """Connect at the first call only."""
        self._options = options
        self._dim = dim

    @property
    def name(self) -> str:
        """The namespace's place."""
        return self._options.name

    def prepare(self) -> Sequence[str]:
        """Make the index if there is none, and wait until it is ready."""
        link, made = PineconeLink(self._options), list[str]()
        try:
            try:
                link.check_shape(self._dim)
            except BackendMissingError:
                if self._options.host:
                    raise
                self._create()
                made.append(f"index {self._options.index}")
                link.check_shape(self._dim)
        finally:
            link.close()
        return made

    def check(self) -> Sequence[Finding]:
        """Look at the index, its shape and its namespace."""
        link = PineconeLink(self._options)
        try:
            state = link.check_shape(self._dim)
            stats = link.call("describe_index_stats")
            here = stats.namespaces.get(self._options.namespace)
            rows = 0 if here is None else here.vector_count
            found = [
                Finding("vectors", "ok", f"{self.name}: {rows} vectors"),
                Finding("vectors schema", "ok", f"{self._dim} numbers a vector"),
            ]
            if state != "Ready":
                wait = "wait, or look at the service's console"
                found.append(Finding("vectors state", "warning", f"the index is {state}", wait))
        except LookalikeError as error:
            return [Finding("vectors", "error", error.message, error.hint)]
        finally:
            link.close()
        return found

    def _create(self) -> None:
        patient = dataclasses.replace(self._options, timeout_s=float(_MAKING_S))
        link = PineconeLink(patient)
        place = {"serverless": {"cloud": patient.cloud, "region": patient.region}}
        try:
            link.control(
                "create",
                name=patient.index,
                dimension=self._dim,
                metric="dotproduct",
                spec=place,
                timeout=_MAKING_S,
            )
        except BackendError:
            # Another may have made it in the same moment.
            if not link.control("exists", name=patient.index):
                raise
        finally:
            link.close()
