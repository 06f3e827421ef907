"""Formulas of lessons, for terminals and browsers."""

import re

import pytest

from firsthand.learn import manifest
from firsthand.learn.formula import as_mathml, in_one_line, readable
from firsthand.learn.html import page
from firsthand.learn.pages import cells


@pytest.mark.parametrize(
    ("latex", "line"),
    [
        (r"\frac{a + b}{2}", "(a + b)/2"),
        (r"\frac{1}{B \, T} \sum_{b, i} \ln p(y_{b,i})", "1/(B T) ∑_(b, i) ln p(y_(b, i))"),
        (r"\frac{1}{\sum_r n_r} \sum_r g_r", "1/(∑ᵣ nᵣ) ∑ᵣ gᵣ"),
        (r"\tfrac{1}{2}\left(1 + \cos \pi \tfrac{f - w}{1 - w}\right)", "1/2 (1 + cos π (f − w)/(1 − w))"),
        (r"\sum_v p_v \ln \frac{p_v}{q_v}", "∑ᵥ pᵥ ln (pᵥ/qᵥ)"),
        (r"\hat m / \sqrt{\hat v + \epsilon}", "m\u0302/√(v\u0302 + ϵ)"),
        (r"\omega_i = 10000^{-2i/d_{model}}", "ωᵢ = 10000^(−2i/d_model)"),
        (r"\langle R_{m \omega} \, q, \; R_{(m-n) \omega} \, k \rangle", "⟨R_(mω) q, R_((m − n)ω) k⟩"),
        (r"\sum_t -\ln \text{softmax}(x_t)_{\text{target}}", "∑ₜ −ln softmax(xₜ)_target"),
        (r"W_q^{(i)} x^2 \le -1, \qquad y = v_i^\top", "W_q⁽ⁱ⁾x² ≤ −1,   y = vᵢᵀ"),
        (r"\{t : x_{t+1} \text{ is learnt}\}", "{t: xₜ₊₁ is learnt}"),
    ],
)
def test_a_formula_is_one_line_and_means_the_same(latex, line):
    assert in_one_line(latex) == line


def test_code_and_prices_are_no_formulas():
    text = "`$HOME` and ``a$b$c`` cost $5, or $6 each; $x^2$ is one."
    assert readable(text) == text.replace("$x^2$", "x²")
    assert readable("where\n\n$$\nx_1\n$$\n") == "where\n\n    x₁\n"


def test_what_is_no_formula_comes_back_and_adds_no_markup():
    assert "frac" in in_one_line(r"\frac{a}{")
    assert "<script" not in as_mathml("<script>", "inline")


@pytest.mark.parametrize("lesson", manifest.lessons(), ids=lambda lesson: lesson.script.parent.name)
def test_no_page_shows_latex(lesson):
    found = cells(lesson.script)
    for cell in found:
        if cell.markdown:
            assert "$" not in readable(cell.text), cell.text
            assert not re.search(r"\\(frac|sum|text|hat|cdot|left|qquad)", readable(cell.text)), cell.text
    html = page(lesson, [cell for cell in found if cell.markdown])
    assert "$$" not in html
    assert ("$" in "".join(cell.text for cell in found if cell.markdown)) == ("<math" in html)
