"""Which precision a pool computes with, and how large its pods are for it."""

import pytest

from tts_operator.resolve.precision import ORDER, combined_resources, effective_precision, nearest

CHOICES = {
    # the story                                     offered            entry   scenario           name    reason
    "nobody asks: the model's first": (("fp16", "int8"), None, None, "fp16", "ModelDefault"),
    "the scenario asks": (("fp32", "fp16", "int8"), None, "Testing", "int8", "Scenario"),
    "the entry has the last word": (("fp32", "fp16"), "fp32", "CustomerService", "fp32", "ModelEntry"),
    "the model lacks what the scenario asks": (("fp32",), None, "Testing", "fp32", "NotOffered"),
    "the model lacks what the entry asks": (("fp16", "int8"), "fp32", None, "fp16", "NotOffered"),
    "between two neighbours the more exact": (("int8", "fp32"), None, "CustomerService", "fp32", "NotOffered"),
}


@pytest.mark.parametrize(("offered", "entry", "scenario", "name", "reason"), CHOICES.values(), ids=CHOICES)
def test_choice(offered: tuple[str, ...], entry: str | None, scenario: str | None, name: str, reason: str) -> None:
    choice = effective_precision(offered, entry, scenario)
    assert (choice.name, choice.reason) == (name, reason)


def test_a_choice_that_nobody_asked_for_says_who_asked_for_what() -> None:
    message = effective_precision(("fp32", "fp16"), None, "Testing").message
    assert message == "scenario Testing uses int8, the model offers fp32, fp16: fp16 is the nearest"


@pytest.mark.parametrize("asked", ORDER)
def test_what_is_offered_is_its_own_nearest(asked: str) -> None:
    assert nearest(asked, ORDER) == asked


def test_memory_holds_every_loaded_precision_and_a_gpu_is_shared() -> None:
    fp16 = {"cpu": "1", "memory": "3Gi", "nvidia.com/gpu": "1"}
    int8 = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "2"}
    assert combined_resources(fp16, [fp16, int8]) == {"cpu": "1", "memory": str(4 * 1024**3), "nvidia.com/gpu": "2"}


def test_one_loaded_precision_keeps_its_own_spelling() -> None:
    fp16 = {"cpu": "1", "memory": "3Gi"}
    assert combined_resources(fp16, [fp16]) == fp16
