"""The document of faults is checked strictly."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from services.fake_provider.faults import FaultDocument

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"fault": []}, "fault"),
    ({"seed": -1}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"latency_s": -0.1}, "latency_s"),
    ({"latency_s": 601}, "latency_s"),
    ({"faults": [{"kind": "slow"}] * 101}, "faults"),
    ({"faults": [{}]}, "kind"),
    ({"faults": [{"kind": "fast"}]}, "kind"),
    ({"faults": [{"kind": "slow"}]}, "delay_s"),
    ({"faults": [{"kind": "slow", "delay_s": True}]}, "delay_s"),
    ({"faults": [{"kind": "slow", "delay_s": 1, "delay_max_s": 0.5}]}, "delay_max_s"),
    ({"faults": [{"kind": "slow", "delay_s": 1, "accepts": 1}]}, "accepts"),
    ({"faults": [{"kind": "hang", "probability": 1.1}]}, "probability"),
    ({"faults": [{"kind": "hang", "probability": "1"}]}, "probability"),
    ({"faults": [{"kind": "hang", "times": 0}]}, "times"),
    ({"faults": [{"kind": "hang", "accepts": -1}]}, "accepts"),
    ({"faults": [{"kind": "hang", "for_phones": []}]}, "for_phones"),
    ({"faults": [{"kind": "hang", "for_phones": ["79001234567"]}]}, "for_phones"),
    ({"faults": [{"kind": "hang", "for_phone_prefixes": ["+7"]}]}, "for_phone_prefixes"),
    ({"faults": [{"kind": "hang", "for_phone_modulo": {"divisor": 3, "remainder": 3}}]}, "remainder"),
    ({"faults": [{"kind": "hang", "for_phone_modulo": {"divisor": 0, "remainder": 0}}]}, "divisor"),
    ({"faults": [{"kind": "hang", "for_texts": [""]}]}, "for_texts"),
    ({"faults": [{"kind": "status"}]}, "code"),
    ({"faults": [{"kind": "status", "code": 200}]}, "code"),
    ({"faults": [{"kind": "status", "code": 600}]}, "code"),
    ({"faults": [{"kind": "status", "code": 404, "accepts": 0.5}]}, "accepts"),
    ({"faults": [{"kind": "status", "code": 503, "retry_after_date": True}]}, "retry_after_s"),
    ({"faults": [{"kind": "status", "code": 503, "retry_after_s": 1.5}]}, "retry_after_s"),
    ({"faults": [{"kind": "garbage", "bodies": []}]}, "bodies"),
    ({"faults": [{"kind": "garbage", "bodies": ["poem"]}]}, "bodies"),
    ({"faults": [{"kind": "redirect", "code": 304}]}, "code"),
    ({"faults": [{"kind": "redirect", "location": "/a\r\nX-Evil: 1"}]}, "location"),
    ({"faults": [{"kind": "refusal", "code": 0}]}, "code"),
    ({"faults": [{"kind": "refusal", "code": True}]}, "code"),
    ({"faults": [{"kind": "refuse"}]}, "duration_s"),
    ({"faults": [{"kind": "refuse", "duration_s": 601}]}, "duration_s"),
    ({"faults": [{"kind": "refuse", "duration_s": 0}]}, "duration_s"),
    ({"faults": [{"kind": "refuse", "duration_s": 1, "probability": 0.5}]}, "on_call"),
    ({"faults": [{"kind": "refuse", "duration_s": 1}] * 2}, "at most one"),
]


@pytest.mark.parametrize(("document", "culprit"), REFUSED)
def test_a_wrong_document_is_refused_and_the_culprit_named(document: dict[str, Any], culprit: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FaultDocument.model_validate_json(json.dumps(document))
    assert culprit in str(refused.value)


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValidationError):
        FaultDocument.model_validate_json('{"latency_s": NaN}')


def test_a_document_comes_back_as_it_was_set() -> None:
    given = {
        "seed": 7,
        "latency_s": 0.1,
        "faults": [
            {"kind": "slow", "probability": 0.3, "delay_s": 0.2, "delay_max_s": 0.4, "times": 5},
            {"kind": "garbage", "bodies": ["html", "huge"], "for_phones": [1, 2], "for_texts": ["sale"]},
            {"kind": "refuse", "duration_s": 2, "starts": "on_call", "for_phone_prefixes": ["7900"]},
        ],
    }
    document = FaultDocument.model_validate_json(json.dumps(given))
    shown = document.model_dump_json(exclude_none=True)
    assert FaultDocument.model_validate_json(shown) == document


def test_the_empty_document_is_a_sound_provider() -> None:
    assert FaultDocument.model_validate_json("{}") == FaultDocument(seed=0, latency_s=0.0, faults=())
