"""The engine for pictures on ONNX Runtime: it classifies them, finds objects in them, and reads lines of text.

`berth_runtime.engines.onnxruntime` creates it for these tasks. `load` puts together what the neighbours `vision_*` and
`pictures` do: settings, graph, the reader of its outputs, and the threads that batch.
"""

import sys
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from berth_api.artifact import Task
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.onnx_session import RUN_ERRORS, open_session, plain_words
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
from berth_runtime.engines.vision_graph import Outputs, VisionGraph
from berth_runtime.engines.vision_readers import choose_reader
from berth_runtime.engines.vision_scheduler import BatchLimits, VisionScheduler

OPERATIONS: Final[Mapping[Task, Operation]] = {
    Task.IMAGE_CLASSIFICATION: Operation.IMAGE_CLASSIFICATION,
    Task.OBJECT_DETECTION: Operation.OBJECT_DETECTION,
    Task.TEXT_RECOGNITION: Operation.TEXT_RECOGNITION,
}
PARAMETERS: Final[Mapping[Operation, frozenset[str]]] = {Operation.OBJECT_DETECTION: frozenset({"threshold"})}

ARGUMENTS: Final = frozenset({"provider"})

# Requests at work at once when the user names no number: enough that a free thread always finds a handful.
PARALLEL_REQUESTS: Final = 128

SAMPLE_EDGE: Final = 64


class VisionEngine:
    """One ONNX model that looks at pictures."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._operation = OPERATIONS[settings.task]
        self._scheduler: VisionScheduler | None = None

    def load(self) -> Capabilities:
        """Read the weights, look at two pictures of our own to learn what the outputs are, and start the threads."""
        settings = self._settings
        unknown = sorted(settings.args.keys() - ARGUMENTS)
        if unknown:
            known = ", ".join(sorted(ARGUMENTS))
            raise LoadFailed(
                f"the engine OnnxRuntime has no argument {unknown[0]!r} for the task {settings.task}; it has {known}"
            )
        picture = settings.model.picture
        if picture is None:
            raise LoadFailed(
                "nothing says how pictures become the model's input; put its preprocessor_config.json beside the graph"
            )
        graph = VisionGraph(open_session(settings.model.weights[0], provider=settings.args.get("provider")), picture)
        reader = choose_reader(settings.task, settings.model, _samples(graph, picture))
        graph.outputs = reader.outputs
        self._scheduler = VisionScheduler(
            partial(read_picture, settings=picture, max_pixels=most_pixels(settings.memory_bytes)),
            graph,
            reader,
            batch_limits(graph.fixed_rows),
            threads=settings.threads,
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


def batch_limits(fixed_rows: int | None) -> BatchLimits:
    """How batches are built: the measured default, or as the graph was exported."""
    return BatchLimits() if fixed_rows is None else BatchLimits(pictures=fixed_rows, pixels=sys.maxsize)


def proof_picture() -> bytes:
    """A small picture, as a client would send it."""
    out = BytesIO()
    _gradient().save(out, "PNG")
    return out.getvalue()


def _gradient() -> Image.Image:
    values = np.linspace(0, 255, SAMPLE_EDGE * SAMPLE_EDGE * 3).astype(np.uint8)
    return Image.fromarray(values.reshape(SAMPLE_EDGE, SAMPLE_EDGE, 3))


def _samples(graph: VisionGraph, picture: PictureSettings) -> list[Outputs]:
    """What the graph says of two pictures that have nothing in common."""
    pictures = (Image.new("RGB", (SAMPLE_EDGE, SAMPLE_EDGE), "gray"), _gradient())
    try:
        return [graph.run([prepare_picture(Picture(image), picture).tensor]) for image in pictures]
    except RUN_ERRORS as error:
        raise LoadFailed(
            f"the graph can't be run on a picture prepared as its files say: {plain_words(error)}; take "
            "preprocessor_config.json and the graph of one model"
        ) from error
