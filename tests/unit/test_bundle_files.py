"""Finding, reading and verifying bundles."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from lookalike.adapters.bundle_files import (
    PACKAGED,
    load_bundle,
    packaged_names,
    require_intact,
    verify,
)
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.errors import (
    BundleCorruptError,
    BundleError,
    MissingFileError,
    UnknownModelError,
)
from lookalike.imaging.preprocess import to_model_pixels
from tests.tiny_bundle import make_bundle
from tests.tiny_clip import CONTEXT, DIM, MEAN, SIZE, STD, make_clip


@pytest.fixture
def folder(tmp_path):
    return make_bundle(tmp_path / "tiny")


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "tiny-clip")


def edit(folder, old, new):
    path = folder / "bundle.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


class TestPackaged:
    def test_both_are_listed(self):
        assert {"lite", "lite-conse"} <= set(packaged_names())

    @pytest.mark.parametrize("name", ["lite", "lite-conse"])
    def test_every_file_is_as_stated(self, name):
        bundle = load_bundle(name)
        assert {report.state for report in verify(bundle)} == {"ok"}
        require_intact(bundle)

    @pytest.mark.parametrize("name", ["lite", "lite-conse"])
    def test_it_says_where_it_comes_from_and_how_good_it_is(self, name):
        bundle = load_bundle(name)
        assert bundle.licences
        assert all(len(source.sha256) == 64 for source in bundle.sources)
        quality = dict(bundle.quality)
        assert 0 < quality["coco_class_words.map"] < 1

    def test_stated_quality_is_the_measured_one(self):
        measured = PACKAGED.parents[2] / "eval" / "encoder"
        if not measured.is_dir():
            pytest.skip("eval/encoder is not beside the package")
        for name in ("lite", "lite-conse"):
            report = json.loads((measured / f"{name}.json").read_text())
            bundle = load_bundle(name)
            assert dict(bundle.quality) == pytest.approx(report["quality"])
            assert bundle.fingerprint == report["fingerprint"]

    def test_the_towers_are_shared_not_copied(self):
        one, two = load_bundle("lite"), load_bundle("lite-conse")
        assert one.path(one.image.stages[0]) == two.path(two.image.stages[0])
        size = sum(path.stat().st_size for path in PACKAGED.rglob("*") if path.is_file())
        assert size < 50_000_000

    def test_only_one_knows_flickr8k(self):
        notes = {name: str(load_bundle(name).licences) for name in ("lite", "lite-conse")}
        assert "Flickr8k" in notes["lite"]
        assert "Flickr8k" not in notes["lite-conse"]


class TestReading:
    def test_by_folder_manifest_and_name(self, folder, tmp_path):
        by_folder = load_bundle(folder)
        assert load_bundle(str(folder / "bundle.toml")) == by_folder
        assert load_bundle("tiny", packaged=tmp_path) == by_folder
        assert (by_folder.name, by_folder.kind, by_folder.licence) == ("tiny", "dual", "CC0-1.0")

    def test_an_unknown_name_lists_the_known(self):
        with pytest.raises(UnknownModelError, match="no model bundle named 'lit'") as caught:
            load_bundle("lit")
        assert "lite" in caught.value.hint

    def test_a_newer_format_says_to_upgrade(self, folder):
        edit(folder, "format = 1", "format = 2")
        with pytest.raises(BundleError, match="format 2") as caught:
            load_bundle(folder)
        assert "upgrade" in caught.value.hint

    @pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "tokenizer.json"])
    def test_a_missing_file_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(MissingFileError, match=name):
            load_bundle(folder)

    def test_a_folder_without_a_model_is_refused(self, tmp_path):
        with pytest.raises(BundleError, match=r"no bundle\.toml"):
            load_bundle(tmp_path)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('name = "tiny"', "name = 3", "'name'"),
            ("dim = 48", 'dim = "48"', "'dim'"),
            ("dim = 48", "", "'dim'"),
            ('kind = "dual"', 'kind = "duel"', "'kind'"),
            ("size = 16", "", "'size'"),
            ("mean = [0.5, 0.5, 0.5]", "mean = [0.5]", "'mean'"),
            ('stages = ["image.onnx"]', "stages = []", "'stages'"),
            ('stages = ["text.onnx"]', "stages = [1]", "'stages'"),
            ("[text]", "[texts]", "'text'"),
            ("[files]", "[file]", "'files'"),
            ("[[licence]]", "[licence]", "'licence'"),
        ],
    )
    def test_a_wrong_key_is_named(self, folder, old, new, named):
        edit(folder, old, new)
        with pytest.raises(BundleError, match=named):
            load_bundle(folder)

    def test_invalid_toml_is_a_typed_error(self, folder):
        (folder / "bundle.toml").write_text("format = = 1")
        with pytest.raises(BundleError, match="not valid TOML"):
            load_bundle(folder)

    def test_a_stage_without_a_hash_is_refused(self, folder):
        edit(folder, '"image.onnx" = ', '"other.onnx" = ')
        with pytest.raises(BundleError, match=r"image\.onnx"):
            load_bundle(folder)

    def test_a_detector_is_described(self, tmp_path):
        (tmp_path / "bundle.toml").write_text(
            'format = 1\nname = "d"\nversion = "1"\nkind = "detector"\n[detector]\n'
            'model = "m.onnx"\nlabels = "labels.txt"\narchitecture = "yolox"\nsize = 416\n'
            '[files]\n"m.onnx" = "00"\n"labels.txt" = "11"\n'
        )
        (tmp_path / "m.onnx").touch()
        (tmp_path / "labels.txt").touch()
        bundle = load_bundle(tmp_path)
        assert bundle.detector.size == 416
        assert bundle.image is None


class TestVerifying:
    def test_a_changed_file_is_reported(self, folder):
        bundle = load_bundle(folder)
        (folder / "image.onnx").write_bytes(b"something else")
        (folder / "text.onnx").unlink()
        states = {report.path: report.state for report in verify(bundle)}
        assert states == {"image.onnx": "corrupt", "text.onnx": "missing", "tokenizer.json": "ok"}

    def test_a_changed_file_raises(self, folder):
        bundle = load_bundle(folder)
        (folder / "image.onnx").write_bytes(b"something else")
        with pytest.raises(BundleCorruptError, match=r"image\.onnx"):
            require_intact(bundle)
        (folder / "image.onnx").unlink()
        with pytest.raises(MissingFileError, match=r"image\.onnx"):
            require_intact(bundle)

    def test_a_file_without_a_hash_is_said_to_be(self, folder):
        bundle = load_bundle(folder)
        unstated = tuple(replace(file, sha256="") for file in bundle.files)
        assert {report.state for report in verify(replace(bundle, files=unstated))} == {"unstated"}


class TestForeign:
    def test_a_transformers_folder_is_read(self, clip):
        bundle = load_bundle(clip)
        assert (bundle.name, bundle.kind, bundle.dim) == ("tiny-clip", "dual", DIM)
        assert bundle.text.context_length == CONTEXT
        assert bundle.text.pad_id == 1
        preprocess = bundle.image.preprocess
        assert preprocess.resize == "shortest_edge_center_crop"
        assert (preprocess.size, preprocess.interpolation) == (SIZE, "bicubic")
        assert preprocess.mean == tuple(MEAN)
        assert all(report.state == "ok" for report in verify(bundle))

    def test_both_layouts_of_one_model_read_alike(self, clip, tmp_path):
        one = load_bundle(clip)
        two = load_bundle(make_clip(tmp_path / "immich", layout="immich"))
        assert one.image.preprocess == two.image.preprocess
        assert one.text.context_length == two.text.context_length
        texts = ["a dog", "two red cars on a bridge"]
        np.testing.assert_allclose(
            OnnxEncoder(one).encode_texts(texts), OnnxEncoder(two).encode_texts(texts), atol=1e-6
        )

    def test_pictures_are_prepared_as_the_reference_does(self, clip):
        """Resize the shorter side, cut the centre, scale, normalise: all written out here."""
        rng = np.random.default_rng(3)
        picture = Image.fromarray(rng.integers(0, 256, (48, 96, 3), dtype=np.uint8))
        resized = picture.resize((SIZE * 2, SIZE), Image.Resampling.BICUBIC)
        centre = np.asarray(resized.crop((SIZE // 2, 0, SIZE // 2 + SIZE, SIZE)), np.float64)
        planes = ((centre / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)
        session = ort.InferenceSession(str(clip / "onnx" / "vision_model.onnx"))
        (expected,) = session.run(["image_embeds"], {"pixel_values": planes})
        expected /= np.linalg.norm(expected)

        encoder = OnnxEncoder(load_bundle(clip))
        found = encoder.encode_images(to_model_pixels(picture, encoder.preprocess)[None])
        assert float(found[0] @ expected[0]) > 0.9999

    def test_texts_are_padded_as_the_reference_does(self, clip):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(clip / "tokenizer.json"))
        ids = tokenizer.encode("a photo of a dog").ids
        ids += [1] * (CONTEXT - len(ids))
        session = ort.InferenceSession(str(clip / "onnx" / "text_model.onnx"))
        feeds = {"input_ids": np.array([ids])}
        feeds["attention_mask"] = np.ones_like(feeds["input_ids"])
        names = [item.name for item in session.get_inputs()]
        (expected,) = session.run(["text_embeds"], {name: feeds[name] for name in names})
        expected /= np.linalg.norm(expected)
        found = OnnxEncoder(load_bundle(clip)).encode_texts(["a photo of a dog"])
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_a_text_model_without_a_tokenizer_is_refused(self, clip):
        (clip / "tokenizer.json").unlink()
        with pytest.raises(BundleError, match=r"no tokenizer\.json"):
            load_bundle(clip)

    def test_a_folder_that_states_no_dimension_is_refused(self, clip):
        (clip / "config.json").write_text("{}")
        with pytest.raises(BundleError, match="projection_dim"):
            load_bundle(clip)

    def test_invalid_json_is_a_typed_error(self, clip):
        (clip / "config.json").write_text("{")
        with pytest.raises(BundleError, match="not valid JSON"):
            load_bundle(clip)

    @pytest.mark.parametrize(
        ("config", "size", "resize"),
        [
            ({"size": 48, "do_center_crop": False}, 48, "squash"),
            ({"size": {"height": 40, "width": 40}}, 40, "shortest_edge_center_crop"),
            ({"crop_size": [24, 24]}, 24, "shortest_edge_center_crop"),
            ({"image_mean": "x"}, 224, "shortest_edge_center_crop"),
        ],
    )
    def test_the_ways_to_write_a_size_are_read(self, clip, config, size, resize):
        (clip / "preprocessor_config.json").write_text(json.dumps(config))
        preprocess = load_bundle(clip).image.preprocess
        assert (preprocess.size, preprocess.resize) == (size, resize)


def test_reading_a_bundle_loads_no_heavy_library():
    code = (
        "import sys; from lookalike.adapters.bundle_files import load_bundle; "
        "from lookalike.adapters.encoder_onnx import OnnxEncoder; "
        "OnnxEncoder(load_bundle('lite')); "
        "print([name for name in ('onnxruntime', 'tokenizers', 'onnx') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
