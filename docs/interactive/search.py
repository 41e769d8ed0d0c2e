"""Finds words in all pages."""

import re

import streamlit as st

from interactive import text


def sections(file):
    """(heading, text) of each part of a page; headings inside of code are code."""
    parts, code = [["", ""]], False
    for line in (text.DOCS / file).read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        if not code and re.match(r"#{1,4} ", line):
            parts.append([line.lstrip("# "), ""])
        else:
            parts[-1][1] += line + "\n"
    return parts


def found(words):
    """The sections that have all of the words, those with them in the heading first."""
    hits = []
    for _, entries in text.summary():
        for title, file in entries:
            for heading, body in sections(file):
                low = f"{heading}\n{body}".lower()
                if all(word in low for word in words):
                    score = 10 * sum(word in heading.lower() for word in words) + sum(low.count(word) for word in words)
                    hits.append((score, title, file, heading, body))
    return sorted(hits, key=lambda hit: -hit[0])


def page():
    st.title("Search")
    query = st.text_input("Words", placeholder="learning rate, padding, 학습률 …")
    words = query.lower().split()
    if not words:
        return
    hits = found(words)
    st.caption(f"{len(hits)} places")
    for _, title, file, heading, body in hits[:30]:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        page_url = text.url(file)
        st.markdown(f"**[{title} › {heading or title}](/{'' if page_url == 'home' else page_url}#{anchor})**")
        line = next((line for line in body.splitlines() if any(word in line.lower() for word in words)), "")
        st.caption(re.sub(r"[`*|\[\]<>]", " ", line)[:240])
