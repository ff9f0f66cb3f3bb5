"""A reader for digitizer files of pulses."""
