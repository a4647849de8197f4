"""How sensitive and how well converged a route is: per sample, each quantity by its definition.

    growth               |dx_0| / |dx_T| of a twin that starts h beside the sample, re-routed
    growth_frozen        the same, the twin mixed with the sample's own weights
    growth_renormalised  the same, the twin re-routed and put back to h after every step (Benettin)
    lyapunov             ln(growth) / (t_0 - t_N), per unit of time
    lyapunov_renormalised  ln(growth_renormalised) / (t_0 - t_N)
    lipschitz            mean over steps of sigma_max(dv/dx), by one warm-started power iteration
    lipschitz_max        largest over steps
    effective_lipschitz  sum_i |dt_i| L_i; one Euler step grows a difference by at most 1 + |dt| L
    lipschitz_difference mean over steps of the slope along a random direction, re-routed
    lipschitz_difference_max  largest over steps and two random directions each
    lipschitz_frozen     as lipschitz_difference, with the sample's own weights
    lipschitz_noised     sigma_max(dv/dx) on real data noised to t, mean over levels, by 5 power
                         iterations: a few percent below, alike for all routes
    delta_refine         |x^N - x^2N| / |x^2N|: N against 2N steps from one x_T

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
    (Villagra et al., 2026); the formulas are our own definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ddm_core.analysis.plan import GRIDS
from ddm_core.config import RunConfig
from ddm_core.devices import pick_device, start_worker, workers_on
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES, Scene
from ddm_core.rollout import noising
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.run import Progress, execute
from ddm_core.systems.base import System

__all__ = ["Array", "convergence", "noised_sensitivity", "sensitivity"]

Array = np.ndarray
#: What the paradox map shows.
_MAPPED = ("perturbation_growth", "local_lipschitz:iterations=1")
_PROBES = (
    *_MAPPED,
    "perturbation_growth_frozen",
    "perturbation_growth_renormalised",
    "local_lipschitz_difference",
    "local_lipschitz_difference_max:directions=2",
    "local_lipschitz_frozen",
)
#: From one noise level to the next the steepest direction turns: more iterations than on a path.
_NOISED = "local_lipschitz:iterations=5:first=8"


def sensitivity(
    config: RunConfig,
    system: System,
    on_progress: Callable[[Progress], None],
    *,
    mapped: bool = False,
) -> dict[str, Array]:
    """Every sensitivity of every sample of a config, by name: [sample].

    Arguments:
        mapped: only those that the paradox map shows, at half the cost.
    """
    probes = _MAPPED if mapped else _PROBES
    trace = execute(
        config.model_copy(update={"probes": probes, "observed": config.num, "shown": 0}),
        on_progress,
        system=system,
    ).trace
    t = np.append(trace["t"].values, 0.0)
    dt = -np.diff(t)[:, None]

    def of(name: str) -> Array:
        return trace[name].transpose("step", "sample").values.astype(float)

    def exponent(growth: Array) -> Array:
        with np.errstate(divide="ignore"):
            # A twin that ends on the very same point has an exponent of minus infinity.
            found = np.log(growth) / (t[0] - t[-1])
        return np.where(np.isfinite(found), found, np.nan)

    growth = of("perturbation_growth")[-1]
    local = of("local_lipschitz")
    found = {
        "growth": growth,
        "lyapunov": exponent(growth),
        "lipschitz": local.mean(axis=0),
        "lipschitz_max": local.max(axis=0),
        "effective_lipschitz": (dt * local).sum(axis=0),
    }
    if mapped:
        return found
    renormalised = of("perturbation_growth_renormalised")[-1]
    return found | {
        "growth_frozen": of("perturbation_growth_frozen")[-1],
        "growth_renormalised": renormalised,
        "lyapunov_renormalised": exponent(renormalised),
        "lipschitz_difference": of("local_lipschitz_difference").mean(axis=0),
        "lipschitz_difference_max": of("local_lipschitz_difference_max").max(axis=0),
        "lipschitz_frozen": of("local_lipschitz_frozen").mean(axis=0),
    }


def noised_sensitivity(
    config: RunConfig, system: System, x_0: Tensor, times: Sequence[float]
) -> dict[str, Array]:
    """Sensitivity of a route on real data, where every route meets the same states: [sample].

    Item i is noised by the noise that sample seed + i of the config starts from.

    Arguments:
        x_0: held-out data [sample, *].
        times: noise levels, rising, in (0, 1).
    """
    device = pick_device(config.device)
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    placed, route = system.to(device, dtype), parse_route(config.router)

    def of(rows: range) -> Tensor:
        ensemble = build_ensemble(placed, route)
        seeds = tuple(config.seed + i for i in rows)
        noise = Noise(seeds, placed.shape, dtype, device)
        meter = PROBES.parse(_NOISED).begin(Scene(placed, ensemble, None, noise, None, 0))
        some = x_0[rows.start : rows.stop].to(device, dtype)
        with torch.no_grad():
            return torch.stack([meter(step) for step in noising(ensemble, some, times, noise)])

    workers = workers_on(device, config.workers, points=not system.is_image)
    each = -(-len(x_0) // workers)
    rows = [range(i, min(i + each, len(x_0))) for i in range(0, len(x_0), each)]
    with ThreadPoolExecutor(workers, "noised", start_worker, (device,)) as pool:
        found = torch.cat(list(pool.map(of, rows)), dim=1)
    return {"lipschitz_noised": found.double().mean(dim=0).cpu().numpy()}


def convergence(
    config: RunConfig, system: System, on_progress: Callable[[Progress], None]
) -> dict[int, Array]:
    """Relative L2 [sample] between the ends of N and 2N steps, by N: half the config's, and its.

    A strategy that draws draws anew on another grid; its curve says so, and does not fall to 0.
    """
    grids = [max(1, round(config.steps * share)) for share in GRIDS]
    ends: list[torch.Tensor] = []
    for steps in grids:
        some = config.model_copy(update={"steps": steps, "probes": ("none",), "shown": 0})
        ends.append(execute(some, on_progress, system=system).samples.double().flatten(1))
    out: dict[int, Array] = {}
    for steps, coarse, fine in zip(grids, ends, ends[1:], strict=False):
        apart = (coarse - fine).norm(dim=1) / fine.norm(dim=1)
        out[steps] = apart.numpy()
    return out
