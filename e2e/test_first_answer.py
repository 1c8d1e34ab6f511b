"""From an empty cluster to answers: the chart, the quick start, and a client in a namespace of its own.

Leaves the release, the quick start's two Models and its route in `team-a`, a second minilm and a route over both.
"""

from collections import Counter

import pytest
from binomial import binomial_bounds

from e2e.conftest import MODELS_NAMESPACE
from e2e.support.client_pod import CLIENTS, ClientPod
from e2e.support.manifests import a_model, a_route, apply
from e2e.support.measurements import record
from e2e.support.objects import ROUTES, Objects, is_true
from e2e.support.programs import helm, run
from e2e.support.release import NAMESPACE, Release
from e2e.support.starts import Starts
from e2e.support.until import until

# The three ways to write a Model's name; the quick start gives smollm2 an alias, and minilm has none.
CHAT_NAMES = ("smollm2", "smol", f"{MODELS_NAMESPACE}/smollm2", "chat")
DRAWS, SHARE = 400, 0.25


def test_the_chart_installs_into_an_empty_cluster(release: Release) -> None:
    assert "STATUS: deployed" in helm("status", "berth", "--namespace", NAMESPACE)


def test_kubectl_wait_sees_the_quick_start_ready(quickstart: Starts) -> None:
    assert set(quickstart.seconds) == {"smollm2", "minilm"}
    stages = {name: quickstart.stages(name) for name in quickstart.seconds}
    record(ready_seconds=quickstart.seconds, stages_milliseconds=stages)
    for name in quickstart.seconds:
        assert {"Fetched", "Loaded", "Answered"} <= set(stages[name]), stages


def test_no_pod_of_any_namespace_breaks_the_restricted_standard(client: ClientPod, quickstart: Starts) -> None:
    for namespace in (NAMESPACE, MODELS_NAMESPACE, CLIENTS):
        words = ("kubectl", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        said = run(*words, "--overwrite", "--dry-run=server").checked()
        # The server would warn of each pod that is there and breaks it.
        assert "violate" not in said.err, said.err
        enforced = run("kubectl", "get", "namespace", namespace, "-o", "jsonpath={.metadata.labels}").checked().out
        assert '"pod-security.kubernetes.io/enforce":"restricted"' in enforced


def test_a_client_in_another_namespace_lists_the_models(client: ClientPod, quickstart: Starts) -> None:
    listed = client.ask("say([model.id for model in client.models.list()])")
    assert {"smollm2", "smol", "minilm", "chat"} <= set(listed)


@pytest.mark.parametrize("name", CHAT_NAMES)
def test_a_client_chats_under_every_name(client: ClientPod, quickstart: Starts, name: str) -> None:
    answer = client.ask(f"""
answer = client.chat.completions.create(
    model={name!r}, messages=[{{"role": "user", "content": "What is 2 + 2?"}}], max_tokens=8, temperature=0
)
say([answer.choices[0].message.content, answer.usage.completion_tokens, answer.model])
""")
    text, tokens, model = answer
    assert text.strip()
    assert 0 < tokens <= 8
    assert model.endswith("smollm2")


def test_a_client_streams(client: ClientPod, quickstart: Starts) -> None:
    pieces = client.ask("""
stream = client.chat.completions.create(
    model="smollm2", messages=[{"role": "user", "content": "Count to ten."}], max_tokens=16, stream=True
)
say([chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices])
""")
    assert len(pieces) > 4
    assert "".join(pieces).strip()


def test_a_client_completes_a_text(client: ClientPod, quickstart: Starts) -> None:
    text = client.ask("""
answer = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=6)
say(answer.choices[0].text)
""")
    assert text.strip()


@pytest.mark.parametrize("name", ["minilm", f"{MODELS_NAMESPACE}/minilm"])
def test_a_client_embeds(client: ClientPod, quickstart: Starts, name: str) -> None:
    sizes = client.ask(
        f"say([len(one.embedding) for one in client.embeddings.create(model={name!r}, input=['a cat', 'a dog']).data])"
    )
    assert sizes == [384, 384]


def test_an_unknown_model_is_not_found_in_the_words_of_openai(client: ClientPod, quickstart: Starts) -> None:
    status, code, param = client.ask("""
try:
    client.chat.completions.create(model="smollm3", messages=[{"role": "user", "content": "?"}])
except openai.NotFoundError as error:
    say([error.status_code, error.code, error.param])
""")
    assert (status, code, param) == (404, "model_not_found", "model")


def test_a_model_whose_images_are_there_is_ready_sooner(
    quickstart: Starts, pushed: dict[str, str], objects: Objects
) -> None:
    (source,) = [uri for uri in pushed.values() if "minilm" in uri]
    starts = Starts(objects, MODELS_NAMESPACE)
    apply(a_model("minilm-next", MODELS_NAMESPACE, source={"uri": source}, exposure="RoutesOnly"))
    starts.wait("minilm-next", seconds=120)
    record(warm_seconds=starts.seconds["minilm-next"], warm_stages_milliseconds=starts.stages("minilm-next"))


def test_a_route_splits_by_weight(client: ClientPod, quickstart: Starts, objects: Objects) -> None:
    apply(a_route("embed", MODELS_NAMESPACE, {"minilm": 75, "minilm-next": 25}))
    until(
        lambda: all(
            is_true(objects.read(ROUTES, MODELS_NAMESPACE, "embed"), wanted)
            for wanted in ("Programmed", "BackendsReady")
        ),
        seconds=60,
        what="the route is known to every gateway",
        seen=lambda: objects.read(ROUTES, MODELS_NAMESPACE, "embed").get("status"),
    )
    names = client.ask(f"""
say([client.embeddings.create(model="embed", input="x", encoding_format="float").model for _ in range({DRAWS})])
""")
    counts = Counter(name.rpartition("/")[2] for name in names)
    assert set(counts) == {"minilm", "minilm-next"}
    low, high = binomial_bounds(DRAWS, SHARE, 1 - 1e-6)
    assert low <= counts["minilm-next"] <= high
