"""Images from TFDS or memory, in batches that are a pure function of (seed, step)."""

from jaxgan.data.sources import DataError, Source, from_arrays, open_source
from jaxgan.data.stream import Stream, batch_indices, make_stream
from jaxgan.data.transforms import random_flip, to_float, to_uint8

__all__ = [
    "DataError",
    "Source",
    "Stream",
    "batch_indices",
    "from_arrays",
    "make_stream",
    "open_source",
    "random_flip",
    "to_float",
    "to_uint8",
]
