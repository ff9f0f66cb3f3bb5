"""hepanom: anomaly detection for high-energy and nuclear physics."""
