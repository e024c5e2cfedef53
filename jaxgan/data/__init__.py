"""Images from TFDS sets, files or memory, in batches that are a pure function of (seed, step)."""

from jaxgan.data.alike import crop_alike, flip_alike
from jaxgan.data.fitting import FILTERS, FITS, Layout
from jaxgan.data.mixtures import by_domain, mix
from jaxgan.data.opening import SCHEMES, open_source
from jaxgan.data.others import against_itself, gather_examples, unpaired
from jaxgan.data.sources import DataError, Source, from_arrays
from jaxgan.data.stream import Stream, batch_indices, make_stream
from jaxgan.data.transforms import (
    centre_crop,
    downscale,
    pad,
    random_crop,
    random_flip,
    resize,
    to_float,
    to_uint8,
)

__all__ = [
    "FILTERS",
    "FITS",
    "SCHEMES",
    "DataError",
    "Layout",
    "Source",
    "Stream",
    "against_itself",
    "batch_indices",
    "by_domain",
    "centre_crop",
    "crop_alike",
    "downscale",
    "flip_alike",
    "from_arrays",
    "gather_examples",
    "make_stream",
    "mix",
    "open_source",
    "pad",
    "random_crop",
    "random_flip",
    "resize",
    "to_float",
    "to_uint8",
    "unpaired",
]
