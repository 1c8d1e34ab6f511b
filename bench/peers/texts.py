"""The texts that the embedding measurement sends: made from a seed, so that every run and every side has the same."""

import random

_VOCABULARY = """
the a of and to in for with on by harbour ship cargo crane tide anchor pilot berth quay vessel container model cluster
node pod request answer token vector memory latency throughput schedule deploy rollout service gateway weights embedding
question document paragraph customer invoice delivery warehouse contract deadline temperature monday morning window
coffee garden river mountain teacher student library science history music language
"""
WORDS = tuple(_VOCABULARY.split())

SHORT_WORDS = (6, 20)
LONG_WORDS = (60, 100)
LONG_SHARE = 0.2


def mixed_texts(count: int, seed: int = 7) -> tuple[str, ...]:
    """Sentences of 6 to 20 words and, for one text in five, a paragraph of 60 to 100, in random order."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        low, high = LONG_WORDS if chance.random() < LONG_SHARE else SHORT_WORDS
        texts.append(" ".join(chance.choices(WORDS, k=chance.randint(low, high))).capitalize() + ".")
    return tuple(texts)
