"""The two halves of a control: a Python module, and of the same stem an ES module and a stylesheet."""

import ast
import base64
import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import anywidget
import pytest

import rtk
from rtk.shipped import shipped

PYTHON = Path(rtk.__file__).parent / "widgets"
BROWSER = shipped("widgets")
STEMS = sorted(path.stem for path in BROWSER.glob("*.js"))
NETWORK = (
    "fetch", "XMLHttpRequest", "WebSocket", "WebTransport", "EventSource", "sendBeacon", "importScripts", "RTCPeer",
    "serviceWorker", "Worker(", "import(", "://", 'from "//', "url(", "@import", ".src", "window.open", "location",
)  # fmt: skip
HTML = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML", "srcdoc", "DOMParser",
    "createContextualFragment", "eval(", "Function(", "javascript:", "execCommand", 'createElement("script"',
    'element("script"',
)  # fmt: skip

# A page that is just enough for a module to render in: elements with children, attributes and text, nothing drawn.
PAGE = """
class Node {
  constructor(name) {
    Object.assign(this, { name, children: [], parent: null, dataset: {}, style: {}, attributes: {}, text: "" });
    Object.assign(this, { className: "", hidden: false, title: "" });
  }
  get textContent() { return this.text + this.children.map((child) => child.textContent).join(""); }
  set textContent(text) { this.replaceChildren(); this.text = String(text); }
  appendChild(child) { child.remove(); child.parent = this; this.children.push(child); return child; }
  append(...children) { children.forEach((child) => this.appendChild(child)); }
  replaceChildren(...children) { this.children.forEach((one) => { one.parent = null; }); this.children = [];
    this.text = ""; this.append(...children); }
  remove() { if (this.parent) this.parent.children = this.parent.children.filter((one) => one !== this);
    this.parent = null; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  all() { return [this, ...this.children.flatMap((child) => child.all())]; }
  of(className) { return this.all().filter((one) => one.className.split(" ").includes(className)); }
}
globalThis.document = { createElement: (name) => new Node(name), head: new Node("head") };
class Model {
  constructor(values) { this.values = values; this.heard = []; }
  get(name) { return this.values[name]; }
  set(name, value) { this.values[name] = value; this.heard.filter(([what]) => what === `change:${name}`)
    .forEach(([, call]) => call()); }
  on(what, call) { this.heard.push([what, call]); }
  off(what, call) { this.heard = this.heard.filter((pair) => !(pair[0] === what && pair[1] === call)); }
}
"""


def texts(stem):
    """The browser half of a control, without comments."""
    script = (BROWSER / f"{stem}.js").read_text("utf-8")
    style = (BROWSER / f"{stem}.css").read_text("utf-8")
    return re.sub(r"(?m)^\s*//.*$", "", script), re.sub(r"(?s)/\*.*?\*/", "", style)


def controls():
    """The Python halves: modules that declare a control's browser half."""
    found = {}
    for path in sorted(PYTHON.glob("*.py")):
        bodies = [node.body for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)]
        names = {
            target.id for body in bodies for node in body if isinstance(node, ast.Assign) for target in node.targets
        }
        if "_esm" in names:
            found[path.stem] = names
    return found


def test_every_half_has_its_other_halves():
    """Of one stem: what the browser runs, how it looks, and what the kernel says to it; nothing else lies there."""
    assert STEMS
    assert sorted(controls()) == STEMS
    assert all("_css" in names for names in controls().values())
    others = {path.name for path in BROWSER.iterdir()} - {f"{stem}.{kind}" for stem in STEMS for kind in ("js", "css")}
    assert others == {"README.md"}


@pytest.mark.parametrize("stem", STEMS)
def test_a_control_loads_its_own_browser_half(stem):
    """The class holds the very text of the files of its stem."""
    module = importlib.import_module(f"rtk.widgets.{stem}")
    kinds = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    (kind,) = [one for one in kinds if issubclass(one, anywidget.AnyWidget)]
    shown = kind()
    assert str(shown._esm) == (BROWSER / f"{stem}.js").read_text("utf-8")
    assert str(shown._css) == (BROWSER / f"{stem}.css").read_text("utf-8")


@pytest.mark.parametrize("stem", STEMS)
def test_the_browser_half_reaches_no_network(stem):
    """It asks for nothing, imports nothing and names no address; neither does its stylesheet."""
    for text in texts(stem):
        assert [word for word in NETWORK if word in text] == []
    assert re.findall(r"(?m)^\s*import\b|^\s*export\b.*\bfrom\b", texts(stem)[0]) == []


@pytest.mark.parametrize("stem", STEMS)
def test_the_browser_half_sets_no_html(stem):
    """Text is set as text, and no attribute that runs is written."""
    script, _ = texts(stem)
    assert [word for word in HTML if word in script] == []
    assert re.findall(r"""setAttribute\(\s*["'](?:on\w+|href|src|style)|\.on\w+\s*=""", script) == []


