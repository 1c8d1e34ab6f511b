"""The contract of Berth: both kinds, their conditions and names, and what is started for a Model.

Pure: pydantic and nothing else.
"""
