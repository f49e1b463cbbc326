// The justified grid: rows of equal height that fill the width, known before pictures arrive.

import { showIn, thumbnailOf } from "./api.js";
import { noteChoice } from "./clicks.js";
import { byId, h, plural } from "./elements.js";
import { judgeButtons } from "./judging.js";
import { tellingObjects, tileBoxes } from "./seen.js";

const WEAK = 0.15;
const WEAK_RUN = 6;
const grid = byId("grid");
let hits = [];
let boxes = [];
let current = 0;
let onOpen = () => {};
let hrefOf = () => "#";
let breakAt = -1;

const gap = () => (window.innerWidth < 640 ? 4 : 8);
const rowHeight = () => (window.innerWidth < 640 ? 132 : window.innerWidth > 1800 ? 250 : 216);

/** Say what opening a tile does, and what its address is. */
export function startGrid(open, address) {
  onOpen = open;
  hrefOf = address;
  new ResizeObserver(layOut).observe(byId("results"));
  grid.addEventListener("keydown", onKey);
}

export const shownHits = () => hits;
export const hitOf = (id) => hits.find((hit) => hit.id === id);

/**
 * Show hits anew, or add a page to those there are. Of hits that stand behind those that meet a
 * reading, `others` tells where they begin and what they are. `tab` is what is shown of the
 * answer, `isConditional` tells that all hits meet conditions on objects.
 */
export function showHits(page, isMore, { others = null, tab = "all", isConditional = false } = {}) {
  const seen = new Set(isMore ? hits.map((hit) => hit.id) : []);
  const fresh = page.filter((hit) => !seen.has(hit.id));
  const start = isMore ? hits.length : 0;
  if (!isMore) { current = 0; grid.replaceChildren(); }
  hits = isMore ? hits.concat(fresh) : fresh;
  grid.querySelector(".weak")?.remove();
  grid.append(...fresh.map((hit, at) => tile(hit, start + at, tab, isConditional || start + at < (others?.from ?? 0))));
  breakAt = others ? others.from : firstWeak();
  if (breakAt > 0 && breakAt < hits.length) grid.append(h("li", { class: "weak" }, others ? others.label : "Less likely matches"));
  else breakAt = -1;
  layOut();
}

/** Return where a run of weak hits begins: ranking weighs more than relevance, so one proves nothing. */
function firstWeak() {
  let run = 0;
  for (let at = 0; at < hits.length; at += 1) {
    run = hits[at].relevance < WEAK ? run + 1 : 0;
    if (run === WEAK_RUN) return at - WEAK_RUN + 1 || -1;
  }
  return -1;
}

function tile(hit, at, tab, isMeeting) {
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  image.addEventListener("load", () => image.classList.add("is-there"), { once: true });
  image.addEventListener("error", () => image.closest(".tile")?.classList.add("is-broken"), { once: true });
  watch(image, hit.id);
  const title = hit.title || "Untitled";
  const objects = tellingObjects(hit, { isAll: tab === "objects", isMeeting });
  const said = [title, `${hit.width} by ${hit.height}`, hit.copy_of && (tab === "copies" ? hit.copy_of.reason : "copy"), hit.copies && plural(hit.copies, "copy more", "copies more"),
    objects.length && `with ${objects.map((one) => one.label).join(" and ")}`].filter(Boolean).join(", ");
  const link = h("a", {
    class: "tile-link", href: hrefOf(hit.id), tabindex: at === current ? "0" : "-1", "data-id": hit.id, "aria-label": said,
  }, image, objects.length ? tileBoxes(objects, hit.width / Math.max(1, hit.height), ratioOf(hit)) : null,
  hit.copy_of && tab === "copies"
    ? h("span", { class: "caption is-told", "aria-hidden": "true" }, hit.copy_of.reason, h("small", {}, `${hit.width} × ${hit.height} · ${title}`))
    : h("span", { class: "caption", "aria-hidden": "true" }, title),
  hit.copy_of && tab !== "copies" ? h("span", { class: "badge", "aria-hidden": "true" }, "Copy") : null,
  hit.copies ? h("span", { class: "badge more", "aria-hidden": "true", title: plural(hit.copies, "copy more", "copies more") }, `+${hit.copies}`) : null);
  link.addEventListener("click", (event) => {
    noteChoice(hit.id);
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    focusTile(at, false);
    onOpen(hit.id);
  });
  return h("li", { class: "tile" }, link, document.body.dataset.mode === "results" && tab !== "copies" ? judgeButtons(hit.id, title) : null);
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    showIn(target, thumbnailOf(target.dataset.of));
  }
}, { rootMargin: "600px 0px" });

