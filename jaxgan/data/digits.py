"""The digits that scikit-learn ships, as a TFDS set: real images, no download."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

TEST_EVERY = 6  # the images 0, 6, 12, ... of scikit-learn's order are the test split

_DESCRIPTION = """
Handwritten digits as 8x8 grey images: the 1,797 images of the test part of the UCI set, as
scikit-learn ships them. Their values, 0 to 16, are scaled to 0 to 255 and rounded. Every sixth
image, from the first on, is in the split `test` (300), the others are in `train` (1,497). This
division is ours; it mixes the writers, so a classifier's test accuracy is on writers it has seen.
Licence: CC BY 4.0.
"""

_CITATION = """
@misc{optical_recognition_of_handwritten_digits_80,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49},
}
"""


class Digits(tfds.core.GeneratorBasedBuilder):
    """TFDS builder of scikit-learn's digits: image uint8 [8,8,1] and label, 10 classes."""

    name = "digits"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Splits train and test."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        return {"train": self._generate_examples(False), "test": self._generate_examples(True)}

    def _generate_examples(self, test: bool) -> Iterator[tuple[int, dict]]:
        from sklearn.datasets import load_digits

        values, labels = load_digits(return_X_y=True)
        images = np.round(np.reshape(values, (-1, 8, 8)) * (255 / 16)).astype(np.uint8)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            if (index % TEST_EVERY == 0) == test:
                # An ndarray would need TensorFlow to become a PNG; a PIL image does not.
                yield index, {"image": PIL.Image.fromarray(image), "label": int(label)}
