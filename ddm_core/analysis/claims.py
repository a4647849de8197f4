"""The paper's four claims as tests on one system, and a verdict on each.

A verdict is *supported* or *contradicted* only where the intervals say so after Holm's correction
over all tests of the report; otherwise it is *undecided*, whatever the point estimates look like.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
        (Villagra et al., 2026)
    A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ddm_core.analysis import statistics
from ddm_core.intervals import Estimate

__all__ = ["Check", "Claim", "Says", "Verdict", "decide", "estimate_text"]

Says = Literal["supports", "contradicts", "undecided"]
Verdict = Literal["supported", "contradicted", "undecided"]
LEVEL = 0.05


class Check(NamedTuple):
    """One comparison.

    Arguments:
        name: what is compared, as a reader names it.
        definition: of the number.
        estimate: of the difference.
        supports: the sign of the difference that supports the claim, +1 or -1.
        effect_size: Cohen's d_z where samples are paired.
        p: two-sided.
        decides: whether the verdict rests on it; others are shown beside.
        over: what n counts.
    """

    name: str
    definition: str
    estimate: Estimate
    supports: int
    effect_size: float | None
    p: float | None
    decides: bool = True
    over: Literal["samples", "routes"] = "samples"


class Claim(NamedTuple):
    """A claim and what was found about it; `decide` adds the verdict.

    Arguments:
        number: 1 to 4, in the paper's order.
        title: in a phrase.
        statement: what the paper says.
        effect_name: what `effect`, the estimate of the first test, is.
        unit: of the effect, or "".
        tests: the first is what the claim is about. It is supported where all deciding ones say
            so; it falls with the first, or with all the others.
        lacking: why there are no tests, or "".
        caveats: what a reader should know.
    """

    number: int
    title: str
    statement: str
    effect_name: str
    unit: str
    tests: tuple[Check, ...]
    lacking: str = ""
    caveats: tuple[str, ...] = ()


def decide(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Every claim with its verdict, as audit.json has it; the p of all tests are one family."""
    keys = [(c.number, i) for c in claims for i in range(len(c.tests))]
    p = {
        f"{number}.{i}": next(c for c in claims if c.number == number).tests[i].p
        for number, i in keys
    }
    corrected = statistics.holm(p)
    out: list[dict[str, Any]] = []
    for claim in claims:
        holm = [corrected[f"{claim.number}.{i}"] for i in range(len(claim.tests))]
        says: list[Says] = [
            _says(test, value) for test, value in zip(claim.tests, holm, strict=True)
        ]
        verdict = _verdict(claim, says)
        first = claim.tests[0].estimate if claim.tests else Estimate(None, None, None, 0, "")
        out.append(
            {
                "claim": claim.number,
                "title": claim.title,
                "statement": claim.statement,
                "verdict": verdict,
                "effect": first.value,
                "low": first.low,
                "high": first.high,
                "n": first.n,
                "effect_name": claim.effect_name,
                "unit": claim.unit,
                "sentence": _sentence(claim, verdict, says),
                "tests": [
                    {
                        "name": test.name,
                        "definition": test.definition,
                        "estimate": test.estimate.to_json(),
                        "effect_size": test.effect_size,
                        "p": test.p,
                        "p_holm": value,
                        "says": one,
                        "decides": test.decides,
                    }
                    for test, value, one in zip(claim.tests, holm, says, strict=True)
                ],
                "caveats": list(claim.caveats),
            }
        )
    return out


def _says(test: Check, p: float | None) -> Says:
    value, low, high = test.estimate[:3]
    if p is None or value is None or low is None or high is None or p >= LEVEL:
        return "undecided"
    if low <= 0 <= high:
        return "undecided"
    return "supports" if value * test.supports > 0 else "contradicts"


def _verdict(claim: Claim, says: Sequence[Says]) -> Verdict:
    deciding = [one for test, one in zip(claim.tests, says, strict=True) if test.decides]
    if not deciding:
        return "undecided"
    if all(one == "supports" for one in deciding):
        return "supported"
    others = deciding[1:]
    if deciding[0] == "contradicts" or (others and all(one == "contradicts" for one in others)):
        return "contradicted"
    return "undecided"


def _sentence(claim: Claim, verdict: Verdict, says: Sequence[Says]) -> str:
    if not claim.tests:
        return f"Undecided: {claim.lacking or 'nothing was measured'}."
    first = claim.tests[0]
    found = f"{claim.effect_name} = {estimate_text(first.estimate)}"
    deciding = [(test, one) for test, one in zip(claim.tests, says, strict=True) if test.decides]
    if verdict == "supported":
        return f"Supported on this system: {found}, and every deciding test agrees."
    if verdict == "contradicted":
        against = [test.name for test, one in deciding if one == "contradicts"]
        return f"Contradicted on this system: {found}; against it: {'; '.join(against)}."
    open_ones = [test.name for test, one in deciding if one == "undecided"]
    against = [test.name for test, one in deciding if one == "contradicts"]
    parts = [f"Undecided on this system: {found}"]
    if open_ones:
        parts.append(f"not told apart from no difference: {'; '.join(open_ones)}")
    if against:
        parts.append(f"against the claim: {'; '.join(against)}")
    return "; ".join(parts) + "."


def estimate_text(one: Estimate) -> str:
    """A number with its interval and n, as a sentence takes it."""
    if one.value is None:
        return "no number"
    if one.low is None or one.high is None:
        return f"{one.value:.3g} (n = {one.n})"
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}] (95%, n = {one.n})"
