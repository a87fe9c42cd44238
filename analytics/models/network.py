"""Arrays in, arrays out: what a framework must give, and what a network is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from analytics.errors import Missing
from analytics.models.errors import ModelUnsuited

Float32s = npt.NDArray[np.float32]

Kind = Literal["residual", "autoencoder", "convolution"]
Loss = Literal["absolute", "squared", "classes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LOSSES: tuple[Loss, ...] = get_args(Loss)
SIDE_MAX = 4_096
"""Numbers along one side of an input, an output or a layer; a file that says more is damaged."""
LAYERS_MAX = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a network looks like, in words that any framework can build.

    Attributes:
        kind: `residual` (a linear map beside layers that add to one another), `autoencoder`
            (layers that narrow and widen again) or `convolution` (for images).
        inputs, outputs: shape of one input and one output, without the batch.
        widths: numbers in each hidden layer; channels for a convolution, its last one dense.
        loss: what learning makes small; with `classes` targets are class numbers.
    """

    kind: Kind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    widths: tuple[int, ...]
    loss: Loss

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.loss not in LOSSES:
            raise ModelUnsuited(
                f"a network of kind {self.kind!r} with loss {self.loss!r} is unknown here; known "
                f"are {', '.join(KINDS)} and {', '.join(LOSSES)}"
            )
        sides = (*self.inputs, *self.outputs, *self.widths)
        if not self.inputs or not self.outputs or not 0 < len(self.widths) <= LAYERS_MAX:
            raise ModelUnsuited(
                f"a network needs inputs, outputs and 1 to {LAYERS_MAX} layers, "
                f"not {len(self.widths)}"
            )
        if not all(1 <= side <= SIDE_MAX for side in sides):
            raise ModelUnsuited(f"a side of {max(sides)} is not in 1…{SIDE_MAX}")


class Network(Protocol):
    """One network: numbers, and how they become an answer.

    Used from one thread at a time. The same weights and inputs give the same answer.
    """

    def predict(self, inputs: Float32s) -> Float32s:
        """float32[n, *outputs] for float32[n, *inputs]; the caller keeps n bounded."""
        ...

    def learn(self, inputs: Float32s, targets: npt.NDArray[np.generic], *, step: float) -> float:
        """Move the weights by one minibatch; returns its loss before.

        Args:
            targets: float32[n, *outputs], NaN (with the loss `absolute`) where a number is not
                known; int32[n] where the loss is `classes`.
            step: how far, as the training's schedule says.
        """
        ...

    def weights(self) -> Mapping[str, Float32s]:
        """Copies of all weights by name."""
        ...


class Framework(Protocol):
    """A library that builds networks; loaded when its first one is asked for."""

    name: str

    def version(self) -> str:
        """The library's version, kept in saved models."""
        ...

    def build(self, architecture: Architecture, *, seed: int) -> Network:
        """A network with random weights; the same seed gives the same ones."""
        ...

    def restore(self, architecture: Architecture, weights: Mapping[str, Float32s]) -> Network:
        """A network with these weights.

        Raises:
            ModelUnsuited: names or shapes are not those of the architecture.
        """
        ...


FRAMEWORKS: Mapping[str, tuple[str, str]] = {
    "chainer": ("analytics.models.chainer_framework", "pip install 'zring[chainer]'"),
}
"""Name → module with the value `FRAMEWORK`, and what installs it. A framework beside Chainer is
one more line here and one module that fulfils `Framework`."""


def framework_named(name: str) -> Framework:
    """The framework with this name.

    Raises:
        ModelUnsuited: no such framework is known.
        Missing: it is not installed.
    """
    if name not in FRAMEWORKS:
        raise ModelUnsuited(f"framework {name!r} is unknown; known are {', '.join(FRAMEWORKS)}")
    module, installation = FRAMEWORKS[name]
    try:
        return import_module(module).FRAMEWORK
    except ImportError as error:
        raise Missing(f"{name} cannot be loaded ({error}); {installation}") from None