@pytest.mark.parametrize("stem", STEMS)
def test_what_a_control_draws_is_named_for_it(stem):
    """Its stylesheet touches nothing but its own elements: every rule begins with a class of its own."""
    _, style = texts(stem)
    rules = [rule.strip() for rule in re.findall(r"([^{}]+)\{", style)]
    selectors = [one.strip() for rule in rules if not rule.startswith("@") for one in rule.split(",")]
    assert selectors
    assert [one for one in selectors if not re.match(r"\.rtk-", one)] == []


# --- run, without a browser ---


NODE = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine; a browser runs it elsewhere")
HOSTILE = "<img src=x onerror=alert(1)>"
VOTES = [
    {"answer": HOSTILE, "count": "3 of 4 · 75%", "share": 0.75, "chosen": True},
    {"answer": "b", "count": "1 of 4 · 25%", "share": 0.25, "chosen": False},
]
STATE = {"status": "done", "headline": f"Answer: {HOSTILE}", "votes": VOTES, "foot": "margin 0.50"}
TWIN = "0123456789abcdef" * 2


def run(stem, code, **values):
    """What `code` writes, given the control's `render`, a `model` of these values, and an element `el` to render in."""
    module = base64.b64encode((BROWSER / f"{stem}.js").read_bytes()).decode()  # so that node knows it for an ES module
    loaded = f'const {{ default: {{ render }} }} = await import("data:text/javascript;base64,{module}");'
    made = f'const model = new Model({json.dumps(values)}), el = new Node("div");'
    script = "\n".join([PAGE, loaded, made, code])
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SHOWN = """
const shown = () => ({
  status: el.children[0].dataset.status,
  headline: el.of("rtk-vote-headline")[0].textContent,
  answers: el.of("rtk-vote-answer").map((one) => one.textContent),
  widths: el.of("rtk-vote-fill").map((one) => one.style.width),
  chosen: el.of("rtk-vote-chosen").length,
  foot: el.of("rtk-vote-foot")[0].hidden ? null : el.of("rtk-vote-foot")[0].textContent,
  elements: [...new Set(el.all().map((one) => one.name))].sort(),
});
const say = (value) => console.log(JSON.stringify(value));
"""


@NODE
@pytest.mark.parametrize("stem", STEMS)
def test_what_a_control_sets_up_it_takes_down(stem):
    """`render` returns a clean-up, after which it listens to nothing and has left nothing on the page around it."""
    code = """
    const clean = render({ model, el });
    const before = [typeof clean, model.heard.length, document.head.children.length];
    clean();
    console.log(JSON.stringify([...before, model.heard.length, document.head.children.length]));
    """
    kind, heard, styles, *after = run(stem, code, state={}, twin=TWIN)
    assert (kind, heard > 0, styles, after) == ("function", True, 1, [0, 0])


@NODE
def test_a_vote_is_drawn_as_text_and_bars():
    """Whatever is in an answer is text in an element of ours."""
    found = run("vote_view", f"{SHOWN} render({{ model, el }}); say(shown());", state=STATE, twin="")
    assert found == {
        "status": "done",
        "headline": f"Answer: {HOSTILE}",
        "answers": [HOSTILE, "b"],
        "widths": ["75%", "25%"],
        "chosen": 1,
        "foot": "margin 0.50",
        "elements": ["div", "li", "ol", "p", "section", "span"],
    }


@NODE
def test_a_vote_follows_its_state():
    """What was drawn before is gone; a state with nothing in it is an empty view."""
    code = f"{SHOWN} render({{ model, el }}); model.set('state', {{ status: 'running' }}); say(shown());"
    found = run("vote_view", code, state=STATE, twin="")
    assert (found["status"], found["headline"], found["answers"], found["foot"]) == ("running", "", [], None)


@NODE
def test_one_vote_is_shown_twice():
    """Each view follows, and one that is closed leaves the other."""
    code = f"""{SHOWN}
    const other = new Node("div");
    const close = render({{ model, el: other }});
    render({{ model, el }});
    close();
    model.set("state", {{ ...model.get("state"), headline: "now" }});
    say([shown().headline, other.of("rtk-vote-headline")[0].textContent, document.head.children.length]);
    """
    assert run("vote_view", code, state=STATE, twin=TWIN) == ["now", f"Answer: {HOSTILE}", 1]


@NODE
@pytest.mark.parametrize("twin", ["", "x", TWIN.upper(), f"{TWIN} {{}} body", f"{TWIN}\n", "0" * 31], ids=repr)
def test_a_name_that_is_no_digest_styles_nothing(twin):
    """The name of a static copy is a digest, and no place for a stylesheet."""
    code = "render({ model, el }); console.log(JSON.stringify(document.head.children.map((one) => one.textContent)));"
    assert run("vote_view", code, state={}, twin=twin) == []
    assert run("vote_view", code, state={}, twin=TWIN) == [f".rtk-static-{TWIN} {{ display: none; }}"]
