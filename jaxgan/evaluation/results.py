"""What was measured and how: as JSON, and as a table of several."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan import files
from jaxgan.metrics import Interval

FOLDER = "evaluations"  # of a run's directory, where its results are


class ResultError(ValueError):
    """A file that holds no results, or results that cannot be compared."""


class Result(NamedTuple):
    """Figures and the protocol that they were made by.

    Attributes:
      figures: by name; where there is no interval, its ends are nan.
      notes: sentences on what biases them.
      protocol: the network and its hash, the resizing, what was compared with what, seeds. Where no figure
        is made of features, there is no network.
      seconds: that it took.
    """

    figures: Mapping[str, Interval]
    notes: Sequence[str]
    protocol: Mapping[str, Any]
    seconds: float


def write(result: Result, path: files.AnyPath) -> None:
    """Writes a result as JSON."""
    figures = {
        name: {"value": value} | ({} if math.isnan(low) else {"low": low, "high": high})
        for name, (value, low, high) in result.figures.items()
    }
    files.write_json(path, {**result._asdict(), "figures": figures})


def save(result: Result, directory: files.AnyPath) -> Path:
    """Writes a run's result to a file that its step, network and protocol name, beside what is there.

    Figures that an earlier evaluation by the same protocol left in that file stay, unless made anew. A file
    that cannot be read is renamed.
    """
    protocol = files.plain(result.protocol)
    code = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:8]
    step, network = protocol["samples"]["step"], protocol.get("features", {"network": "pixels"})["network"]
    path = Path(directory) / f"step_{step:09d}_{network}_{code}.json"
    try:
        earlier = read(path)
    except FileNotFoundError:
        pass
    except ResultError:
        files.keep_old(path)
    else:
        result = result._replace(
            figures={**earlier.figures, **result.figures},
            notes=list(dict.fromkeys([*earlier.notes, *result.notes])),
        )
    write(result, path)
    return path


def read(path: files.AnyPath) -> Result:
    """Reads what `write` has written.

    Raises:
      ResultError: it is something else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        figures = {
            name: Interval(
                float(figure["value"]), *(float(figure.get(end, "nan")) for end in ("low", "high"))
            )
            for name, figure in data["figures"].items()
        }
        protocol = {**data["protocol"]}
        named = {"features", "distance"} & {*protocol} | {"reference", "samples"}
        protocol |= {name: {**protocol[name]} for name in named}
        _comparable(protocol)  # it has what that takes
        return Result(figures, [*data["notes"]], protocol, float(data["seconds"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} holds no results of an evaluation ({error!r}).") from error


def table(results: Mapping[str, Result]) -> str:
    """A markdown table: a row a figure, a column a result, with 95 % intervals where there are some."""
    names = list(dict.fromkeys(name for result in results.values() for name in result.figures))
    rows = [["", *results], ["---", *("---:" for _ in results)]]
    rows += [[name, *(_cell(result.figures.get(name)) for result in results.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sentence(result: Result) -> str:
    """How figures were made, in a line, to be read beside a table of them."""
    reference, samples = (result.protocol[x] for x in ("reference", "samples"))
    how = ""
    if features := result.protocol.get("features"):
        how = f"By {features['network']} (weights {features['weights_sha256'][:8]}; resized: "
        how += f"{features['resize']}), "
    return f"{how}{samples['count']:,} images against {reference['count']:,} of {reference['source']}."


def _cell(figure: Interval | None) -> str:
    if figure is None:
        return ""
    low, high = ("" if math.isnan(end) else f"{end:.4g}" for end in figure[1:])
    return f"{figure.value:.4g}" + (f" ({low} to {high})" if low else "")


def _comparable(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Of a protocol, what must agree for figures to be comparable; the reference by its images, not its name.

    Truncation is 1 of what is no generator's. One of two results may have no network for features, no
    distance of images or no border, nor figures by it.
    """
    samples = protocol["samples"]
    return {
        "features": protocol.get("features"),
        "reference": {name: value for name, value in protocol["reference"].items() if name != "source"},
        "samples.count": samples["count"],
        "samples.truncation": samples.get("truncation", 1.0),
        "distance": protocol.get("distance"),
        "border": protocol.get("border"),
    }


def check_comparable(results: Mapping[str, Result]) -> None:
    """Refuses to set figures side by side that were made in other ways.

    Raises:
      ResultError: naming what differs.
    """
    made = [(name, _comparable(files.plain(result.protocol))) for name, result in results.items()]
    for (first, one), (second, other) in combinations(made, 2):
        for what, here in one.items():
            there = other[what]
            if here != there and None not in (here, there):
                raise ResultError(
                    f"{first} and {second} were measured in different ways, so their figures cannot be "
                    f"compared: {what} is {here} and {there}. Evaluate both alike."
                )
