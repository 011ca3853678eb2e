// The browser half of rtk/widgets/vote_view.py: the answers voted for, as bars that grow while samples arrive.
// State lives in the model, so one vote can be shown twice. Text is set as text; nothing here reaches the network.

function element(name, className, parent) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (parent) parent.appendChild(made);
  return made;
}

function bar(vote, list) {
  const row = element("li", vote.chosen ? "rtk-vote-row rtk-vote-chosen" : "rtk-vote-row", list);
  const mark = element("span", "rtk-vote-mark", row);
  mark.textContent = vote.chosen ? "✓" : "";
  mark.setAttribute("aria-hidden", "true");
  const answer = element("span", "rtk-vote-answer", row);
  answer.textContent = vote.answer;
  answer.title = vote.answer;
  const track = element("span", "rtk-vote-track", row);
  track.setAttribute("aria-hidden", "true");
  element("span", "rtk-vote-fill", track).style.width = `${100 * vote.share}%`;
  element("span", "rtk-vote-count", row).textContent = vote.count;
}

// A static copy of the control lies below it for readers without a kernel; where the control lives, it is hidden.
function hideStatic(id) {
  if (!/^[0-9a-f]{32}$/.test(id)) return () => {};
  const style = element("style", "", document.head);
  style.textContent = `.rtk-static-${id} { display: none; }`;
  return () => style.remove();
}

function render({ model, el }) {
  const root = element("section", "rtk-vote", el);
  root.setAttribute("aria-label", "votes");
  const headline = element("p", "rtk-vote-headline", root);
  headline.setAttribute("role", "status");
  const list = element("ol", "rtk-vote-list", root);
  const foot = element("p", "rtk-vote-foot", root);
  const show = () => {
    const state = model.get("state");
    root.dataset.status = state.status || "idle";
    headline.textContent = state.headline || "";
    list.replaceChildren();
    for (const vote of state.votes || []) bar(vote, list);
    list.hidden = !(state.votes || []).length;
    foot.textContent = state.foot || "";
    foot.hidden = !state.foot;
  };
  const showStatic = hideStatic(model.get("twin"));
  model.on("change:state", show);
  show();
  return () => {
    model.off("change:state", show);
    showStatic();
  };
}

export default { render };
