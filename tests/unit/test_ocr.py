"""What the readers of text share: languages, layout, clean words; and what each does in trouble."""

import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.ocr_languages import (
    READ_BY_RAPIDOCR,
    TESSERACT_NAMES,
    language_codes,
)
from lookalike.adapters.ocr_layout import Piece, words_in_order
from lookalike.adapters.ocr_open import open_ocr
from lookalike.adapters.ocr_rapid import RapidOcr
from lookalike.adapters.ocr_tesseract import TesseractOcr
from lookalike.adapters.ocr_words import LONGEST_WORD, bounded, clean_text, fitted
from lookalike.domain.errors import OcrError, UnknownNameError, UsageError
from lookalike.domain.images import MOST_WORDS, OcrWord, text_of_words

PAPER = np.full((100, 200, 3), 255, np.uint8)


# ── Languages and the choice of the reader ───────────────────────────────────────────────


def test_languages_are_known_by_code_and_by_tesseracts_name():
    assert language_codes(["EN", "pt-BR", "deu", "chi_tra", "zh-TW", "sr_latn", "nb"]) == (
        *("en", "pt", "de", "zh-hant", "sr-latn", "no"),
    )
    assert language_codes(["en", "eng"]) == ("en",)
    for code, name in TESSERACT_NAMES.items():
        assert language_codes([code]) == language_codes([name]) == (code,)
    assert set(TESSERACT_NAMES) >= READ_BY_RAPIDOCR


def test_an_unknown_language_lists_near_ones():
    with pytest.raises(UnknownNameError, match="klingon"):
        language_codes(["klingon"])
    with pytest.raises(UsageError, match="no language"):
        language_codes([])


@pytest.mark.parametrize(
    ("engine", "languages", "kind"),
    [
        ("auto", ("en",), RapidOcr),
        ("auto", ("en", "de", "ja", "zh"), RapidOcr),
        ("auto", ("en", "ru"), TesseractOcr),
        ("auto", ("th",), TesseractOcr),
        ("tesseract", ("en",), TesseractOcr),
        ("rapidocr", ("fr",), RapidOcr),
    ],
)
def test_the_reader_is_chosen_by_name_and_languages(engine, languages, kind):
    assert isinstance(open_ocr(engine, languages), kind)


def test_a_reader_that_cannot_be_is_refused():
    with pytest.raises(UsageError, match="do not read ru, th"):
        open_ocr("rapidocr", ("en", "ru", "th"))
    with pytest.raises(UnknownNameError) as caught:
        open_ocr("tesserakt")
    assert "tesseract" in caught.value.hint


# ── Words ────────────────────────────────────────────────────────────────────────────────


@given(st.text())
def test_any_text_becomes_clean(text):
    clean = clean_text(text)
    assert len(clean) <= LONGEST_WORD
    assert clean == clean.strip()
    assert clean.isprintable()
    clean.encode()


def test_clean_text_drops_what_cannot_be_seen():
    assert clean_text("a\ud800b\x00c\u202ed\u200be\tf\n g") == "abcde f g"
    assert clean_text("e\u0301") == "é"


def test_words_are_bounded_in_number_and_place():
    many = [OcrWord("a", 0.9, (0.1, 0.1, 0.1, 0.1), 7 + i) for i in range(MOST_WORDS + 5)]
    kept = bounded(many)
    assert len(kept) == MOST_WORDS
    assert [word.line for word in kept] == list(range(MOST_WORDS))
    odd = [
        OcrWord("\x00", 0.9, (0.1, 0.1, 0.1, 0.1)),
        OcrWord("outside", 0.9, (1.2, 0.1, 0.1, 0.1)),
        OcrWord("over", 1.7, (-0.5, 0.5, 2.0, 0.9), 3),
    ]
    assert bounded(odd) == (OcrWord("over", 1.0, (0.0, 0.5, 1.0, 0.5), 0),)


@given(st.integers(1, 60), st.integers(1, 60))
def test_pictures_are_fitted(height, width):
    fit = fitted(np.zeros((height, width, 3), np.uint8), least=20, most=40)
    assert 20 <= max(fit.shape[:2]) <= 40
    assert min(fit.shape[:2]) >= 1


