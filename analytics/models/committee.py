"""Several networks that learned the same thing, and the scale of what goes in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.models.errors import ModelUnsuited
from analytics.models.grid import Places
from analytics.models.network import (
    Architecture,
    Float32s,
    Framework,
    Kind,
    Network,
    framework_named,
)
from analytics.models.saved import SavedModel

CLIP = 6.0
"""Inputs farther than that many spreads from their mean are as good as at the edge."""
PREDICT_AT_ONCE: Mapping[Kind, int] = {"residual": 8_192, "autoencoder": 8_192, "convolution": 32}
"""Inputs of one call of a network: some MB of what its layers give, a convolution's being a hundred
kB an image."""
SCALE_AT_ONCE = 8_192
"""Inputs that are scaled in one step before learning: more would be in memory twice."""
SPREAD_MIN = 1e-3

Told = Callable[[int, int, float], None]
"""Is told the minibatches done, those of the whole training, and the last one's loss."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and spread of each number of an input."""

    mean: Float32s
    spread: Float32s

    @classmethod
    def of(cls, inputs: Float32s) -> "Scaling":
        """That of these inputs, each float32[inputs]."""
        spread = inputs.std(axis=0, dtype=np.float64).astype(np.float32)
        mean = inputs.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(mean, np.maximum(spread, np.float32(SPREAD_MIN)))

    def apply(self, inputs: Float32s) -> Float32s:
        """Inputs as the networks see them."""
        return np.clip((inputs - self.mean) / self.spread, -CLIP, CLIP)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast networks learn.

    Attributes:
        step: of the first minibatch; it falls to nothing along half a cosine.
        seed: of the first weights and of the order of examples; the second member has the next.
    """

    epochs: int
    batch: int
    step: float
    members: int = 1
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Committee:
    """Networks whose answers are averaged."""

    architecture: Architecture
    scaling: Scaling
    members: tuple[Network, ...]

    def predict(self, inputs: Float32s) -> Float32s:
        """float32[n, *outputs], in pieces that fit into the processor's cache."""
        answers = np.empty((len(inputs), *self.architecture.outputs), np.float32)
        at_once = PREDICT_AT_ONCE[self.architecture.kind]
        for start in range(0, len(inputs), at_once):
            part = slice(start, start + at_once)
            seen = self.scaling.apply(inputs[part])
            answers[part] = sum(member.predict(seen) for member in self.members)
        answers /= np.float32(len(self.members))
        return answers

    def arrays(self) -> dict[str, Float32s]:
        """What a saved model keeps."""
        kept = {"inputs/mean": self.scaling.mean, "inputs/spread": self.scaling.spread}
        for place, member in enumerate(self.members):
            kept |= {f"member-{place}{name}": array for name, array in member.weights().items()}
        return kept


def committee_of(saved: SavedModel) -> Committee:
    """The committee in a saved model.

    Raises:
        ModelUnsuited: its arrays are not those of its architecture.
        Missing: its framework is not installed.
    """
    framework = framework_named(saved.framework)
    inputs = saved.architecture.inputs
    scaling = Scaling(_input_array(saved, "mean"), _input_array(saved, "spread"))
    if scaling.mean.shape != scaling.spread.shape or scaling.mean.shape not in ((1,), inputs):
        raise ModelUnsuited(f"inputs {inputs} are scaled as {scaling.mean.shape}")
    members: list[Network] = []
    while weights := saved.weights(f"member-{len(members)}"):
        members.append(framework.restore(saved.architecture, weights))
    if not members:
        raise ModelUnsuited("the model holds no network")
    return Committee(saved.architecture, scaling, tuple(members))


def train(
    framework: Framework,
    architecture: Architecture,
    inputs: Float32s,
    targets: npt.NDArray[np.generic],
    *,
    schedule: Schedule,
    scaling: Scaling | None = None,
    told: Told | None = None,
) -> Committee:
    """Networks that have learned these examples; the same arguments give the same networks.

    Args:
        inputs: float32[n, *inputs]; is scaled where it lies, so that it is not needed twice.
        targets: as `Network.learn` takes them; NaN where a number is not known.
    """
    scaling = scaling or Scaling.of(inputs)
    for start in range(0, len(inputs), SCALE_AT_ONCE):
        part = slice(start, start + SCALE_AT_ONCE)
        inputs[part] = scaling.apply(inputs[part])
    batch = min(schedule.batch, len(inputs))
    batches = schedule.epochs * (len(inputs) // batch)
    members: list[Network] = []
    for member in range(schedule.members):
        seed = schedule.seed + member
        network = framework.build(architecture, seed=seed)
        order = _minibatches(len(inputs), batch, schedule.epochs, seed)
        for done, chosen in enumerate(order):
            step = schedule.step * 0.5 * (1 + np.cos(np.pi * done / batches))
            loss = network.learn(inputs[chosen], targets[chosen], step=float(step))
            if told is not None:
                told(member * batches + done + 1, schedule.members * batches, loss)
        members.append(network)
    return Committee(architecture, scaling, tuple(members))


def _input_array(saved: SavedModel, name: str) -> Float32s:
    array = saved.arrays.get(f"inputs/{name}")
    if array is None or not 0 < array.ndim <= len(saved.architecture.inputs):
        raise ModelUnsuited(f"the model does not say the {name} of its inputs")
    return array


def _minibatches(count: int, batch: int, epochs: int, seed: int) -> Iterator[Places]:
    """Which examples come next: all of them, in a new order, in each epoch; a rest is left out."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]
