"""The files that one element of a page offers for its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lookalike.domain.pages_addresses import is_picture_link, srcset_addresses

_LARGE: Final = (
    "data-full", "data-full-src", "data-large-file", "data-large", "data-large-src",
    "data-zoom-image", "data-hires", "data-original-src", "data-orig-file",
)  # fmt: skip
"""Attributes in which galleries name a larger file than the one that is shown."""

_SETS: Final = ("srcset", "data-srcset", "data-lazy-srcset")
_LAZY: Final = ("data-src", "data-lazy-src", "data-original", "data-lazy", "data-image")
_BACKGROUND: Final = re.compile(
    r"background(?:-image)?\s*:[^;]{0,200}?url\(\s*([^)]{1,4000})\)", re.I
)
_CONTENT_CLASS: Final = re.compile(
    r"(?:^|[\s_-])(?:hero|photo|image|img|thumb|thumbnail|cover|slide|gallery|picture|poster)"
    r"(?:$|[\s_-])",
    re.I,
)


@dataclass(slots=True)
class Picture:
    """A picture that was met: its files, its element's attributes, and where it stands.

    `at` is the number of the block of text it stands in or before. `scope` is the range of blocks
    of the largest element around it that holds no other picture; `figure` that of its figure.
    Around a picture that is aside (in the navigation, say) no words are looked for.
    """

    addresses: tuple[str, ...]
    attributes: dict[str, str]
    at: int
    scope: tuple[int, int] = (0, 0)
    figure: tuple[int, int] = (-1, -1)
    beside: str = ""
    is_aside: bool = False

    def take(self, addresses: Sequence[str], values: Mapping[str, str]) -> None:
        """Add what the same picture says when it is given a second time."""
        self.addresses = tuple(dict.fromkeys((*self.addresses, *addresses)))
        for name, value in values.items():
            self.attributes[name] = self.attributes.get(name, "") or value


def files_of_image(values: Mapping[str, str], sources: Sequence[str], anchor: str) -> list[str]:
    """Return the files an `<img>` offers, the best first.

    That is: the picture its link leads to, a larger file that a gallery names, the best of
    `<source>` and of its own `srcset`, the file that is loaded later, the one that is shown.
    """
    found = [anchor] if anchor and is_picture_link(anchor) else []
    found += [values[name] for name in _LARGE if values.get(name)]
    found += sources
    for name in _SETS:
        found += srcset_addresses(values.get(name, ""))
    found += [values[name] for name in (*_LAZY, "src") if values.get(name)]
    return [each for each in found if not each.startswith(("{", "%7B"))]  # templates unfilled


def poster_of_video(values: Mapping[str, str]) -> list[str]:
    """Return the still picture of a video, if it names one."""
    return [values["poster"]] if values.get("poster") else []


def background_address(values: Mapping[str, str]) -> str:
    """Return the background picture of an element that is clearly content, or an empty string.

    It is where the element says it is a picture (`role="img"`), has a label, or a class such as
    `hero` or `photo`.
    """
    style = values.get("style", "")
    if "url(" not in style:
        return ""
    is_content = (
        values.get("role") == "img"
        or bool(values.get("aria-label"))
        or _CONTENT_CLASS.search(values.get("class", "")) is not None
    )
    match = _BACKGROUND.search(style) if is_content else None
    return match[1].strip().strip("\"'") if match else ""
