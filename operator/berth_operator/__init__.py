"""The operator: reconciles Models and ModelRoutes into what serves them."""
