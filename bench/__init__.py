"""Measurements of Berth beside the raw engines and beside its peers; `make bench` runs all of them."""
