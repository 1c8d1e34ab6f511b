"""The engine for pictures: it classifies them, finds objects in them, and reads lines of text.

`berth_runtime.engines.onnxruntime` and `torch` create it for these tasks, and say how the model is opened. `load` puts
together what the neighbours `vision_*` and `pictures` do: settings, model, the reader of its outputs, and the threads
that batch.
"""

from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Final, Protocol

import numpy as np
from PIL import Image

from berth_api.artifact import Task
from berth_runtime.engines.engine_arguments import Library
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.jobs import RunFailed
from berth_runtime.engines.pictures import Picture, PictureSettings, most_pixels, prepare_picture, read_picture
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    EngineSettings,
    ImageRequest,
    LoadFailed,
    Operation,
    Reply,
    Request,
)
from berth_runtime.engines.vision_readers import choose_reader
from berth_runtime.engines.vision_scheduler import BatchLimits, Graph, VisionScheduler
from berth_runtime.engines.vision_scores import Outputs

OPERATIONS: Final[Mapping[Task, Operation]] = {
    Task.IMAGE_CLASSIFICATION: Operation.IMAGE_CLASSIFICATION,
    Task.OBJECT_DETECTION: Operation.OBJECT_DETECTION,
    Task.TEXT_RECOGNITION: Operation.TEXT_RECOGNITION,
}
PARAMETERS: Final[Mapping[Operation, frozenset[str]]] = {Operation.OBJECT_DETECTION: frozenset({"threshold"})}

# Requests at work at once when the user names no number: enough that a free thread always finds a handful.
PARALLEL_REQUESTS: Final = 128

SAMPLE_EDGE: Final = 64


class VisionModel(Graph, Protocol):
    """Weights in memory, and how they are run best: by so many threads, in batches within `limits`.

    `outputs` are those that a run gives: at first all that may be read, then those that are.
    """

    outputs: tuple[str, ...]

    @property
    def limits(self) -> BatchLimits:
        """When a batch is full."""
        ...

    @property
    def threads(self) -> int:
        """How many threads run it."""
        ...


class VisionEngine:
    """One model that looks at pictures. `open_model` raises `LoadFailed`."""

    def __init__(
        self,
        settings: EngineSettings,
        library: Library,
        open_model: Callable[[EngineSettings, PictureSettings], VisionModel],
    ) -> None:
        self._settings = settings
        self._library = library
        self._open = open_model
        self._operation = OPERATIONS[settings.task]
        self._scheduler: VisionScheduler | None = None

    def load(self) -> Capabilities:
        """Read the weights, look at two pictures of our own to learn what the outputs are, and start the threads."""
        settings = self._settings
        self._library.check(settings.args, settings.task)
        picture = settings.model.picture
        if picture is None:
            raise LoadFailed(
                "nothing says how pictures become the model's input; put its preprocessor_config.json beside the graph"
            )
        model = self._open(settings, picture)
        reader = choose_reader(settings.task, settings.model, _samples(model, picture))
        model.outputs = reader.outputs
        self._scheduler = VisionScheduler(
            partial(read_picture, settings=picture, max_pixels=most_pixels(settings.memory_bytes)),
            model,
            reader,
            model.limits,
            threads=model.threads,
        )
        self._scheduler.start()
        return Capabilities(
            parameters={self._operation: PARAMETERS.get(self._operation, frozenset())},
            parallel_requests=settings.parallel_sequences or PARALLEL_REQUESTS,
            labels=reader.labels,
        )

    def prove(self) -> None:
        """Look at one picture, as a request would."""
        proof = FirstReply()
        self.submit(ImageRequest(self._operation, (proof_picture(),)), proof)
        proof.wait()

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one request about pictures."""
        if self._scheduler is None or not isinstance(request, ImageRequest) or request.operation != self._operation:
            reply.fail(OTHER_OPERATION)
            return
        self._scheduler.submit(request, reply)


def proof_picture() -> bytes:
    """A small picture, as a client would send it."""
    out = BytesIO()
    _gradient().save(out, "PNG")
    return out.getvalue()


def _gradient() -> Image.Image:
    values = np.linspace(0, 255, SAMPLE_EDGE * SAMPLE_EDGE * 3).astype(np.uint8)
    return Image.fromarray(values.reshape(SAMPLE_EDGE, SAMPLE_EDGE, 3))


def _samples(model: Graph, picture: PictureSettings) -> list[Outputs]:
    """What the model says of two pictures that have nothing in common."""
    pictures = (Image.new("RGB", (SAMPLE_EDGE, SAMPLE_EDGE), "gray"), _gradient())
    try:
        return [model.run([prepare_picture(Picture(image), picture).tensor], model.interrupt()) for image in pictures]
    except RunFailed as error:
        raise LoadFailed(
            f"the model can't be run on a picture prepared as its files say: {error.why}; take "
            "preprocessor_config.json and the weights of one model"
        ) from error
