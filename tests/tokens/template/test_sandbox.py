"""Templates as if an enemy had written them: nothing runs, nothing goes on for ever, nothing fills the memory."""

import time

import pytest

from firsthand.errors import UserError
from firsthand.tokens.template.budget import WORK, Budget
from firsthand.tokens.template.sandbox import LONGEST, Jinja

GROW = "{% set ns = namespace(x='aaaa') %}{% for i in range(100) %}{% set ns.x = FURTHER %}{% endfor %}{{ ns.x }}"
LOOP = "{% for i in range(100000) %}BODY{% endfor %}"
HOSTILE = {
    "a loop without end": LOOP.replace("BODY", LOOP),
    "a loop that calls nothing": "{% set x = range(99999) %}" + "{% for i in x %}" * 3 + "{% endfor %}" * 3,
    "a long text in a loop": LOOP.replace("BODY", "y" * 30_000),
    "a range too long": "{% for i in range(10000000000) %}x{% endfor %}",
    "a loop that asks for its length": LOOP.replace(
        "BODY", "{{ loop.length }}" + LOOP.replace("BODY", "{{ loop.last }}")
    ),
    "sorting in a loop": LOOP.replace("BODY", "{{ range(100000)|sort|length }}"),
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "a recursive loop": "{% for x in [[1]] recursive %}{{ loop([[x]]) }}{{ loop([x]) }}{% endfor %}",
    "text doubled by +": GROW.replace("FURTHER", "ns.x + ns.x"),
    "text doubled by ~": GROW.replace("FURTHER", "ns.x ~ ns.x"),
    "text doubled in a block": LOOP.replace(
        "BODY", "{% set t %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = t %}"
    ).join(("{% set ns = namespace(x='aa') %}", "{{ ns.x }}")),
    "lists in lists": GROW.replace("FURTHER", "[ns.x, ns.x]"),
    "lists added": GROW.replace("FURTHER", "[ns.x] + [ns.x]"),
    "tuples in tuples": GROW.replace("FURTHER", "(ns.x, ns.x)"),
    "dictionaries in dictionaries": GROW.replace("FURTHER", "dict(a=ns.x, b=ns.x)"),
    "arguments in any number": GROW.replace("FURTHER", "m(ns.x, ns.x)") + "{% macro m() %}{{ varargs }}{% endmacro %}",
    "a method that replaces": GROW.replace("FURTHER", "ns.x.replace('a', 'aaaaaaaa')"),
    "a filter that replaces": GROW.replace("FURTHER", "ns.x|replace('a', 'aaaaaaaa')"),
    "a method that joins": GROW.replace("FURTHER", "ns.x.join([ns.x, ns.x])"),
    "a filter that joins": "{{ range(100000)|join('a'.join(range(10000)|map('string'))) }}",
    "a text times a number": "{{ 'a' * 10000000000 }}",
    "a power": "{{ 9**9**9 }}",
    "a number that grows": GROW.replace("'aaaa'", "3").replace("FURTHER", "ns.x * ns.x"),
    "padding by %": "{{ '%1000000000d' % 1 }}",
    "padding by format": "{{ '{:>1000000000}'.format(1) }}",
    "padding by a filter": "{{ 'a'|center(10000000000) }}",
    "padding by a method": "{{ 'a'.ljust(10000000000) }}",
    "padding by indent": "{{ 'a'|indent(10000000000) }}",
    "padding of JSON": "{{ [1]|tojson(indent=1000000000) }}",
    "itself in itself": "{% set a = namespace() %}{% set a.x = a %}{{ a }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a filter for attributes": "{{ ''|attr('__class__') }}",
    "the globals of a function": "{{ raise_exception.__globals__['os'].system('touch canary') }}",
    "the globals of a helper": "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
    "the environment": "{{ self._TemplateReference__context.environment }}",
    "changing the messages": "{{ messages.append(1) }}",
    "changing a message": "{{ messages[0].update({'role': 'system'}) }}",
    "an import": "{% import 'os' as os %}",
    "a file": "{% include '/etc/passwd' %}",
    "another template": "{% extends 'x' %}",
    "brackets": "{{ " + "(" * 8000 + "1" + ")" * 8000 + " }}",
    "loops in loops": "{% for i in [1] %}" * 700 + "{% endfor %}" * 700,
    "signs": "{{ " + "-" * 30_000 + "1 }}",
    "a sum": "{{ 1" + "+1" * 15_000 + " }}",
    "too many parts": "{{ a }}" * 4500,
    "too long": "x" * (LONGEST + 1),
    "an end missing": "{#" * 16_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_s06_hostile_templates_are_stopped(name, tmp_path, monkeypatch):
    """Each within a second, by a limit of the thread's own time; what is tested here is that it ends."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        print(len(_render(HOSTILE[name])))
    assert "chat template" in str(refused.value)
    assert len(str(refused.value)) < 400
    assert list(tmp_path.iterdir()) == []


def _render(source, **variables):
    messages = [{"role": "user", "content": "hi"}]
    return Jinja(source).render(time.gmtime(0), **{"messages": messages, **variables})


def test_what_templates_use_works():
    source = """{%- macro line(x, end='.') %}{{ x|upper }}{{ end }}{% endmacro %}
{%- set ns = namespace(n=0, seen=[]) %}
{%- for m in messages if m.role != 'tool' %}
  {%- set ns.n = ns.n + 1 %}
  {%- if loop.first %}{{ 'first ' }}{% elif loop.last %}{{ 'last ' }}{% endif %}
  {%- if loop.previtem is defined and loop.previtem.role == 'user' %}{{ '(after a user) ' }}{% endif %}
  {{- line(m.content | trim, end='!') ~ ns.n }}{{ '\n' }}
{%- endfor %}
{%- for key, value in {'b': [1, 2.5], 'a': {'c': none}}.items() %}{{ key }}={{ value | tojson }};{% endfor %}
{{ messages[::-1][0]['content'].split('e')[-1].lstrip() }} {{ messages | map(attribute='role') | join(',') }}
{{ strftime_now('%Y') }} {{ range(3) | list }} {{ 'é"' | tojson }} {{ [3, 1] | sort }} {{ 7 % 4 }} {{ missing }}
{%- generation %}{{ tools is none }}{% endgeneration %}
{%- for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}
{{ {'x': 'y'} | tojson(indent=2) }} {{ messages | selectattr('role', 'equalto', 'tool') | list | length }}"""
    roles = (("user", " one "), ("tool", "x"), ("assistant", "see me"))
    messages = [{"role": role, "content": content} for role, content in roles]
    assert _render(source, messages=messages, tools=None) == (
        'first ONE!1\nlast (after a user) SEE ME!2\nb=[1, 2.5];a={"c": null}; user,tool,assistant\n'
        '1970 [0, 1, 2] "é\\"" [1, 3] 3 True01{\n  "x": "y"\n} 1'
    )


def test_a_long_conversation_is_within_the_limits():
    messages = [{"role": "user", "content": "word " * 400}] * 500
    source = "{% for m in messages %}{{ '<' + m.role + '>' + m.content|trim + '\n' }}{% endfor %}" + "{# #}" * 1000
    assert len(_render(source, messages=messages)) == 500 * (7 + 1999)


def test_a_budget_is_spent():
    budget = Budget(9)
    assert list(budget.each("abc")) == ["a", "b", "c"]
    budget.spend(WORK - 30)
    with pytest.raises(Exception, match="too much"):
        budget.spend(1)


def test_a_refusal_is_the_templates_own_words():
    with pytest.raises(UserError, match="does not take this conversation: roles must take turns"):
        _render("{{ raise_exception('roles must take turns') }}")
