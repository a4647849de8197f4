"""Steps and probes become samples and a trace. Everything stays on the device until the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ddm_core.denoise import Denoiser
from ddm_core.ensemble import Ensemble
from ddm_core.errors import WorkError
from ddm_core.faults import Fault, named, require_function, require_tensor
from ddm_core.probes.base import Meter, Probe, Scene
from ddm_core.rollout import Segment, Step, along
from ddm_core.trace import as_array

__all__ = ["record"]


def record(
    steps: Iterable[Step], count: int, scene: Scene, probes: Sequence[Probe]
) -> tuple[Tensor, xr.Dataset]:
    """Drain the steps, measure each, move once at the end.

    Arguments:
        steps: of a rollout or of noising.
        count: how many there will be.
        scene: what the probes may look at.
        probes: what to measure.

    Returns:
        x at the end of the last step [sample, *], on the device, and the trace.

    Raises:
        WorkError: an expert, the router or a state is not finite; names the step, t, the samples
            and who it was. A router, a strategy or a probe failed; names it and the step.
    """
    meters = [(probe, _begin(probe, scene)) for probe in probes]
    buffers: dict[str, Tensor] = {}
    finite: list[Tensor] = []
    times: list[float] = []
    end = 0.0
    x_s: Tensor | None = None
    try:
        for step in steps:
            for probe, meter in meters:
                with named(_who(probe)):
                    value = meter(step)
                    if probe.name not in buffers:
                        _require_value(probe, value, scene)
                        # One allocation per variable: tensors of a list would be copied again.
                        buffers[probe.name] = value.new_empty((count, *value.shape))
                    buffers[probe.name][step.index] = value
            finite.append(_finite(step))
            times.append(step.t)
            x_s, end = step.x_s, step.s
    except Fault as fault:
        raise fault.at(len(times)) from fault
    if x_s is None:
        raise WorkError("nothing was sampled: there are no steps")
    _require_finite(torch.stack(finite), [*times, end], scene)
    data = {
        probe.name: as_array(probe.variable, buffers[probe.name].cpu().numpy()) for probe in probes
    }
    coords: dict[str, xr.DataArray] = {
        "step": xr.DataArray(np.arange(len(times)), dims="step"),
        "t": xr.DataArray(np.array(times), dims="step"),
        "snr": _signal_to_noise(scene, times),
        "sample": xr.DataArray(np.array(scene.noise.seeds, dtype=np.int64), dims="sample"),
        "expert": xr.DataArray(np.arange(len(scene.system.experts)), dims="expert"),
    }
    if any("shown" in array.dims for array in data.values()):
        coords["shown"] = xr.DataArray(
            np.array(scene.noise.seeds[: scene.shown], dtype=np.int64), dims="shown"
        )
    return x_s, xr.Dataset(data, coords)


def _who(probe: Probe) -> str:
    return f"probe '{probe.name}'"


def _begin(probe: Probe, scene: Scene) -> Meter:
    with named(_who(probe)):
        meter = probe.begin(scene)
    return require_function(_who(probe), "begin", meter)


def _require_value(probe: Probe, value: Tensor, scene: Scene) -> None:
    """Fault where a value does not have the dims of its variable; asked at the first step."""
    known = {
        "sample": len(scene.noise.seeds),
        "expert": len(scene.system.experts),
        "shown": scene.shown,
    }
    dims = probe.variable.dims[1:]
    what = f"{probe.variable.name} ({', '.join(dims)})" if dims else probe.variable.name
    require_tensor(_who(probe), what, value, [known.get(dim) for dim in dims])


def _signal_to_noise(scene: Scene, times: Sequence[float]) -> xr.DataArray:
    """alpha_t^2 / sigma_t^2 [step]: what compares steps of different schedules."""
    alpha, sigma = scene.system.schedule.alpha_sigma(torch.tensor(times, dtype=torch.float64))
    words = {"long_name": "signal-to-noise ratio", "definition": "alpha_t^2 / sigma_t^2"}
    return xr.DataArray(((alpha / sigma) ** 2).numpy(), dims="step", attrs=words)


def _finite(step: Step) -> Tensor:
    """Whether everything that decides a sample is finite [sample]; asks nothing of the host."""
    mixture = step.mixture
    # Weights and probabilities too: an expert of weight nan does not run, and nobody would notice.
    parts = (step.x_s, mixture.velocity, mixture.probabilities, mixture.weights)
    return torch.stack([part.flatten(1).isfinite().all(dim=1) for part in parts]).all(dim=0)


def _require_finite(finite: Tensor, times: Sequence[float], scene: Scene) -> None:
    """Name the first step at which a sample was lost, and who lost it."""
    ok = finite.cpu()
    if bool(ok.all()):
        return
    index = int((~ok).any(dim=1).nonzero()[0])
    lost = (~ok[index]).nonzero().flatten().tolist()
    seeds = ", ".join(str(scene.noise.seeds[row]) for row in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    culprit = _culprit(scene, lost[0], times[: index + 2])
    raise WorkError(
        f"not a number at step {index} (t = {times[index]:.3g}) from {culprit} "
        f"for seed {seeds}{more}; nothing was stored"
    )


class _NotANumber(Exception):
    def __init__(self, expert: int | None) -> None:
        self.expert = expert


class _Watched(Denoiser):
    """An expert that is looked at after every call; None stands for the monolith."""

    def __init__(self, denoiser: Denoiser, expert: int | None) -> None:
        super().__init__(denoiser.schedule)
        self.denoiser = denoiser
        self.expert = expert

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        v = self.denoiser(x_t, t, condition)
        if not bool(v.isfinite().all()):
            raise _NotANumber(self.expert)
        return v


def _culprit(scene: Scene, row: int, times: Sequence[float]) -> str:
    """Who was the first to give something that is no number.

    A sample is its seed: the lost one is sampled again, alone, and everybody is looked at after
    each call. The loop itself cannot look: it would wait for the device at every step.
    """
    if scene.sampler is None:
        return "an expert or the router"
    own = Segment(scene.ensemble, scene.sampler, scene.condition)
    experts = len(scene.system.experts)
    segments = [_watched(part, row, experts) for part in scene.segments or (own,)]
    noise = scene.noise._replace(seeds=scene.noise.seeds[row : row + 1])
    try:
        for step in along(segments, noise.initial(), times, noise):
            # A strategy that draws makes sound weights of any probabilities.
            if not bool(step.mixture.probabilities.isfinite().all()):
                return "the router"
            if not bool(step.mixture.weights.isfinite().all()):
                return "the strategy"
            if not bool(step.x_s.isfinite().all()):
                return "the sampler"
    except _NotANumber as found:
        return f"expert {found.expert}" if found.expert is not None else "the monolith"
    return "an expert or the router"


def _watched(part: Segment, row: int, experts: int) -> Segment:
    """The same segment for one sample, every expert looked at."""
    ensemble = part.ensemble
    alone = len(ensemble.experts) < experts
    watched = [_Watched(one, None if alone else k) for k, one in enumerate(ensemble.experts)]
    return part._replace(
        ensemble=Ensemble(watched, ensemble.route, ensemble.schedule),
        condition=None if part.condition is None else part.condition[row : row + 1],
    )
