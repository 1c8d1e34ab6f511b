"""Scenarios on a real Kubernetes, and in `cluster/` what makes one where there is none."""
