"""A real one-node Kubernetes on a Linux machine, without Docker and without a way out; docs/development/cluster.md.

`node.Node` is what tests use; `python -m e2e.cluster` is what people use.
"""
