"""A model of each format answers through the gateway, its artifact from the cluster's registry. Leaves nothing."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from minilm_heads import DOCUMENTS, QUERY, TEXTS
from picture_builders import drawn_face, encoded, text_line
from tiny_classifier import LABELS, expected, striped
from tools import REPOSITORY

from e2e.support.client_pod import ClientPod
from e2e.support.formats import FORMATS_NAMESPACE, SAMPLES
from e2e.support.objects import MODELS, Objects
from e2e.support.programs import kubectl
from e2e.support.starts import Starts

NAMESPACE = FORMATS_NAMESPACE
TOLERANCE = 1e-4
LINE = "Hello Kubernetes 2026"


def reference(name: str) -> dict[str, Any]:
    cases: dict[str, Any] = json.loads((REPOSITORY / f"tests/reference/{name}.json").read_text())
    return cases


@pytest.fixture(scope="module", autouse=True)
def served(objects: Objects, formats: Future[None]) -> Iterator[None]:
    """All of them Ready; and `writer`, the quick start's GGUF with an adapter."""
    formats.result()
    Starts(objects, NAMESPACE).wait(*SAMPLES, "writer", seconds=180)
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def ask(client: ClientPod, path: str, model: str, **body: Any) -> dict[str, Any]:
    """What the official client gets from a path that it has no method for."""
    body = {"model": f"{NAMESPACE}/{model}", **body}
    answer: dict[str, Any] = client.ask(
        f"import json as j; say(client.post({path!r}, body=j.loads({json.dumps(body)!r}), cast_to=object))"
    )
    return answer


def data_url(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


@pytest.mark.parametrize("name", SAMPLES)
def test_its_status_says_what_it_is(objects: Objects, name: str) -> None:
    sample, found = SAMPLES[name], objects.read(MODELS, NAMESPACE, name)["status"]["artifact"]
    assert (found["engine"], found["format"], found["task"]) == (sample.engine, sample.format, sample.task)


def test_an_encoder_in_safetensors_embeds_as_the_reference(client: ClientPod) -> None:
    cases = [case for case in reference("minilm")["cases"] if case["text"]][:3]
    texts = [case["text"] for case in cases]
    vectors = client.ask(f"""
answer = client.embeddings.create(model="{NAMESPACE}/encoder", input={texts!r})
say([each.embedding for each in answer.data])
""")
    known = [np.frombuffer(base64.b64decode(case["vector"]), "<f4") for case in cases]
    np.testing.assert_allclose(vectors, known, atol=TOLERANCE)


def test_a_cross_encoder_in_onnx_ranks_as_the_reference(client: ClientPod) -> None:
    known = {text: score for text, score in zip(DOCUMENTS, heads("rerank"), strict=True) if text}
    answer = ask(client, "/rerank", "ranker", query=QUERY, documents=list(known))
    found = {list(known)[each["index"]]: each["relevance_score"] for each in answer["results"]}
    assert list(found) == sorted(known, key=lambda text: -known[text])
    np.testing.assert_allclose([found[text] for text in known], list(known.values()), atol=TOLERANCE)


def test_a_classifier_in_safetensors_gives_the_probabilities_of_the_reference(client: ClientPod) -> None:
    answer = ask(client, "/classify", "moods", input=list(TEXTS))
    np.testing.assert_allclose([each["probs"] for each in answer["data"]], heads("sentiment"), atol=TOLERANCE)


def test_a_recogniser_in_onnx_reads_a_line(client: ClientPod) -> None:
    answer = ask(client, "/images/recognize", "reader", image=data_url(encoded(text_line(LINE))))
    assert answer["data"][0]["text"] == LINE


def test_a_language_model_in_onnx_goes_on_counting_and_streams_the_same(client: ClientPod) -> None:
    plain, streamed = client.ask(f"""
asked = dict(model="{NAMESPACE}/counter", prompt="1, 2, 3, 4, 5, 6,", max_tokens=8, temperature=0)
plain = client.completions.create(**asked)
streamed = [each.choices[0].text for each in client.completions.create(**asked, stream=True)]
say([[plain.choices[0].text, plain.usage.completion_tokens], "".join(streamed)])
""")
    assert plain == [" 7, 8, 9", 8]
    assert streamed == plain[0]


def test_it_chats_by_its_template(client: ClientPod) -> None:
    said = client.ask(f"""
messages = [{{"role": "user", "content": "What is the capital of France?"}}]
answer = client.chat.completions.create(model="{NAMESPACE}/counter", messages=messages, max_tokens=12, temperature=0)
say([answer.choices[0].message.content, answer.usage.prompt_tokens])
""")
    assert "Paris" in said[0]
    assert said[1] == 37


@pytest.mark.parametrize(("angle", "label"), [(0, "0"), (180, "180")])
def test_a_classifier_of_pictures_in_onnx_sees_what_stands_on_its_head(
    client: ClientPod, angle: int, label: str
) -> None:
    answer = ask(client, "/images/classify", "upright", image=data_url(encoded(text_line(LINE, angle=angle))))
    assert answer["data"][0]["label"] == label


def test_a_classifier_in_tflite_gives_the_probabilities_of_numpy(client: ClientPod) -> None:
    pixels, _ = striped(3, seed=11)
    answer = ask(client, "/images/classify", "stripes", image=[data_url(encoded(each)) for each in pixels])
    known = expected(pixels)
    for each, row in zip(answer["data"], known, strict=True):
        assert each["label"] == LABELS[int(row.argmax())]
        found = {one["label"]: one["score"] for one in each["classes"]}
        np.testing.assert_allclose([found[label] for label in LABELS], row, atol=TOLERANCE)


def test_a_detector_in_tflite_finds_the_face_and_none_in_a_grey_picture(client: ClientPod) -> None:
    left, top, edge = 300, 90, 120
    pictures = [drawn_face(640, 320, left, top, edge), encoded(np.full((90, 160, 3), 128, np.uint8))]
    faced, empty = ask(client, "/images/detect", "faces", image=[data_url(each) for each in pictures])["data"]
    assert (empty["width"], empty["height"], empty["objects"]) == (160, 90, [])
    (face,) = faced["objects"]
    middle = (face["box"]["x"] + face["box"]["width"] / 2, face["box"]["y"] + face["box"]["height"] / 2)
    assert middle == pytest.approx((left + edge / 2, top + edge / 2), abs=edge / 5)


def test_an_adapter_of_a_gguf_answers_beside_its_model_and_otherwise(client: ClientPod) -> None:
    listed, *texts = client.ask(f"""
names = ["{NAMESPACE}/writer", "{NAMESPACE}/writer:red"]
answers = [client.completions.create(model=name, prompt="The sea", max_tokens=12, temperature=0) for name in names]
say([[model.id for model in client.models.list()], *((answer.model, answer.choices[0].text) for answer in answers)])
""")
    assert {"writer", "writer:red"} <= set(listed)
    (base, plain), (adapter, changed) = texts
    assert (base, adapter) == ("writer", "writer:red")
    assert plain != changed


def heads(name: str) -> Any:
    return reference("minilm_heads")["cases"][name]
