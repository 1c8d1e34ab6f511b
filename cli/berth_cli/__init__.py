"""The commands `berth` and `kubectl model`, and laptop mode."""
