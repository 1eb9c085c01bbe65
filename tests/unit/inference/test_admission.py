import pytest

from benchpool.errors import ModelDied, ModelFileError
from benchpool.inference.admission import PrecisionTrial, admit, compare_precisions
from benchpool.inference.files.hashing import hash_file

STRING, U32 = 8, 4


def test_a_model_is_admitted_with_what_it_is(tiny, write_gguf, tmp_path):
    admission = admit(tiny)
    assert admission.card.sha256 == hash_file(tiny)
    assert admission.card.chat_template_sha256 is None
    assert admission.runtime.build.startswith("llama-cpp-python ")
    chatty = write_gguf(
        tmp_path / "chat.gguf", metadata={"tokenizer.chat_template": (STRING, "{{ 1 }}")}
    )
    assert len(admit(chatty).card.chat_template_sha256) == 64


def test_a_model_that_computes_no_numbers_is_not_admitted(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "huge.gguf", output_weight=3e38)
    with pytest.raises(ModelFileError, match="a trial question failed: model gave non-finite"):
        admit(path)


def test_a_model_that_kills_its_process_kills_no_other(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "abort.gguf", metadata={"llama.attention.head_count": (U32, 3)})
    with pytest.raises((ModelDied, ModelFileError)):
        admit(path)


def test_too_little_memory_is_said(tiny):
    with pytest.raises((ModelDied, ModelFileError)):
        admit(tiny, memory_bytes=1 << 20)


def test_precisions_are_compared_on_this_machine(tiny, tmp_path):
    trial = compare_precisions(tiny, copies=tmp_path)
    assert min(trial.stored, trial.bf16) > 0
    assert PrecisionTrial(stored=100, bf16=150).bf16_pays_off
    assert not PrecisionTrial(stored=100, bf16=105).bf16_pays_off
