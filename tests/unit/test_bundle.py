"""The bundle's own facts: its fingerprint and its licences."""

from dataclasses import replace
from pathlib import Path

from lookalike.domain.bundle import (
    Bundle,
    BundleFile,
    DetectorModel,
    ImageTower,
    LicencePart,
    Preprocess,
    TextTower,
)

BUNDLE = Bundle(
    name="a", version="1", kind="dual", dim=8, root=Path("/one"),
    files=(
        BundleFile("image.onnx", "aa"), BundleFile("text.onnx", "bb"), BundleFile("t.json", "cc"),
    ),
    image=ImageTower(("image.onnx",), Preprocess(32)),
    text=TextTower(("text.onnx",), "t.json", 77),
)  # fmt: skip


def test_fingerprint_is_stable_across_versions_of_the_code():
    assert BUNDLE.fingerprint == "2c45abe1aacf0c3f2043ee243ba40bb1"


def test_fingerprint_leaves_out_names_places_and_batch_sizes():
    moved = replace(
        BUNDLE, name="b", version="2", root=Path("/two"), similarity_scale=1.0,
        image=replace(BUNDLE.image, max_batch=1), text=replace(BUNDLE.text, max_batch=1),
    )  # fmt: skip
    assert moved.fingerprint == BUNDLE.fingerprint


def test_fingerprint_leaves_out_where_a_file_lies():
    files = tuple(replace(file, path=f"../shared/{file.path}") for file in BUNDLE.files)
    elsewhere = replace(
        BUNDLE,
        files=files,
        image=replace(BUNDLE.image, stages=("../shared/image.onnx",)),
        text=replace(BUNDLE.text, stages=("../shared/text.onnx",), tokenizer="../shared/t.json"),
    )
    assert elsewhere.fingerprint == BUNDLE.fingerprint


def test_fingerprint_changes_with_what_changes_vectors():
    image, text = BUNDLE.image, BUNDLE.text
    others = [
        replace(BUNDLE, files=(BundleFile("image.onnx", "ab"), *BUNDLE.files[1:])),
        replace(BUNDLE, image=replace(image, preprocess=Preprocess(33))),
        replace(BUNDLE, image=replace(image, preprocess=Preprocess(32, interpolation="bicubic"))),
        replace(BUNDLE, image=replace(image, input="uint8_nhwc")),
        replace(BUNDLE, text=replace(text, context_length=64)),
        replace(BUNDLE, text=replace(text, padding="context")),
        replace(BUNDLE, text=None),
    ]
    prints = {bundle.fingerprint for bundle in others} | {BUNDLE.fingerprint}
    assert len(prints) == len(others) + 1


def test_a_detector_has_a_fingerprint_of_its_files():
    files = (BundleFile("detector.onnx", "aa"), BundleFile("labels.txt", "bb"))
    model = DetectorModel("detector.onnx", "labels.txt", "yolox", 416)
    detector = Bundle(
        name="d", version="1", kind="detector", dim=0, root=Path(), files=files, detector=model
    )
    other = replace(detector, files=(files[0], BundleFile("labels.txt", "cc")))
    assert detector.fingerprint != other.fingerprint


def test_licence_lists_each_once():
    parts = (LicencePart("a", "MIT"), LicencePart("b", "Apache-2.0"), LicencePart("c", "MIT AND X"))
    assert replace(BUNDLE, licences=parts).licence == "MIT AND Apache-2.0 AND X"


def test_paths_are_resolved_against_the_folder():
    assert BUNDLE.path("../towers/x.onnx") == Path("/towers/x.onnx")
