"""Records and filters as hypothesis makes them, with every kind of condition."""

from hypothesis import strategies as st

from lookalike.domain.filters import (
    ASPECTS,
    NUMBER_FIELDS,
    SIZES,
    TYPES,
    Between,
    Filter,
    HasObject,
    OneOf,
)
from lookalike.domain.images import (
    COLOR_NAMES,
    KINDS,
    DetectedObject,
    ImageFacts,
    ImageRecord,
    PaletteColour,
    Row,
    Source,
    image_id,
)

SITES = ["", "org", "example.org", "a.example.org", "notexample.org", "b.a.example.org"]
LICENCES = ["unknown", "cc0", "cc-by-4.0", "cc-by-nc-nd-2.0", "public-domain", "mit"]
PALETTE = [
    PaletteColour((53.2, 80.1, 67.2), 0.5),
    PaletteColour((55.0, 78.0, 60.0), 0.02),
    PaletteColour((32.3, 79.2, -107.9), 0.2),
    PaletteColour((0.0, 0.0, 0.0), 0.01),
]
SHADES = ["#ff0000~15", "#0000ff~8", "#000000~15", "#123456~1", "#808080~50"]
LICENCES_WANTED = [*LICENCES, "cc", "open", "commercial", "modification", "cc-by", "all"]
LABELS = ["cat", "dog", "sofa", "penguin"]
OBJECTS_WANTED = [*LABELS, "couch", "cow", "animal", "pet", "furniture"]
SIDES = st.sampled_from([0, 1, 90, 100, 109, 110, 111, 127, 128, 129, 200, 500, 2000, 65535])
TIMES = st.sampled_from([-1.0, 0.0, 0.5, 1e9, 1.7e9])


def objects(labels):
    return tuple(DetectedObject(label, 0.9, (0.0, 0.0, 1.0, 1.0)) for label in labels)


FACTS = st.builds(
    ImageFacts,
    id=st.just(image_id(b"")),
    width=SIDES,
    height=SIDES,
    bytes=st.sampled_from([0, 1, 1000, 2**40]),
    format=st.just("png"),
    kind=st.sampled_from([*KINDS, "odd"]),
    is_animated=st.booleans(),
    is_transparent=st.booleans(),
    taken=st.none() | TIMES,
    palette=st.lists(st.sampled_from(PALETTE), max_size=3).map(tuple),
    color_tags=st.lists(st.sampled_from([*COLOR_NAMES, "odd"]), max_size=3).map(tuple),
    licence=st.sampled_from(LICENCES),
)
SOURCES = st.builds(
    Source,
    uri=st.just("/a"),
    site=st.sampled_from(SITES),
    licence=st.sampled_from(LICENCES),
    taken=st.none() | TIMES,
)
RECORDS = st.builds(
    ImageRecord,
    row=st.just(Row(0)),
    facts=FACTS,
    sources=st.lists(SOURCES, max_size=2).map(tuple),
    objects=st.lists(st.sampled_from(LABELS), max_size=4).map(objects),
    first_seen=TIMES,
)


def one_of(field, values):
    chosen = st.frozensets(st.sampled_from([*values, "foreign"]), min_size=1, max_size=2)
    return st.builds(OneOf, st.just(field), chosen, st.booleans())


BOUNDS = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1, 100, 110.5, 10000, 1e9, 1.7e9, 2.0**40])
COUNTS = st.integers(-1, 5)
CONDITIONS = st.one_of(
    one_of("type", TYPES),
    one_of("color", [*COLOR_NAMES, *SHADES]),
    one_of("licence", LICENCES_WANTED),
    one_of("site", [*SITES, "com"]),
    one_of("aspect", ASPECTS),
    one_of("size", SIZES),
    st.builds(Between, st.sampled_from(NUMBER_FIELDS), BOUNDS, BOUNDS, st.booleans()),
    st.builds(
        HasObject, st.sampled_from(OBJECTS_WANTED), COUNTS, st.none() | COUNTS, st.booleans()
    ),
)
FILTERS = st.lists(CONDITIONS, max_size=3).map(lambda conditions: Filter(tuple(conditions)))
