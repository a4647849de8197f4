"""What an audit's file holds: four claims with their tests, and the numbers behind them.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
        (Villagra et al., 2026)
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.audits.evidence import Accuracy, Alignment, Disagreement, RouterQuality
from app.audits.untrusted import (
    NOTHING,
    Count,
    E,
    Estimates,
    MaybeE,
    Number,
    Numbers,
    Part,
    Picture,
    Positive,
    Text,
    same,
)
from ddm_core.intervals import Estimate

__all__ = [
    "Accuracy",
    "Alignment",
    "Audit",
    "Cell",
    "Claim",
    "Definition",
    "Disagreement",
    "League",
    "Order",
    "ParadoxMap",
    "Route",
    "RouterQuality",
    "Test",
]


class Test(Part):
    """One comparison behind a claim; `decides`: whether the verdict rests on it."""

    name: Text
    definition: Text = ""
    estimate: E
    effect_size: Number = None
    p: Number = None
    p_holm: Number = None
    says: Literal["supports", "contradicts", "undecided"]
    decides: bool = True


class Claim(Part):
    """One of the paper's claims and what was found about it."""

    claim: Count
    title: Text
    statement: Text = ""
    verdict: Literal["supported", "contradicted", "undecided"]
    effect: Number = None
    low: Number = None
    high: Number = None
    n: Count = 0
    effect_name: Text = ""
    unit: Text = ""
    sentence: Text = ""
    tests: Annotated[tuple[Test, ...], Field(max_length=100)] = ()
    caveats: Annotated[tuple[Text, ...], Field(max_length=100)] = ()


class Convergence(Part):
    """Distance between N and 2N steps, for each N of `steps`."""

    steps: tuple[Count, ...]
    delta: Estimates

    @model_validator(mode="after")
    def _fits(self) -> Convergence:
        return same(self, self.steps, delta=self.delta)


class Route(Part):
    """A route that was measured; `numbers` by the names of `Audit.definitions`."""

    router: Text
    run: Text | None = None
    strategy: Text | None = None
    k: Count | None = None
    temperature: Number = None
    kind: Literal["strategy", "map", "reference"] = "strategy"
    calls: Number = None
    flops: Number = None
    seconds: Number = None
    failed: Text | None = None
    numbers: Annotated[dict[Text, E], Field(max_length=200, default_factory=dict)]
    convergence: Convergence | None = None
    picture: Picture = None

    def number(self, name: str) -> Estimate:
        """A number of this route; without a value where it has none."""
        return self.numbers.get(name) or NOTHING


class Definition(Part):
    """What a number is, and which way is better."""

    title: Text
    definition: Text = ""
    better: Literal["lower", "higher"] | None = None


class LeagueRow(Part):
    """How well a diagnostic orders routes by quality."""

    name: Text
    title: Text = ""
    definition: Text = ""
    spearman: E
    leave_one_out: tuple[Number, Number] = (None, None)
    routes: Count = 0


class League(Part):
    """Which diagnostic predicts quality?"""

    quality: Text
    rows: Annotated[tuple[LeagueRow, ...], Field(max_length=200)] = ()
    sentence: Text = ""


class Cell(Part):
    """A route of the map: Top-k at a router temperature and an error of the experts."""

    k: Count
    temperature: Positive
    error: float = 0.0
    router: Text = ""
    quality: E = NOTHING
    delta_refine: E = NOTHING
    lipschitz: E = NOTHING
    growth: E = NOTHING
    picture: Picture = None


class Order(Part):
    """What is best, worst and most stable at a temperature, as numbers of experts mixed.

    Arguments:
        best_converged, smoothest: by Delta_refine and by the mean local Lipschitz constant;
            where they are the same, that is the most stable.
        separated: whether best and worst differ beyond doubt.
        gap: quality of the worst less that of the best.
    """

    temperature: Positive
    error: float = 0.0
    best: Count | None = None
    worst: Count | None = None
    most_stable: Count | None = None
    best_converged: Count | None = None
    smoothest: Count | None = None
    gap: E = NOTHING
    separated: bool = False
    paradox: bool = False


class ParadoxMap(Part):
    """Where does the most stable route coincide with the worst?"""

    ks: Annotated[tuple[Count, ...], Field(max_length=100)]
    temperatures: Annotated[tuple[Positive, ...], Field(max_length=100)]
    errors: Annotated[tuple[float, ...], Field(max_length=20)] = (0.0,)
    cells: Annotated[tuple[Cell, ...], Field(max_length=2000)] = ()
    orders: tuple[Order, ...] = ()
    router_temperature: MaybeE = None
    sentence: Text = ""


class Plan(Part):
    """What was asked for, and what was left out."""

    num: Count
    steps: Count
    sampler: Text = ""
    seed: int = 0
    stability_samples: Count = 0
    truth_images: Count = 0
    truth_source: Text = ""
    times: Numbers = ()
    budget_seconds: Number = None
    given_up: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    quality: Text
    quality_title: Text = ""
    quality_protocol: Text = ""
    protocols: Annotated[dict[Text, Text], Field(max_length=100, default_factory=dict)]
    experts: Count
    sparse: Text = ""
    full: Text = ""


class Audit(Part):
    """All of an audit."""

    format: Count
    system: Text
    title: Text = ""
    description: Text = ""
    digest: Text = ""
    created: Text = ""
    command: Text = ""
    seconds: Number = None
    machine: Text = ""
    versions: Annotated[dict[Text, Text], Field(max_length=100, default_factory=dict)]
    config_hash: Text = ""
    plan: Plan
    health: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    claims: Annotated[tuple[Claim, ...], Field(max_length=20)]
    routes: Annotated[tuple[Route, ...], Field(max_length=2000)]
    definitions: Annotated[dict[Text, Definition], Field(max_length=200, default_factory=dict)]
    alignment: Alignment | None = None
    accuracy: Accuracy | None = None
    router: RouterQuality | None = None
    disagreement: Disagreement | None = None
    league: League | None = None
    map: ParadoxMap | None = None

    @property
    def name(self) -> str:
        """What the system is called, without the folder that it lies in."""
        return self.title or self.system.rstrip("/").rpartition("/")[2] or self.system

    def definition(self, name: str) -> Definition:
        """What a number is; its name alone where the file does not say."""
        return self.definitions.get(name) or Definition(title=name.replace("_", " "))
