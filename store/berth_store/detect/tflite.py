"""A TFLite model from its file and the files around it: `detect_tflite`, and `choose_tflite` for a folder."""

from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import DetectedModel
from berth_store.detect.tflite_picture import read_tflite_picture
from berth_store.detect.tflite_task import FACE, UNDERSTOOD, class_scores, face_outputs, stated_task, why_not
from berth_store.detect.wish import Wish, ask_task, ask_which
from berth_store.headers.bounded_json import read_bounded
from berth_store.headers.tflite import TfliteHeader, read_tflite
from berth_store.headers.tflite_metadata import label_lines

LABEL_FILES = ("labels.txt", "labelmap.txt")
# All that is read beside a model's file.
FILES_BESIDE = (*LABEL_FILES, "config.json", "preprocessor_config.json", "processor_config.json")
MAX_LABEL_BYTES = 4 << 20
# What ai-edge-litert registers beside TFLite's own operators.
LITERT_OPS = frozenset(
    {
        "AudioSpectrogram",
        "Convolution2DTransposeBias",
        "MaxPoolingWithArgmax2D",
        "MaxUnpooling2D",
        "Mfcc",
        "NumericVerify",
        "RandomUniform",
        "TFLite_Detection_PostProcess",
    }
)
FLEX_PREFIX = "Flex"
# A detector's label file may have a first line for what is no object, which its class numbers leave out.
BACKGROUND = "???"


def choose_tflite(folder: ModelFolder, files: list[Path]) -> Path:
    """The only TFLite file of a folder."""
    if len(files) > 1:
        names = [path.name for path in files]
        raise ask_which(str(folder.root), "several TFLite models", names, "name the file that is meant")
    return files[0]


def detect_tflite(folder: ModelFolder, path: Path, wish: Wish) -> DetectedModel:
    """The model at `path`."""
    header = read_tflite(path)
    _check_operators(path, header)
    labels = _labels(folder, header)
    task = wish.task_or(stated_task(header, len(labels)))
    if task is None:
        why = "TFLite files do not state one, and neither its inputs and outputs nor a list of labels tell it"
        raise ask_task(path.name, why, UNDERSTOOD)
    if wrong := why_not(header, task):
        raise UnsupportedModel(f"{path.name} can't do the task {task}: it {wrong}; set `spec.task` to what it does")
    return DetectedModel(
        artifact=Artifact(
            format=Format.TFLITE,
            task=task,
            architecture=config.text(folder.json("config.json"), "model_type"),
            parameters=header.parameters,
            quantization=header.quantization,
            size_bytes=header.file_bytes,
        ),
        root=folder.root,
        weights=(path,),
        tokenizer=folder.file("tokenizer.json"),
        labels=_classes(path, header, task, labels),
        picture=read_tflite_picture(folder, header) if task in UNDERSTOOD else None,
    )


def _check_operators(path: Path, header: TfliteHeader) -> None:
    unknown = [name for name in header.custom_ops if name not in LITERT_OPS]
    if unknown:
        flex = any(name.startswith(FLEX_PREFIX) for name in unknown)
        remedy = "convert it again with TFLite's own operators alone" if flex else "use a model without them"
        names = ", ".join(ascii(name)[1:-1] for name in unknown[:8])
        raise UnsupportedModel(f"{path.name} needs the operators {names}, which LiteRT does not have; {remedy}")


def _labels(folder: ModelFolder, header: TfliteHeader) -> tuple[str, ...]:
    """The labels that the file itself brings, else those that lie beside it."""
    outputs = header.metadata.outputs if header.metadata else ()
    inside = next((output.labels for output in outputs if output.labels), ())
    return inside or _label_file(folder) or config.labels(folder.json("config.json"))


def _label_file(folder: ModelFolder) -> tuple[str, ...]:
    for name in LABEL_FILES:
        path = folder.file(name)
        if path is not None:
            try:
                return label_lines(read_bounded(path, MAX_LABEL_BYTES))
            except ValueError as error:
                raise UnsupportedModel(f"{name} {error}; write one label in each line") from error
    return ()


def _classes(path: Path, header: TfliteHeader, task: Task, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels by the numbers that the graph uses for classes."""
    if task is Task.OBJECT_DETECTION:
        if face_outputs(header):
            return (FACE,)
        return labels[1:] if labels[:1] == (BACKGROUND,) else labels
    if task is not Task.IMAGE_CLASSIFICATION:
        return labels
    scores = class_scores(header)
    width = scores.shape[-1] if scores else 0
    if width > config.MAX_LABELS:
        raise UnsupportedModel(
            f"{path.name} gives {width:,} scores, and {config.MAX_LABELS:,} classes are the most here"
        )
    if labels and len(labels) != width:
        raise UnsupportedModel(
            f"{path.name} gives {width:,} scores, and {len(labels):,} labels come with it; "
            f"correct {LABEL_FILES[0]} (one label in each line), or take away what lies beside it by mistake"
        )
    return labels or tuple(f"LABEL_{index}" for index in range(width))
