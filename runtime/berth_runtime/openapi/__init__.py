"""The HTTP API as an OpenAPI 3.1 document, made of the tables by which requests are read; pure.

`crds/generate.py` writes it into `berth_api`, from where the runtime and the gateway's agent serve it.
"""
