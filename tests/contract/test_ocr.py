"""What every reader of text promises (ports/ocr.py), kept by RapidOCR and by Tesseract."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.adapters.ocr_rapid import RapidOcr
from lookalike.adapters.ocr_tesseract import TesseractOcr
from lookalike.domain.images import MOST_WORDS, text_of_words

LINES = ("NO PARKING", "ANY TIME")


@pytest.fixture(scope="module", params=["rapidocr", "tesseract"])
def ocr(request):
    if request.param == "rapidocr":
        return RapidOcr(threads=1)
    if shutil.which("tesseract") is None:
        pytest.skip("the program tesseract is not installed (apt-get install tesseract-ocr)")
    return TesseractOcr()


def drawn(text, *, size=(480, 240), at=(50, 50), height=44, ink="black", paper="white"):
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text(at, text, font=ImageFont.load_default(height), fill=ink)
    return np.asarray(image)


def texts(words):
    return [word.text for word in words]


def by_line(words):
    return text_of_words(words).split("\n")


def check(words):
    """What holds for the words of any picture."""
    assert len(words) <= MOST_WORDS
    for word in words:
        x, y, width, height = word.box
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= 1 + 1e-9
        assert y + height <= 1 + 1e-9
        assert 0 <= word.score <= 1
        assert word.text
        assert word.text.isprintable()
        assert not any(char.isspace() for char in word.text)
        word.text.encode()
    lines = [word.line for word in words]
    assert lines == sorted(lines)
    assert set(lines) == set(range(len(set(lines))))


def test_words_are_read_line_by_line(ocr):
    words = ocr.read(drawn("\n".join(LINES)))
    check(words)
    assert by_line(words) == list(LINES)
    assert [word.line for word in words] == [0, 0, 1, 1]


def test_boxes_lie_on_their_words(ocr):
    picture = drawn("NO PARKING", size=(500, 200), at=(60, 80), height=48)
    no, parking = ocr.read(picture)
    font = ImageFont.load_default(48)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox(
        (60, 80), "NO PARKING", font=font
    )
    split = 60 + font.getlength("NO ") - font.getlength(" ") / 2
    for word, start, end in ((no, left, split), (parking, split, right)):
        x, y, width, height = word.box
        middle = (start + end) / 2
        assert x * 500 < middle < (x + width) * 500
        assert start - 20 < x * 500
        assert (x + width) * 500 < end + 20
        assert y * 200 < (top + bottom) / 2 < (y + height) * 200


@pytest.mark.parametrize("angle", [-4, 3])
def test_text_that_hangs_askew_is_read(ocr, angle):
    upright = Image.fromarray(drawn("\n".join(LINES)))
    words = ocr.read(np.asarray(upright.rotate(angle, expand=True, fillcolor="white")))
    check(words)
    assert by_line(words) == list(LINES)


def test_light_on_dark_is_read(ocr):
    words = ocr.read(drawn("NO PARKING", ink="white", paper=(20, 40, 90)))
    assert texts(words) == ["NO", "PARKING"]


def test_a_picture_without_text_gives_no_words(ocr):
    assert ocr.read(np.full((300, 400, 3), 255, np.uint8)) == ()
    slope = np.broadcast_to(np.linspace(0, 255, 400)[None, :, None], (300, 400, 3))
    assert ocr.read(slope.astype(np.uint8)) == ()


def test_noise_gives_few_words_and_no_error(ocr):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    y, x = np.mgrid[:200, :300]
    board = np.repeat((((y // 8 + x // 8) % 2) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    for picture in (noise, board):
        words = ocr.read(picture)
        check(words)
        assert len(words) < 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 7), (9, 3000), (3000, 9)])
def test_tiny_and_thin_pictures_are_no_error(ocr, shape):
    check(ocr.read(np.full((*shape, 3), 200, np.uint8)))


def test_a_huge_picture_is_read_small(ocr):
    picture = drawn("NO PARKING", size=(6000, 3000), at=(600, 1000), height=700)
    words = ocr.read(picture)
    check(words)
    assert texts(words) == ["NO", "PARKING"]


def test_small_letters_are_read(ocr):
    words = ocr.read(drawn("NO PARKING", size=(130, 40), at=(10, 8), height=18))
    assert texts(words) == ["NO", "PARKING"]


def test_pixels_may_lie_in_memory_in_any_way_and_stay_as_they_are(ocr):
    picture = drawn("NO PARKING", size=(360, 140), at=(30, 40))
    expected = ocr.read(picture)
    wide = np.zeros((140, 720, 3), np.uint8)
    wide[:, ::2] = picture
    for same in (np.asfortranarray(picture), wide[:, ::2], picture[::-1][::-1]):
        before = same.copy()
        same.flags.writeable = False
        assert ocr.read(same) == expected
        np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_other_shapes_and_types_are_refused(ocr, bad):
    with pytest.raises(ValueError, match="picture"):
        ocr.read(bad)


def test_threads_read_what_one_reads(ocr):
    pictures = [drawn(text, size=(240, 140), at=(30, 40)) for text in ("ONE", "TWO", "THREE")]
    alone = [ocr.read(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ocr.read, pictures)) == alone


def test_it_says_who_it_is(ocr):
    assert ocr.side > 0
    assert type(ocr)(threads=1).fingerprint == ocr.fingerprint
    assert type(ocr)(threads=1, side=640).fingerprint != ocr.fingerprint
