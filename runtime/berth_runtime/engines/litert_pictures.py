"""TFLite models on LiteRT that look at pictures: they classify them, and find objects and faces in them.

`load` puts together what the neighbours `litert_*` do: interpreters, answers, and the threads. Created by
`berth_runtime.engines.litert`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Final

from PIL import Image

from berth_api.artifact import Task
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.litert_answers import (
    DEFAULT_THRESHOLD,
    describe,
    probabilities,
    read_faces,
    read_ssd,
)
from berth_runtime.engines.litert_graph import RUN_ERRORS, LitertGraph, Outputs, plain_words, read_header
from berth_runtime.engines.litert_memory import as_many_as_fit
from berth_runtime.engines.litert_model import LitertModel
from berth_runtime.engines.litert_workers import Answer, PictureWorkers
from berth_runtime.engines.pictures import Prepared, most_pixels, read_picture
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
from berth_store.detect import PictureSettings
from berth_store.detect.tflite_task import class_scores, face_outputs, picture_input, ssd_outputs
from berth_store.headers.tflite import TfliteHeader

Reader = Callable[[Outputs, Prepared, float | None], Answer]

OPERATIONS: Final = {
    Task.IMAGE_CLASSIFICATION: Operation.IMAGE_CLASSIFICATION,
    Task.OBJECT_DETECTION: Operation.OBJECT_DETECTION,
}
PARAMETERS: Final[Mapping[Operation, frozenset[str]]] = {Operation.OBJECT_DETECTION: frozenset({"threshold"})}
# Requests in the turns at once when the user names no number; each holds the bytes of its pictures.
PARALLEL_REQUESTS: Final = 32


class LitertPictures:
    """One TFLite model that looks at pictures."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._workers: PictureWorkers | None = None
        self._operation: Operation | None = None

    def load(self) -> Capabilities:
        """Read what the file says, make the interpreters, and start the threads."""
        settings = self._settings
        operation = OPERATIONS[settings.task]
        if settings.args:
            raise LoadFailed(f"the engine LiteRT has no argument {next(iter(settings.args))!r}; it takes none")
        header, picture = self._facts()
        models = self._models(header, picture)
        reader = choose_reader(header, settings.task, settings.model.labels)
        prepare = partial(read_picture, settings=picture, max_pixels=most_pixels(settings.memory_bytes))
        self._workers = PictureWorkers(models, prepare, reader)
        self._workers.start()
        self._operation = operation
        return Capabilities(
            parameters={operation: PARAMETERS.get(operation, frozenset())},
            parallel_requests=settings.parallel_sequences or PARALLEL_REQUESTS,
            labels=settings.model.labels,
        )

    def prove(self) -> None:
        """Look at one grey picture, as for a request."""
        assert self._operation is not None
        proof = FirstReply()
        self.submit(ImageRequest(self._operation, (_grey_picture(),)), proof)
        proof.wait()

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one request about pictures."""
        is_ours = isinstance(request, ImageRequest) and request.operation is self._operation
        if self._workers is None or not is_ours:
            reply.fail(OTHER_OPERATION)
            return
        assert isinstance(request, ImageRequest)
        self._workers.submit(request, reply)

    def _facts(self) -> tuple[TfliteHeader, PictureSettings]:
        header, picture = read_header(self._settings), self._settings.model.picture
        if picture is None:
            raise LoadFailed(
                "nothing says how pictures become the model's input; put its preprocessor_config.json beside it"
            )
        return header, picture

    def _models(self, header: TfliteHeader, picture: PictureSettings) -> list[LitertModel]:
        place = picture_input(header)
        assert place is not None
        outputs = ssd_outputs(header)
        wanted = [outputs.boxes, outputs.classes, outputs.scores, outputs.count] if outputs else header.outputs
        as_pixels = (picture.scale, *picture.mean, *picture.std) == (1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0)

        def make() -> LitertModel:
            graph = LitertGraph(self._settings.model.weights[0], wanted)
            return LitertModel(graph, place.tensor, as_pixels=as_pixels)

        def try_out(model: LitertModel) -> None:
            try:
                model.run(read_picture(_grey_picture(), picture).tensor)
            except RUN_ERRORS as error:
                raise LoadFailed(
                    f"LiteRT can't run the model on one picture: {plain_words(error)}; convert it again"
                ) from error

        return as_many_as_fit(make, try_out, threads=self._settings.threads, memory_bytes=self._settings.memory_bytes)


def choose_reader(header: TfliteHeader, task: Task, labels: tuple[str, ...]) -> Reader:
    """How the outputs become an answer."""
    scores, ssd, faces = class_scores(header), ssd_outputs(header), face_outputs(header)
    if task is Task.IMAGE_CLASSIFICATION and scores is not None:
        return lambda outputs, _prepared, _threshold: probabilities(outputs, scores)
    if ssd is not None:
        return lambda outputs, prepared, threshold: describe(
            read_ssd(outputs, ssd, prepared.size, _or_default(threshold)), prepared, labels
        )
    assert faces is not None
    return lambda outputs, prepared, threshold: describe(
        read_faces(outputs, faces, _or_default(threshold)), prepared, labels
    )


def _or_default(threshold: float | None) -> float:
    return DEFAULT_THRESHOLD if threshold is None else threshold


def _grey_picture() -> bytes:
    content = BytesIO()
    Image.new("RGB", (64, 48), (128, 128, 128)).save(content, "PNG")
    return content.getvalue()
