"""What pods of one group say to one another, and who is of it: values alone."""

import pytest

from berth_runtime.vllm.group import (
    MAX_LINE_BYTES,
    Garbled,
    Hello,
    Leaving,
    Member,
    Message,
    Place,
    Refusal,
    Roster,
    Welcome,
    describe_loss,
    parse_message,
    plain_address,
    render_message,
)

FIRST, SECOND = Member(1, "10.0.0.7"), Member(2, "10.0.0.8")
OF_TWO, OF_THREE = Roster(2, "r1"), Roster(3, "r1")


@pytest.mark.parametrize(
    "message",
    [
        Hello("5f7c9"),
        Hello(""),
        Welcome(2),
        Refusal('this head is of revision "ü"'),
        Place(1, 2, "10.0.0.7", 41000),
        Place(31, 32, "fd00::7", 41000),
        Leaving(),
    ],
)
def test_a_message_is_one_line_and_survives_it(message: Message) -> None:
    line = render_message(message)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert parse_message(line) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"\xff\xfe\n",
        b"[" * MAX_LINE_BYTES,
        b"null",
        b"[]",
        b'"hello"',
        b"{}",
        b'{"word":"hello"}',
        b'{"word":"hello","revision":7}',
        b'{"word":"jump"}',
        b'{"word":"refusal"}',
        b'{"word":"place","rank":1,"size":2,"address":"10.0.0.7"}',
        b'{"word":"place","rank":0,"size":2,"address":"10.0.0.7","port":41000}',
        b'{"word":"place","rank":2,"size":2,"address":"10.0.0.7","port":41000}',
        b'{"word":"place","rank":1,"size":2,"address":"10.0.0.7","port":0}',
        b'{"word":"place","rank":1,"size":2,"address":"10.0.0.7","port":65536}',
        b'{"word":"place","rank":1,"size":2,"address":"--port=1","port":41000}',
    ],
)
def test_what_is_no_message_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        parse_message(line)


def test_members_are_welcome_until_the_group_is_whole() -> None:
    assert OF_THREE.judge(Hello("r1")) == Welcome(1)
    one = OF_THREE.joined_by(FIRST)
    assert one.judge(Hello("r1")) == Welcome(0)
    assert one.joined_by(SECOND).judge(Hello("r1")) == Refusal("the group of 3 pods is whole")


def test_a_pod_of_another_revision_is_told_both() -> None:
    assert OF_TWO.judge(Hello("r2")) == Refusal("this head is of revision 'r1', and you are of 'r2'")


def test_a_refusal_fits_into_a_line_whatever_was_said() -> None:
    refusal = OF_TWO.judge(Hello("\x01" * (MAX_LINE_BYTES - 50)))
    assert len(render_message(refusal)) < MAX_LINE_BYTES


def test_who_leaves_before_the_start_frees_a_place_and_ranks_close_up() -> None:
    roster = OF_THREE.joined_by(FIRST).joined_by(SECOND).left_by(FIRST)
    assert roster.missing == 1
    third = Member(3, "10.0.0.9")
    assert [roster.joined_by(third).rank(one) for one in (SECOND, third)] == [1, 2]


def test_a_loss_names_the_rank_and_the_address() -> None:
    sentence = describe_loss(OF_THREE.joined_by(FIRST).joined_by(SECOND).start(), SECOND)
    assert sentence.startswith("Member 2 of the group, at 10.0.0.8, is gone")
    assert "The group of 3 pods starts anew" in sentence


@pytest.mark.parametrize(
    ("seen", "plain"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fd00::7", "fd00::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_an_address_is_one_that_others_can_use(seen: str, plain: str) -> None:
    assert plain_address(seen) == plain
