"""Laptop mode: the Models of manifests served on this machine, without a cluster, Docker or root."""