# ── Layout ───────────────────────────────────────────────────────────────────────────────


def piece(text, left, top, right, *, height=0.02, turn=0):
    """A piece of a square picture, turned with the whole picture by quarter turns."""
    quad = np.array(
        [(left, top), (right, top), (right, top + height), (left, top + height)], np.float64
    )
    for _ in range(turn):
        quad = np.stack((1 - quad[:, 1], quad[:, 0]), axis=1)
    return Piece(text, 0.9, quad, ())


def read(pieces, size=(1000, 1000)):
    return text_of_words(tuple(words_in_order(pieces, size))).split("\n")


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_lines_fall_and_words_go_along_them_however_the_page_lies(turn):
    pieces = [
        piece("third line", 0.1, 0.30, 0.5, turn=turn),
        piece("148.50", 0.7, 0.102, 0.8, turn=turn),
        piece("second line", 0.1, 0.20, 0.5, turn=turn),
        piece("TOTAL", 0.1, 0.10, 0.2, turn=turn),
    ]
    assert read(pieces) == ["TOTAL 148.50", "second line", "third line"]


def test_columns_of_running_text_are_read_one_after_the_other():
    left = [piece(f"left {i}", 0.05, 0.3 + 0.03 * i, 0.45) for i in range(5)]
    right = [piece(f"right {i}", 0.55, 0.3 + 0.03 * i, 0.95) for i in range(5)]
    head = [piece("a heading over both", 0.05, 0.1, 0.95)]
    lines = read([*right, *left, *head])
    assert lines == ["a heading over both", *(p.text for p in left), *(p.text for p in right)]


def test_prices_stay_beside_what_they_are_for():
    items = [piece(f"item {i}", 0.05, 0.1 + 0.03 * i, 0.4) for i in range(6)]
    prices = [piece(f"{i}.50", 0.8, 0.1 + 0.03 * i, 0.86) for i in range(6)]
    assert read(prices + items) == [f"item {i} {i}.50" for i in range(6)]


def test_a_thousand_pieces_anywhere_are_all_read():
    rng = np.random.default_rng(0)
    pieces = [piece(f"w{i}", x, y, x + 0.03) for i, (x, y) in enumerate(rng.random((1000, 2)))]
    words = list(words_in_order(pieces, (1000, 1000)))
    assert sorted(word.text for word in words) == sorted(f"w{i}" for i in range(1000))
    assert list(words_in_order([], (10, 10))) == []


def test_words_get_their_share_of_the_line():
    quad = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 0.1), (0.0, 0.1)])
    known = Piece("ab cd", 0.9, quad, (0.05, 0.15, 0.75, 0.85))
    first, second = words_in_order([known], (100, 100))
    assert first.box == pytest.approx((0.0, 0.0, 0.2, 0.1), abs=0.06)
    assert second.box == pytest.approx((0.7, 0.0, 0.2, 0.1), abs=0.06)
    guessed, _ = words_in_order([Piece("ab cd", 0.9, quad, ())], (100, 100))
    assert guessed.box == pytest.approx((0.0, 0.0, 0.4, 0.1), abs=0.11)


# ── RapidOCR in trouble ──────────────────────────────────────────────────────────────────


