"""Messages: what is right arrives as it was sent, everything else is refused and never fatal."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livehead.config import GainSettings
from livehead.errors import ProtocolError
from livehead.protocol import messages

RIGHT = [
    messages.HelloMessage(role="studio", token="x" * 24),
    messages.HelloMessage(role="viewer", key="k"),
    messages.OfferMessage(sdp="v=0"),
    messages.StartMotionMessage(opening="0a" * 23),
    messages.SettingsUpdate(gains=GainSettings(mouth=1.4), background="#a0b1c2", badge=True),
    messages.SettingsUpdate(),
    messages.CalibrateMessage(),
    messages.FreezeMessage(on=True),
    messages.RecordMessage(on=False),
    messages.ByeMessage(),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
KINDS = st.sampled_from(
    ["hello", "offer", "settings", "calibrate", "freeze", "record", "playout", "bye", "motion", "welcome", ""]
)
KEYS = st.sampled_from(
    ["role", "token", "key", "sdp", "driver", "gains", "background", "badge", "on", "mode", "opening", "else"]
)


@pytest.mark.parametrize("message", RIGHT, ids=lambda message: message.type)
def test_what_is_right_arrives_as_it_was_sent(message: messages.SignalingMessage) -> None:
    assert messages.decode_client_message(message.model_dump_json()) == message


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_text_of_any_kind_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        messages.decode_client_message(text)


@settings(max_examples=200, deadline=None)
@given(KINDS, st.dictionaries(KEYS, JSON, max_size=4))
def test_nearly_right_messages_are_taken_or_refused_and_nothing_else(kind: str, rest: dict[str, object]) -> None:
    try:
        message = messages.decode_client_message(json.dumps({"type": kind, **rest}))
    except ProtocolError:
        return
    assert message.type == kind
    assert set(rest) <= set(type(message).model_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        '{"type":"freeze","on":1}',
        '{"type":"freeze"}',
        '{"type":"playout","sound_later_ms":-1}',
        '{"type":"playout","sound_later_ms":1001}',
        '{"type":"playout","sound_later_ms":NaN}',
        '{"type":"freeze","on":true,"more":1}',
        '{"type":"settings","background":"/etc/passwd"}',
        '{"type":"settings","gains":{"mouth":99}}',
        '{"type":"settings","gains":{"nose":1}}',
        '{"type":"offer","sdp":""}',
        '{"type":"welcome"}',
        "[]",
        "null",
        '{"type":{"type":"hello"}}',
    ],
)
def test_what_is_nearly_right_is_refused(wrong: str) -> None:
    with pytest.raises(ProtocolError):
        messages.decode_client_message(wrong)


def test_a_message_that_is_too_big_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        messages.decode_client_message('{"type":"offer","sdp":"' + "x" * messages.MAX_MESSAGE_BYTES + '"}')


def test_a_refusal_repeats_nothing_of_a_secret() -> None:
    with pytest.raises(ProtocolError) as refusal:
        messages.decode_client_message('{"type":"hello","role":"studio","token":["the secret"]}')
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("opening", ["", "0a", "0A" * 23, "0a" * 81, "x" * 40, "0a" * 20 + "0"])
def test_an_opening_of_motion_is_hexadecimal_and_short(opening: str) -> None:
    with pytest.raises(ProtocolError, match="opening"):
        messages.decode_client_message(json.dumps({"type": "motion", "opening": opening}))


@pytest.mark.parametrize(
    "message",
    [
        messages.WelcomeMessage(key="a", size=(3, 4)),
        messages.AnswerMessage(sdp="v=0"),
        messages.ProblemMessage(problem="no"),
    ],
)
def test_a_client_of_our_own_reads_what_the_server_says(message: messages.WelcomeMessage) -> None:
    assert messages.decode_server_message(messages.encode_message(message)) == message


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100) | st.builds(json.dumps, st.dictionaries(KEYS, JSON, max_size=3)))
def test_a_client_of_our_own_is_not_led_astray(text: str) -> None:
    with pytest.raises(ProtocolError, match="says the server"):
        messages.decode_server_message(text)
