"""A README in the terminal: formulas, folding, what is left alone."""

from pathlib import Path

import pytest

from shared.learn import screen
from shared.learn.cli import main
from shared.learn.formulas import unicode_text
from shared.learn.show import readable

FOLDER = Path("lesson")


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"x_i^2", "xᵢ²"),
        (r"W^{l}_{ij}", "Wˡᵢⱼ"),
        (r"e^{-z_k} + x_{ic}", "e^(-zₖ) + x_(ic)"),
        (r"X^\top X \, \beta = X^\top y", "Xᵀ X β = Xᵀ y"),
        (r"\sum_{i=1}^{n} (y_i - \hat y_i)^2", "∑ᵢ₌₁ⁿ (yᵢ - ŷᵢ)²"),
        (r"\frac{\partial L}{\partial w_{jk}}", "∂L/∂wⱼₖ"),
        (r"\frac{a + b}{2n} c", "(a + b)/(2n) c"),
        (r"\frac{1}{1 + e^{-x}}", "1/(1 + e⁻ˣ)"),
        (r"\tfrac12 \cdot \sqrt{\frac{1}{n}}", "1/2 · √(1/n)"),
        (r"O(n \log n)", "O(n log n)"),
        (r"\max_k z_k - \tanh^2 z", "maxₖ zₖ - tanh² z"),
        (r"\lVert x \rVert^2 \le 1", "‖x‖² ≤ 1"),
        (r"f(z) = \begin{cases} z & z > 0 \\ 0 & \text{else} \end{cases}", "f(z) = { z, z > 0; 0, else }"),
        (r"\begin{aligned} a &= b \\ &= c \end{aligned}", "a = b\n  = c"),
        (r"\begin{pmatrix} 1 & -2 \\ 3 & 4 \end{pmatrix}", "[1 -2; 3 4]"),
        (r"\underbrace{\sum_i r_i^2}_{\text{residual}}", "∑ᵢ rᵢ² [residual]"),
        (r"y = X\beta + \varepsilon", "y = Xβ + ε"),
        (r"\frac", r"\frac"),
    ],
)
def test_formulas(latex: str, text: str) -> None:
    assert unicode_text(latex) == text


def test_display_formulas_keep_their_lines_and_code_is_left_alone() -> None:
    markdown = """\
Costs $5 or $7. Here $a_1 * b_2$ and `$a_1$` and `$HOME`, $c$.

$$
\\begin{aligned}
a &= b^2 \\\\
&= c
\\end{aligned}
$$

```sh
echo $a_1$ $$
```
"""
    assert (
        readable(markdown, FOLDER)
        == """\
Costs $5 or $7. Here a₁ \\* b₂ and `$a_1$` and `$HOME`, c.


```text
a = b²
  = c
```


```sh
echo $a_1$ $$
```
"""
    )


def test_solutions_are_folded_until_asked_for() -> None:
    markdown = '1. Why?\n\n<details markdown="1"><summary>Solution</summary>\n\nIt is $x_1$.\n\n</details>\n\n2. How?\n'
    folded = readable(markdown, FOLDER, "twice show it --solutions")
    assert "x₁" not in folded
    assert "*Solution: twice show it --solutions*" in folded
    unfolded = readable(markdown, FOLDER)
    assert "**Solution**" in unfolded
    assert "It is x₁." in unfolded
    assert "<" not in folded + unfolded


def test_figures_blocks_and_diagrams_have_a_name_above() -> None:
    assert readable("![A line](figures/line.svg)", FOLDER) == f"*Figure: A line* ({Path('lesson/figures/line.svg')})"
    assert readable('```python title="build_it.py"\nx\n```', FOLDER).startswith("*build_it.py:*\n\n```python")
    assert readable("```mermaid\na --> b\n```", FOLDER).startswith("*diagram:*\n\n```mermaid\na --> b")


def test_a_terminal_gets_it_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "phases" / "01-a" / "01-b"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(
        "# Title\n\n## MOTTO\n\n**Bold** $x_i$, [here](https://e.org)\n", encoding="utf-8"
    )
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    assert main(["--root", str(tmp_path), "show", "b"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line] == ["Title", "MOTTO", "Bold xᵢ, here (https://e.org)"]
