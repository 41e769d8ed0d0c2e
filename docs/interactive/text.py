"""The Markdown files as pages: which there are, and how their links and pictures work on the site."""

import base64
import re
from pathlib import Path

import streamlit as st

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent
SOURCE = "https://github.com/nyangtorch/nyangtorch/blob/main/"

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def summary():
    """SUMMARY.md as [(heading, [(title, file), …]), …], with the files that are there."""
    sections = [("NyangTorch", [])]
    for line in (DOCS / "SUMMARY.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and line != "# Summary":
            sections.append((line[2:], []))
        elif found := re.search(r"\[(.+)\]\((.+\.md)\)", line):
            title, file = found.groups()
            if (DOCS / file).exists():
                sections[-1][1].append((title, file))
    return [section for section in sections if section[1]]


def parts():
    """The pages of single layers, losses and so on, which are not in SUMMARY.md."""
    listed = {file for _, entries in summary() for _, file in entries}
    return sorted({str(file.relative_to(DOCS)) for file in (DOCS / "reference").rglob("*.md")} - listed)


def url(file):
    """The page's address on the site: one word, since pages have no folders there."""
    return "home" if file == "README.md" else file.removesuffix(".md").replace("/", "-")


def linked(file):
    """The file's text, with links that lead to pages of the site, or to the source; pictures are put into the text."""
    here = (DOCS / file).parent

    def replaced(match):
        picture, label, target = match.groups()
        if ":" in target or target.startswith("#"):
            return match.group(0)
        path, _, heading = target.partition("#")
        found = (here / path).resolve()
        if picture and found.exists():
            kind = {".svg": "svg+xml", ".jpg": "jpeg"}.get(found.suffix, found.suffix[1:])
            data = base64.b64encode(found.read_bytes()).decode()
            return f'<img alt="{label}" style="max-width:100%" src="data:image/{kind};base64,{data}">'
        if found.suffix == ".md" and found.is_relative_to(DOCS):
            page = url(str(found.relative_to(DOCS)))
            return f"[{label}](/{'' if page == 'home' else page}{'#' + heading if heading else ''})"
        if found.is_relative_to(ROOT):
            return f"[{label}]({SOURCE}{found.relative_to(ROOT)}{'#' + heading if heading else ''})"
        return label

    blocks = re.split(r"(^```.*?^```$)", (DOCS / file).read_text(encoding="utf-8"), flags=re.M | re.S)
    return "".join(block if block.startswith("```") else LINK.sub(replaced, block) for block in blocks)


def unhidden(block):
    """A block of Rust without the lines that rustdoc hides: those that begin with a single #."""
    return re.sub(r"^#( .*)?\n", "", block.group(0), flags=re.M)


def page(file):
    """A function that shows the file, as the site's navigation wants it."""

    def show():
        # rustdoc's marks behind the language, and the lines that it hides, are not for readers
        shown = re.sub(r"^```rust,.*$", "```rust", linked(file), flags=re.M)
        shown = shown.replace("<pre>", '<div class="formula">').replace("</pre>", "</div>")  # Streamlit folds the spaces of a pre
        st.markdown(re.sub(r"^```rust$.*?^```$", unhidden, shown, flags=re.M | re.S), unsafe_allow_html=True)

    show.__name__ = "page_" + re.sub(r"\W", "_", file)
    return show
