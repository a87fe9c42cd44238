"""Networks in Chainer, on NumPy.

Chainer is no longer developed and wants NumPy below 1.24: it is kept behind `Framework`, and
nothing else imports it.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.models.errors import ModelUnsuited
from analytics.models.network import Architecture, Float32s, Network

with warnings.catch_warnings():
    # It imports parts of NumPy that NumPy has announced to remove; the pinned NumPy has them.
    warnings.simplefilter("ignore", DeprecationWarning)
    import chainer
    import chainer.functions as functions
    import chainer.links as links
    from chainer import initializers, optimizers

WEIGHT_DECAY = 1e-5
"""Keeps weights that no example needs near zero."""


class Residual(chainer.Chain):  # type: ignore[misc]
    """A linear map of the inputs, and what layers of one width add to it."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        (inputs,), (outputs,) = architecture.inputs, architecture.outputs
        first, *others = architecture.widths
        with self.init_scope():
            self.straight = links.Linear(inputs, outputs)
            self.first = links.Linear(inputs, first)
            self.others = chainer.ChainList(*(links.Linear(first, first) for _ in others))
            # Begins as the linear map alone.
            self.last = links.Linear(first, outputs, initialW=initializers.Zero())

    def forward(self, inputs: Any) -> Any:
        """float32[n, outputs]."""
        hidden = functions.relu(self.first(inputs))
        for layer in self.others:
            hidden = hidden + functions.relu(layer(hidden))
        return self.straight(inputs) + self.last(hidden)


class Autoencoder(chainer.Chain):  # type: ignore[misc]
    """Layers that narrow to the last width and widen to the inputs again."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths = architecture.widths
        sides = (*architecture.inputs, *widths, *widths[-2::-1], *architecture.outputs)
        with self.init_scope():
            self.layers = chainer.ChainList(
                *(links.Linear(before, behind) for before, behind in pairwise(sides))
            )

    def forward(self, inputs: Any) -> Any:
        """float32[n, outputs]."""
        hidden = inputs
        for layer in self.layers[:-1]:
            hidden = functions.leaky_relu(layer(hidden))
        return self.layers[-1](hidden)


class Convolution(chainer.Chain):  # type: ignore[misc]
    """Two convolutions, each to half the side, and a dense layer; scores of classes.

    Steps of two in place of pooling: a quarter of the products, and Chainer's pooling unfolds its
    input once more.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        first, second, dense = architecture.widths
        channels, height, width = architecture.inputs
        (classes,) = architecture.outputs
        with self.init_scope():
            self.first = links.Convolution2D(channels, first, ksize=5, stride=2, pad=2)
            self.second = links.Convolution2D(first, second, ksize=5, stride=2, pad=2)
            self.dense = links.Linear(second * -(-height // 4) * -(-width // 4), dense)
            self.last = links.Linear(dense, classes)

    def forward(self, inputs: Any) -> Any:
        """float32[n, classes]."""
        hidden = functions.relu(self.first(inputs))
        hidden = functions.relu(self.second(hidden))
        return self.last(functions.relu(self.dense(hidden)))


_CHAINS: Mapping[str, Any] = {
    "residual": Residual,
    "autoencoder": Autoencoder,
    "convolution": Convolution,
}


def _absolute(answers: Any, targets: Any) -> Any:
    """Without the numbers that are not known: there the answer is right."""
    known = np.where(np.isnan(targets), answers.array, targets)
    return functions.mean(functions.absolute(answers - known))


_LOSSES: Mapping[str, Any] = {
    "absolute": _absolute,
    "squared": functions.mean_squared_error,
    "classes": functions.softmax_cross_entropy,
}


class ChainerNetwork:
    """A chain and its optimiser; fulfils `Network`."""

    def __init__(self, architecture: Architecture) -> None:
        try:
            self._chain = _CHAINS[architecture.kind](architecture)
        except ValueError as error:
            raise ModelUnsuited(f"no {architecture.kind} network has this form: {error}") from None
        self._loss = _LOSSES[architecture.loss]
        self._optimizer: Any = None

    def predict(self, inputs: Float32s) -> Float32s:
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return self._chain(inputs).array

    def learn(self, inputs: Float32s, targets: npt.NDArray[np.generic], *, step: float) -> float:
        if self._optimizer is None:
            self._optimizer = optimizers.Adam()
            self._optimizer.setup(self._chain)
            self._optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(WEIGHT_DECAY))
        self._optimizer.alpha = step
        loss = self._loss(self._chain(inputs), targets)
        self._chain.cleargrads()
        loss.backward()
        self._optimizer.update()
        return float(loss.array)

    def weights(self) -> Mapping[str, Float32s]:
        return {name: parameter.array.copy() for name, parameter in self._named()}

    def restore(self, weights: Mapping[str, Float32s]) -> None:
        """Put these weights in the place of the random ones."""
        named = dict(self._named())
        if named.keys() != weights.keys():
            odd = sorted(named.keys() ^ weights.keys())
            raise ModelUnsuited(f"weights that are missing or in excess: {', '.join(odd[:5])}")
        for name, parameter in named.items():
            if parameter.shape != weights[name].shape:
                raise ModelUnsuited(
                    f"weights {name} have shape {weights[name].shape}, not {parameter.shape}"
                )
            parameter.array[...] = weights[name]

    def _named(self) -> list[tuple[str, Any]]:
        """Parameters by their place in the chain, in a fixed order."""
        return sorted(self._chain.namedparams())


class ChainerFramework:
    """Fulfils `Framework`."""

    name = "chainer"

    def version(self) -> str:
        return chainer.__version__

    def build(self, architecture: Architecture, *, seed: int) -> Network:
        with _drawn_from(seed):
            return ChainerNetwork(architecture)

    def restore(self, architecture: Architecture, weights: Mapping[str, Float32s]) -> Network:
        network = ChainerNetwork(architecture)
        network.restore(weights)
        return network


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Chainer draws first weights from NumPy's global generator: seed it, then put it back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


FRAMEWORK = ChainerFramework()