def test_models_that_are_missing_are_named_and_nothing_is_fetched(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(OcrError, match="'det' has to stand in") as caught:
        RapidOcr(models=tmp_path).read(PAPER)
    assert "pip install" in caught.value.hint


def test_a_damaged_model_is_our_error(tmp_path):
    for role in ("det", "cls", "rec"):
        (tmp_path / f"x_{role}_y.onnx").write_bytes(b"no model")
    with pytest.raises(OcrError, match=r"RapidOCR failed: .*x_det_y"):
        RapidOcr(models=tmp_path).read(PAPER)


def test_the_time_is_bounded_between_lines(monkeypatch):
    from tests.contract.test_ocr import drawn

    with pytest.raises(OcrError, match="longer than it may"):
        RapidOcr(threads=1, timeout_s=0.0).read(drawn("NO PARKING"))


def test_reading_is_silent_and_writes_nothing_into_the_package():
    """In a process of its own, where nothing was loaded before."""
    program = (
        "import numpy as np\n"
        "from PIL import Image, ImageDraw, ImageFont\n"
        "from lookalike.adapters.ocr_rapid import RapidOcr\n"
        "ocr = RapidOcr(threads=1)\n"
        "import sys; assert 'rapidocr' not in sys.modules and 'cv2' not in sys.modules\n"
        "im = Image.new('RGB', (300, 100), 'white')\n"
        "ImageDraw.Draw(im).text((9, 9), 'QUIET', font=ImageFont.load_default(40), fill=0)\n"
        "assert [w.text for w in ocr.read(np.asarray(im))] == ['QUIET']\n"
        "assert ocr.read(np.asarray(im) * 0) == ()\n"
    )
    folder = Path(find_spec("rapidocr").origin).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if _counts(path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if _counts(p)} == before


def _counts(path):
    return "__pycache__" not in path.parts and path.is_file()


# ── Tesseract in trouble ─────────────────────────────────────────────────────────────────


def program(folder, script):
    path = folder / "tesseract"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


LIST = 'if [ "$1" = --list-langs ]; then echo "List of languages (1):"; echo eng; exit 0; fi'


def test_a_missing_program_says_what_to_install():
    reader = TesseractOcr(program="no-such-tesseract")
    with pytest.raises(OcrError, match="not installed") as caught:
        reader.read(PAPER)
    assert "apt-get install tesseract-ocr" in caught.value.hint
    assert reader.fingerprint.startswith("tesseract-missing-eng")


def test_a_missing_language_says_what_to_install(tmp_path):
    reader = TesseractOcr(("en", "zh", "ru"), program=program(tmp_path, LIST))
    with pytest.raises(OcrError, match="no data for chi_sim, rus") as caught:
        reader.read(PAPER)
    assert "tesseract-ocr-chi-sim tesseract-ocr-rus" in caught.value.hint


def test_a_slow_program_is_ended(tmp_path):
    reader = TesseractOcr(program=program(tmp_path, f"{LIST}\nexec sleep 60"), timeout_s=0.2)
    with pytest.raises(OcrError, match="longer than"):
        reader.read(PAPER)


def test_a_failing_program_is_quoted(tmp_path):
    reader = TesseractOcr(program=program(tmp_path, f"{LIST}\necho broken data >&2\nexit 3"))
    with pytest.raises(OcrError, match=r"failed \(3\): broken data"):
        reader.read(PAPER)


def test_a_file_that_is_no_program_is_our_error(tmp_path):
    path = tmp_path / "tesseract"
    path.write_bytes(b"\x7fELF no program")
    path.chmod(0o755)
    with pytest.raises(OcrError, match="cannot be run"):
        TesseractOcr(program=str(path)).read(PAPER)


def test_odd_rows_of_the_table_are_passed_over(tmp_path):
    rows = [
        "level\tpage\tblock\tpar\tline\tword\tleft\ttop\twidth\theight\tconf\ttext",
        "4\t1\t1\t1\t1\t0\t0\t0\t80\t80\t-1\t",
        "5\t1\t1\t1\t1\t1\t80\t80\t80\t80\t96.5\tyes",
        "5\t1\t1\t1\t1\t2\t80\t80\t80\t80\t5.0\tunsure",
        "5\t1\t1\t1\t2\t1\t80\t80\t80\t80\t90\t ",
        "5\tshort",
        "5\t1\t2\t1\t1\t1\t80\t80\t9000\t9000\t90\tbeyond",
    ]
    (tmp_path / "table").write_text("\n".join(rows))
    script = f"{LIST}\ncat > /dev/null\ncat {tmp_path}/table"
    words = TesseractOcr(program=program(tmp_path, script)).read(PAPER)
    assert [(w.text, w.line, w.score) for w in words] == [("yes", 0, 0.965), ("beyond", 1, 0.9)]
    assert words[0].box == (0.1, 0.2, 0.1, 0.2)


def test_a_table_that_is_none_is_our_error(tmp_path):
    script = (
        f"{LIST}\ncat > /dev/null\nprintf '5\\t1\\t1\\t1\\t1\\t1\\tx\\t8\\t8\\t8\\t90\\toops\\n'"
    )
    with pytest.raises(OcrError, match="table that is none"):
        TesseractOcr(program=program(tmp_path, script)).read(PAPER)
