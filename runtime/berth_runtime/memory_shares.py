"""The memory that this process may fill, shared by the models that it serves. `resolution.py` takes a share for each.

What is known before a model is loaded is the size of its files, which is at least what its weights take. So a model
finds no room where the files of all are more than the bound: a lower bound, no promise. What the weights leave is
shared evenly, for contexts and caches.
"""

from berth_api.errors import UnsupportedModel
from berth_api.sizes import size_words


class MemoryShares:
    """`bound_bytes` for `models` of them. Whoever asks first is served first."""

    def __init__(self, bound_bytes: int, models: int) -> None:
        self._bound_bytes = bound_bytes
        self._models = models
        self._weights: dict[str, int] = {}

    def take(self, name: str, weights_bytes: int) -> int:
        """Bytes that the model `name` may fill, its weights among them; one that starts anew takes its place again.

        Raises `UnsupportedModel` where the others leave no room for its weights.
        """
        others = {other: size for other, size in self._weights.items() if other != name}
        left = self._bound_bytes - sum(others.values()) - weights_bytes
        if left < 0:
            raise UnsupportedModel(self._why_not(weights_bytes, others))
        self._weights[name] = weights_bytes
        return weights_bytes + left // self._models

    def _why_not(self, weights_bytes: int, others: dict[str, int]) -> str:
        taken = "".join(f", and {other} has {size_words(size)} of it" for other, size in others.items())
        remedy = "serve fewer models in this process" if others else "take a smaller or a more quantised model"
        return (
            f"its files are {size_words(weights_bytes)}; this process may fill {size_words(self._bound_bytes)}{taken}. "
            f"Give it more memory, or {remedy}"
        )
