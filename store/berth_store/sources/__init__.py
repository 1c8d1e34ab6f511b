"""Where models come from besides whole artifacts of a registry: Hugging Face, https, S3, and a selection of either.

Each source is one module behind `protocol.Source`, and one line in the table of `opened`. A source lists files and
opens them; what is fetched, resumed, hashed and kept is the business of `berth_store.fetch`, the same for all.
"""
