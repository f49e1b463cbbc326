// Completion of the last word as one types: a combobox after the ARIA pattern.

import { suggest } from "./api.js";
import { byId, h } from "./elements.js";

const WAIT_MS = 110;
const input = byId("words");
const list = byId("suggestions");
let found = [];
let active = -1;
let timer = 0;
let controller = null;

/** Split a text into what stands and the word being typed. */
export function lastWord(text) {
  const at = text.search(/[^\s"]*$/);
  return [text.slice(0, at), text.slice(at)];
}

export function closeSuggestions() {
  clearTimeout(timer);
  controller?.abort();
  found = [];
  active = -1;
  list.hidden = true;
  list.replaceChildren();
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function accept(word, submit) {
  const [before] = lastWord(input.value);
  input.value = `${before}${word}${submit ? "" : " "}`;
  closeSuggestions();
  input.focus();
  if (submit) byId("form").requestSubmit();
}

function show(words) {
  found = words;
  active = -1;
  const [before, typed] = lastWord(input.value);
  list.replaceChildren(...words.map((word, at) => h("li", {
    id: `suggestion-${at}`, role: "option", "aria-selected": "false",
    onpointerdown: (event) => { event.preventDefault(); accept(word, true); },
  }, h("span", { class: "typed" }, before + word.slice(0, typed.length)), word.slice(typed.length))));
  list.hidden = !words.length;
  input.setAttribute("aria-expanded", String(Boolean(words.length)));
}

function move(step) {
  if (!found.length) return;
  list.children[active]?.setAttribute("aria-selected", "false");
  active = (active + step + found.length + 1) % (found.length + 1);
  if (active === found.length) active = -1;
  if (active < 0) { input.removeAttribute("aria-activedescendant"); return; }
  list.children[active].setAttribute("aria-selected", "true");
  input.setAttribute("aria-activedescendant", `suggestion-${active}`);
}

async function ask() {
  const [, typed] = lastWord(input.value);
  if (typed.length < 2 || typed.includes(":") || typed.startsWith("-")) { closeSuggestions(); return; }
  controller?.abort();
  controller = new AbortController();
  try {
    const words = await suggest(typed, controller.signal);
    const isPlain = (word) => word.toLowerCase().startsWith(typed.toLowerCase()) && word.toLowerCase() !== typed.toLowerCase();
    if (document.activeElement === input && lastWord(input.value)[1] === typed) show(words.filter(isPlain));
  } catch { /* completion is a courtesy: no answer, no list */ }
}

export function startSuggestions() {
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, WAIT_MS); });
  input.addEventListener("blur", closeSuggestions);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" && found.length) { event.preventDefault(); move(1); }
    else if (event.key === "ArrowUp" && found.length) { event.preventDefault(); move(-1); }
    else if (event.key === "Tab" && found.length && active >= 0) { event.preventDefault(); accept(found[active], false); }
    else if (event.key === "Enter" && active >= 0) { event.preventDefault(); accept(found[active], true); }
    else if (event.key === "Escape" && found.length) { event.preventDefault(); event.stopPropagation(); closeSuggestions(); }
  });
}
