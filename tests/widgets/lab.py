"""A real JupyterLab in a real browser, driven as its user drives it; what is waited for is always a state."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import nbformat

PATIENCE = 180  # seconds until a state that should come counts as lost; nothing is ever waited out
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"

# The server keeps to this machine and to its folder.
ARGUMENTS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/notebook-extension:tracker": {"scrollPastEnd": False},
}
# The server's half of these is an extension that is not started; the page would ask for it in vain.
LANGUAGE_SERVERS = (
    "@jupyterlab/lsp-extension",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/notebook-extension:language-server",
)

# The page's side: `lab(path)` is the notebook at that path.
SCRIPT = """
window.lab = path => {
    const app = window.jupyterapp;
    const panel = [...(app?.shell?.widgets("main") ?? [])].find(widget => widget.context?.path === path);
    const runs = (window.labRuns ??= new WeakMap());
    return {
        ready(kernel) {
            const session = panel?.context.sessionContext;
            if (!panel?.context.isReady || !session.isReady || !panel.content.widgets.length) return false;
            return !kernel || session.session?.kernel?.status === "idle";
        },
        run(index) {  // null: all
            app.shell.activateById(panel.id);
            if (index !== null) {
                panel.content.activeCellIndex = index;
                panel.content.deselectAll();
            }
            const cells = index === null ? panel.content.widgets : [panel.content.widgets[index]];
            const models = cells.map(cell => cell.model).filter(model => model.type === "code");
            const note = over => models.forEach(model => runs.set(model, over));
            note(false);
            models.forEach(model => { model.executionCount = null; });
            app.commands.execute(index === null ? "notebook:run-all-cells" : "notebook:run-cell")
                .finally(() => note(true));
        },
        ended(index) {
            const model = panel.content.widgets[index].model;
            if (model.executionCount === null) return runs.get(model) ? "it was not run" : null;
            if (model.executionState === "running") return null;
            const error = model.outputs.toJSON().find(output => output.output_type === "error");
            return error ? [`${error.ename}: ${error.evalue}`, ...error.traceback].join("\\n") : "done";
        },
        save: () => app.commands.execute("docmanager:save"),
        saved: () => !panel.context.model.dirty,
    };
};
"""
OPEN_WITHOUT_KERNEL = """async path => {
    await jupyterapp.restored;
    const kernelPreference = {shouldStart: false, shouldReuse: false, autoStartDefault: false};
    await jupyterapp.commands.execute("docmanager:open", {path, kernelPreference});
}"""
HIDDEN_HEIGHT = """() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(() => {
    const outer = document.querySelector(".jp-NotebookPanel .jp-WindowedPanel-outer");
    resolve(outer ? outer.scrollHeight - outer.clientHeight : 0);
})))"""
# jupyterlab_widgets 3.0 stumbles so over every notebook that has no kernel, with widgets or without.
NO_KERNEL = "Cannot read properties of null (reading 'kernel')"


def expect(locator, message=None):
    """Playwright's `expect`, as patient as everything here."""
    from playwright.sync_api import expect  # here, so that machines without it can skip these tests

    expect.set_options(timeout=PATIENCE * 1000)
    return expect(locator, message)


