"""The objects that a Model is made of in the cluster: value in, manifest out. One module for each kind."""