function watch(image, id) {
  image.dataset.of = id;
  watcher.observe(image);
}

/** Break hits into rows; returns boxes [x, y, width, height, row] and the whole height. */
export function justify(shapes, width, target, space, breakAt = -1, breakHeight = 0) {
  const placed = [];
  let y = 0;
  let row = [];
  let sum = 0;
  let line = 0;
  const flush = (isLast) => {
    if (!row.length) return;
    const free = width - space * (row.length - 1);
    const height = isLast ? Math.min(target, free / sum) : free / sum;
    let x = 0;
    row.forEach((ratio, at) => {
      const end = !isLast && at === row.length - 1 ? width : Math.round(x + ratio * height);
      placed.push([Math.round(x), Math.round(y), end - Math.round(x), Math.round(height), line]);
      x += ratio * height + space;
    });
    y += Math.round(height) + space;
    line += 1;
    row = [];
    sum = 0;
  };
  shapes.forEach((ratio, at) => {
    if (at === breakAt) { flush(true); y += breakHeight; }
    row.push(ratio);
    sum += ratio;
    if (sum * target + space * (row.length - 1) >= width) flush(false);
  });
  flush(true);
  return { placed, height: Math.max(0, y - space) };
}

const ratioOf = (hit) => Math.min(3.2, Math.max(0.45, hit.width / Math.max(1, hit.height) || 1));

export function layOut() {
  const width = grid.clientWidth;
  if (!width) return;
  const weakHeight = 56;
  const { placed, height } = justify(hits.map(ratioOf), width, rowHeight(), gap(), breakAt, weakHeight);
  boxes = placed;
  grid.style.setProperty("height", `${height}px`);
  grid.querySelectorAll(".tile").forEach((element, at) => {
    const [x, y, w, tall] = placed[at];
    const { style } = element;
    style.setProperty("transform", `translate(${x}px, ${y}px)`);
    style.setProperty("width", `${w}px`);
    style.setProperty("height", `${tall}px`);
  });
  const weak = grid.querySelector(".weak");
  if (weak) weak.style.setProperty("transform", `translateY(${placed[breakAt][1] - weakHeight + 8}px)`);
}

/** Make a tile the one that Tab reaches. */
export function focusTile(at, isFocused = true) {
  const links = grid.querySelectorAll(".tile-link");
  if (!links.length) return;
  links[current]?.setAttribute("tabindex", "-1");
  current = Math.max(0, Math.min(at, links.length - 1));
  links[current].setAttribute("tabindex", "0");
  if (isFocused) links[current].focus();
}

export function focusHit(id) {
  focusTile(Math.max(0, hits.findIndex((hit) => hit.id === id)));
}

/** Mark the tile whose picture the panel shows. */
export function markOpen(id) {
  for (const link of grid.querySelectorAll(".tile-link")) {
    if (link.dataset.id === id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function onKey(event) {
  const steps = { ArrowRight: () => current + 1, ArrowLeft: () => current - 1, ArrowDown: () => across(1), ArrowUp: () => across(-1), Home: () => 0, End: () => hits.length - 1 };
  const step = steps[event.key];
  if (!step || event.altKey || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  focusTile(step());
}

/** Return the tile of the next row whose middle is nearest. */
function across(step) {
  const here = boxes[current];
  if (!here) return current;
  const middle = here[0] + here[2] / 2;
  let best = current;
  let distance = Infinity;
  boxes.forEach((box, at) => {
    const away = Math.abs(box[0] + box[2] / 2 - middle);
    if (box[4] === here[4] + step && away < distance) { best = at; distance = away; }
  });
  return best;
}
