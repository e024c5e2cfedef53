"""Several sources as one, in exact proportions."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxgan.data.sources import Arrays, DataError, Source

MAX_EPOCH = 2**28  # examples: their order is held in memory


def mix(
    sources: Sequence[Source],
    weights: Sequence[float | None],
    *,
    name: str,
    domains: Sequence[str] | None = None,
) -> Source:
    """A source of several, whose examples carry the number of theirs as "domain", int32.

    An epoch of it is the shortest in which every example of every source occurs and the shares are the
    weights, to an example: those of a source that has too few occur several times, equally often but for a
    rest from all over it. So the stream's permutations keep the proportions over an epoch, whatever the
    processes. Classes of one name are one class; sources without labels make a mixture without.

    Args:
      sources: two or more, of images of one shape and dtype.
      weights: of each, > 0; or None for all: by their sizes.
      name: of the mixture.
      domains: names of the sources, all different; None is their own.

    Raises:
      DataError: shapes that differ, weights that are missing or not above 0.
    """
    _check(sources, weights, name)
    sizes = np.array([len(source) for source in sources])
    shares = np.array([len(s) if w is None else w for s, w in zip(sources, weights, strict=True)], float)
    shares /= shares.sum()
    total = np.ceil(np.max(sizes / np.maximum(shares, 1e-300)) - 1e-9)
    if total > MAX_EPOCH:
        raise DataError(
            f"{name}: an epoch of these weights has {total:.2g} examples, expected {MAX_EPOCH:,} at most. "
            "Bring the weights closer to each other."
        )
    counts = _apportioned(int(total), shares, sizes)
    owners = np.repeat(np.arange(len(sources)), counts)
    places = np.concatenate([_some_of(size, count) for size, count in zip(sizes, counts, strict=True)])
    classes, relabelled = _merged(sources)

    def read(indices: np.ndarray) -> Arrays:
        domain = owners[indices]
        parts = [
            _relabel(source.gather(places[indices[domain == d]]), d, relabelled)
            for d, source in enumerate(sources)
        ]
        arrays = {key: np.empty((len(indices), *x.shape[1:]), x.dtype) for key, x in parts[0].items()}
        for d, part in enumerate(parts):
            for key, values in part.items():
                arrays[key][domain == d] = values
        return arrays

    about = [
        classes,
        [numbers.tolist() for numbers in relabelled or []],
        [[source.fingerprint, int(count)] for source, count in zip(sources, counts, strict=True)],
    ]
    in_memory = all(source.arrays is not None and source.rows is None for source in sources)
    return Source(
        name=name,
        image_shape=sources[0].image_shape,
        classes=classes,
        fingerprint=hashlib.sha256(json.dumps(about).encode()).hexdigest(),
        length=int(counts.sum()),
        read=read,
        arrays=_whole(sources, relabelled) if in_memory else None,
        rows=(np.cumsum([0, *sizes[:-1]])[owners] + places) if in_memory else None,
        shapes={**sources[0].shapes, "domain": ()},
        domains=tuple(domains or (source.name for source in sources)),
    )


def by_domain(source: Source) -> Source:
    """A mixture whose labels are the domains, instead of classes.

    Raises:
      DataError: it is no mixture.
    """
    if not source.domains:
        raise DataError(f"{source.name} is no mixture, and has no domains for labels; use its classes.")

    def relabelled(arrays: Arrays) -> Arrays:
        return arrays | {"label": arrays["domain"]}

    return replace(
        source,
        classes=source.domains,
        fingerprint=hashlib.sha256(f"{source.fingerprint} by domain".encode()).hexdigest(),
        read=lambda indices: relabelled(source.read(indices)),
        arrays=None if source.arrays is None else relabelled(source.arrays),
    )


def _check(sources: Sequence[Source], weights: Sequence[float | None], name: str) -> None:
    if len({weight is None for weight in weights}) > 1:
        raise DataError(f"{name}: some sources have a weight and some have none; write all or none.")
    if not all(weight is None or 0 < weight < float("inf") for weight in weights):
        raise DataError(f"{name}: the weights are {list(weights)}, expected numbers above 0.")
    kinds = [(source.image_shape, source.dtype, sorted(source.shapes.items())) for source in sources]
    if len({repr(kind) for kind in kinds}) > 1:
        said = "; ".join(
            f"{source.name}: {shape} {dtype}"
            for source, (shape, dtype, _) in zip(sources, kinds, strict=True)
        )
        raise DataError(f"{name}: images differ: {said}. Set data.size and data.channels.")


def _some_of(size: int, count: int) -> np.ndarray:
    """Each of `size` examples as often as the others among `count`, but for a rest from all over the set."""
    mixed = np.argsort(np.random.Philox(size).random_raw(size), kind="stable")
    return np.concatenate([np.tile(np.arange(size), count // size), mixed[: count % size]])


def _apportioned(total: int, shares: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whole numbers that sum up to the total, nearest to the shares, by largest remainders."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(int)
    rest = total - counts.sum()
    counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
    return np.maximum(counts, sizes)


def _merged(sources: Sequence[Source]) -> tuple[tuple[str, ...], list[np.ndarray] | None]:
    """All classes, and for each source its labels' new numbers; none where a source has none."""
    without = [source.name for source in sources if not source.classes]
    if without:
        if len(without) < len(sources):
            logging.getLogger(__name__).warning("%s has no labels: the mixture has none.", without[0])
        return (), None
    classes = tuple(dict.fromkeys(name for source in sources for name in source.classes))
    return classes, [np.array([classes.index(name) for name in source.classes]) for source in sources]


def _relabel(arrays: Arrays, domain: int, relabelled: list[np.ndarray] | None) -> Arrays:
    made = {key: values for key, values in arrays.items() if key != "label"}
    if relabelled is not None:
        made["label"] = relabelled[domain][arrays["label"]].astype(np.int32)
    return made | {"domain": np.full(len(arrays["image"]), domain, np.int32)}


def _whole(sources: Sequence[Source], relabelled: list[np.ndarray] | None) -> Arrays:
    parts = [_relabel(source.arrays or {}, domain, relabelled) for domain, source in enumerate(sources)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
