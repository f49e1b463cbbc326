"""Turn a parsed `bundle.toml` into a `Bundle`, naming the key that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast, get_args

from lookalike.domain.bundle import (
    Bundle,
    BundleFile,
    BundleKind,
    Canvas,
    Channels,
    DetectorHead,
    DetectorModel,
    ImageInput,
    ImageTower,
    Interpolation,
    LicencePart,
    Padding,
    Placement,
    Preprocess,
    ResizeMode,
    Source,
    TextTower,
    Triple,
)
from lookalike.domain.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT: Final = 1
STRIDE: Final = 32
"""What the sides of a detector's canvas are multiples of: the step of its coarsest grid."""

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "dual": ("image", "text"),
    "image": ("image",),
    "text": ("text",),
    "detector": ("detector",),
}

T = TypeVar("T")
Scalar = TypeVar("Scalar", str, int, float)
Number = TypeVar("Number", int, float)


class Table:
    """A TOML table whose values are taken by key and type, or refused by name."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values = values
        self._where = where

    def wrong(self, key: str, expected: str) -> BundleError:
        """Make the error for a value that is missing or of another type."""
        return BundleError(
            f"{self._where}: {key!r} must be {expected}", hint="see docs/models.md for the format"
        )

    def scalar(self, key: str, kind: type[Scalar], default: Scalar | None = None) -> Scalar:
        """Take a string or number (a whole number serves as a float)."""
        value = self._values.get(key, default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.wrong(key, f"a {kind.__name__}")
        return cast("Scalar", value)

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Take one of a few words."""
        value = self.scalar(key, str, default)
        if value not in allowed:
            raise self.wrong(key, "one of " + ", ".join(allowed))
        return value

    def within(self, key: str, bounds: tuple[Number, Number], default: Number) -> Number:
        """Take a number between two others, both allowed."""
        low, high = bounds
        value = self.scalar(key, type(default), default)
        if not low <= value <= high:
            raise self.wrong(key, f"between {low} and {high}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Take a list of strings that is not empty."""
        value = self._values.get(key)
        if not isinstance(value, list) or not value:
            raise self.wrong(key, "a list of strings")
        items = cast("list[object]", value)
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "a list of strings")
        return tuple(cast("list[str]", items))

    def triple(self, key: str, default: Triple) -> Triple:
        """Take three numbers, one a colour channel."""
        value = self._values.get(key)
        if value is None:
            return default
        items = cast("list[object]", value) if isinstance(value, list) else []
        if len(items) != len(default) or not all(isinstance(item, int | float) for item in items):
            raise self.wrong(key, "three numbers")
        red, green, blue = (float(item) for item in cast("list[float]", items))
        return red, green, blue

    def table(self, key: str) -> Table | None:
        """Take a table, if there is one."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return Table(cast("dict[str, object]", value), f"{self._where} [{key}]")

    def tables(self, key: str) -> list[Table]:
        """Take a list of tables, empty when absent."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "a list of tables")
        items = cast("list[object]", value)
        if not all(isinstance(item, dict) for item in items):
            raise self.wrong(key, "a list of tables")
        found = cast("list[dict[str, object]]", items)
        return [Table(item, f"{self._where} [[{key}]]") for item in found]

    def items(self, kind: type[Scalar]) -> tuple[tuple[str, Scalar], ...]:
        """Take all of the table's entries, each of one type."""
        return tuple((key, self.scalar(key, kind)) for key in self._values)


