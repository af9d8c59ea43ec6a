"""Texts, figures and tables as LaTeX."""

import re

_ESCAPES = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$"}
    | {"×": r"$\times$", "…": r"\dots{}"}
    | {each: f"${each}$" for each in "<>|"}
)
"""Replacements of characters with a special meaning in LaTeX, and of some that its fonts lack."""


def escape(text: str) -> str:
    """Escape a text for LaTeX, with a proper minus sign before numbers."""
    return re.sub(r"(?<![\w\-])-(?=\.?\d)", "$-$", text.translate(_ESCAPES))


def figure_environment(file: str, caption: str, label: str) -> str:
    """Return a ``figure`` that includes a file, named without its suffix."""
    return _floating("figure", f"\\includegraphics{{{file}}}\n", caption, label, below=True)


def table_environment(tabular: str, caption: str, label: str, letters: int) -> str:
    """Return a ``table`` with a caption above its ``tabular``, printed smaller the more letters its rows have.

    One of more than 92 letters is scaled to the width of the text, by the package graphicx.
    """
    if letters > 92:
        tabular = f"\\resizebox{{\\linewidth}}{{!}}{{%\n{tabular}}}\n"
    size = "\\footnotesize\n" if letters > 76 else "\\small\n" if letters > 66 else ""
    return _floating("table", size + tabular, caption, label, below=False)


def _floating(kind: str, body: str, caption: str, label: str, *, below: bool) -> str:
    about = f"\\caption{{{escape(caption)}}}\n\\label{{{label}}}\n"
    parts = (body, about) if below else (about, body)
    return f"\\begin{{{kind}}}\n\\centering\n{''.join(parts)}\\end{{{kind}}}\n"


def slug(name: str) -> str:
    """Return a name for labels: letters, digits and hyphens.

    >>> slug("runs/My run: validation")
    'runs-my-run-validation'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
