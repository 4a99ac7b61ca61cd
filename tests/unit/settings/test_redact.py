"""A secret never shows itself, and is masked in every form that logs give it."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.settings.redact import MASK, Redactor, Secret

VALUE = 'p@ss "w/rd+ü\\1'


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("x").warning("%s %r", secret, [secret])
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>5}",
        f"{[secret]}",
        "%s" % secret,  # noqa: UP031 - one of the ways in which it must not show
        f"{{'a': {secret}}}",
    ]
    assert not any(VALUE in text for text in [*shown, caplog.text])
    assert MASK in caplog.text
    assert secret.reveal() == VALUE
    with pytest.raises(TypeError):
        json.dumps({"a": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_compare() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert copy.deepcopy({"a": Secret("a")}) == {"a": Secret("a")}
    assert (bool(Secret("")), bool(Secret("x"))) == (False, True)


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps({"deep": json.dumps(VALUE, ensure_ascii=False)}["deep"]),
        json.dumps(VALUE, ensure_ascii=False),
        repr(VALUE),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        shlex.quote(VALUE),
        VALUE.encode().hex(),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        base64.b64encode(b"user:" + VALUE.encode()).decode(),
        base64.b64encode(b"me:" + VALUE.encode() + b"\n").decode(),
        base64.b64encode(b"x:" + VALUE.encode() + b"}}").decode(),
    ],
)
def test_every_form_is_masked(form: str) -> None:
    masked = Redactor([Secret(VALUE)]).redact(f"before {form} after")
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert len(masked) < len(f"before {MASK} after") + 20


def test_each_line_of_a_key_is_masked() -> None:
    key = "-----BEGIN-----\nabcdefgh\nijklmnop\n-----END-----\n"
    assert Redactor([key]).redact("x ijklmnop y") == "x ••• y"
    assert Redactor([key]).redact(key.strip()) == MASK


def test_short_texts_are_left_alone() -> None:
    assert Redactor(["ab", ""]).redact("ab cd") == "ab cd"
    assert Redactor([]).redact("ab") == "ab"


def test_the_longer_secret_goes_first() -> None:
    assert Redactor(["abcdef", "abcdefghi"]).redact("abcdefghi abcdef") == "••• •••"


@given(st.text(min_size=6, max_size=40), st.text(max_size=20), st.binary(max_size=5), st.binary(max_size=5))
def test_no_secret_is_left(value: str, around: str, before: bytes, after: bytes) -> None:
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        return
    redactor = Redactor([value])
    assert value not in redactor.redact(f"{around}{value}{around}").replace(MASK, "\0")
    encoded = base64.b64encode(before + raw + after).decode()
    assert MASK in redactor.redact(encoded)
