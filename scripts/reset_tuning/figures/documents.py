"""Markdown documents of a run as one page for the report."""

import html
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from reset_tuning.figures.pages import page


def documents_page(documents: Sequence[Path], title: str) -> str:
    """Return a page of Markdown documents, each under its first heading, with links to them."""
    # Raw HTML within an example must stay text.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    links, sections = [], []
    for path in documents:
        text = path.read_text(encoding="utf-8")
        heading = text.splitlines()[0].lstrip("# ")
        links.append(f'<a href="#{path.stem}">{html.escape(heading)}</a>')
        body = markdown.render(text).replace("<h1>", "<h2>", 1).replace("</h1>", "</h2>", 1)
        body = body.replace("<table>", '<div class="scroll"><table>')
        body = body.replace("</table>", "</table></div>")
        sections.append(f'<section id="{path.stem}">\n{body}</section>')
    return page(title, f"<p>{' · '.join(links)}</p>\n" + "\n".join(sections), style="documents.css")
