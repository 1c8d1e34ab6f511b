"""What a request says of sampling changes how often each token is chosen, and nothing else does."""

from collections import Counter

import numpy as np
import pytest

from berth_runtime.engines.decoder_sampling import NoToken, Sampler, Sampling

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def drawn(sampling: Sampling, *, times: int = 4000, prompt: tuple[int, ...] = ()) -> dict[int, float]:
    """How often each token comes first."""
    counts = Counter(Sampler(sampling, prompt, choice=choice).choose(LOGITS) for choice in range(times))
    return {token: count / times for token, count in counts.items()}


def test_tokens_come_as_often_as_the_model_says() -> None:
    found = drawn(Sampling(seed=1))
    assert [found[token] for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_a_temperature_of_zero_takes_the_likeliest() -> None:
    assert drawn(Sampling(temperature=0), times=5) == {0: 1}


def test_a_low_temperature_favours_the_likeliest() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    found = drawn(Sampling(temperature=0.5, seed=1))
    assert [found.get(token, 0) for token in range(4)] == pytest.approx(list(shares / shares.sum()), abs=0.03)


@pytest.mark.parametrize(
    ("narrow", "left"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 1}, {0}),
        ({"top_k": 9}, {0, 1, 2, 3}),
        ({"top_p": 0.75}, {0, 1}),
        ({"top_p": 0.81}, {0, 1, 2}),
        ({"top_p": 0.0}, {0}),
        ({"min_p": 0.2}, {0, 1, 2}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "top_p": 0.6}, {0, 1}),
        ({"top_p": 0.81, "min_p": 0.5}, {0, 1}),
    ],
)
def test_what_narrows_the_choice_leaves_the_likeliest(narrow: dict[str, float], left: set[int]) -> None:
    assert set(drawn(Sampling(seed=3, **narrow), times=400)) == left  # type: ignore[arg-type]


def test_many_tokens_are_needed_to_make_up_a_share_where_all_are_alike() -> None:
    """More than are sorted at first."""
    logits = np.zeros(40_000, np.float32)
    logits[:30_000] = 5
    chosen = {Sampler(Sampling(top_p=0.9, seed=seed), ()).choose(logits) for seed in range(200)}
    assert max(chosen) < 30_000
    assert len(chosen) > 150


def test_a_seed_gives_the_same_again_and_each_choice_its_own() -> None:
    def tokens(seed: int, choice: int) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), (), choice=choice)
        return [sampler.choose(LOGITS) for _ in range(30)]

    assert tokens(7, 0) == tokens(7, 0)
    assert tokens(7, 0) != tokens(7, 1)
    assert tokens(-(1 << 63), 0) != tokens((1 << 63) - 1, 0)


def test_without_a_seed_two_texts_differ() -> None:
    first, second = ([Sampler(Sampling(), ()).choose(LOGITS) for _ in range(60)] for _ in range(2))
    assert first != second


def test_penalties_hold_for_what_was_written() -> None:
    sampler = Sampler(Sampling(temperature=0, presence_penalty=1, frequency_penalty=0.5), (1, 1, 1))
    assert [sampler.choose(LOGITS) for _ in range(4)] == [0, 1, 2, 0]
    sampler = Sampler(Sampling(temperature=0, frequency_penalty=0.3), ())
    assert [sampler.choose(LOGITS) for _ in range(3)] == [0, 0, 1]


def test_the_repeat_penalty_holds_for_the_prompt_too() -> None:
    assert Sampler(Sampling(temperature=0, repeat_penalty=3), (0,)).choose(LOGITS) == 1
    assert Sampler(Sampling(temperature=0, repeat_penalty=3), (0,)).choose(LOGITS + 10) == 1


def test_a_bias_brings_a_token_in_and_keeps_it_out() -> None:
    assert Sampler(Sampling(temperature=0, bias={3: 100, 0: -100}), ()).choose(LOGITS) == 3


def test_the_logits_are_left_as_they_were() -> None:
    logits = LOGITS.copy()
    Sampler(Sampling(bias={1: 5}, repeat_penalty=2), (0,)).choose(logits)
    assert (logits == LOGITS).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_no_choice(wrong: float) -> None:
    with pytest.raises(NoToken, match="not finite"):
        Sampler(Sampling(), ()).choose(np.full(4, wrong, np.float32))
