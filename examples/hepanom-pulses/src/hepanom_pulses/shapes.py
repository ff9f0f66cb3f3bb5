"""Numbers that describe the shape of a pulse."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int16

SHAPES = {
    "baseline": "mV",
    "amplitude": "mV",
    "charge": "mV ns",
    "peak_time": "ns",
    "rise_time": "ns",
    "tail": "",
}
QUIET = 8  # the first eighth of a waveform is before the pulse


def voltages(
    counts: Int16[np.ndarray, "event channel sample"], scale: float
) -> Float32[np.ndarray, "event channel sample"]:
    """Return waveforms in mV."""
    return counts.astype(np.float32) * np.float32(scale)


def shapes(volts: Float[np.ndarray, "event channel sample"], period: float) -> Float[np.ndarray, "event channel shape"]:
    """Return the shapes of pulses v(t) in mV that rise above the baseline, in the order of SHAPES.

    baseline   b = mean of v over the first eighth of the samples, before the pulse
    amplitude  a = max v - b
    charge     q = sum (v - b) dt
    peak_time  when v is highest
    rise_time  from the first sample above b + a / 10 to the first above b + 9 a / 10
    tail       share of the charge after the peak; missing where there is no charge
    """
    count = np.arange(volts.shape[2])
    baseline = volts[:, :, : max(1, volts.shape[2] // QUIET)].mean(2)
    pulse = volts - baseline[:, :, None]
    amplitude, peak = pulse.max(2), pulse.argmax(2)
    above = [(pulse > share * amplitude[:, :, None]).argmax(2) for share in (0.1, 0.9)]
    charge = pulse.sum(2)
    late = np.where(count > peak[:, :, None], pulse, 0).sum(2)
    tail = np.divide(late, charge, out=np.full_like(late, np.nan), where=charge > 0)
    numbers = (baseline, amplitude, charge * period, peak * period, (above[1] - above[0]) * period, tail)
    return np.stack(numbers, 2).astype(np.float32)
