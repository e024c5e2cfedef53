"""Coloured shapes as a TFDS set whose factors are known: what a generator learnt of them can be counted."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import PIL.ImageDraw
import tensorflow_datasets as tfds

SIZE, OVERSAMPLED = 16, 4  # pixels a side, and how many times finer shapes are drawn
SHAPES = ("square", "disc", "triangle")
HUES = ("red", "yellow", "green", "blue")
RADII = (3, 4, 5)
PLACES = (6, 7, 8, 9, 10)  # of the centre, along each side

_DESCRIPTION = """
A shape on black, 16x16 in colour: each of 3 shapes, 4 hues, 3 radii and 5 x 5 places once (900 images, all
in `train`). The label is the shape; the other factors are numbers from 0.
"""


class Shapes(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: image uint8 [16,16,3], label (the shape), and hue, radius, row and column."""

    name = "shapes"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Split train."}

    def _info(self) -> tfds.core.DatasetInfo:
        factors = {"hue": HUES, "radius": RADII, "row": PLACES, "column": PLACES}
        features = {
            "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=SHAPES),
            **{name: tfds.features.Scalar(np.int64) for name in factors},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        counts = (len(SHAPES), len(HUES), len(RADII), len(PLACES), len(PLACES))
        for number, (shape, hue, radius, row, column) in enumerate(np.ndindex(*counts)):
            yield (
                number,
                {
                    "image": draw(shape, hue, radius, row, column),
                    "label": shape,
                    "hue": hue,
                    "radius": radius,
                    "row": row,
                    "column": column,
                },
            )


def draw(shape: int, hue: int, radius: int, row: int, column: int) -> PIL.Image.Image:
    """The image of these factors, each a number from 0."""
    image = PIL.Image.new("RGB", (SIZE * OVERSAMPLED,) * 2)
    x, y, r = (OVERSAMPLED * value for value in (PLACES[column], PLACES[row], RADII[radius]))
    pen, colour = PIL.ImageDraw.Draw(image), HUES[hue]
    if SHAPES[shape] == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif SHAPES[shape] == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    else:
        pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    return image.resize((SIZE, SIZE), PIL.Image.Resampling.BOX)
