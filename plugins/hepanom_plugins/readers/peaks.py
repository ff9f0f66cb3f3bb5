"""Peaks in the digitized pulses of a detector's pads, and the rule by which they are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from pydantic import Field


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Options of the search for peaks in traces.

    Of the samples a_t of one trace: the baseline is b = median a, the noise s = 1.4826 median |a - b|, the robust
    standard deviation, but at least one ADC count, the resolution. A sample is a peak where a - b is above the
    threshold and no other sample within ``peak_separation`` is higher, nor an earlier one of them equal. To a peak
    belong the samples within ``peak_window`` that are not nearer to another peak of the trace; those half way belong to
    the earlier. Over them

        charge = sum (a_t - b),   time = sum t (a_t - b)+ / sum (a_t - b)+,   amplitude = a - b at the peak,

    where (v)+ is v, or 0 where v is negative. Time is in samples, from 0.

    References:
        E. Pollacco et al., GET: a generic electronics system for TPCs and nuclear physics instrumentation, Nucl.
        Instrum. Meth. A 887 (2018) 81, doi:10.1016/j.nima.2018.01.020.
        F. Hampel, The influence curve and its role in robust estimation, J. Am. Stat. Assoc. 69 (1974) 383.
    """

    pads: Annotated[str | None, Field(description="traces: csv file with the columns pad, x, y")] = None
    peak_threshold: Annotated[float, Field(gt=0, description="traces: height of a peak above the baseline")] = 5.0
    peak_unit: Annotated[
        Literal["noise", "ADC"], Field(description="traces: the threshold counts the trace's noise, or ADC counts")
    ] = "noise"
    peak_separation: Annotated[int, Field(ge=1, description="traces: least distance of peaks, in samples")] = 5
    peak_window: Annotated[int, Field(ge=0, description="traces: samples on each side that belong to a peak")] = 10


def find_peaks(
    traces: Float32[np.ndarray, "trace sample"], options: Peaks
) -> tuple[Int64[np.ndarray, " peak"], Float64[np.ndarray, "peak 3"]]:
    """Return the trace of each peak, in order, and its time, charge and amplitude; see Peaks for the rule."""
    pulses = traces - _median(traces)
    noise = np.maximum(1.4826 * _median(np.abs(pulses)), 1.0)
    threshold = options.peak_threshold * (noise if options.peak_unit == "noise" else 1.0)
    trace, sample = np.nonzero(pulses > threshold)
    highest = _windows(pulses, trace, sample, options.peak_separation, -np.inf)
    middle, earlier = options.peak_separation, slice(0, options.peak_separation)
    height = highest[:, middle]
    peak = (height >= highest.max(1, initial=-np.inf)) & (height > highest[:, earlier].max(1, initial=-np.inf))
    trace, sample, height = trace[peak], sample[peak], height[peak]
    heights = _windows(pulses, trace, sample, options.peak_window, 0.0)
    heights = np.where(_nearest(trace, sample, options.peak_window), heights, 0.0)
    times = sample[:, None] + np.arange(-options.peak_window, options.peak_window + 1)
    positive = np.maximum(heights, 0.0)
    time = (times * positive).sum(1) / positive.sum(1)
    return trace, np.column_stack([time, heights.sum(1), height])


def _median(values: Float32[np.ndarray, "trace sample"]) -> Float32[np.ndarray, "trace 1"]:
    """Return the median of each trace; sorting float32 is five times faster than numpy's median."""
    ordered, samples = np.sort(values, axis=1), values.shape[1]
    return np.asarray((ordered[:, [(samples - 1) // 2]] + ordered[:, [samples // 2]]) / 2, np.float32)


def _windows(
    pulses: Float32[np.ndarray, "trace sample"],
    trace: Int64[np.ndarray, " peak"],
    sample: Int64[np.ndarray, " peak"],
    reach: int,
    beyond: float,
) -> Float64[np.ndarray, "peak place"]:
    """Return the samples at most ``reach`` from each peak, and ``beyond`` where the trace has ended."""
    places = sample[:, None] + np.arange(-reach, reach + 1)
    inside = (places >= 0) & (places < pulses.shape[1])
    return np.where(inside, pulses[trace[:, None], np.where(inside, places, 0)], beyond).astype(np.float64)


def _nearest(
    trace: Int64[np.ndarray, " peak"], sample: Int64[np.ndarray, " peak"], reach: int
) -> Bool[np.ndarray, "peak place"]:
    """Return which samples around each peak are not nearer to the peak before or after it in the same trace."""
    same, gap = np.diff(trace) == 0, np.diff(sample)
    far = np.full(1, 2 * reach + 1)
    before = np.concatenate([far, np.where(same, gap, far)])[: len(trace)]
    after = np.concatenate([np.where(same, gap, far), far])[: len(trace)]
    step = np.arange(-reach, reach + 1)
    return (-2 * step < before[:, None]) & (2 * step <= after[:, None])
