"""What of an artifact may run as code: `spec.trust`, which resolver, loader, runtime and the laptop are all told."""

from pydantic import Field

from berth_api.part import Part


class Trust(Part):
    """What of the artifact may run as code. Nothing, unless said here."""

    pickle: bool = Field(
        default=False,
        description="Weights may be Python pickles, which are read for tensors alone (`weights_only`). Taken where the "
        "source has no other weights.",
    )
    remote_code: bool = Field(
        default=False,
        description="Python files inside the artifact may be run in the engine's pod, by Torch and VLLM.",
    )


NO_TRUST = Trust()
