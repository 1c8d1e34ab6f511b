"""What an artifact is, found out without fetching it: `python -m berth_store.resolver`.

The operator runs it as a Job in the Model's namespace, and reads the answer from the container's termination message.
"""
