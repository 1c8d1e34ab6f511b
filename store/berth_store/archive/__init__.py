"""Archives as layers of an artifact: which layers are one, walking a tar within bounds, and what was found in one.

Nothing here writes to disk: `berth_store.unpack` does, and the resolver walks archives that it has not fetched.
"""
