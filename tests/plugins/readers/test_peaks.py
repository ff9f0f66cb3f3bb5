"""The peaks of a trace: what counts as one, and which charge and time it gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom_plugins.readers.peaks import Peaks, find_peaks

SAMPLES = np.arange(512)


def trace(*pulses: tuple[float, float], baseline: float = 300, noise: float = 0, seed: int = 1) -> np.ndarray:
    """Return one trace with Gaussian pulses, given as (time, height), of a width of three samples."""
    values = baseline + noise * np.random.default_rng(seed).standard_normal(512)
    for time, height in pulses:
        values = values + height * np.exp(-((SAMPLES - time) ** 2) / 18)
    return values.astype(np.float32)[None]


def by_loop(values: np.ndarray, options: Peaks) -> list[tuple[float, float, float]]:
    """Return what the rule says, sample by sample."""
    pulse = values.astype(np.float64) - np.median(values)
    noise = max(1.4826 * np.median(np.abs(pulse)), 1.0)
    cut = options.peak_threshold * (noise if options.peak_unit == "noise" else 1)
    peaks = []
    for t in np.flatnonzero(pulse > cut):
        before, after = pulse[max(t - options.peak_separation, 0) : t], pulse[t + 1 : t + 1 + options.peak_separation]
        if all(pulse[t] > before) and all(pulse[t] >= after):
            peaks.append(int(t))
    found = []
    for peak in peaks:
        near = [t for t in range(512) if abs(t - peak) <= options.peak_window]
        own = [t for t in near if all((abs(t - peak), peak) <= (abs(t - other), other) for other in peaks)]
        positive = np.maximum(pulse[own], 0)
        found.append((float(np.dot(own, positive) / positive.sum()), float(pulse[own].sum()), float(pulse[peak])))
    return found


@given(
    pulses=st.lists(st.tuples(st.floats(-5, 517), st.floats(0, 3000)), max_size=6),
    separation=st.integers(1, 20),
    window=st.integers(0, 20),
    unit=st.sampled_from(["noise", "ADC"]),
    noise=st.sampled_from([0.0, 3.0]),
)
def test_all_traces_at_once_are_the_rule_sample_by_sample(
    pulses: list[tuple[float, float]], separation: int, window: int, unit: str, noise: float
) -> None:
    options = Peaks(peak_separation=separation, peak_window=window, peak_unit=unit, peak_threshold=6.0)
    traces = np.concatenate([np.round(trace(*pulses, noise=noise)), trace((100, 500)), np.zeros((1, 512), np.float32)])
    index, found = find_peaks(traces, options)
    expected = [(row, *peak) for row in range(3) for peak in by_loop(traces[row], options)]
    assert index.tolist() == [row for row, *_ in expected]
    np.testing.assert_allclose(found, np.array([peak for _, *peak in expected]).reshape(-1, 3), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("time", "height"), [(200.0, 800.0), (200.4, 90.0)])
def test_a_pulse_is_found_with_its_time_charge_and_height(time: float, height: float) -> None:
    index, found = find_peaks(trace((time, height)), Peaks(peak_window=15))
    assert index.tolist() == [0]
    assert found[0, 0] == pytest.approx(time, abs=0.02)
    assert found[0, 1] == pytest.approx(height * np.sqrt(18 * np.pi), rel=0.01)
    assert found[0, 2] == pytest.approx(height, rel=0.02)


def test_two_pulses_share_the_samples_between_them() -> None:
    _, two = find_peaks(trace((200, 500), (212, 500)), Peaks())
    _, one = find_peaks(trace((200, 500)), Peaks())
    assert len(two) == 2
    assert two[:, 1].sum() == pytest.approx(2 * one[0, 1], rel=0.01)
    assert two[:, 1] == pytest.approx(one[0, 1], rel=0.05)


def test_of_pulses_nearer_than_the_separation_the_higher_one_stays() -> None:
    pulses = trace((200, 500), (212, 700))
    _, found = find_peaks(pulses, Peaks(peak_separation=15))
    assert found[:, 2] == pytest.approx([700], rel=0.01)


def test_noise_alone_makes_few_peaks_whatever_the_baseline() -> None:
    noise = np.concatenate([trace(noise=3, baseline=level, seed=level) for level in range(100, 1100, 10)])
    index, _ = find_peaks(noise, Peaks())
    assert len(index) <= 2  # 51,200 samples at five standard deviations: 0.015 are expected
    _, wide = find_peaks(noise, Peaks(peak_threshold=2.0))
    assert len(wide) > 100


def test_a_threshold_in_counts_does_not_look_at_the_noise() -> None:
    noisy = trace((100, 50), noise=30)
    assert len(find_peaks(noisy, Peaks(peak_threshold=20.0, peak_unit="ADC"))[0]) > len(find_peaks(noisy, Peaks())[0])
