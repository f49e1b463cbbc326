"""Text read by Tesseract, a program of its own that is started once a picture."""

from __future__ import annotations

import shutil
import subprocess
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.ocr_languages import TESSERACT_NAMES, language_codes
from lookalike.adapters.ocr_words import THINNEST, bounded, checked_picture, fitted
from lookalike.domain.errors import OcrError
from lookalike.domain.images import OcrWord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lookalike.domain.arrays import Pixels

SIDE: Final = 1600
"""The longer side that pictures are read at, in pixels."""

_SMALLEST_SIDE: Final = 800
_LEAST_CONFIDENCE: Final = 40.0
_WORD_LEVEL: Final = "5"
_COLUMNS: Final = 12
_LAYOUT: Final = "3"
_ANSWERS_WITHIN_S: Final = 20.0


class TesseractOcr:
    """Reads the languages whose data is installed beside the program.

    Thread-safe: each call starts a process. `program` is a name on the PATH or a path, `data`
    a folder of language data instead of the program's own, `threads` how many threads the
    process may use, `timeout_s` how long it may take.
    """

    def __init__(
        self,
        languages: Sequence[str] = ("en",),
        *,
        threads: int = 1,
        timeout_s: float = 60.0,
        side: int = SIDE,
        program: str = "tesseract",
        data: Path | None = None,
    ) -> None:
        self._names = tuple(TESSERACT_NAMES[code] for code in language_codes(languages))
        self._threads = max(threads, 1)
        self._timeout_s = timeout_s
        self._side = side
        self._program = program
        self._data = data
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """The program's version (`missing` where it does not run), the languages, the side."""
        try:
            number = self._ask("--version").split()[1]
        except (OcrError, IndexError):
            number = "missing"
        return f"tesseract-{number}-{'+'.join(self._names)}-{self._side}"

    @property
    def side(self) -> int:
        """The longer side that pictures are read at, in pixels."""
        return self._side

    def read(self, picture: Pixels) -> tuple[OcrWord, ...]:
        """Read an upright `(height, width, 3)` uint8 RGB picture.

        Raises:
            OcrError: the program or a language is missing, it failed, or took too long.
            ValueError: the picture has another shape or type.
        """
        ready = fitted(checked_picture(picture), least=_SMALLEST_SIDE, most=self._side)
        with self._lock:
            languages = self._languages
        height, width = ready.shape[:2]
        if min(height, width) < THINNEST:
            return ()
        header = f"P6 {width} {height} 255\n".encode()
        table = self._run(
            ("stdin", "stdout", "-l", languages, "--psm", _LAYOUT, "tsv"),
            header + np.ascontiguousarray(ready).tobytes(),
        )
        return bounded(_words(table, width, height))

    @cached_property
    def _languages(self) -> str:
        """The languages as the program takes them, once their data was seen.

        Raises:
            OcrError: a language's data is missing.
        """
        installed = {line.strip() for line in self._ask("--list-langs").splitlines()[1:]}
        missing = [name for name in self._names if name not in installed]
        if missing:
            packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing)
            raise OcrError(
                f"Tesseract has no data for {', '.join(missing)} "
                f"(it has {', '.join(sorted(installed)) or 'none'})",
                hint=f"apt-get install {packages}, or choose other languages",
            )
        return "+".join(self._names)

    def _ask(self, question: str) -> str:
        return self._run((question,), b"", timeout_s=_ANSWERS_WITHIN_S)

    def _run(
        self, arguments: tuple[str, ...], data: bytes, *, timeout_s: float | None = None
    ) -> str:
        """Return what the program prints.

        Its environment is empty but for the number of threads, so that no setting of the
        machine changes what is read.
        """
        path = shutil.which(self._program)
        if path is None:
            raise OcrError(
                f"the program {self._program!r} is not installed",
                hint="apt-get install tesseract-ocr, or read text with rapidocr",
            )
        folder = () if self._data is None else ("--tessdata-dir", str(self._data))
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            done = subprocess.run(  # noqa: S603 - the program is the owner's, arguments are ours
                (path, *folder, *arguments),
                input=data,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                env={"OMP_THREAD_LIMIT": str(self._threads), "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired as error:
            raise OcrError(
                f"Tesseract took longer than {timeout_s:g} s and was ended",
                hint="allow more time, or give a smaller picture",
            ) from error
        except OSError as error:
            raise OcrError(
                f"{path} cannot be run: {error}", hint="apt-get install tesseract-ocr"
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise OcrError(
                f"Tesseract failed ({done.returncode}): {' '.join(said) or 'it said nothing'}",
                hint="check it by hand: tesseract --list-langs",
            )
        return done.stdout.decode(errors="replace")


def _words(table: str, width: int, height: int) -> Iterator[OcrWord]:
    """Yield the words of Tesseract's table (tab-separated, a header, one row a box)."""
    lines: dict[tuple[str, ...], int] = {}
    for row in table.splitlines():
        cells = row.split("\t")
        if len(cells) != _COLUMNS or cells[0] != _WORD_LEVEL:
            continue
        try:
            x, y, w, h, confidence = map(float, cells[6:11])
        except ValueError as error:
            raise OcrError(
                f"Tesseract printed a table that is none: {row[:80]!r}",
                hint="check the program: tesseract --version",
            ) from error
        if confidence < _LEAST_CONFIDENCE:
            continue
        line = lines.setdefault(tuple(cells[1:5]), len(lines))
        box = (x / width, y / height, w / width, h / height)
        yield OcrWord(cells[11], confidence / 100, box, line)
