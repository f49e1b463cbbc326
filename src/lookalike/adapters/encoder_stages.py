"""A tower as a chain of ONNX Runtime sessions, each fed the last one's output."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.bundle_session import open_session, runtime_failures
from lookalike.domain.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.bundle import Bundle

_TOKEN_TYPES: Final = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


@dataclass(frozen=True, slots=True)
class StageChain:
    """Sessions run in turn; `output` names what to take of the last one."""

    sessions: tuple[ort.InferenceSession, ...]
    output: str

    @classmethod
    def load(
        cls, bundle: Bundle, stages: tuple[str, ...], output: str, *, threads: int
    ) -> StageChain:
        """Open each stage's file.

        Raises:
            MissingFileError: a file is not there.
            BundleError: a file is no model that ONNX Runtime can run.
        """
        sessions = tuple(open_session(bundle, stage, threads=threads) for stage in stages)
        offered = [item.name for item in sessions[-1].get_outputs()]
        if output and output not in offered:
            raise BundleError(
                f"{stages[-1]} of the bundle {bundle.name!r} has no output {output!r}",
                hint="its outputs: " + ", ".join(offered),
            )
        return cls(sessions, output or offered[0])

    def run_pixels(self, pixels: NDArray[np.generic]) -> FloatMatrix:
        """Run the chain on pixels, `(n, ...)` to `(n, dim)`."""
        name = self.sessions[0].get_inputs()[0].name
        return self._run({name: pixels})

    def run_tokens(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> FloatMatrix:
        """Run the chain on token ids and their mask, both `(n, length)`.

        Feeds what the graph asks for by the usual names; token types are zeros.
        A graph with one input of another name gets the ids.
        """
        inputs = self.sessions[0].get_inputs()
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        if len(inputs) == 1:
            known[inputs[0].name] = ids
        feeds: dict[str, NDArray[np.generic]] = {}
        for item in inputs:
            if item.name not in known:
                raise BundleError(
                    f"the text model asks for an input {item.name!r} that is not known",
                    hint="known: input_ids, attention_mask, token_type_ids",
                )
            feeds[item.name] = known[item.name].astype(_TOKEN_TYPES.get(item.type, np.int64))
        return self._run(feeds)

    def _run(self, feeds: dict[str, NDArray[np.generic]]) -> FloatMatrix:
        """Run every stage; a failure inside ONNX Runtime becomes our error."""
        try:
            for session, following in itertools.pairwise(self.sessions):
                found = session.run(None, feeds)
                feeds = {following.get_inputs()[0].name: np.asarray(found[0])}
            last = self.sessions[-1].run([self.output], feeds)
        except runtime_failures() as error:
            raise BundleError(
                f"the model could not be run: {error}",
                hint="check the bundle's preprocessing and files: lookalike models verify",
            ) from error
        return np.asarray(last[0], np.float32)