def read_manifest(values: Mapping[str, object], root: Path) -> Bundle:
    """Read a parsed `bundle.toml` of the folder `root`.

    Raises:
        BundleError: a newer format, or a key that is missing or wrong.
    """
    top = Table(values, str(root / "bundle.toml"))
    version = top.scalar("format", int)
    if version > FORMAT:
        raise BundleError(
            f"the bundle in {root} has format {version}, this version reads up to {FORMAT}",
            hint="upgrade lookalike: pip install --upgrade lookalike",
        )
    kind = cast("BundleKind", top.choice("kind", get_args(BundleKind)))
    for needed in _NEEDS[kind]:
        if top.table(needed) is None:
            raise top.wrong(needed, f"a table, since the kind is {kind!r}")
    files, quality = top.table("files"), top.table("quality")
    if files is None:
        raise top.wrong("files", "a table of paths and SHA-256 hashes")
    bundle = Bundle(
        name=top.scalar("name", str),
        version=top.scalar("version", str),
        kind=kind,
        dim=top.scalar("dim", int, 0 if kind == "detector" else None),
        root=root,
        files=tuple(BundleFile(path, sha256) for path, sha256 in files.items(str)),
        image=_image(top.table("image")),
        text=_text(top.table("text")),
        detector=_detector(top.table("detector")),
        similarity_scale=top.scalar("similarity_scale", float, 100.0),
        licences=tuple(_licence(part) for part in top.tables("licence")),
        sources=tuple(_source(part) for part in top.tables("source")),
        quality=() if quality is None else quality.items(float),
        languages=top.strings("languages") if "languages" in values else (),
    )
    listed = {file.path for file in bundle.files}
    for path in _used(bundle):
        if path not in listed:
            raise top.wrong("files", f"a table that lists {path}, which a model is read from")
    return bundle


def _used(bundle: Bundle) -> tuple[str, ...]:
    """List the files that the towers and the detector are read from."""
    image = bundle.image.stages if bundle.image else ()
    text = (*bundle.text.stages, bundle.text.tokenizer) if bundle.text else ()
    detector = (bundle.detector.model, bundle.detector.labels) if bundle.detector else ()
    return (*image, *text, *detector)


def _image(table: Table | None) -> ImageTower | None:
    if table is None:
        return None
    default = Preprocess(size=0)
    resize = table.choice("resize", get_args(ResizeMode), default.resize)
    kernel = table.choice("interpolation", get_args(Interpolation), default.interpolation)
    return ImageTower(
        stages=table.strings("stages"),
        preprocess=Preprocess(
            size=table.scalar("size", int),
            resize=cast("ResizeMode", resize),
            interpolation=cast("Interpolation", kernel),
            mean=table.triple("mean", default.mean),
            std=table.triple("std", default.std),
        ),
        input=cast("ImageInput", table.choice("input", get_args(ImageInput), "float32_nchw")),
        output=table.scalar("output", str, ""),
        max_batch=table.scalar("max_batch", int, 32),
    )


def _text(table: Table | None) -> TextTower | None:
    if table is None:
        return None
    return TextTower(
        stages=table.strings("stages"),
        tokenizer=table.scalar("tokenizer", str),
        context_length=table.scalar("context_length", int),
        padding=cast("Padding", table.choice("padding", get_args(Padding), "longest")),
        pad_id=table.scalar("pad_id", int, 0),
        output=table.scalar("output", str, ""),
        max_batch=table.scalar("max_batch", int, 64),
    )


def _detector(table: Table | None) -> DetectorModel | None:
    if table is None:
        return None
    size = table.scalar("size", int)
    if size < STRIDE or size % STRIDE:
        raise table.wrong("size", f"a multiple of {STRIDE}")
    channels = table.choice("channels", get_args(Channels), "rgb")
    return DetectorModel(
        model=table.scalar("model", str),
        labels=table.scalar("labels", str),
        architecture=cast("DetectorHead", table.choice("architecture", get_args(DetectorHead))),
        size=size,
        channels=cast("Channels", channels),
        pixel_scale=table.scalar("pixel_scale", float, 1 / 255),
        pad=table.within("pad", (0, 255), 114),
        placement=cast("Placement", table.choice("placement", get_args(Placement), "centre")),
        canvas=cast("Canvas", table.choice("canvas", get_args(Canvas), "square")),
        min_score=table.within("min_score", (0.0, 1.0), 0.25),
        nms_iou=table.within("nms_iou", (0.0, 1.0), 0.65),
        max_batch=table.within("max_batch", (1, 1024), 8),
    )


def _licence(table: Table) -> LicencePart:
    return LicencePart(
        part=table.scalar("part", str),
        licence=table.scalar("licence", str),
        note=table.scalar("note", str, ""),
    )


def _source(table: Table) -> Source:
    return Source(
        part=table.scalar("part", str),
        package=table.scalar("package", str),
        file=table.scalar("file", str, ""),
        sha256=table.scalar("sha256", str, ""),
        note=table.scalar("note", str, ""),
    )
