"""What a metric is: a number about samples, its interval, and the protocol behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

from threadpoolctl import threadpool_limits

from ddm_core.errors import RequestError
from ddm_core.metrics.extractors.base import Array, never, require_finite
from ddm_core.metrics.fidelity import library
from ddm_core.metrics.reference import Reference
from ddm_core.registry import Registry

__all__ = ["METRICS", "Evidence", "Measured", "Metric"]

T = TypeVar("T")

#: Numbers a feature that count as few.
_SMALL = 512


class Measured(NamedTuple):
    """A number that can be quoted.

    Arguments:
        value: the estimate.
        low, high: its 95% interval.
        n: number of samples.
        protocol: what was compared with what, and by which software, in one sentence.
        extractor: name of the features.
        method: of the interval.
    """

    value: float
    low: float
    high: float
    n: int
    protocol: str
    extractor: str
    method: str

    def to_json(self) -> dict[str, Any]:
        """The same as a dict that json can write."""
        return self._asdict()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What metrics look at.

    Arguments:
        features: of the generated samples [sample, feature].
        reference: the real data.
        resize: what was done to the images, as the extractor says it.
        replicates: of a bootstrap.
        seed: of everything random.
        should_stop: asked now and then; True ends the work with a WorkError.
    """

    features: Array
    reference: Reference
    resize: str = "features as given"
    replicates: int = 200
    seed: int = 0
    should_stop: Callable[[], bool] = never
    _shared: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __post_init__(self) -> None:
        dims = self.reference.features.shape[1]
        if self.features.ndim != 2 or self.features.shape[1] != dims:
            raise RequestError(
                f"the samples have features {list(self.features.shape)} "
                f"and the reference '{self.reference.extractor}' has {dims} each"
            )
        if self.replicates < 2:
            raise RequestError(f"a bootstrap needs at least 2 replicates, not {self.replicates}")
        if self.n < 2:
            raise RequestError(f"a metric needs at least 2 samples, not {self.n}")
        require_finite(self.features, self.reference.extractor)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.features)

    def protocol(self, what: str, against: int | None = None) -> str:
        """The sentence that goes with a number.

        Arguments:
            what: the metric, with its settings.
            against: how many real samples it used; None where it used mean and covariance.
        """
        real = self.reference
        number = f"{real.n}" if against in (None, real.n) else f"{against} of {real.n}"
        truth = f"{number} of {real.split}"
        if real.exact:
            moments = "mean and covariance in closed form of"
            truth = f"{moments if against is None else f'{against} draws from'} {real.split}"
        return (
            f"{what} of {self.n} samples against {truth} "
            f"(reference {real.content[:8]}); features {real.extractor}, {len(real.mu)}-d "
            f"(weights {real.weights[:8]}); {self.resize}; {library()}"
        )

    def once(self, key: str, compute: Callable[[], T]) -> T:
        """The result of `compute`, which metrics that ask with the same key share."""
        if key not in self._shared:
            # On small matrices threads of the linear algebra gain nothing, and wait for each other
            # by spinning: beside processes that sample they took a core and were ten times slower.
            small = self.features.shape[1] <= _SMALL
            with threadpool_limits(1 if small else None, user_api="blas"):
                self._shared[key] = compute()
        return cast(T, self._shared[key])


@dataclass(frozen=True)
class Metric(ABC):
    """A number about samples; its fields are its settings.

    Attributes:
        name: as a request and a JSON document call it.
        title: as a person reads it.
        better: which way is better.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    better: ClassVar[Literal["lower", "higher"]]

    @property
    def fewest(self) -> int:
        """Samples that it takes at least, so that fewer are refused before they are made."""
        return 2

    @abstractmethod
    def measure(self, evidence: Evidence) -> Measured:
        """The number with its interval.

        Raises:
            RequestError: too few samples for this metric.
            WorkError: cancelled.
        """


METRICS: Registry[Metric] = Registry("metric", "ddm_core.metrics")