class Lab:
    """A JupyterLab server on a folder of notebooks, and the notebooks opened there; a context manager.

    `browser` is Playwright's; `env` is added to the environment of the server and of its kernels.
    """

    def __init__(self, folder, browser=None, *, env=None):
        self.folder = Path(folder)
        self.opened = []
        self.log = ""
        self._own = self.folder / ".lab"
        self._browser = browser
        self._env = env or {}
        self._token = secrets.token_hex(16)

    def __enter__(self):
        for plugin, values in SETTINGS.items():
            self.set(plugin, **values)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *ARGUMENTS, *self._places()],
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        addresses = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(addresses,), daemon=True)
        self._reader.start()
        try:
            self.url = addresses.get(timeout=PATIENCE)
            self._wait_listening()
        except BaseException:
            self._stop()
            print(self.log)
            raise
        return self

    def __exit__(self, *exc):
        try:
            self.close()
        finally:
            self._stop()

    def _places(self):
        pages = self._own / "pages"
        for folder in (pages, self._own / "temporary"):
            folder.mkdir(parents=True, exist_ok=True)
        config = {"disabledExtensions": dict.fromkeys(LANGUAGE_SERVERS, True)}
        (pages / "page_config.json").write_text(json.dumps(config), "utf-8")
        return f"--ServerApp.root_dir={self.folder}", f"--LabApp.app_settings_dir={pages}"

    def _environment(self):
        # What is installed beside this interpreter is found; what the user or the machine configured is not read.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        own = {
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTERLAB_SETTINGS_DIR": str(self._own / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self._own / "workspaces"),
            "JUPYTER_DATA_DIR": str(self._own / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._own / "runtime"),
            "IPYTHONDIR": str(self._own / "ipython"),
            "TMPDIR": str(self._own / "temporary"),
            "JUPYTER_TOKEN": self._token,
            "RTK_CACHE": str(self.folder / "samples"),
        }
        return kept | own | self._env

    def _read(self, addresses):
        for line in self._server.stdout:
            self.log += line
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab", line):
                addresses.put(found[1])
        addresses.put(None)

    def _wait_listening(self):
        # The line with the address comes a moment before the port is open.
        until = time.monotonic() + PATIENCE
        while self._server.poll() is None and time.monotonic() < until:
            with contextlib.suppress(urllib.error.URLError):
                self.api("/api/status")
                return
        raise AssertionError("JupyterLab did not start, or does not answer")

    def _stop(self):
        self._server.terminate()  # it ends its kernels first
        try:
            self._server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._reader.join()
        self._server.stdout.close()

    def set(self, plugin, **values):
        """Change settings of a plugin of JupyterLab's; pages opened or reloaded later have them."""
        package, _, name = plugin.partition(":")
        path = self._own / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text("utf-8")) if path.exists() else {}
        path.write_text(json.dumps(before | values), "utf-8")

    def api(self, path, method="GET"):
        """Ask the server's REST API; the JSON it replies, or None."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self._token}"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=PATIENCE) as reply:
            return json.loads(reply.read() or b"null")

    def write(self, name, cells, *, trusted=False):
        """Write a notebook; a cell is its code, or a cell of nbformat's. Outputs in it are a stranger's, or trusted."""
        made = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernelspec})
        nbformat.write(notebook, self.folder / name)
        if trusted:
            self.api(f"/api/contents/{urllib.parse.quote(name)}/trust", "POST")
        return name

    def read(self, name):
        """The notebook as it is on disk."""
        return nbformat.read(self.folder / name, as_version=4)

    def open(self, name, *, width=1280, height=900, dark=False, system_dark=None, kernel=True):
        """Open a notebook alone in a fresh browser context, and wait until its kernel is idle.

        `dark` is JupyterLab's theme, `system_dark` what the page hears of the machine's (the same if not given).
        Without `kernel` none is started or joined, and what the file holds is shown by itself.
        """
        self.set("@jupyterlab/apputils-extension:themes", theme=f"JupyterLab {'Dark' if dark else 'Light'}")
        scheme = "dark" if (dark if system_dark is None else system_dark) else "light"
        context = self._browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        notebook = Notebook(self, name, context, kernel)
        self.opened.append(notebook)
        notebook.load()
        return notebook

    def address(self, path):
        """Where the browser finds a page of the server's."""
        return f"{self.url}{path}?reset&token={self._token}"

    def kernels(self):
        """The notebooks that have a kernel."""
        return [session["path"] for session in self.api("/api/sessions")]

    def shut_down_kernels(self, name=None):
        """End the kernel of one notebook, or of all."""
        for session in self.api("/api/sessions"):
            if name in (None, session["path"]):
                self.api(f"/api/sessions/{session['id']}", "DELETE")

    def close(self):
        """Close what is open in the browser, and end all kernels."""
        while self.opened:
            self.opened[-1].close()
        self.shut_down_kernels()


