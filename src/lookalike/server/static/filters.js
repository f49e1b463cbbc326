// Filter chips: each is a view of one `name:value` in the query's own text.

import { byId, h, icon } from "./elements.js";

const COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "grey", "white"];

const FILTERS = [
  { name: "type", label: "Type", options: [["photo", "Photo"], ["clipart", "Clip art"], ["lineart", "Line drawing"], ["animated", "Animated"], ["transparent", "Transparent"]] },
  { name: "color", label: "Colour", kind: "swatches", options: COLORS.map((name) => [name, name[0].toUpperCase() + name.slice(1)]) },
  { name: "has", label: "Objects", kind: "labels" },
  { name: "size", label: "Size", options: [["huge", "Huge", "4 megapixels and up"], ["large", "Large", "500 × 500 and up"], ["medium", "Medium", "200 × 200 to 500 × 500"], ["small", "Small", "under 200 × 200"], ["icon", "Icon", "128 × 128 or less"]] },
  { name: "aspect", label: "Shape", options: [["wide", "Wide"], ["tall", "Tall"], ["square", "Square"], ["panorama", "Panorama"]] },
  { name: "licence", label: "Licence", options: [["cc", "Creative Commons"], ["open", "Free to use and change"], ["commercial", "Commercial use allowed"], ["modification", "Changes allowed"]] },
  { name: "since", label: "Date", kind: "date" },
  { name: "site", label: "Site", kind: "text" },
];

const MOST_LABELS = 9;
let labels = [];

const pattern = (name) => new RegExp(`(^|\\s)${name}:("[^"]*"|\\S+)`, "i");

/** Return a filter's value in a query's text, or null. */
export function filterIn(words, name) {
  const found = words.match(pattern(name));
  return found ? found[2].replaceAll('"', "") : null;
}

/** Return the text with a filter set, or taken out where the value is null. */
export function withFilter(words, name, value) {
  const bare = words.replace(pattern(name), " ").replace(/\s+/g, " ").trim();
  return value ? `${bare} ${name}:${/\s/.test(value) ? `"${value}"` : value}`.trim() : bare;
}

/** Return the text without any filter of the chips. */
export const withoutFilters = (words) => FILTERS.reduce((text, { name }) => withFilter(text, name, null), words);

const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

/** Show the chips for a text; `change` is called with the new text. */
export function showFilters(words, change) {
  const chips = byId("chips");
  const open = chips.querySelector("[popover]:popover-open")?.dataset.name;
  chips.replaceChildren(...FILTERS.map((filter) => chip(filter, words, change)));
  hideUseless(words);
  if (open) chips.querySelector(`[data-name="${open}"]`)?.showPopover();
}

/** Offer the objects that are most often in the hits shown, unless the chip is in use. */
export function offerLabels(hits, words, change) {
  const counts = new Map();
  for (const hit of hits) for (const label of hit.labels || []) counts.set(label, (counts.get(label) || 0) + 1);
  labels = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_LABELS).map(([label]) => label);
  const old = byId("chips").querySelector('[data-of="has"]');
  if (!old || old.contains(document.activeElement) || old.querySelector("[popover]:popover-open")) return;
  old.replaceWith(chip(FILTERS.find(({ name }) => name === "has"), words, change));
  hideUseless(words);
}

function hideUseless(words) {
  byId("chips").querySelector('[data-of="has"]').hidden = !labels.length && !filterIn(words, "has");
}

function chip(filter, words, change) {
  const value = filterIn(words, filter.name);
  const set = (one) => {
    chipMenu.hidePopover?.();
    change(withFilter(words, filter.name, one));
  };
  const id = `menu-${filter.name}`;
  const chipMenu = h("div", { class: "menu", id, popover: "auto", "data-name": filter.name, role: "group", "aria-label": filter.label });
  chipMenu.append(...content(filter, value, set));
  const button = h("button", {
    class: "chip", type: "button", popovertarget: id, "aria-haspopup": "true",
    "aria-pressed": value ? "true" : null, "data-filter": filter.name,
  }, filter.kind === "swatches" && value ? h("span", { class: "dot", "data-color": value }) : null,
  value ? `${filter.label}: ${nameOf(filter, value)}` : filter.label, icon("chevron"));
  chipMenu.addEventListener("toggle", (event) => {
    if (event.newState === "open") place(chipMenu, button);
  });
  const clear = value && h("button", {
    class: "chip-clear", type: "button", "aria-label": `Remove the filter ${filter.label}`, onclick: () => set(null),
  }, icon("close"));
  return h("span", { class: value ? "chip-wrap on" : "chip-wrap", "data-of": filter.name }, button, clear, chipMenu);
}

function nameOf(filter, value) {
  const known = filter.options?.find(([one]) => one === value);
  return known ? known[1] : filter.name === "since" ? `since ${value}` : value;
}

function content(filter, value, set) {
  if (filter.kind === "swatches") return [swatches(filter, value, set)];
  if (filter.kind === "date") return dates(value, set);
  if (filter.kind === "labels") {
    return [...labels.map((one) => option(one, null, one === value, () => set(one === value ? null : one))),
      field("With this object", "dog>=2", "text", value, set)];
  }
  if (filter.kind === "text") return [field("Only from this site", "example.org", "text", value, set)];
  return filter.options.map(([one, label, hint]) => option(label, hint, one === value, () => set(one === value ? null : one)));
}

function option(label, hint, isOn, choose) {
  return h("button", { class: "menu-item", type: "button", "aria-pressed": isOn ? "true" : "false", onclick: choose },
    h("span", {}, label, hint ? h("small", {}, hint) : null), isOn ? icon("check") : null);
}

function swatches(filter, value, set) {
  return h("div", { class: "swatches" }, filter.options.map(([one, label]) => h("button", {
    class: "swatch", type: "button", "data-color": one, title: label, "aria-label": label,
    "aria-pressed": one === value ? "true" : "false", onclick: () => set(one === value ? null : one),
  })));
}

function dates(value, set) {
  const spans = [["Past week", 7], ["Past month", 31], ["Past year", 365], ["Past five years", 1826]];
  return [
    ...spans.map(([label, days]) => option(label, null, value === daysAgo(days), () => set(daysAgo(days)))),
    field("Since", "", "date", value, set),
  ];
}

function field(label, placeholder, type, value, set) {
  const input = h("input", { type, placeholder, value: value || "", "aria-label": label });
  return h("form", { class: "menu-field", onsubmit: (event) => { event.preventDefault(); set(input.value.trim() || null); } },
    h("label", {}, label, input), h("button", { class: "menu-apply", type: "submit" }, "Apply"));
}

/** Put a menu under its chip, within the window. */
function place(menu, button) {
  const box = button.getBoundingClientRect();
  const width = menu.offsetWidth;
  const left = Math.max(8, Math.min(box.left, window.innerWidth - width - 8));
  menu.style.setProperty("left", `${left}px`);
  menu.style.setProperty("top", `${Math.min(box.bottom + 6, window.innerHeight - 60)}px`);
}
