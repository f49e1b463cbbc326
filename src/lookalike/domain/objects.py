"""Names of objects: the 80 labels of COCO, other words for them, and the classes above them.

The vocabulary is open: a label of another detector (`penguin`) counts under its own name. Labels
and their super-categories follow Lin et al., "Microsoft COCO", 2014.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import FilterError, suggest_names

if TYPE_CHECKING:
    from lookalike.domain.images import DetectedObject

_LABELS: Final = """
person = human, human being, people
    | man, woman, child, kid, boy, girl, baby, toddler, infant, teenager, adult, lady, gentleman
    | guy, pedestrian, passenger, tourist, player, cyclist, skier, snowboarder, surfer, skateboarder
bicycle = bike, push bike, pushbike | mountain bike, road bike
car = automobile, auto, motor car, motorcar | taxi, cab, sedan, sports car, suv
motorcycle = motorbike, motor bike, motor cycle | scooter, moped
airplane = aeroplane, plane, aircraft | jet, airliner, jumbo jet
bus = omnibus, autobus | coach, minibus, double decker, double decker bus, school bus
train = railway train | locomotive, tram, subway train, steam train
truck = lorry | pickup, pickup truck, fire truck, fire engine, dump truck, lorry truck
boat = watercraft | ship, sailboat, sailing boat, motorboat, rowboat, canoe, kayak, ferry, yacht
traffic light = stoplight, stop light, traffic signal, trafficlight
fire hydrant = hydrant
stop sign = stopsign
parking meter =
bench = park bench
bird = | sparrow, pigeon, seagull, gull, duck, goose, swan, parrot, eagle, owl, hen, chicken
cat = kitty, pussycat, pussy cat | kitten, tomcat, tabby
dog = doggy, doggie, hound | puppy, pup, poodle, retriever, terrier, labrador, bulldog, dalmatian
horse = | pony, mare, stallion, foal
sheep = | lamb, ewe, ram
cow = cattle | bull, calf, ox, heifer
elephant = | elephant calf
bear = | polar bear, grizzly, grizzly bear, brown bear, panda
zebra =
giraffe =
backpack = rucksack, knapsack, back pack
umbrella = | parasol
handbag = purse, hand bag | shoulder bag, tote bag
tie = necktie, neck tie | bow tie
suitcase = suit case | trolley case
frisbee = flying disc, flying disk
skis = ski, pair of skis
snowboard = snow board
sports ball = ball | football, soccer ball, basketball, tennis ball, baseball, volleyball, golf ball
kite =
baseball bat =
baseball glove = baseball mitt, catcher's mitt
skateboard = skate board
surfboard = surf board
tennis racket = tennis racquet, racket, racquet
bottle = | wine bottle, water bottle, beer bottle
wine glass = wineglass | champagne glass, goblet
cup = mug, beaker | coffee cup, teacup, tea cup, paper cup, coffee mug
fork =
knife = | butter knife, kitchen knife
spoon = | teaspoon, tablespoon
bowl = | salad bowl, soup bowl
banana =
apple =
sandwich = | burger, hamburger, cheeseburger
orange = | mandarin, tangerine
broccoli =
carrot =
hot dog = hotdog
pizza = | slice of pizza
donut = doughnut
cake = | cupcake, birthday cake, wedding cake
chair = | armchair, stool, rocking chair, office chair
couch = sofa, settee | loveseat
potted plant = pottedplant, houseplant, house plant, pot plant
bed = | bunk bed, cot
dining table = table, diningtable, dinner table | kitchen table
toilet = lavatory, toilet bowl | urinal
tv = television, tv set, television set, tvmonitor, telly | monitor, flat screen, computer screen
laptop = laptop computer, notebook computer | macbook
mouse = computer mouse
remote = remote control, tv remote
keyboard = computer keyboard
cell phone = cellphone, mobile phone, mobile, cellular phone, phone
    | smartphone, smart phone, iphone
microwave = microwave oven
oven = | stove, cooker
toaster =
sink = washbasin, wash basin | kitchen sink, bathroom sink
refrigerator = fridge, icebox | freezer
book =
clock = | wall clock, alarm clock
vase =
scissors = pair of scissors
teddy bear = teddy, teddybear | stuffed animal, plush toy
hair drier = hair dryer, hairdryer, blow dryer
toothbrush = tooth brush
"""
"""A label a line, then other words for the same thing; after a bar what is narrower than it."""

_CLASSES: Final = """
animal = creature : bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe
pet = : cat, dog
livestock = farm animal : horse, sheep, cow
wild animal = : elephant, bear, zebra, giraffe
mammal = : cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe
vehicle = : bicycle, car, motorcycle, airplane, bus, train, truck, boat
furniture = piece of furniture
    : chair, couch, potted plant, bed, dining table, toilet, bench
