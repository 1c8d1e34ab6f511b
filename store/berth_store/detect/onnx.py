"""An ONNX model from its graph and the files around it: `detect_onnx`, and `choose_graph` for a folder."""

from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.classifier import classifier_settings
from berth_store.detect.folder import ModelFolder
from berth_store.detect.genai_config import GenaiConfig, read_genai_config
from berth_store.detect.judged import judged_template
from berth_store.detect.model import DetectedModel, EmbeddingSettings
from berth_store.detect.onnx_decoder import detect_decoder
from berth_store.detect.onnx_task import GraphFacts, logits, stated_task, text_vector, token_vectors
from berth_store.detect.onnx_vision import read_vision
from berth_store.detect.sentence import VectorOutput, embedding_of_graph, is_cross_encoder, read_embedding
from berth_store.detect.tasks import CLASSIFIER_TASKS, GENERATIVE_TASKS, PICTURE_TASKS, TEXT_TASKS
from berth_store.detect.tokenizer import TOKENIZER_FILE, required_tokenizer
from berth_store.detect.wish import Wish, ask_task, ask_which
from berth_store.headers.onnx import OnnxHeader, OnnxValue, read_onnx

GRAPH_NAME = "model.onnx"
LIKELY_TASKS = (
    Task.EMBEDDING,
    Task.RERANK,
    Task.TEXT_CLASSIFICATION,
    Task.IMAGE_CLASSIFICATION,
    Task.OBJECT_DETECTION,
    Task.TEXT_RECOGNITION,
)


def choose_graph(folder: ModelFolder, in_root: list[Path], in_onnx: list[Path]) -> Path:
    """The graph that is meant: `model.onnx`, else the only one; first in the folder itself, then in `onnx/`."""
    for graphs in (in_root, in_onnx):
        named = [path for path in graphs if path.name == GRAPH_NAME]
        if named or len(graphs) == 1:
            return (named or graphs)[0]
        if graphs:
            names = [str(path.relative_to(folder.root)) for path in graphs]
            remedy = f"name the one that is meant in place of the folder, or call it {GRAPH_NAME}"
            raise ask_which(str(folder.root), "several ONNX graphs", names, remedy)
    raise UnsupportedModel(f"{folder.root} holds no ONNX graph; name the folder that does")


def named_graph(folder: ModelFolder, wish: Wish) -> Path | None:
    """The graph that the folder's `genai_config.json` names, unless the user wants other work than writing text."""
    genai = _genai(folder, wish)
    return genai.graph if genai else None


def folder_of(path: Path) -> ModelFolder:
    """The model's folder of a graph that was named by its own path: above, if the graph lies in its `onnx/`."""
    above = ModelFolder(path.parent.parent)
    is_below = path.parent.name == "onnx" and (above.file("config.json") or above.file("tokenizer.json"))
    return above if is_below else ModelFolder(path.parent)


def detect_onnx(folder: ModelFolder, path: Path, wish: Wish) -> DetectedModel:
    """The model whose graph is at `path`."""
    header = read_onnx(path, root=folder.root)
    facts = _facts(folder, header, wish)
    genai = _genai(folder, wish)
    if genai is not None and genai.graph == path:
        return detect_decoder(folder, path, header, genai=genai, template=facts.chat_template, task=wish.task)
    task = wish.task_or(stated_task(facts))
    if task is None:
        outputs = ", ".join(value.name for value in header.outputs[:8])
        raise ask_task(path.name, f"its outputs ({outputs}) and config.json do not say it", LIKELY_TASKS)
    if task in GENERATIVE_TASKS:
        return detect_decoder(folder, path, header, genai=None, template=facts.chat_template, task=task)
    embedding = _embedding(folder, path, header) if task is Task.EMBEDDING else None
    vision = read_vision(folder, header, task) if task in PICTURE_TASKS else None
    needs_tokenizer = task in TEXT_TASKS and not facts.takes_text
    return DetectedModel(
        artifact=_artifact(folder, header, task),
        root=folder.root,
        weights=(path, *(each.path for each in header.external)),
        tokenizer=required_tokenizer(folder, path.name) if needs_tokenizer else folder.file(TOKENIZER_FILE),
        embedding=embedding,
        classifier=classifier_settings(folder, logits(header)) if task in CLASSIFIER_TASKS else None,
        labels=vision.labels if vision else config.labels(folder.json("config.json")),
        picture=vision.picture if vision else None,
        remote_code=(),
    )


def _genai(folder: ModelFolder, wish: Wish) -> GenaiConfig | None:
    return read_genai_config(folder) if wish.task in {Task.AUTO, *GENERATIVE_TASKS} else None


def _facts(folder: ModelFolder, header: OnnxHeader, wish: Wish) -> GraphFacts:
    settings = folder.json("config.json")
    sentence = read_embedding(folder)
    return GraphFacts(
        header=header,
        architecture=next(iter(config.texts(settings, "architectures")), None),
        label_count=len(config.labels(settings)),
        chat_template=judged_template(folder, wish),
        compares_pairs=is_cross_encoder(folder),
        has_pooling=sentence is not None and sentence.settings.pooling is not None,
    )


def _artifact(folder: ModelFolder, header: OnnxHeader, task: Task) -> Artifact:
    settings = folder.json("config.json")
    return Artifact(
        format=Format.ONNX,
        task=task,
        architecture=config.text(settings, "model_type"),
        parameters=header.parameters,
        quantization=header.quantization,
        context_length=config.positions(settings) if task in TEXT_TASKS else None,
        size_bytes=header.file_bytes + sum(each.file_bytes for each in header.external),
    )


def _embedding(folder: ModelFolder, path: Path, header: OnnxHeader) -> EmbeddingSettings:
    settings = embedding_of_graph(
        folder, path.name, whole=_vectors(text_vector(header)), tokens=_vectors(token_vectors(header))
    )
    if settings is None:
        names = ", ".join(value.name for value in header.outputs[:8])
        raise UnsupportedModel(
            f"{path.name} has the outputs {names}, and none is a vector of the text (`sentence_embedding`) or of its "
            "tokens (`last_hidden_state`); export the model for feature extraction"
        )
    return settings


def _vectors(output: OnnxValue | None) -> VectorOutput | None:
    if output is None:
        return None
    width = output.dims[-1] if output.dims else None
    return VectorOutput(output.name, width if isinstance(width, int) else None)
