"""Talking to the Kubernetes API server: reflector, server-side apply, status, Lease and events; nothing of models."""
