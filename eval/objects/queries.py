"""Measure queries about objects, such as "a photo with two dogs", on annotated photographs.

    python eval/objects/queries.py --data DATA [--detector yolox-nano] [--encoder lite]

DATA holds `coco/` (docs/evaluation.md). Sentences are made of the labels that the photographs bear
and read by the query language. What a sentence asks is right for a photograph if the annotations
meet the conditions it is read as; the answer comes from what the packaged detector stores. Beside
the filter stand other ways to rank the same photographs: by meaning alone, by meaning and the words
of the labels, and with what the filter finds first and everything else behind it. What is decided
(when plain words become a filter) was decided on the photographs of even number.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from photographs import Photograph, Tally, halves, photographs
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.detector_onnx import OnnxDetector
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.filters import Filter, HasObject, matches
from lookalike.domain.images import (
    DetectedObject,
    ImageFacts,
    ImageRecord,
    Row,
    image_id,
)
from lookalike.domain.objects import name_of, plural_of, super_classes
from lookalike.domain.queries import TextMatch
from lookalike.domain.query_language import parse_query
from lookalike.engine.documents import document_of
from lookalike.evaluation.metrics import average_precision, recall
from lookalike.evaluation.reports import Table, describe_machine, render_text
from lookalike.imaging.preprocess import to_model_pixels
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
LEAST_RELEVANT = 3
"""Photographs of a group that a sentence must be right for to be asked."""

GROUPS = ("even", "odd", "odd val2017", "all")
WAYS = ("meaning", "meaning and labels", "filter", "filter first")


class Sentence(NamedTuple):
    """A query of some form, the conditions it should be read as, and the words to rank by."""

    form: str
    text: str
    conditions: tuple[HasObject, ...]
    is_read: bool


def article(label: str) -> str:
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def sentences(photos: Sequence[Photograph]) -> Iterator[Sentence]:
    """Yield what could be asked about labels and pairs of labels that occur."""
    labels = sorted({label for photo in photos for label in photo.counts})
    labels = [label for label in labels if label not in {"mouse", "orange"}]
    together = Counter(pair for photo in photos for pair in permutations(photo.counts, 2))
    for label in labels:
        many, one = plural_of(label), HasObject(label)
        yield Sentence("LABEL", label, (one,), is_read=False)
        yield Sentence("a LABEL", article(label), (one,), is_read=False)
        yield Sentence("pictures of LABELS", f"pictures of {many}", (one,), is_read=False)
        yield Sentence("images containing LABELS", f"images containing {many}", (one,), True)
        two = HasObject(label, 2)
        yield Sentence("a photo with two LABELS", f"a photo with two {many}", (two,), True)
        three = HasObject(label, 3)
        yield Sentence("at least three LABELS", f"at least three {many}", (three,), True)
        exact = HasObject(label, 2, 2)
        yield Sentence("exactly two LABELS", f"exactly two {many}", (exact,), True)
        for other in labels:
            if together[label, other] < LEAST_RELEVANT:
                continue
            second, no = HasObject(other), HasObject(other, is_negated=True)
            yield Sentence(
                "two LABELS and a LABEL", f"two {many} and {article(other)}", (two, second), True
            )
            yield Sentence(
                "a LABEL but no LABEL", f"{article(label)} but no {other}", (one, no), True
            )
            if label < other:
                text = f"{article(label)} and {article(other)}"
                yield Sentence("a LABEL and a LABEL", text, (one, second), is_read=False)
    for name in super_classes():
        if (found := name_of(name)) and name != "plant":
            shown = name if found.is_plural else plural_of(name)
            yield Sentence(
                "images containing CLASS", f"images containing {shown}", (HasObject(name),), True
            )


def records(photos: Sequence[Photograph], found: Sequence[tuple[DetectedObject, ...]]):
    return [
        ImageRecord(Row(n), ImageFacts(image_id(b"%d" % n), 1, 1, 1, "jpeg"), objects=objects)
        for n, (_, objects) in enumerate(zip(photos, found, strict=True))
    ]


class Ranker:
    """Ranks all photographs for a text as the engine does, over labels as the only words."""

    def __init__(self, photos, found, encoder: OnnxEncoder, folder: Path) -> None:
        pixels = np.stack(
            [to_model_pixels(Image.fromarray(photo.pixels), encoder.preprocess) for photo in photos]
        )
        self._vectors = encoder.encode_images(pixels)
        self._encoder = encoder
        self._texts = TantivyTextIndex.open(folder, is_writer=True)
        self._texts.add([document_of(record) for record in found])
        self._texts.commit(1)
        self._rows = np.arange(len(photos))
        self._known: dict[str, dict[str, np.ndarray]] = {}

    def features(self, words: str) -> dict[str, np.ndarray]:
        if words not in self._known:
            (vector,) = self._encoder.encode_texts([words])
            bm25 = self._texts.score(TextMatch(words=words), self._rows).reshape(-1)
            self._known[words] = {"cosine": self._vectors @ vector, "bm25": bm25}
        return self._known[words]

    def order(self, words: str, names: Sequence[str], chosen: np.ndarray) -> np.ndarray:
        features = {name: self.features(words)[name][chosen] for name in names}
        scores = ReciprocalRankFusion().score(features)
        return chosen[np.argsort(-scores, kind="stable")]


def rank_all(ranker: Ranker, words: str, passing: np.ndarray, chosen: np.ndarray):
    both = ranker.order(words, ("cosine", "bm25"), chosen)
    is_passing = passing[both]
    return {
        "meaning": ranker.order(words, ("cosine",), chosen),
        "meaning and labels": both,
        "filter": both[is_passing],
        "filter first": np.concatenate([both[is_passing], both[~is_passing]]),
    }


def measure(photos, said, told, ranker: Ranker) -> dict[str, dict]:
    """Every figure by form and group of photographs."""
    groups = {name: np.array(halves(photos)[name]) for name in GROUPS}
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    ranked: dict[tuple[str, str], list[dict[str, tuple[float, float]]]] = defaultdict(list)
    for asked in sentences(photos):
        filter_ = Filter(asked.conditions)
        right = np.array([matches(record, filter_) for record in told])
        if right.sum() < LEAST_RELEVANT:
            continue
        query = parse_query(asked.text)
        assert query.filter == (filter_ if asked.is_read else Filter()), asked.text
        passing = np.array([matches(record, filter_) for record in said])
        for name, chosen in groups.items():
            good, given = right[chosen], passing[chosen]
            if good.sum() < LEAST_RELEVANT:
                continue
            key = (asked.form, name)
            tallies[key] += Tally(
                int((good & given).sum()), int((given & ~good).sum()), int((good & ~given).sum())
            )
            words = query.match.words
            orders = rank_all(ranker, words, passing, chosen)
            ranked[key].append({way: _rates(right, order, good) for way, order in orders.items()})
    result: dict[str, dict] = defaultdict(dict)
    for (form, name), ways in ranked.items():
        means = {
            way: dict(zip(("ap", "r_precision"), _means([one[way] for one in ways]), strict=True))
            for way in WAYS
        }
        result[name][form] = {
            "queries": len(ways),
            "filter": tallies[form, name].rates(),
            "ranking": means,
        }
    return dict(result)


def _rates(right: np.ndarray, order: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    grades, judged = right[order].astype(int).tolist(), good.astype(int).tolist()
    return average_precision(grades, judged, None), recall(grades, judged, int(good.sum()))


def _means(rates: Sequence[tuple[float, float]]) -> list[float]:
    return np.round(np.mean(rates, axis=0), 4).tolist()


def summary(groups: dict[str, dict], name: str) -> Table:
    columns = ("form", "queries", "filter: P", "R", *(f"{way}: AP" for way in WAYS))
    rows = [
        (form, one["queries"], one["filter"]["precision"], one["filter"]["recall"],
         *(one["ranking"][way]["ap"] for way in WAYS))
        for form, one in groups[name].items()
    ]  # fmt: skip
    return Table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default="yolox-nano")
    parser.add_argument("--encoder", default="lite")
    parser.add_argument("--out", type=Path, default=HERE / "queries.json")
    options = parser.parse_args()
    photos = photographs(options.data / "coco")
    detector = OnnxDetector(load_bundle(options.detector), threads=1)
    said = records(photos, detector.detect([photo.pixels for photo in photos]))
    truth = [
        tuple(DetectedObject(label, 1.0, box) for label, box in photo.objects) for photo in photos
    ]
    encoder = OnnxEncoder(load_bundle(options.encoder), threads=1)
    with tempfile.TemporaryDirectory() as folder:
        ranker = Ranker(photos, said, encoder, Path(folder))
        groups = measure(photos, said, records(photos, truth), ranker)
    result = {
        "what": "queries about objects on COCO photographs that are annotated whole",
        "note": "choices were made on the even photographs; train2017 trained the detector",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit_of(),
        "seed": 0,
        "machine": asdict(describe_machine()),
        "detector": options.detector,
        "encoder": options.encoder,
        "photographs": {name: len(halves(photos)[name]) for name in GROUPS},
        "groups": groups,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name in ("even", "odd", "odd val2017"):
        print(f"\n{name}\n{render_text(summary(groups, name))}")


if __name__ == "__main__":
    main()
