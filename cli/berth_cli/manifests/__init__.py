"""Manifests as people write them: YAML files to Models and ModelRoutes, with the line of each mistake."""
