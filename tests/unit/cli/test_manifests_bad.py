"""Bad manifests: each says the line, the field and the remedy."""

import pytest

from berth_cli.manifests.problem import InvalidManifests, Problem
from berth_cli.manifests.read import read_manifests
from berth_cli.manifests.source import Text

GOOD = """\
apiVersion: berth.dev/v1alpha1
kind: Model
metadata:
  name: smollm2
spec:
  source:
    uri: oci://localhost/smollm2
"""


def problems_of(*texts: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidManifests) as caught:
        read_manifests([Text(f"{number}.yaml", text) for number, text in enumerate(texts, 1)])
    return caught.value.problems


def spec(*lines: str) -> str:
    """A Model whose spec goes on with `lines` from line 8."""
    return GOOD + "".join(f"  {line}\n" for line in lines)


BAD = {
    "an unknown field": (spec("contxtLength: 5"), 8, "spec.contxtLength", "contextLength"),
    "a second unknown field": (spec("task: Chat", "taks: Chat"), 9, "spec.taks", "task"),
    "text for a number": (spec("contextLength: many"), 8, "spec.contextLength", ""),
    "a number below its bound": (spec("contextLength: 0"), 8, "spec.contextLength", ""),
    "a negative number of replicas": (spec("replicas: -1"), 8, "spec.replicas", ""),
    "an unknown task": (spec("task: Chatt"), 8, "spec.task", "Chat"),
    "an unknown engine": (spec("engine:", "  type: LlamaCp"), 9, "spec.engine.type", "LlamaCpp"),
    "a list for a mapping": (spec("engine: [LlamaCpp]"), 8, "spec.engine", ""),
    "a mapping for a list": (spec("aliases: {a: b}"), 8, "spec.aliases", ""),
    "a number in a list of text": (spec("aliases:", "- one", "- 2"), 10, "spec.aliases[1]", ""),
    "a bad duration": (spec("rollout:", "  drainTimeout: fast"), 9, "spec.rollout.drainTimeout", ""),
    "a word that YAML takes for true": (spec("aliases:", "- yes"), 9, "spec.aliases[0]", ""),
    "a missing uri": (
        GOOD.replace("    uri: oci://localhost/smollm2\n", "    files: ['*']\n"),
        6,
        "spec.source.uri",
        "",
    ),
    "a missing source": (GOOD[: GOOD.index("  source")] + "  task: Chat\n", 5, "spec.source", ""),
    "a missing spec": (GOOD[: GOOD.index("spec")], 1, "spec", ""),
    "an empty spec": (GOOD[: GOOD.index("  source")], 5, "spec", ""),
    "a missing name": (GOOD.replace("  name: smollm2\n", "  namespace: a\n"), 3, "metadata.name", ""),
    "a name with a dot": (GOOD.replace("smollm2\n", "qwen2.5\n", 1), 4, "metadata.name", ""),
    "a name with capitals": (GOOD.replace("smollm2\n", "SmolLM\n", 1), 4, "metadata.name", ""),
    "an unknown version": (GOOD.replace("v1alpha1", "v1"), 1, "apiVersion", "berth.dev/v1alpha1"),
    "a missing version": (GOOD[GOOD.index("kind") :], 1, "apiVersion", "berth.dev/v1alpha1"),
    "a misspelt kind": (GOOD.replace("Model", "Modle"), 2, "kind", "Model"),
    "a missing kind": (GOOD.replace("kind: Model\n", ""), 1, "kind", "Model"),
    "an unknown scheme": (GOOD.replace("oci:", "ftp:"), 7, "spec.source.uri", "oci://"),
    "a key that stands twice": (spec("task: Chat", "replicas: 1", "task: Chat"), 10, "spec.task", "one of the two"),
    "a deep key that stands twice": (spec("engine: {type: Auto, type: Auto}"), 8, "spec.engine.type", ""),
    "a top-level key that stands twice": (GOOD + "kind: Model\n", 8, "kind", "one of the two"),
    "a tab": (GOOD + "\treplicas: 1\n", 8, "", "spaces"),
    "a tab as indentation": (GOOD.replace("  source", "\tsource"), 6, "", "spaces"),
    "a colon in plain text": (spec("task: Chat: now"), 8, "", "quotes"),
    "a missing colon": (spec("task Chat", "replicas: 1"), 9, "", ""),
    "an open bracket": (spec("aliases: [a, b"), 8, "", "brackets"),
    "an open quote": (spec("task: 'Chat"), 8, "", "quotes"),
    "wrong indentation": (spec(" task: Chat"), 8, "", "indentation"),
    "an undefined alias": (spec("task: *chat"), 8, "", "&chat"),
    "an alias inside itself": (spec("engine: &e {type: *e}"), 8, "", "endless"),
    "a merge of text": (spec("engine: {<<: text}"), 8, "", "mapping"),
    "a Python object": (spec("task: !!python/object/apply:os.system [ls]"), 8, "", "tag"),
    "an own tag": (spec("task: !secret Chat"), 8, "", "tag"),
    "binary": (spec("task: !!binary aGVsbG8="), 8, "", "tag"),
    "an endless number": (spec("contextLength: .inf"), 8, "spec.contextLength", ""),
    "a number beyond 64 bits": (spec("contextLength: 99999999999999999999"), 8, "spec.contextLength", ""),
    "a number of a million digits": (spec("contextLength: " + "9" * 1_000_000), 8, "spec.contextLength", ""),
    "a key that is a number": (spec("1: x"), 8, "spec", "quotes"),
    "a key that is true": (spec("on: x"), 8, "spec", "quotes"),
    "a key that is a list": (spec("? [a, b]\n  : x"), 8, "spec", ""),
    "a list of nothing but dashes": ("- a\n- b\n", 1, "", "apiVersion"),
    "plain text": ("hello\n", 1, "", "apiVersion"),
    "a control character": (GOOD + "# \x07\n", 8, "", "remove"),
    "a document that is text beside a good one": (GOOD + "---\nhello\n", 9, "", "apiVersion"),
    "a wrong item of a List": (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: berth.dev/v1alpha1\n  kind: Modell\n",
        5,
        "kind",
        "Model",
    ),
    "a route without names": (
        "apiVersion: berth.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: r}\nspec:\n  rules: []\n",
        4,
        "spec.names",
        "",
    ),
    "a weight that is text": (
        """\
apiVersion: berth.dev/v1alpha1
kind: ModelRoute
metadata: {name: r}
spec:
  names: [chat]
  rules:
  - backends:
    - backendRef: {kind: Model, name: a}
      weight: 1
    - backendRef: {kind: Model, name: b}
      weight: heavy
""",
        11,
        "spec.rules[0].backends[1].weight",
        "",
    ),
}


