"""Every page of the documentation's site, run and photographed, and the spelling of all texts:  python check.py DOCS PICTURES

First each page runs in Streamlit's own test harness, then in a real browser, if there is one: Debian's `chromium`, with `fonts-nanum` for Korean.
A page fails with an exception, an error box, a formula that could not be set, a link to a page that is not there, or if it is wider than the window.
Spelling is codespell's: a list of frequent mistakes, so that names and other languages are left alone.
"""

import importlib.util
import logging
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

docs, pictures = (Path(argument).resolve() for argument in sys.argv[1:3])
sys.path.insert(0, str(docs))

from streamlit.testing.v1 import AppTest

from interactive import text

logging.disable(logging.WARNING)  # the harness warns of each page that there is no server


def play():
    """The pages that are programs: (module, address), read off the app's own list."""
    return re.findall(r'^    \((\w+), ".*", "(\w+)"\),$', (docs / "app.py").read_text(encoding="utf-8"), flags=re.M) + [("search", "search")]


def written():
    """The text pages in the navigation: (file, address)."""
    return [(file, text.url(file)) for _, entries in text.summary() for _, file in entries]


def parts():
    """The pages of single parts: (file, address)."""
    return [(file, text.url(file)) for file in text.parts()]


def harness():
    """What fails in Streamlit's harness, page by page."""
    head = f"import sys\nsys.path.insert(0, {str(docs)!r})\nfrom interactive import text, "
    scripts = [(file, head + f"search\ntext.page({file!r})()") for file, _ in written() + parts()]
    scripts += [(module, head + f"{module}\n{module}.page()") for module, _ in play()]
    failed = []
    for name, script in scripts:
        ran = AppTest.from_string(script, default_timeout=120).run()
        failed += [f"{name}: {problem.value}" for problem in [*ran.exception, *ran.error]]
    app = AppTest.from_file(str(docs / "app.py"), default_timeout=120).run()
    return failed + [f"app.py: {problem.value}" for problem in [*app.exception, *app.error]], len(scripts)


def links():
    """Links of the rendered text that lead to a page of the site which does not exist."""
    addresses = {"/" + ("" if url == "home" else url) for _, url in written() + parts()} | {"/" + url for _, url in play()}
    failed = []
    for file, _ in written() + parts():
        for target in re.findall(r"\]\((/[^)#]*)", text.linked(file)):
            if target not in addresses:
                failed.append(f"{file}: {target} is no page of the site")
    return failed


def spelling():
    """Frequent misspellings in Markdown and Python, and in the comments of Rust."""
    if not importlib.util.find_spec("codespell_lib"):
        print("skipped: spelling, since this Python has no codespell; pip install codespell")
        return []
    root = docs.parent
    places = [root / place for place in ("docs", "crates", "examples", "xtask")]
    code = [file for place in places for file in place.rglob("*.rs")]
    texts = [*root.glob("*.md"), *(file for place in places for kind in ("*.md", "*.py") for file in place.rglob(kind))]
    failed = []
    for files, options in (texts, ["--ignore-words-list", "toom"]), (code, ["--ignore-regex", r"^\s*(?!\s*//).*"]):
        ran = subprocess.run([sys.executable, "-m", "codespell_lib", *options, *files], capture_output=True, text=True)
        failed += (ran.stdout + ran.stderr).replace(f"{root}/", "").splitlines()
    return failed


def draw(page):
    """A seven on the demo's canvas, and the answer awaited: which digit it takes it for is not asked."""
    box = page.locator("canvas").first.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.25, 0.15), (0.75, 0.15), (0.45, 0.9))]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.wait_for_selector("[data-testid=stMainBlockContainer] h3", timeout=60_000)


def browser(chromium):
    """What fails in a browser; a picture of each page is left behind."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(docs / "app.py"), "--server.headless", "true", "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        failed = []
        with sync_playwright() as p:
            view = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"])
            page = view.new_page()
            for name, url in written() + parts() + play():
                page.set_viewport_size({"width": 1280, "height": 900})
                page.goto(f"http://127.0.0.1:{port}/{'' if url == 'home' else url}")
                page.wait_for_selector("[data-testid=stMainBlockContainer] h1", timeout=60_000)
                page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
                if url == "demo":
                    draw(page)
                page.wait_for_timeout(3000 if (name, url) in play() else 300)  # figures come after the text
                wide, height = page.evaluate("(m => [m.scrollWidth > m.clientWidth, m.scrollHeight])(document.querySelector('[data-testid=stMain]'))")
                failed += [f"{name}: wider than the window"] * wide
                page.set_viewport_size({"width": 1280, "height": max(900, height)})  # the whole page is in the picture
                page.wait_for_timeout(700)
                for box in ("stException", "stAlertContentError"):
                    failed += [f"{name}: {found.inner_text()}" for found in page.query_selector_all(f"[data-testid={box}]")]
                failed += [f"{name}: a formula cannot be set: {found.inner_text()}" for found in page.query_selector_all(".katex-error")]
                page.screenshot(path=pictures / f"{url}.png")
            view.close()
        return failed
    finally:
        server.terminate()
        server.wait()


failed, pages = harness()
failed += links() + spelling()
chromium = shutil.which("chromium")
if chromium:
    pictures.mkdir(parents=True, exist_ok=True)
    failed += browser(chromium)
else:
    print("skipped: no `chromium` for pictures of the pages; on Debian: apt-get install chromium fonts-nanum")
for problem in failed:
    print(problem)
print(f"{pages} pages, {len(failed)} problems" + (f", pictures in {pictures}" if chromium else ""))
sys.exit(bool(failed))