seat = : chair, couch, bench
food = | snack
    : banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake
fruit = piece of fruit : banana, apple, orange
vegetable = veggie : broccoli, carrot
electronics = electronic, electronic device, electronic equipment, gadget
    : tv, laptop, mouse, remote, keyboard, cell phone
computer = pc : laptop
appliance = home appliance, kitchen appliance, household appliance
    : microwave, oven, toaster, sink, refrigerator
kitchenware = tableware, kitchen utensil, dishware
    : bottle, wine glass, cup, fork, knife, spoon, bowl
cutlery = silverware, flatware, utensil : fork, knife, spoon
sports equipment = sport equipment, sports gear, sporting goods, sporting equipment
    : frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard
    , surfboard, tennis racket
accessory = fashion accessory : backpack, umbrella, handbag, tie, suitcase
bag = luggage, baggage : backpack, handbag, suitcase
plant = : potted plant
"""
"""A super-class a line, other words for it, after a bar narrower ones, after a colon its labels."""

_PLURALS: Final[Mapping[str, str]] = {
    "person": "persons",
    "man": "men",
    "woman": "women",
    "child": "children",
    "gentleman": "gentlemen",
    "mouse": "mice",
    "goose": "geese",
    "ox": "oxen",
    "calf": "calves",
    "knife": "knives",
    "sheep": "sheep",
    "aircraft": "aircraft",
    "watercraft": "watercraft",
    "cattle": "cattle",
    "people": "people",
    "skis": "skis",
    "scissors": "scissors",
    "broccoli": "broccoli",
    "furniture": "furniture",
    "electronics": "electronics",
    "livestock": "livestock",
    "goods": "goods",
    "luggage": "luggage",
    "baggage": "baggage",
    "equipment": "equipment",
    "gear": "gear",
    "cutlery": "cutlery",
    "silverware": "silverware",
    "flatware": "flatware",
    "kitchenware": "kitchenware",
    "tableware": "tableware",
    "dishware": "dishware",
}
"""Plurals that follow no rule, by the last word of a name."""

_PLURAL_ONLY: Final = frozenset({"people", "skis", "scissors", "cattle"})
_LEADING_PLURAL: Final = re.compile(r"(pair|piece|slice) (of .+)")
_BLANKS: Final = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class Name:
    """What a word for objects stands for.

    `is_narrow`: the word says more than the label does, as `kitten` for `cat`. `is_plural` and
    `is_singular` tell which number its form is of; `sheep` is of both.
    """

    label: str
    is_narrow: bool = False
    is_singular: bool = True
    is_plural: bool = False


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    names: Mapping[str, Name]
    synonyms: Mapping[str, tuple[str, ...]]
    classes: Mapping[str, tuple[str, ...]]
    longest: int


def normal_label(text: str) -> str:
    """Return a label as it is compared: lower case, single spaces for blanks and underscores."""
    return _BLANKS.sub(" ", text.lower()).strip()


def coco_labels() -> tuple[str, ...]:
    """Return the 80 labels of COCO in their order."""
    return tuple(line.partition("=")[0].strip() for line in _lines(_LABELS))


def super_classes() -> Mapping[str, tuple[str, ...]]:
    """Return the labels under each super-class."""
    return {
        line.partition("=")[0].strip(): tuple(_listed(line.partition(":")[2]))
        for line in _lines(_CLASSES)
    }


def name_of(text: str) -> Name | None:
    """Return what a word (or several) in singular or plural stands for, None if it is unknown."""
    names = _vocabulary().names
    label = normal_label(text)
    return names.get(label) or names.get(label.replace("-", " "))


def longest_name() -> int:
    """Return how many words the longest known name has."""
    return _vocabulary().longest


def known_words() -> frozenset[str]:
    """Return every word of every known name in singular and plural, none of them misspelt."""
    return frozenset(word for name in _vocabulary().names for word in re.split(r"[ '-]", name))


def resolve_label(text: str, known: Collection[str] = ()) -> str:
    """Return the label or super-class that a word in singular or plural stands for.

    A label among the `known` ones (an index may have another detector's) stands for itself; then
    come COCO's, so that `sofas` is `couch` and `women` is `person`.

    Raises:
        FilterError: it is none of them; the hint gives the nearest known names.
    """
    label = normal_label(text)
    ours = {normal_label(name) for name in known}
    if label in ours:
        return label
    if name := name_of(label):
        return name.label
    for singular in _singulars(label):
        if singular in ours:
            return singular
    singular_names = {name for name, found in _vocabulary().names.items() if found.is_singular}
    hint = suggest_names(label, ours | singular_names)
    raise FilterError(
        f"no object is called {text.strip()[:60]!r}",
        hint=f'{hint} A label of another detector stands in quotes: has:"…".',
    )


def label_or_as_written(text: str, known: Collection[str] = ()) -> str:
    """Return what `resolve_label` does, and an unknown name as it is written."""
    try:
        return resolve_label(text, known)
    except FilterError:
        return normal_label(text)


def classes_of(label: str) -> tuple[str, ...]:
    """Return what an object of a detector's label counts as.

    That is the label itself, COCO's name for it where it has another, and the super-classes.
    """
    own = normal_label(label)
    vocabulary = _vocabulary()
    name = vocabulary.names.get(own)
    canonical = name.label if name else own
    above = vocabulary.classes.get(canonical, ())
    return tuple(dict.fromkeys((own, canonical, *above)))


def counts_of(objects: Iterable[DetectedObject]) -> Mapping[str, int]:
    """Count labels and super-classes: a cat and a dog are one of each, and two animals."""
    counts: Counter[str] = Counter()
    for found in objects:
        counts.update(classes_of(found.label))
    return counts


def words_for(label: str) -> tuple[str, ...]:
    """Return the words under which an object of a label is found in text.

    What it counts as, and other words for just that. Narrower words are left out: not every
    person is a child.
    """
    counted = classes_of(label)
    synonyms = (_vocabulary().synonyms.get(name, ()) for name in counted[:2])
    return tuple(dict.fromkeys([*counted, *(word for words in synonyms for word in words)]))


@lru_cache(maxsize=1)
def _vocabulary() -> _Vocabulary:
    names: dict[str, Name] = {}
    synonyms: dict[str, tuple[str, ...]] = {}
    above: dict[str, list[str]] = {}
    for line in (*_lines(_LABELS), *_lines(_CLASSES)):
        label, _, words = line.partition("=")
        label = label.strip()
        words, _, members = words.partition(":")
        same, _, narrower = words.partition("|")
        synonyms[label] = tuple(_listed(same))
        for member in _listed(members):
            above.setdefault(member, []).append(label)
        forms = [(name, False) for name in (label, *synonyms[label])]
        forms += [(name, True) for name in _listed(narrower.replace("|", ","))]
        for name, is_narrow in forms:
            for form, meaning in _forms(name, label, is_narrow=is_narrow):
                names.setdefault(form, meaning)
    classes = {name: tuple(found) for name, found in above.items()}
    longest = max(name.count(" ") + 1 for name in names)
    return _Vocabulary(names, synonyms, classes, longest)


def _forms(name: str, label: str, *, is_narrow: bool) -> Iterable[tuple[str, Name]]:
    plural = plural_of(name)
    last = name.rpartition(" ")[2]
    is_plural_only = last in _PLURAL_ONLY and not name.startswith("pair of ")
    if plural == name or is_plural_only:
        yield name, Name(label, is_narrow, is_singular=not is_plural_only, is_plural=True)
        return
    yield name, Name(label, is_narrow)
    yield plural, Name(label, is_narrow, is_singular=False, is_plural=True)
    if last == "bus":
        yield f"{name}ses", Name(label, is_narrow, is_singular=False, is_plural=True)


def plural_of(name: str) -> str:
    """Return the plural of a name of one or several words.

    >>> [plural_of(name) for name in ("puppy", "wine glass", "knife", "toy", "pair of scissors")]
    ['puppies', 'wine glasses', 'knives', 'toys', 'pairs of scissors']
    """
    if found := _LEADING_PLURAL.fullmatch(name):
        return f"{found[1]}s {found[2]}"
    head, _, last = name.rpartition(" ")
    kept = f"{head} " if head else ""
    if last in _PLURALS:
        return kept + _PLURALS[last]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def _singulars(plural: str) -> Iterable[str]:
    """Yield what a plural may be the plural of, by the rules."""
    if plural.endswith("ies"):
        yield f"{plural[:-3]}y"
    if plural.endswith("es"):
        yield plural[:-2]
    if plural.endswith("s"):
        yield plural[:-1]


def _lines(table: str) -> list[str]:
    """Return the entries of a table; an indented line goes on with the one above."""
    return re.sub(r"\n +", " ", table.strip()).split("\n")


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
