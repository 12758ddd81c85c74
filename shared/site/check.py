"""Look at the built site: ``python -m shared.site.check`` after ``mkdocs build``.

First its files are read (what do they load, and did all Markdown become HTML?). Then Chromium opens every page, wide
and narrow, served from 127.0.0.1 with a content security policy that reports each request to another host.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from shared.curriculum import HOUSE, load
from shared.site.build import page_of

HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; report-uri /policy"
)
SECONDS_A_PAGE = 30


_CODE = re.compile(r"<code\b.*?</code>", re.DOTALL)


class _Loads(HTMLParser):
    """Collects what a browser loads for a page by itself; a link that a reader may follow is not among it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        loading_link = tag == "link" and not {"canonical", "next", "prev"} & set(values.get("rel", "").split())
        if tag not in {"a", "area", "link"} or loading_link:
            names = ("src", "href", "xlink:href", "data", "poster", "srcset", "action")
            self.found += [values[name] for name in names if values.get(name)]
        self.found += loads_of_css(values.get("style", ""))
        if "mermaid" in values.get("class", "").split():
            self.found.append("https://unpkg.com/mermaid (Material fetches it for class 'mermaid')")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.found += loads_of_css(data)


def loads_of_html(text: str) -> list[str]:
    """The addresses that an HTML or SVG file loads."""
    parser = _Loads()
    parser.feed(_CODE.sub("", text))  # code loads nothing, and is most of a lesson's page
    return parser.found


def loads_of_css(text: str) -> list[str]:
    """The addresses that a style sheet loads."""
    found = re.findall(r"""(?:url\(|@import\s)\s*["']?([^"')\s;]+)""", text)
    return [address for address in found if not address.startswith("data:")]


def is_foreign(address: str) -> bool:
    """Whether an address leads to a host of its own."""
    return re.match(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE) is not None


def faults_in_html(text: str) -> Iterator[str]:
    """Markdown that reached the page as it was typed: usually a missing empty line or indentation."""
    prose = re.sub(r"<(pre|script|style)\b.*?</\1>", "", _CODE.sub("", text), flags=re.DOTALL)
    prose = re.sub(r"(class=\"arithmatex\">).*?(?=</)", r"\1", prose, flags=re.DOTALL)
    patterns = {
        "a list needs an empty line before it": r"<p>[^<]*(?:<(?!/p>)[^<]*)*?\n *(?:[-*+]|1\.) +\S",
        "a table needs an empty line before it": r"\n *\|? *:?-{3,}:? *\|",
        "a code block needs an empty line before it, or its indentation": r"```",
        "$$ stands on lines of its own": r"\$\$|\$<span class=\"arithmatex\">",
        "$ touches its formula on both sides": r"(?<![\w$])\$[^$<]{1,80}\$(?![\w$])",
        "bold or a link is still typed out": r"\*\*\w|\]\([\w./#-]+\)",
    }
    for advice, pattern in patterns.items():
        if match := re.search(pattern, prose):
            start = max(0, match.end() - 60)
            yield f"{advice}: …{prose[start : match.end() + 20]!r}"


def read(site: Path) -> Iterator[str]:
    """The faults that can be seen in the files of a built site."""
    for file in sorted(site.rglob("*")):
        if file.suffix not in {".html", ".css", ".svg"}:
            continue
        text, name = file.read_text(encoding="utf-8"), file.relative_to(site).as_posix()
        for address in loads_of_css(text) if file.suffix == ".css" else loads_of_html(text):
            if is_foreign(address):
                yield f"{name}: loads {address}"
        if file.suffix == ".html":
            yield from (f"{name}: {fault}" for fault in faults_in_html(text))


def browse(site: Path, browser: str, question: dict[str, str]) -> Iterator[str]:
    """The faults that a browser finds; `question` holds a ``text`` to search for and the ``page`` to be found."""
    pages = [file.parent.relative_to(site).as_posix() + "/" for file in sorted(site.rglob("index.html"))]
    faults: list[str] = []
    reports: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=os.fspath(site))

        def do_GET(self) -> None:
            own = {"/probe.html": (HERE / "probe.html").read_bytes()}
            own["/probe.json"] = json.dumps({"pages": pages, "question": question}).encode()
            if self.path not in own:
                return super().do_GET()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(own[self.path])
            return None

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            if self.path == "/report":
                reports.put(body)
            else:
                report = body["csp-report"]
                faults.append(f"{report['document-uri']}: wanted {report['blocked-uri']}")

        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_error(self, format: str, *args: Any) -> None:
            faults.append(f"{self.path}: {format % args}")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = [
        "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium asks for it when root starts it
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        chromium = subprocess.Popen(
            [browser, *flags, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while "done" not in (report := reports.get(timeout=SECONDS_A_PAGE)):
                yield from _judge(report)
            print(f"{len(pages)} pages, {report['formulas']} formulas, {report['diagrams']} diagrams, ", end="")
            print(f"{report['images']} pictures, searched for {question['text']!r}")
        except queue.Empty:
            yield f"no page was reported for {SECONDS_A_PAGE} s; {chromium.args!r} exited with {chromium.poll()}"
        finally:
            chromium.terminate()
            chromium.wait()
            server.shutdown()
    yield from faults


def _judge(report: dict[str, Any]) -> Iterator[str]:
    for fault in report["faults"]:
        yield f"{report['page']}: {fault}"


def main() -> int:
    site = HOUSE / "build" / "site"
    if not (site / "index.html").is_file():
        print("check: there is no site yet; make it with nox -s docs", file=sys.stderr)
        return 1
    faults = list(read(site))
    browser = os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)
    lesson = next(iter(load(HOUSE).lessons.values()))
    if browser is None:
        faults.append("no Chromium was found, so no page was looked at; name one in the variable CHROME")
    else:
        question = {"text": lesson.title, "page": page_of(lesson).removesuffix("index.md")}
        faults += browse(site, browser, question)
    for fault in faults:
        print(f"check: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
