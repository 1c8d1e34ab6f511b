"""Signatures of models in the form of OpenSSF Model Signing (OMS): made, attached, found, and checked before use.

The format is that of https://github.com/ossf/model-signing-spec: a Sigstore bundle around a DSSE envelope around an
in-toto statement, which lists the model's files with their digests. See docs/signatures.md and docs/adr/0014.
"""
