from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.mqtt.ledger import Ledger, Rivals, Verdict


def test_a_message_in_hand_that_comes_again_waits() -> None:
    ledger = Ledger()
    ledger.begin()
    assert ledger.arrived(5) is Verdict.TAKE
    assert ledger.arrived(5) is Verdict.WAIT
    assert ledger.made_safe(5, ledger.session, qos=1, link_is_up=True)
    assert ledger.arrived(5) is Verdict.TAKE  # acknowledged: the number is free


def test_a_message_made_safe_without_a_link_is_answered_when_it_comes_again() -> None:
    ledger = Ledger()
    ledger.begin()
    ledger.arrived(5)
    assert not ledger.made_safe(5, ledger.session, qos=1, link_is_up=False)
    assert ledger.arrived(5) is Verdict.ANSWER
    ledger.answered(5)
    assert ledger.arrived(5) is Verdict.TAKE


def test_a_number_of_qos_2_is_taken_until_its_release() -> None:
    ledger = Ledger()
    ledger.begin()
    ledger.arrived(5)
    assert ledger.made_safe(5, ledger.session, qos=2, link_is_up=True)
    assert ledger.arrived(5) is Verdict.ANSWER
    ledger.answered(5)
    assert ledger.arrived(5) is Verdict.TAKE


def test_what_is_safe_of_a_forgotten_session_is_not_acknowledged_in_the_next() -> None:
    ledger = Ledger()
    ledger.begin()
    ledger.arrived(5)
    old = ledger.session
    ledger.begin()
    assert ledger.arrived(5) is Verdict.TAKE
    assert not ledger.made_safe(5, old, qos=1, link_is_up=True)
    assert ledger.arrived(5) is Verdict.WAIT


@given(st.lists(st.tuples(st.sampled_from(["send", "safe", "break", "back"]), st.integers(1, 3)), max_size=60))
def test_a_broker_that_keeps_the_rules_sees_each_message_taken_once(story: list[tuple[str, int]]) -> None:
    """QoS 1, a session that is kept: the broker sends again after a break what was not acknowledged."""
    ledger = Ledger()
    ledger.begin()
    unacked: dict[int, int] = {}  # number -> message
    in_hand: dict[int, int] = {}
    taken: list[int] = []
    messages, up = 0, True

    def deliver(number: int) -> None:
        verdict = ledger.arrived(number)
        if verdict is Verdict.TAKE:
            taken.append(unacked[number])
            in_hand[number] = unacked[number]
        elif verdict is Verdict.ANSWER:
            ledger.answered(number)
            del unacked[number]

    for what, number in story:
        if what == "send" and up and number not in unacked:
            messages += 1
            unacked[number] = messages
            deliver(number)
        elif what == "safe" and number in in_hand:
            del in_hand[number]
            if ledger.made_safe(number, ledger.session, qos=1, link_is_up=up):
                del unacked[number]
        elif what == "break":
            up = False
        elif what == "back" and not up:
            up = True
            for again in list(unacked):
                deliver(again)
    assert len(taken) == len(set(taken)) == messages


def test_a_rival_is_seen_by_what_the_broker_says_or_by_short_lives() -> None:
    said = Rivals(pause_s_max=60)
    said.connected(0.0)
    assert said.lost(100.0, said=True) == 5
    said.connected(106.0)
    assert said.lost(107.0, said=True) == 10
    silent = Rivals(pause_s_max=12)
    pauses = []
    for number in range(6):
        silent.connected(10.0 * number)
        pauses.append(silent.lost(10.0 * number + 1, said=False))
    assert pauses == [0, 0, 5, 10, 12, 12]


def test_a_link_that_lives_long_is_no_sign_of_a_rival() -> None:
    rivals = Rivals(pause_s_max=60)
    for number in range(10):
        rivals.connected(100.0 * number)
        assert rivals.lost(100.0 * number + 90, said=False) == 0
    assert rivals.lost(5000.0, said=False) == 0  # never was up
