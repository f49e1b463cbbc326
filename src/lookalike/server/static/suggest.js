// Completion of the query as one types: a combobox after the ARIA pattern. The server completes
// from the index; past searches are known to this browser alone.

import { complete } from "./api.js";
import { byId, h } from "./elements.js";
import { forgetPast, isRemembering, pastQueries, remember } from "./past.js";

const WAIT_MS = 90;
const MOST = 8;
const KINDS = { past: "searched before", filter: "filter", label: "object in the picture" };
const input = byId("words");
const list = byId("suggestions");
const note = byId("suggestions-note");
const box = byId("completions");
let found = [];
let active = -1;
let timer = 0;
let controller = null;

export function closeSuggestions() {
  clearTimeout(timer);
  controller?.abort();
  found = [];
  active = -1;
  box.hidden = list.hidden = note.hidden = true;
  list.replaceChildren();
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

/** A line that ends in a colon or a comma is not whole yet: it is typed on, not searched for. */
function accept({ text }, submit) {
  const isOpen = /[:,]$/.test(text);
  input.value = submit || isOpen ? text : `${text} `;
  closeSuggestions();
  input.focus();
  if (isOpen) ask();
  else if (submit) byId("form").requestSubmit();
}

function row(one, at) {
  const typed = input.value;
  const isSame = one.text.toLowerCase().startsWith(typed.toLowerCase());
  const kept = isSame ? one.text.slice(0, typed.length) : "";
  const count = one.count > 1 ? `, ${one.count} times` : "";
  return h("li", {
    id: `suggestion-${at}`, role: "option", "aria-selected": "false", "data-kind": one.kind,
    onpointerdown: (event) => { event.preventDefault(); accept(one, true); },
  }, h("span", { class: "line" }, h("span", { class: "typed" }, kept), one.text.slice(kept.length)),
  KINDS[one.kind] ? h("span", { class: "kind" }, KINDS[one.kind] + count) : "");
}

function show(lines) {
  found = lines;
  active = -1;
  list.replaceChildren(...lines.map(row));
  box.hidden = list.hidden = !lines.length;
  input.setAttribute("aria-expanded", String(Boolean(lines.length)));
  input.removeAttribute("aria-activedescendant");
  showNote(lines.some((one) => one.kind === "past"));
}

function showNote(hasPast) {
  note.hidden = !found.length || !(hasPast || !isRemembering());
  const button = (text, act) => h("button", {
    type: "button", class: "link", onpointerdown: (event) => event.preventDefault(),
    onclick: () => { act(); ask(); },
  }, text);
  note.replaceChildren(...(isRemembering()
    ? ["Past searches stay in this browser. ", button("Forget them", forgetPast), " ", button("Stop remembering", () => remember(false))]
    : ["Searches are not remembered. ", button("Remember them in this browser", () => remember(true))]));
}

function move(step) {
  if (!found.length) return;
  list.children[active]?.setAttribute("aria-selected", "false");
  active = (active + step + found.length + 1) % (found.length + 1);
  if (active === found.length) active = -1;
  if (active < 0) { input.removeAttribute("aria-activedescendant"); return; }
  list.children[active].setAttribute("aria-selected", "true");
  list.children[active].scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", `suggestion-${active}`);
}

/** Past searches of this browser first, then what the server knows, nothing twice. */
async function ask() {
  const typed = input.value;
  controller?.abort();
  if (typed.trim().length < 2) { closeSuggestions(); return; }
  controller = new AbortController();
  const past = pastQueries(typed);
  try {
    const known = await complete(typed, MOST, controller.signal);
    if (document.activeElement !== input || input.value !== typed) return;
    const texts = new Set();
    const isNew = ({ text }) => text !== typed && !texts.has(text) && texts.add(text);
    show([...past, ...known].filter(isNew).slice(0, MOST));
  } catch { /* completion is a courtesy: no answer, no list */ }
}

export function startSuggestions() {
  input.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (!event.isComposing) timer = setTimeout(ask, WAIT_MS);
  });
  input.addEventListener("blur", (event) => { if (!note.contains(event.relatedTarget)) closeSuggestions(); });
  note.addEventListener("focusout", (event) => { if (event.relatedTarget !== input && !note.contains(event.relatedTarget)) closeSuggestions(); });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" && found.length) { event.preventDefault(); move(1); }
    else if (event.key === "ArrowUp" && found.length) { event.preventDefault(); move(-1); }
    else if (event.key === "Tab" && found.length && active >= 0) { event.preventDefault(); accept(found[active], false); }
    else if (event.key === "Enter" && active >= 0) { event.preventDefault(); accept(found[active], true); }
    else if (event.key === "Escape" && found.length) { event.preventDefault(); event.stopPropagation(); closeSuggestions(); }
  });
}
