"""The documentation as a site:  streamlit run docs/app.py

Text pages are the Markdown files of this folder, in the order of SUMMARY.md; the pages under "Play" are in `interactive/`.
"""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).parent))

from interactive import activations, augmentation, convolution, demo, measurements, optimizers, schedules, search, text

st.set_page_config(page_title="NyangTorch", page_icon="🐱", layout="wide")
st.html("""<style>
[data-testid=stMainBlockContainer] { padding-inline: 2.5rem }
[data-testid=stMarkdownContainer] table { display: block; overflow-x: auto; font-size: 0.9rem }
td img { min-width: 12rem } /* pictures in tables are there to be looked at */
td .formula { font-family: monospace; font-size: 0.75rem; white-space: pre-wrap; min-width: 19rem }
[data-testid=stMarkdownContainer] pre code { font-size: 0.8rem }
</style>""")

PLAY = [
    (demo, "Read a digit", "demo"),
    (activations, "Activations", "activations"),
    (convolution, "Convolution, step by step", "convolution"),
    (optimizers, "Optimizers on a surface", "optimizers"),
    (schedules, "Schedules", "schedules"),
    (augmentation, "Augmentation", "augmentation"),
    (measurements, "Measurements", "measurements"),
]

pages = {}
for heading, entries in text.summary():
    pages[heading] = [
        st.Page(text.page(file), title=title, url_path=text.url(file), default=file == "README.md") for title, file in entries
    ]
pages["Parts"] = [
    st.Page(text.page(file), title=file.split("/")[-1].removesuffix(".md"), url_path=text.url(file), visibility="hidden")
    for file in text.parts()
]
pages["Play"] = [st.Page(module.page, title=title, url_path=url) for module, title, url in PLAY]
pages["Find"] = [st.Page(search.page, title="Search", url_path="search")]

st.navigation(pages, expanded=True).run()
