"""Splits of sets that are not TFDS's own: 'train', 'test[:50%]', 'train[100:]'."""

import re

from jaxgan.data.sources import DataError


def parse_split(split: str) -> tuple[str, str]:
    """A split's name, and its part in brackets or ''.

    Raises:
      DataError: it is neither a name nor a name with a part.
    """
    match = re.fullmatch(r"(\w+)(\[.*\])?", split)
    if not match:
        raise DataError(f"The split {split!r} is not known; expected one as 'train' or 'train[:80%]'.")
    return match[1], match[2] or ""


def part_of(split: str, count: int, *, title: str) -> range:
    """Which of so many examples are in a split's part.

    Raises:
      DataError: no such part, or an empty one.
    """
    _, part = parse_split(split)
    match = re.fullmatch(r"\[(-?\d{1,18}%?)?:(-?\d{1,18}%?)?\]", part or "[:]")
    if not match:
        raise DataError(f"{title}: {part} is no part; expected one as [:80%], [80%:] or [:100].")
    start, stop = (None if text is None else _position(text, count) for text in match.groups())
    chosen = range(count)[start:stop]
    if not chosen:
        raise DataError(f"{title}: the part {part} of {count} examples is empty.")
    return chosen


def _position(text: str, count: int) -> int:
    return round(count * int(text[:-1]) / 100) if text.endswith("%") else int(text)
