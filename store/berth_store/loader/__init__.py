"""Brings a Model's artifact into a pod's volume: `python -m berth_store.loader`, the init container of a Model's pod.

It leaves a store at `INTO/store` and the view of the artifact at `INTO/model`, which the runtime is given as `--model`;
where Models share the folder, at `INTO/sha256-<hex>` instead. Where the node mounts the artifact as an image volume,
`python -m berth_store.loader.check` takes its place.
"""
