"""What an artifact is, for people and scripts: of this machine's store (`stored`) or where it lies (`remote`).

Both gather the same evidence, and `describe` makes a `Description` of it, so that an artifact reads alike in both
places but for what only one can know. `berth inspect` prints it.
"""