@pytest.mark.parametrize(("text", "line", "field", "remedy"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_shown_with_its_line_field_and_remedy(text: str, line: int, field: str, remedy: str) -> None:
    problems = problems_of(text)
    found = [problem for problem in problems if (problem.line, problem.field) == (line, field)]
    assert found, [str(problem) for problem in problems]
    assert remedy in found[0].message + found[0].remedy
    assert str(found[0]).startswith(f"1.yaml:{line}: ")


def test_all_mistakes_of_all_files_are_shown_at_once() -> None:
    problems = problems_of(spec("contextLength: x", "taks: y"), spec("replicas: z"), GOOD + "kind: Model\n")
    assert [problem.where for problem in problems] == ["1.yaml:8", "1.yaml:9", "2.yaml:8", "3.yaml:8"]


def test_a_model_that_two_files_define_is_refused_with_both_places() -> None:
    (problem,) = problems_of(GOOD, "# a comment\n" + GOOD)
    assert problem.where == "2.yaml:2"
    assert "1.yaml:1" in problem.message


def test_the_same_name_in_two_namespaces_is_no_conflict() -> None:
    other = GOOD.replace("name: smollm2", "name: smollm2\n  namespace: other")
    assert len(read_manifests([Text("a", GOOD), Text("b", other)]).manifests) == 2


@pytest.mark.parametrize("text", ["", "\n\n", "---\n---\n", "# nothing\n"])
def test_a_file_without_a_manifest_is_refused(text: str) -> None:
    (problem,) = problems_of(text)
    assert problem.message == "holds no manifest"


def test_aliases_that_grow_without_bound_are_refused_quickly() -> None:
    laughs = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    (problem,) = problems_of("spec:\n  l0: &l0 [lol]\n" + laughs)
    assert "aliases" in problem.remedy


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    (problem,) = problems_of(opening * 20_000)
    assert problem.line == 1


def test_a_file_of_too_many_values_is_refused() -> None:
    (problem,) = problems_of("items:\n" + "- 1\n" * 200_000)
    assert "100000" in problem.message
