"""Open a bundle's ONNX file with ONNX Runtime, its failures turned into ours."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import BundleError, MissingFileError

if TYPE_CHECKING:
    import onnxruntime as ort

    from lookalike.domain.bundle import Bundle

_FAILURES: Final = (
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoModel",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


def runtime_failures() -> tuple[type[Exception], ...]:
    """List the errors that ONNX Runtime raises; they share no base class of its own."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    found = (getattr(state, name, None) for name in _FAILURES)
    return tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception))


def open_session(bundle: Bundle, relative: str, *, threads: int) -> ort.InferenceSession:
    """Open one of a bundle's files; `threads` for one run (0: one a physical core).

    Raises:
        MissingFileError: the file is not there.
        BundleError: it is no model that ONNX Runtime can run.
    """
    import onnxruntime as ort

    path = bundle.path(relative)
    if not path.is_file():
        raise MissingFileError(
            f"the bundle {bundle.name!r} names {path.name}, which is not there",
            hint="install or fetch the bundle again",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads would spin otherwise, and take the cores that decoding needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except runtime_failures() as error:
        raise BundleError(
            f"{path.name} of the bundle {bundle.name!r} cannot be opened: {error}",
            hint="install or fetch the bundle again, then: lookalike models verify",
        ) from error
