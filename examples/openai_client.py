"""Ask the quick start everything, with the official OpenAI client: `pip install openai`, then `make up`.

BERTH_URL says where Berth serves, if it is not at http://127.0.0.1:8080/v1.
"""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("BERTH_URL", "http://127.0.0.1:8080/v1"), api_key="none")


def list_models() -> None:
    """Every name that can be asked for."""
    print("models:", ", ".join(sorted(model.id for model in client.models.list())))


def chat() -> None:
    """One question, one answer."""
    answer = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
        max_tokens=40,
        temperature=0,
    )
    print("chat:", answer.choices[0].message.content)
    assert answer.usage is not None
    print(f"      {answer.usage.prompt_tokens} tokens in, {answer.usage.completion_tokens} out")


def stream() -> None:
    """The same as it is written, by the name of the ModelRoute: clients never learn which Model answers."""
    events = client.chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": "Why do ships float? Answer in one sentence."}],
        max_tokens=60,
        temperature=0,
        stream=True,
    )
    print("stream: ", end="")
    pieces = 0
    for event in events:
        text = event.choices[0].delta.content if event.choices else None
        if text:
            pieces += 1
            print(text, end="", flush=True)
    print(f"\n      in {pieces} pieces")
    assert pieces > 1, "the answer came in one piece: it was not streamed"


def embed() -> None:
    """Texts become vectors; those of a similar meaning point in a similar direction."""
    texts = ["A ship lies at the quay.", "The boat is moored in the harbour.", "Bread is baked in an oven."]
    ship, boat, bread = (item.embedding for item in client.embeddings.create(model="minilm", input=texts).data)
    near, far = similarity(ship, boat), similarity(ship, bread)
    print(f"embeddings: {len(ship)} numbers each; ship and boat {near:.2f}, ship and bread {far:.2f}")
    assert near > far, "the vectors do not tell a boat from bread"


def similarity(one: list[float], other: list[float]) -> float:
    """The cosine of the angle between two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    list_models()
    chat()
    stream()
    embed()
