"""What the classical baselines learn from: weighted moments and random samples of events that come batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from hepanom.contracts import Batch
from hepanom.errors import InputError

WIDEST = 8192  # a covariance of so many features takes 512 MiB
IDLE = "the weights of all training events are zero; train: {weighted: false} counts events instead"
SAME = "all training events are the same, and nothing tells how far from them another is; check the reader's columns"
Rows = Iterable[tuple[Float[Tensor, "event feature"], Float[Tensor, " event"]]]


def rows(batches: Iterable[Batch], name: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features (event, feature) and weights of every batch; an image's features are its pixels."""
    for batch in batches:
        yield batch.inputs[name].flatten(1), batch.weight


def refuse_wide(features: int) -> None:
    """Raise InputError for events with more features than a covariance matrix can hold."""
    if features > WIDEST:
        raise InputError(
            f"this model needs a covariance matrix, and {features} features are too many for one (at most {WIDEST}); "
            "the transforms image and select make fewer of them"
        )


@dataclass(frozen=True)
class Moments:
    """Sum of weights, mean and covariance of weighted events."""

    weight: Float64[Tensor, ""]
    mean: Float64[Tensor, " feature"]
    covariance: Float64[Tensor, "feature feature"]


def moments(batches: Rows) -> Moments:
    """Return the weighted moments of all events, exactly and holding one batch at a time.

        W = sum w,   m = sum w x / W,   C = sum w (x - m)(x - m)^T / W

    Batches a and b are joined by C W = C_a W_a + C_b W_b + W_a W_b / W (m_a - m_b)(m_a - m_b)^T, which loses no
    digits where the mean is large.

    References:
        T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979,
        doi:10.1007/978-3-642-51461-6_3.
    """
    total: Moments | None = None
    for features, weights in batches:
        x, w = features.double(), weights.double()
        weight = w.sum()
        if weight <= 0:
            continue
        mean = w @ x / weight
        centred = x - mean
        one = Moments(weight, mean, (centred * w[:, None]).T @ centred / weight)
        total = one if total is None else _joined(total, one)
    if total is None:
        raise InputError(IDLE)
    return total


def _joined(a: Moments, b: Moments) -> Moments:
    weight = a.weight + b.weight
    share, apart = b.weight / weight, b.mean - a.mean
    covariance = torch.lerp(a.covariance, b.covariance, share) + share * (1 - share) * torch.outer(apart, apart)
    return Moments(weight, a.mean + share * apart, covariance)


def sample(
    batches: Rows, most: int, *, by_weight: bool = False, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "event feature"], Float[Tensor, " event"]]:
    """Return at most ``most`` of the events, drawn at random without replacement, with their weights.

    Every event is as likely as any other, and keeps its weight, or, ``by_weight``, it is drawn in proportion to its
    weight and the sample counts without weights; then there are no more than the effective number of events
    (``effective``). Every event draws a key e / w with e ~ Exp(1), or e alone, and the smallest keys stay. At most
    twice as many events as asked for are held at a time. The keys come from torch's global generator, or from
    ``generator``, on the CPU, so that the same events are drawn on every device.

    References:
        P. Efraimidis, P. Spirakis, Weighted random sampling with a reservoir, Inf. Proc. Lett. 97 (2006) 181,
        doi:10.1016/j.ipl.2005.11.003.
    """
    pool: list[tuple[Tensor, Tensor, Tensor]] = []
    held, moments_of_weight = 0, torch.zeros(2, dtype=torch.float64)
    for x, w in batches:
        key = _keys(w if by_weight else torch.ones_like(w), generator)
        moments_of_weight += torch.stack([w.double().sum(), w.double().square().sum()]).cpu()
        pool.append((x, w, key))
        held += len(w)
        if held > 2 * most:
            pool, held = [_smallest(pool, most)], most
    total, squares = moments_of_weight.tolist()
    if total <= 0:
        raise InputError(IDLE)
    x, w, _ = _smallest(pool, min(most, _effective(total, squares)) if by_weight else most)
    return x, w


def drawn(weight: Float[Tensor, " event"], number: int) -> Int[Tensor, " drawn"]:
    """Return which events are drawn without replacement, in proportion to their weights, from the global generator."""
    return _keys(weight, None).topk(number, largest=False).indices


def effective(weight: Float[Tensor, " event"]) -> int:
    """Return the effective number of events, (sum w)^2 / sum w^2, rounded: as many as there are where w is equal.

    References:
        L. Kish, Survey sampling, Wiley 1965.
    """
    w = weight.double()
    return _effective(float(w.sum()), float(w.square().sum()))


def _effective(total: float, squares: float) -> int:
    return max(1, round(total**2 / squares))


def _keys(weight: Float[Tensor, " event"], generator: torch.Generator | None) -> Float64[Tensor, " event"]:
    exponential = torch.empty(len(weight), dtype=torch.float64).exponential_(generator=generator)
    return exponential.to(weight.device) / weight.double()


def _smallest(pool: list[tuple[Tensor, Tensor, Tensor]], most: int) -> tuple[Tensor, Tensor, Tensor]:
    x, w, key = (torch.cat(column) for column in zip(*pool, strict=True))
    if len(key) <= most:
        return x, w, key
    kept = key.topk(most, largest=False).indices
    return x[kept], w[kept], key[kept]
