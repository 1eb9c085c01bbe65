import pytest

from benchpool.inference.llama.chat import ChatTemplate, TemplateRefusedError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system role') }}{% endif %}[{{ m.content }}]{% endfor %}"
)


def _template(source):
    return ChatTemplate(source, bos="<s>", eos="</s>")


def test_the_models_own_template_is_used():
    assert _template(CHATML).render(system="S", user="U") == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_model_without_template_gets_the_plain_form():
    assert _template(None).render(system="S", user="U") == "<|system|>S<|user|>U<|assistant|>"


def test_no_system_text_means_no_system_turn():
    assert "system" not in _template(CHATML).render(system="", user="U")


def test_a_family_without_system_role_is_told_in_the_users_turn():
    assert _template(NO_SYSTEM).render(system="S", user="U") == "<s>[S\n\nU]"


@pytest.mark.parametrize(
    "source",
    [
        "{% for %}",
        "{{ raise_exception('no') }}",
        "{{ ''.__class__.__mro__ }}",
        "{% include '/etc/passwd' %}",
        "{{ messages.append(1) }}",
        "{{ 1 / 0 }}",
        "{% for i in range(10**9) %}{% endfor %}",
    ],
)
def test_a_bad_template_refuses_the_turn(source):
    with pytest.raises(TemplateRefusedError, match="chat template"):
        _template(source).render(system="S", user="U")
