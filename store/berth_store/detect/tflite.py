"""A TFLite model from its file and the files around it: `detect_tflite`, and `choose_tflite` for a folder."""

from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config, sentence
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import DetectedModel, EmbeddingSettings
from berth_store.detect.tflite_picture import read_tflite_picture
from berth_store.detect.tflite_task import (
    FACE,
    OF_PICTURES,
    UNDERSTOOD,
    class_scores,
    face_outputs,
    stated_task,
    why_not,
)
from berth_store.detect.tflite_text import output_name, stated_text_task, text_inputs, text_vector, token_vectors
from berth_store.detect.tokenizer import TOKENIZER_FILE, required_tokenizer
from berth_store.detect.wish import Wish, ask_task, ask_which
from berth_store.headers.bounded_json import read_bounded
from berth_store.headers.tflite import TfliteHeader, TfliteTensor, read_tflite
from berth_store.headers.tflite_metadata import label_lines

LABEL_FILES = ("labels.txt", "labelmap.txt")
# All that is read beside the file of a model for pictures, and of one for texts.
PICTURE_FILES = (*LABEL_FILES, "config.json", "preprocessor_config.json", "processor_config.json")
TEXT_FILES = (*sentence.FILES, TOKENIZER_FILE)
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
    task = wish.task_or(stated_task(header, len(labels)) or _text_task(folder, header))
    if task is None:
        why = "TFLite files do not state one, and neither its inputs and outputs nor the files beside it tell it"
        raise ask_task(path.name, why, UNDERSTOOD)
    is_for_texts = task is Task.EMBEDDING
    if wrong := why_not(header, task):
        remedy = f"{'export it so, or ' if is_for_texts else ''}set `spec.task` to what it does"
        raise UnsupportedModel(f"{path.name} can't do the task {task}: it {wrong}; {remedy}")
    return DetectedModel(
        artifact=Artifact(
            format=Format.TFLITE,
            task=task,
            architecture=config.text(folder.json("config.json"), "model_type"),
            parameters=header.parameters,
            quantization=header.quantization,
            context_length=_context_length(folder, header) if is_for_texts else None,
            size_bytes=header.file_bytes,
        ),
        root=folder.root,
        weights=(path,),
        tokenizer=required_tokenizer(folder, path.name) if is_for_texts else folder.file(TOKENIZER_FILE),
        embedding=_embedding(folder, path, header) if is_for_texts else None,
        labels=_classes(path, header, task, labels),
        picture=read_tflite_picture(folder, header) if task in OF_PICTURES else None,
    )


def files_beside(task: Task) -> tuple[str, ...]:
    """The names of all that is read beside the file of a model with this task."""
    return TEXT_FILES if task is Task.EMBEDDING else PICTURE_FILES


def _text_task(folder: ModelFolder, header: TfliteHeader) -> Task | None:
    found = sentence.read_embedding(folder)
    pools = found is not None and found.settings.pooling is not None
    return stated_text_task(
        header,
        makes_vectors=pools or sentence.is_sentence_model(folder),
        compares_pairs=sentence.is_cross_encoder(folder),
    )


def _context_length(folder: ModelFolder, header: TfliteHeader) -> int | None:
    """The length that the graph is made for, within the positions that config.json states."""
    inputs = text_inputs(header)
    limits = (inputs.length if inputs else None, config.positions(folder.json("config.json")))
    return min(filter(None, limits), default=None)


def _embedding(folder: ModelFolder, path: Path, header: TfliteHeader) -> EmbeddingSettings | None:
    whole, tokens = _vectors(header, text_vector(header)), _vectors(header, token_vectors(header))
    return sentence.embedding_of_graph(folder, path.name, whole=whole, tokens=tokens)


def _vectors(header: TfliteHeader, output: TfliteTensor | None) -> sentence.VectorOutput | None:
    if output is None:
        return None
    width = output.signature[-1]
    return sentence.VectorOutput(output_name(header, output), width if width > 0 else None)


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
