"""Read a folder laid out as ONNX CLIP repositories are, with no `bundle.toml`.

Two layouts: transformers.js and Optimum (`config.json`,
`preprocessor_config.json`, `tokenizer.json`, `onnx/vision_model.onnx`,
`onnx/text_model.onnx`), and immich (`visual/model.onnx`,
`visual/preprocess_cfg.json`, `textual/model.onnx`, `textual/tokenizer.json`,
`config.json`). Hashes are taken from the files, so that the fingerprint
is as telling as a described bundle's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from lookalike.adapters.bundle_hash import sha256_of
from lookalike.domain.bundle import (
    Bundle,
    BundleFile,
    BundleKind,
    ImageTower,
    Interpolation,
    LicencePart,
    Preprocess,
    ResizeMode,
    Source,
    TextTower,
    Triple,
)
from lookalike.domain.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

# Radford et al. 2021, the values CLIP's own code normalises with.
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
CLIP_CONTEXT: Final = 77
CLIP_SIZE: Final = 224

_VISION: Final = ("onnx/vision_model.onnx", "vision_model.onnx", "visual/model.onnx")
_TEXT: Final = ("onnx/text_model.onnx", "text_model.onnx", "textual/model.onnx")
_TOKENIZER: Final = ("tokenizer.json", "textual/tokenizer.json")
_PREPROCESS: Final = ("preprocessor_config.json", "visual/preprocess_cfg.json")
# Pillow's resampling numbers, which preprocessor_config.json uses.
_RESAMPLE: Final[dict[object, Interpolation]] = {2: "bilinear", 3: "bicubic"}

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The files found in a folder, each relative to it, or empty."""

    vision: str
    text: str
    tokenizer: str
    preprocess: str


def read_foreign(folder: Path) -> Bundle:
    """Describe the CLIP model in `folder` by its own configuration files.

    Raises:
        BundleError: the folder is in no known layout, or lacks what it needs.
    """
    layout = _Layout(
        *(_first(folder, names) for names in (_VISION, _TEXT, _TOKENIZER, _PREPROCESS))
    )
    if not layout.vision and not layout.text:
        raise BundleError(
            f"{folder} is not a model bundle: no bundle.toml and none of " + ", ".join(_VISION),
            hint="see docs/models.md for the layouts that are read",
        )
    if layout.text and not layout.tokenizer:
        raise BundleError(
            f"{folder} has {layout.text} but no tokenizer.json",
            hint="add the tokenizer.json of the model's repository",
        )
    config = _json(folder, "config.json")
    image = _image(folder, layout) if layout.vision else None
    text = _text(folder, config, layout) if layout.text else None
    kind: BundleKind = "dual" if image and text else "image" if image else "text"
    used = (layout.vision, layout.text, layout.tokenizer if layout.text else "")
    return Bundle(
        name=folder.name,
        version="0",
        kind=kind,
        dim=_dim(config, folder),
        root=folder,
        files=tuple(BundleFile(path, sha256_of(folder / path)) for path in used if path),
        image=image,
        text=text,
        similarity_scale=100.0,
        licences=(LicencePart("all", "unknown", "the folder states none that is read"),),
        sources=(Source("all", str(config.get("_name_or_path", folder.name))),),
    )


def _first(folder: Path, names: tuple[str, ...]) -> str:
    return next((name for name in names if (folder / name).is_file()), "")


def _json(folder: Path, name: str) -> Json:
    path = folder / name
    if not name or not path.is_file():
        return {}
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not valid JSON: {error}", hint="fetch it again") from error
    return cast("Json", value) if isinstance(value, dict) else {}


def _table(config: Json, key: str) -> Json:
    value = config.get(key)
    return cast("Json", value) if isinstance(value, dict) else {}


def _dim(config: Json, folder: Path) -> int:
    for value in (config.get("projection_dim"), config.get("embed_dim")):
        if isinstance(value, int) and value > 0:
            return value
    raise BundleError(
        f"{folder / 'config.json'} states neither projection_dim nor embed_dim",
        hint="add the config.json of the model's repository, or write a bundle.toml",
    )


def _image(folder: Path, layout: _Layout) -> ImageTower:
    config = _json(folder, layout.preprocess)
    crops = config.get("do_center_crop", config.get("resize_mode", "shortest") == "shortest")
    resize: ResizeMode = "shortest_edge_center_crop" if crops else "squash"
    named = config.get("interpolation", "bicubic")
    kernel: Interpolation = "bilinear" if named == "bilinear" else "bicubic"
    return ImageTower(
        stages=(layout.vision,),
        preprocess=Preprocess(
            size=_size(config),
            resize=resize,
            interpolation=_RESAMPLE.get(config.get("resample"), kernel),
            mean=_triple(config.get("image_mean", config.get("mean")), CLIP_MEAN),
            std=_triple(config.get("image_std", config.get("std")), CLIP_STD),
        ),
        output="image_embeds" if layout.vision != "visual/model.onnx" else "",
    )


def _size(config: Json) -> int:
    """Find the side length among the ways it is written: 224, [224, 224], {...}."""
    for key in ("crop_size", "size"):
        value = config.get(key)
        if isinstance(value, dict):
            table = cast("Json", value)
            value = table.get("shortest_edge", table.get("height"))
        if isinstance(value, list) and value:
            value = cast("list[object]", value)[0]
        if isinstance(value, int) and value > 0:
            return value
    return CLIP_SIZE


def _triple(value: object, default: Triple) -> Triple:
    if not isinstance(value, list):
        return default
    items = [item for item in cast("list[object]", value) if isinstance(item, int | float)]
    if len(items) != len(default):
        return default
    return float(items[0]), float(items[1]), float(items[2])


def _text(folder: Path, config: Json, layout: _Layout) -> TextTower:
    """Describe the text tower: CLIP pads every text to its whole context."""
    table = _table(config, "text_config") or _table(config, "text_cfg")
    length = table.get("max_position_embeddings", table.get("context_length", CLIP_CONTEXT))
    return TextTower(
        stages=(layout.text,),
        tokenizer=layout.tokenizer,
        context_length=length if isinstance(length, int) else CLIP_CONTEXT,
        padding="context",
        pad_id=_pad_id(folder, layout.tokenizer),
        output="text_embeds" if layout.text != "textual/model.onnx" else "",
    )


def _pad_id(folder: Path, tokenizer: str) -> int:
    """Look up the padding token: `tokenizer_config.json` names it, the tokenizer numbers it."""
    beside = tokenizer.removesuffix("tokenizer.json") + "tokenizer_config.json"
    named = _json(folder, beside).get("pad_token")
    if isinstance(named, dict):
        named = cast("Json", named).get("content")
    described = _json(folder, tokenizer)
    padding = _table(described, "padding").get("pad_id")
    if isinstance(padding, int):
        return padding
    added = described.get("added_tokens")
    for token in cast("list[Json]", added) if isinstance(added, list) else []:
        number = token.get("id")
        if token.get("content") == named and isinstance(number, int):
            return number
    return 0