class Notebook:
    """A notebook in the browser; `page` is Playwright's, cells are counted from 0."""

    def __init__(self, lab, name, context, kernel):
        self.name = name
        self.console = []  # errors, those of the page's scripts included
        self.messages = []  # all that was said
        self.outgoing = []  # requests to anywhere but the server
        self._lab, self._context, self._kernel = lab, context, kernel
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(SCRIPT)
        self.page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", self._failed)
        self.page.on("request", self._asked)
        self.page.on("dialog", lambda dialog: dialog.accept())  # leaves the page, whatever is unsaved

    def _said(self, message):
        self.messages.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")
        if message.type == "error":
            self.console.append(self.messages[-1])

    def _failed(self, error):
        self.messages.append(f"uncaught: {error.stack or error}")
        if self._kernel or NO_KERNEL not in self.messages[-1]:
            self.console.append(self.messages[-1])

    def _asked(self, request):
        if not request.url.startswith((self._lab.url, "data:", "blob:")):
            self.outgoing.append(request.url)

    def load(self):
        """Go to the notebook, and wait until it is there and its kernel idle."""
        if self._kernel:
            self.page.goto(self._lab.address(f"/doc/tree/{urllib.parse.quote(self.name)}"))
        else:
            self.page.goto(self._lab.address("/doc"))
            self.page.wait_for_function('window.jupyterapp?.commands.hasCommand("docmanager:open")')
            self.page.evaluate(OPEN_WITHOUT_KERNEL, self.name)
        self._wait_ready()

    def reload(self):
        """Load the page anew, from the file and the kernel as they are; what was not saved is lost."""
        if self._kernel:
            self.page.reload()
            self._wait_ready()
        else:
            self.load()

    def _wait_ready(self):
        self._wait(f"lab(path).ready({json.dumps(self._kernel)})")

    def _wait(self, state):
        return self.page.wait_for_function(f"path => {state}", arg=self.name).json_value()

    def _do(self, action):
        self.page.evaluate(f"path => {{ void {action}; }}", self.name)

    def run(self, index):
        """Start a cell, and go on at once."""
        self._do(f"lab(path).run({index})")

    def run_all(self):
        """Start all cells, one after the other, and go on at once."""
        self._do("lab(path).run(null)")

    def wait_done(self, index):
        """Wait until the cell has run and has its [n]; that it failed is an AssertionError with its traceback."""
        ended = self._wait(f"lab(path).ended({index})")
        assert ended == "done", f"cell {index}: " + re.sub(r"\x1b\[[\d;]*m", "", ended)

    def cell(self, index):
        """Locate a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index):
        """Locate all that a cell put out."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def text(self, index):
        """The text that a reader sees under a cell, as it is now."""
        return self.output(index).inner_text()

    def save(self):
        """Save, and wait until the file holds all that the page does."""
        self._do("lab(path).save()")
        self._wait("lab(path).saved()")

    def shut_down_kernel(self):
        """End the kernel from elsewhere, as one does in another tab."""
        self._lab.shut_down_kernels(self.name)

    def screenshot(self, name, index=None):
        """A picture in `artifacts/`: of the whole notebook, however long, or of what one cell put out."""
        path = ARTIFACTS / f"{name}.png"
        before = self.page.viewport_size
        try:
            self._unroll()
            (self.page if index is None else self.output(index)).screenshot(path=path, animations="disabled")
        finally:
            self.page.set_viewport_size(before)
        return path

    def _unroll(self):
        for _ in range(4):  # what is laid out anew may have become longer
            hidden = self.page.evaluate(HIDDEN_HEIGHT)
            if hidden <= 0:
                return
            size = self.page.viewport_size
            self.page.set_viewport_size({"width": size["width"], "height": size["height"] + hidden})

    def close(self):
        """Close the page; its kernel goes on."""
        self._lab.opened.remove(self)
        self._context.close()
