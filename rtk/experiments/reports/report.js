// Filters the answers of a report by setting, by how they ended, and by words. Without it every answer is there.
"use strict";
(() => {
  const rows = [...document.querySelectorAll("#rows details.row")];
  const groups = [...document.querySelectorAll("#rows .group")];
  const place = document.getElementById("filters");
  if (!place || rows.length === 0) return;

  const made = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // --- the controls ---

  const labels = [...document.querySelectorAll("#labels li")].map((item) => item.textContent);
  const there = new Set(rows.map((row) => row.dataset.setting));
  const setting = made("select", { id: "by-setting" }, made("option", { value: "", textContent: "all settings" }));
  labels.forEach((label, at) => {
    if (there.has(String(at))) setting.append(made("option", { value: String(at), textContent: label }));
  });

  const outcomes = [...new Set(rows.map((row) => row.dataset.outcome))];
  const boxes = outcomes.map((outcome) => {
    const count = rows.filter((row) => row.dataset.outcome === outcome).length;
    const box = made("input", { type: "checkbox", checked: true, value: outcome });
    return [box, made("label", { className: "box" }, box, ` ${outcome} (${count.toLocaleString("en")})`)];
  });

  const words = made("input", { id: "by-words", type: "search", autocomplete: "off", spellcheck: false });
  const count = made("p", { id: "count" });
  count.setAttribute("role", "status");
  const unfold = made("button", { type: "button", textContent: "Unfold shown" });
  const fold = made("button", { type: "button", textContent: "Fold all" });
  const clear = made("button", { type: "button", textContent: "Clear filters" });

  const field = (name, control) =>
    made("div", { className: "field" }, made("label", { htmlFor: control.id, textContent: name }), control);
  const ended = made("fieldset", {}, made("legend", { textContent: "How it ended" }), ...boxes.map(([, label]) => label));
  const form = made("form", { className: "filters" },
    field("Setting", setting), field("Words in question, answer or deliberation", words), ended,
    made("div", { className: "buttons" }, unfold, fold, clear));
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the answers");
  form.addEventListener("submit", (event) => event.preventDefault());
  place.append(form, count);

  // --- filtering ---

  const plain = (text) => text.toLowerCase().replace(/\s+/g, " ").trim();
  let texts = null; // what is said in each row, found when somebody first looks for words
  const said = (at) => {
    texts ??= rows.map(() => null);
    return (texts[at] ??= plain(rows[at].textContent));
  };

  const filter = () => {
    const wanted = new Set(boxes.filter(([box]) => box.checked).map(([box]) => box.value));
    const sought = plain(words.value);
    let shown = 0;
    rows.forEach((row, at) => {
      const fits = wanted.has(row.dataset.outcome)
        && (setting.value === "" || row.dataset.setting === setting.value)
        && (sought === "" || said(at).includes(sought));
      row.hidden = !fits;
      shown += fits;
    });
    for (const group of groups) group.hidden = group.querySelector("details.row:not([hidden])") === null;
    const all = rows.length.toLocaleString("en");
    count.textContent = shown === rows.length ? `All ${all} are shown.`
      : shown === 0 ? "None fits. Clear a filter to see more."
      : `${shown.toLocaleString("en")} of ${all} are shown.`;
  };

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 150);
  };
  setting.addEventListener("change", filter);
  words.addEventListener("input", soon);
  for (const [box] of boxes) box.addEventListener("change", filter);
  unfold.addEventListener("click", () => {
    for (const row of rows.filter((row) => !row.hidden).slice(0, 200)) row.open = true;
  });
  fold.addEventListener("click", () => {
    for (const row of rows) row.open = false;
  });
  clear.addEventListener("click", () => {
    setting.value = words.value = "";
    for (const [box] of boxes) box.checked = true;
    filter();
    words.focus();
  });

  // --- links to an answer unfold it, whatever was filtered ---

  const follow = () => {
    const row = rows.find((one) => `#${one.id}` === location.hash);
    if (!row) return;
    if (row.hidden) clear.click();
    row.open = true;
    row.scrollIntoView({ block: "start" });
    row.querySelector("summary").focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", follow);
  filter();
  follow();
})();
