// The side panel: one picture, what is known of it, and why it was found.

import { blobOf, originalOf, record as getRecord, showIn, thumbnailOf } from "./api.js";
import { copiesSection } from "./copies.js";
import { byId, h, icon, toast, webAddress } from "./elements.js";
import { layerSwitch, queryOfWord, sayObject, seen } from "./seen.js";

const MOST_SHARPENED = 16_000_000;
const MOST_WORDS = 300;
const shown = { objects: true, words: false };
const panel = byId("panel");
let actions = {};
let controller = null;

export function startPanel(given) {
  actions = given;
}

export const isPanelOpen = () => !panel.hidden;

export function closePanel() {
  controller?.abort();
  panel.hidden = true;
  panel.replaceChildren();
  document.body.classList.remove("has-panel");
}

/** Open the panel on an image; the hit tells why it matched, `asked` is the image searched with, if any. */
export async function openPanel(id, hit, { asked = null } = {}) {
  controller?.abort();
  controller = new AbortController();
  const wasHidden = panel.hidden;
  panel.hidden = false;
  document.body.classList.add("has-panel");
  const picture = h("img", { class: "panel-image", alt: hit?.title || "", draggable: "true" });
  const canvas = h("div", { class: "panel-canvas" }, picture);
  const frame = h("div", { class: "panel-frame" }, canvas);
  if (hit) shape(canvas, hit);
  const facts = h("div", { class: "panel-facts" });
  panel.replaceChildren(head(hit), frame, h("div", { class: "panel-body" }, h("h2", { class: "panel-title" }, hit?.title || "…"), buttons(id), facts));
  panel.scrollTop = 0;
  if (wasHidden) panel.focus({ preventScroll: true });
  showIn(picture, thumbnailOf(id));
  try {
    const found = await getRecord(id, controller.signal);
    panel.querySelector(".panel-title").textContent = titleOf(found, hit);
    shape(canvas, found);
    picture.alt = titleOf(found, hit);
    const copies = copiesSection(found, { open: actions.open, asked: asked === id ? null : asked }, controller.signal);
    facts.replaceChildren(...factsOf(found, hit, { canvas, copies }));
    if (canSharpen(found)) sharpen(picture, id, controller.signal);
  } catch (error) {
    if (error.name !== "AbortError") facts.replaceChildren(h("p", { class: "panel-error" }, error.message));
  }
}

/** Give the picture's own shape to what it and the boxes over it fill. */
function shape(canvas, { width, height }) {
  canvas.style.setProperty("--ratio", String(width / Math.max(1, height)));
}

function head() {
  return h("div", { class: "panel-head" },
    h("button", { class: "icon-button", type: "button", "aria-label": "Previous picture", title: "Previous (←)", onclick: () => actions.step(-1) }, icon("left")),
    h("button", { class: "icon-button", type: "button", "aria-label": "Next picture", title: "Next (→)", onclick: () => actions.step(1) }, icon("right")),
    h("span", { class: "spring" }),
    h("button", { class: "icon-button", type: "button", "aria-label": "Close the panel", title: "Close (Esc)", onclick: () => actions.close() }, icon("close")));
}

function buttons(id) {
  const act = (name, label, handler, isMain) => h("button", { class: isMain ? "act main" : "act", type: "button", onclick: handler }, icon(name), label);
  return h("div", { class: "acts" },
    act("similar", "Find similar", () => actions.similar(id), true),
    act("copies", "Find copies", () => actions.copies(id)),
    act("link", "Copy link", () => copyLink()),
    act("download", "Download", () => download(id)));
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("Link copied");
  } catch {
    toast(location.href);
  }
}

