"""The port of provisioners: what makes a back end ready, and what looks whether it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lookalike.domain.findings import Finding


class Provisioner(Protocol):
    """Makes and inspects what one port needs of one back end: a keyspace, an index, a topic.

    Every adapter of a cluster back end has one. Nothing here reads the environment.
    """

    @property
    def name(self) -> str:
        """The back end's name and place without secrets, as errors and `doctor` show it."""
        ...

    def prepare(self) -> Sequence[str]:
        """Make what is missing and return what was made; again, it makes nothing.

        Raises:
            BackendError: the back end cannot be reached, refuses, or holds a foreign schema.
        """
        ...

    def check(self) -> Sequence[Finding]:
        """Look at the back end; never raises one of ours: it becomes a finding with a remedy."""
        ...
