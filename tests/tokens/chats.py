"""Templates laid out like those of published families, and what transformers makes of them."""

import json

from firsthand.types import Message

SMOLLM = """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system
You help.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
LLAMA3 = """{{- bos_token }}
{%- set today = strftime_now("%d %b %Y") if strftime_now is defined else "26 Jul 2024" %}
{%- set ns = namespace(system='') %}
{%- if messages[0]['role'] == 'system' %}
    {%- set ns.system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\nToday is " + today + "\n\n" + ns.system + "<|eot_id|>" }}
{%- if tools is not none %}{{- raise_exception("no tools") }}{% endif %}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""
QWEN = """{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' and not message.content.startswith('<tool_response>') %}
        {%- set ns.last = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.last or loop.index0 > ns.last %}{{- '<think>\n\n</think>\n\n' }}{% endif %}
        {%- generation %}{{- content + '<|im_end|>' }}{% endgeneration %}{{- '\n' }}
    {%- else %}
        {{- '<|im_start|>' ~ message.role ~ '\n' ~ content ~ '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""
MISTRAL = """{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}{% set ns = namespace(said=message.content) %}{% continue %}{% endif %}
    {%- if message.role == 'user' %}
        {{- '<repo_name> ' + message.content + ' <|im_start|>' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content|trim + eos_token }}
    {%- else %}{{ raise_exception('roles must be user and assistant, not ' + message.role|tojson) }}{% endif %}
{%- endfor %}"""
TEMPLATES = {"smollm": SMOLLM, "llama3": LLAMA3, "qwen": QWEN, "mistral": MISTRAL}
TALK = [("user", "Who are you?"), ("assistant", "I am  x=1;\n\n2."), ("user", "Bye\nnow"), ("assistant", "Good bye.")]


def talk(*pairs):
    return [Message(role, content) for role, content in pairs]


def transformers_of(template):
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = tokenizers.Tokenizer.from_str(json.dumps(template.tokenizer.to_json()))
    names = {name: template._name(name) for name in ("bos_token", "eos_token") if template._name(name)}
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template.source, **names)


def ours_and_theirs(template, other, messages, answer):
    data = [{"role": message.role, "content": message.content} for message in messages]
    theirs = other.apply_chat_template(data, add_generation_prompt=answer, tokenize=True, return_dict=False)
    return template.encode(messages, answer).ids, theirs