async function download(id) {
  try {
    const blob = await blobOf(originalOf(id, true));
    const link = h("a", { href: URL.createObjectURL(blob), download: `${id}.${(blob.type.split("/")[1] || "bin").replace("jpeg", "jpg")}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    toast(error.hint ? `${error.message}: ${error.hint}` : error.message);
  }
}

/** Tell whether the original is at hand, small enough to fetch unasked, and of a kind that browsers show. */
function canSharpen(found) {
  const hasFile = found.sources.some(({ path, vanished }) => path && !path.startsWith("upload:") && !path.includes("#") && !vanished);
  return hasFile && found.bytes < MOST_SHARPENED && /^(jpe?g|png|webp|gif|avif|bmp)$/i.test(found.format);
}

/** Put the original in place of the thumbnail once it has come, where a browser can show it. */
async function sharpen(picture, id, signal) {
  try {
    const blob = await blobOf(originalOf(id));
    if (signal.aborted || !/^image\/(jpeg|png|webp|gif|avif|bmp)$/.test(blob.type)) return;
    const sharp = new Image();
    sharp.src = URL.createObjectURL(blob);
    await sharp.decode();
    if (signal.aborted) { URL.revokeObjectURL(sharp.src); return; }
    picture.addEventListener("load", () => URL.revokeObjectURL(sharp.src), { once: true });
    picture.src = sharp.src;
  } catch { /* the thumbnail stays */ }
}

function titleOf(found, hit) {
  for (const name of ["title", "caption", "alt_text"]) {
    for (const source of found.sources) if (source[name]) return source[name];
  }
  return hit?.title || placeOf(found.sources[0] || {}) || found.id;
}

const placeOf = (source) => (source.path || source.url || "").split("/").pop();

function factsOf(found, hit, { canvas, copies }) {
  const said = found.sources.find((source) => source.caption || source.alt_text);
  const words = said ? said.caption || said.alt_text : "";
  const parts = [];
  if (words && words !== titleOf(found, hit)) parts.push(h("p", { class: "panel-words" }, words));
  if (hit) parts.push(...why(hit));
  if (found.objects?.length) parts.push(objects(found, canvas));
  if (found.words?.length) parts.push(readWords(found, canvas));
  else if (found.ocr_text) parts.push(section("Text in the picture", h("p", { class: "panel-ocr" }, found.ocr_text)));
  parts.push(copies);
  if (found.palette?.length) parts.push(palette(found));
  parts.push(section("Details", h("dl", {}, ...details(found))));
  if (found.keywords?.length) parts.push(section("Keywords", h("p", { class: "seen-names" }, found.keywords.map((word) => h("button", { class: "seen-name", type: "button", "aria-label": `Search for ${word}`, onclick: () => actions.words(`"${word.replaceAll('"', "")}"`) }, word)))));
  parts.push(section(found.sources.length > 1 ? "Sources" : "Source", h("ul", { class: "sources" }, ...found.sources.map(sourceItem))));
  return parts;
}

const section = (title, ...content) => h("section", { class: "panel-section" }, h("h3", {}, title), ...content);

/** Show every object as a box on the picture and by its name; either searches for that part of the picture. */
function objects(found, canvas) {
  const things = [...found.objects].sort((a, b) => b.score - a.score);
  const { layer, buttons } = seen(things, { kind: "object", name: (one) => one.label, say: (one) => `Search for this: ${sayObject(one)}`, choose: (one) => actions.region(found.id, one.box) });
  canvas.append(layer);
  return section("Objects", layerSwitch(layer, shown.objects, (isOn) => { shown.objects = isOn; }), h("p", { class: "seen-names" }, buttons));
}

/** Show the words read off the picture in their lines; one searches for pictures with that word. */
function readWords(found, canvas) {
  const things = found.words.filter((one) => queryOfWord(one.text)).slice(0, MOST_WORDS);
  const { layer, buttons } = seen(things, { kind: "word", name: (one) => one.text, say: (one) => `Search for pictures with the word ${one.text}`, choose: (one) => actions.words(queryOfWord(one.text)) });
  canvas.append(layer);
  const lines = new Map();
  things.forEach(({ line }, at) => lines.set(line, [...(lines.get(line) || []), buttons[at]]));
  const left = found.words.length - things.length;
  return section("Text in the picture", layerSwitch(layer, shown.words, (isOn) => { shown.words = isOn; }),
    ...[...lines.values()].map((line) => h("p", { class: "read-line" }, line)),
    left > 0 && found.words.length > MOST_WORDS ? h("p", { class: "place" }, `and ${left} more`) : "");
}

function details(found) {
  const megabytes = found.bytes >= 1_000_000 ? `${(found.bytes / 1_000_000).toFixed(1)} MB` : `${Math.max(1, Math.round(found.bytes / 1000))} kB`;
  const rows = [
    ["Size", `${found.width} × ${found.height}`],
    ["File", `${String(found.format).toUpperCase()}, ${megabytes}`],
    ["Type", [found.type, found.animated && "animated", found.transparent && "transparent"].filter(Boolean).join(", ")],
    ["Licence", found.licence === "unknown" ? "not stated" : found.licence],
    ["Creator", found.creator],
    ["Rights", found.rights],
    ["Place", found.place && found.place.map((one) => one.toFixed(4)).join(", ")],
    ["Taken", found.taken && new Date(found.taken).toLocaleDateString(undefined, { dateStyle: "long" })],
    ["Added", found.first_seen && new Date(found.first_seen).toLocaleDateString(undefined, { dateStyle: "long" })],
  ];
  return rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

const PARTS = { cosine: "Looks alike", region: "An object looks alike", bm25: "Words match", phash_distance: "Bits apart" };

/** Show why a hit was found: its relevance, words and the parts of its score. */
function why(hit) {
  const names = Object.entries(hit.parts || {});
  const isAsked = names.length > 0;
  if (!isAsked && !hit.why.length) return [];
  const meter = (label, text, share) => h("li", { class: "part" }, h("span", {}, label), h("span", { class: "part-value" }, text),
    h("span", { class: "part-bar", "aria-hidden": "true" }, h("span", { style: { width: `${Math.round(Math.min(1, Math.max(0, share)) * 100)}%` } })));
  const list = [meter("Relevance", `${Math.round(hit.relevance * 100)} %`, hit.relevance)];
  for (const [name, value] of names) {
    if (name === "phash_distance") list.push(meter(PARTS[name], String(value), 1 - value / 64));
    else list.push(meter(PARTS[name] || name, value.toFixed(name === "bm25" ? 2 : 3), name === "bm25" ? value / (value + 6) : value));
  }
  const words = hit.why.length ? h("ul", { class: "why" }, ...matchedWords(hit.why).map(([word, places]) => h("li", { class: "why-word" }, word, places ? h("small", {}, places) : null))) : null;
  const copy = hit.copy_of ? h("p", { class: "why-copy" }, `Copy: ${hit.copy_of.reason}`) : null;
  return [section("Why it matched", copy, words, h("ul", { class: "parts" }, ...list))];
}

const FIELDS = { alt_text: "alt text", ocr_text: "text in the picture", page_text: "page", path: "file name" };

/** Gather `field:word` reasons by word: [["tower", "title, alt text"]]. */
function matchedWords(reasons) {
  const words = new Map();
  for (const reason of reasons) {
    const [field, ...rest] = reason.split(":");
    const word = rest.join(":") || field;
    const places = words.get(word) || [];
    if (rest.length) places.push(FIELDS[field] || field);
    words.set(word, places);
  }
  return [...words].map(([word, places]) => [word, places.join(", ")]);
}

function palette(found) {
  const bars = found.palette.slice(0, 6).map(({ lab, weight }) => h("span", {
    style: { "background-color": `lab(${lab[0]} ${lab[1]} ${lab[2]})`, "flex-grow": String(Math.max(0.04, weight)) },
  }));
  return section("Colours", h("div", { class: "palette", role: "img", "aria-label": found.colors.join(", ") || "palette" }, ...bars));
}

function sourceItem(source) {
  const address = webAddress(source.page_url || "") || webAddress(source.url || "");
  const place = source.url || source.path || "";
  const shown = place.startsWith("upload:") ? "Uploaded" : place;
  return h("li", {},
    address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, source.site || address) : null,
    h("span", { class: "place", title: shown }, shown),
    source.vanished ? h("span", { class: "gone" }, "no longer there") : null);
}
