"""What every encoder promises (ports/encoder.py), kept by each bundle that can be loaded."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.errors import BundleError, MissingFileError, UnsupportedInputError
from tests.tiny_bundle import make_bundle
from tests.tiny_clip import make_clip

TOLERANCE = 2e-5
TEXTS = ["a dog on the beach", "two red cars", "Ein Fußgänger 🚶 läuft", ""]


@pytest.fixture(scope="module", params=["lite", "lite-conse", "clip", "immich-clip"])
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    match request.param:
        case "clip":
            bundle = load_bundle(make_clip(folder))
        case "immich-clip":
            bundle = load_bundle(make_clip(folder, layout="immich"))
        case name:
            bundle = load_bundle(name)
    return OnnxEncoder(bundle, threads=1)


def pixels(encoder, count, seed=0):
    """Blocks of colour with some noise, so that vectors differ clearly."""
    rng = np.random.default_rng(seed)
    size = encoder.preprocess.size
    blocks = (
        rng.integers(0, 256, (count, 4, 4, 3)).repeat(-(-size // 4), 1).repeat(-(-size // 4), 2)
    )
    noise = rng.integers(-20, 21, (count, size, size, 3))
    return np.clip(blocks[:, :size, :size] + noise, 0, 255).astype(np.uint8)


def check_rows(rows, count, encoder):
    assert rows.shape == (count, encoder.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_images_become_unit_vectors(encoder):
    check_rows(encoder.encode_images(pixels(encoder, 5)), 5, encoder)


def test_texts_become_unit_vectors(encoder):
    check_rows(encoder.encode_texts(TEXTS), len(TEXTS), encoder)


def test_vectors_come_in_the_order_given(encoder):
    images = pixels(encoder, 4)
    forth, back = encoder.encode_images(images), encoder.encode_images(images[::-1])
    np.testing.assert_allclose(forth, back[::-1], atol=TOLERANCE)
    words, reversed_words = encoder.encode_texts(TEXTS), encoder.encode_texts(TEXTS[::-1])
    np.testing.assert_allclose(words, reversed_words[::-1], atol=TOLERANCE)


def test_a_batch_gives_what_its_members_give_alone(encoder):
    images = pixels(encoder, 3)
    together = encoder.encode_images(images)
    for image, row in zip(images, together, strict=True):
        np.testing.assert_allclose(encoder.encode_images(image[None])[0], row, atol=TOLERANCE)
    for text, row in zip(TEXTS, encoder.encode_texts(TEXTS), strict=True):
        np.testing.assert_allclose(encoder.encode_texts([text])[0], row, atol=TOLERANCE)


def test_large_batches_are_split(encoder):
    few = [f"picture number {number % 7}" for number in range(300)]
    rows = encoder.encode_texts(few)
    check_rows(rows, 300, encoder)
    np.testing.assert_allclose(rows[:7], rows[287:294], atol=TOLERANCE)


def test_more_images_than_a_batch_are_split(encoder):
    count = encoder.bundle.image.max_batch + 1
    images = np.repeat(pixels(encoder, 1), count, axis=0)
    rows = encoder.encode_images(images)
    check_rows(rows, count, encoder)
    np.testing.assert_allclose(rows[0], rows[-1], atol=TOLERANCE)


def test_different_inputs_give_different_vectors(encoder):
    rows = encoder.encode_images(pixels(encoder, 2))
    assert float(rows[0] @ rows[1]) < 0.999999


def test_arguments_are_not_changed(encoder):
    images, texts = pixels(encoder, 2), list(TEXTS)
    before = images.copy()
    images.flags.writeable = False
    encoder.encode_images(images)
    encoder.encode_texts(texts)
    np.testing.assert_array_equal(images, before)
    assert texts == TEXTS


def test_nothing_gives_nothing(encoder):
    assert encoder.encode_images(pixels(encoder, 1)[:0]).shape == (0, encoder.dim)
    assert encoder.encode_texts([]).shape == (0, encoder.dim)


def test_the_same_text_gives_the_same_vector(encoder):
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), encoder.encode_texts(tuple(TEXTS)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t",
        "\x00",
        "日本の桜",
        "🐈‍⬛" * 50,
        "\ud800 lone",
        "word " * 5000,
        "x" * 200_000,
    ],
    ids=["empty", "space", "blanks", "nul", "kanji", "emoji", "surrogate", "long", "one-long-word"],
)
def test_any_text_is_taken(encoder, text):
    check_rows(encoder.encode_texts([text, "a dog"]), 2, encoder)


def test_long_texts_are_cut_at_the_context(encoder):
    head = "dog " * encoder.bundle.text.context_length
    first, second = encoder.encode_texts([head + "beach", head + "mountain"])
    np.testing.assert_allclose(first, second, atol=TOLERANCE)


def test_pixels_of_another_shape_are_refused(encoder):
    size = encoder.preprocess.size
    for wrong in (
        np.zeros((1, size, size + 1, 3), np.uint8),
        np.zeros((size, size, 3), np.uint8),
        np.zeros((1, size, size, 3), np.float32),
    ):
        with pytest.raises(ValueError, match="pixels must be"):
            encoder.encode_images(wrong)


def test_threads_may_share_an_encoder(encoder):
    fresh = OnnxEncoder(encoder.bundle, threads=1)
    expected = encoder.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: fresh.encode_texts(TEXTS), range(8)):
            np.testing.assert_array_equal(rows, expected)


def test_strided_pixels_are_taken(encoder):
    images = pixels(encoder, 2)
    mirrored = images[:, :, ::-1]
    rows = encoder.encode_images(mirrored)
    np.testing.assert_allclose(rows, encoder.encode_images(mirrored.copy()), atol=TOLERANCE)


class TestWithoutATower:
    @pytest.fixture
    def images_only(self, tmp_path):
        return OnnxEncoder(load_bundle(make_clip(tmp_path / "vision-only", has_text=False)))

    def test_images_work(self, images_only):
        assert not images_only.has_text
        assert images_only.bundle.kind == "image"
        check_rows(images_only.encode_images(pixels(images_only, 2)), 2, images_only)

    def test_texts_are_a_typed_error(self, images_only):
        with pytest.raises(UnsupportedInputError, match="no text tower"):
            images_only.encode_texts(["a dog"])


def test_a_text_query_loads_no_image_tower(tmp_path):
    folder = make_bundle(tmp_path / "tiny")
    encoder = OnnxEncoder(load_bundle(folder))
    (folder / "image.onnx").unlink()
    encoder.encode_texts(["red"])
    with pytest.raises(MissingFileError, match=r"image\.onnx"):
        encoder.encode_images(np.zeros((1, 16, 16, 3), np.uint8))


def test_a_file_that_is_no_model_is_a_typed_error(tmp_path):
    folder = make_bundle(tmp_path / "tiny")
    encoder = OnnxEncoder(load_bundle(folder))
    (folder / "image.onnx").write_bytes(b"not a model")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match=r"image\.onnx"):
        encoder.encode_images(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        encoder.encode_texts(["red"])


def test_a_wrong_dimension_is_a_typed_error(tmp_path):
    folder = make_bundle(tmp_path / "tiny")
    manifest = folder / "bundle.toml"
    manifest.write_text(manifest.read_text().replace("dim = 48", "dim = 47"))
    with pytest.raises(BundleError, match="47 dimensions"):
        OnnxEncoder(load_bundle(folder)).encode_texts(["red"])


def test_packaged_words_and_things_agree():
    encoder = OnnxEncoder(load_bundle("lite"), threads=1)
    dog, puppy, bridge = encoder.encode_texts(["a dog", "a puppy", "a stone bridge"])
    assert dog @ puppy > dog @ bridge
