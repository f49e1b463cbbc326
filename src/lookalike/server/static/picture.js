// The picture one searches with: how it comes in, and the crop rectangle on it.

import { blobOf, fetchPicture, originalOf, thumbnailOf } from "./api.js";
import { byId, h, icon } from "./elements.js";
import { queryOfWord, sayObject, seen } from "./seen.js";
import { keptPicture } from "./state.js";

const asked = byId("asked");
const LEAST = 0.03;
const shown = { key: "", url: "" };
const fetched = new Map();

/** Return what the API takes for a picture of the state: `{id}` or `{blob}`. */
export async function loadPicture(picture) {
  if (picture.id) return { id: picture.id };
  if (picture.upload) {
    const blob = await keptPicture(picture.upload);
    if (!blob) throw new Error("This browser no longer has the picture of this search");
    return { blob };
  }
  if (!fetched.has(picture.url)) fetched.set(picture.url, await fetchPicture(picture.url));
  return { blob: fetched.get(picture.url) };
}

async function pixelsOf(picture, loaded) {
  if (loaded.blob) return loaded.blob;
  try {
    const blob = await blobOf(originalOf(picture.id));
    if (/^image\/(jpeg|png|webp|gif|avif|bmp)$/.test(blob.type)) return blob;
  } catch { /* its file is gone: the thumbnail shows as much */ }
  return blobOf(thumbnailOf(picture.id));
}

export function hidePicture() {
  asked.hidden = true;
  asked.replaceChildren();
  byId("pin").hidden = true;
  byId("pin").replaceChildren();
  if (shown.url) URL.revokeObjectURL(shown.url);
  shown.key = shown.url = "";
}

/** Show the query's picture with its crop; `change` takes a region or null, `remove` nothing. */
export async function showPicture(picture, loaded, region, { change, remove }) {
  const key = picture.id || picture.upload || picture.url;
  if (shown.key !== key) {
    hidePicture();
    shown.key = key;
    const blob = await pixelsOf(picture, loaded);
    if (shown.key !== key) return;
    shown.url = URL.createObjectURL(blob);
  }
  const pinned = h("img", { src: shown.url, alt: "" });
  byId("pin").replaceChildren(pinned, h("button", { class: "pin-remove", type: "button", "aria-label": "Remove the picture from the search", title: "Remove the picture", onclick: remove }, icon("close")));
  byId("pin").hidden = false;
  const image = h("img", { class: "asked-image", src: shown.url, alt: "The picture you search with", draggable: "false" });
  image.addEventListener("error", () => frame.classList.add("is-unseen"));
  const frame = h("div", { class: "crop" }, image);
  const whole = h("button", { class: "act", type: "button", hidden: !region, onclick: () => change(null) }, icon("whole"), "Whole picture");
  const say = h("p", { class: "asked-say" }, region ? "Searching for the marked part." : "Searching for the whole picture.");
  const hint = h("p", { class: "asked-hint" }, "Drag on the picture to search for a part of it. Type words above to steer it.");
  const things = h("div", { class: "asked-seen", hidden: true });
  asked.replaceChildren(frame, h("div", { class: "asked-text" }, say, hint, things, whole));
  asked.hidden = false;
  startCrop(frame, region, change);
}

/** Show what the server saw in the query's picture, as the tab goes: objects to search on by, or words. */
export function showAsked(found, tab, { region, words }) {
  const place = asked.querySelector(".asked-seen");
  asked.querySelector(".boxes")?.remove();
  if (!place) return;
  const objects = tab === "text" ? [] : [...(found?.objects || [])].sort((a, b) => b.score - a.score).slice(0, 24);
  const texts = tab !== "text" ? [] : (found?.words || []).filter((one) => queryOfWord(one.text)).slice(0, 60);
  place.hidden = !(objects.length || texts.length);
  if (objects.length) {
    const { layer, buttons } = seen(objects, { kind: "object", name: (one) => one.label, say: (one) => `Search for this: ${sayObject(one)}`, choose: (one) => region(one.box) });
    place.replaceChildren(h("span", { class: "asked-hint" }, "Seen in it:"), ...buttons);
    asked.querySelector(".asked-image").after(layer);
  } else if (texts.length) {
    const { layer, buttons } = seen(texts, { kind: "word", name: (one) => one.text, say: (one) => `Search for pictures with the word ${one.text}`, choose: (one) => words(queryOfWord(one.text)) });
    place.replaceChildren(h("span", { class: "asked-hint" }, "Read in it:"), ...buttons);
    asked.querySelector(".asked-image").after(layer);
  }
}

/** Let a rectangle be drawn, moved and sized on a frame; tells when it is let go. */
function startCrop(frame, region, change) {
  let box = region ? [...region] : null;
  const handles = ["nw", "ne", "sw", "se"].map((name) => h("span", { class: `handle ${name}`, "data-handle": name, "aria-hidden": "true" }));
  const marked = h("div", { class: "crop-box", tabindex: "0", role: "group", "aria-label": "Marked part: arrows move it, Shift and arrows size it, Enter searches, Delete removes it" }, ...handles);
  frame.append(marked);
  const draw = () => {
    marked.hidden = !box;
    if (!box) return;
    const [x, y, w, tall] = box.map((one) => `${one * 100}%`);
    for (const [name, value] of [["left", x], ["top", y], ["width", w], ["height", tall]]) marked.style.setProperty(name, value);
  };
  const settle = () => {
    if (box && (box[2] < LEAST || box[3] < LEAST)) box = region ? [...region] : null;
    draw();
    if (String(box) !== String(region)) change(box && box.map((one) => Math.round(one * 10_000) / 10_000));
  };
  draw();
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    const bounds = frame.getBoundingClientRect();
    const at = (one) => [clamp((one.clientX - bounds.left) / bounds.width), clamp((one.clientY - bounds.top) / bounds.height)];
    const pointed = event.target.closest?.(".seen-box");
    const update = dragOf(event.target, box, at(event));
    frame.setPointerCapture(event.pointerId);
    let isDragged = false;
    const onMove = (one) => {
      const [x, y] = at(one);
      isDragged ||= Math.hypot(one.clientX - event.clientX, one.clientY - event.clientY) > 4;
      if (isDragged) { box = update([x, y]); draw(); }
    };
    frame.addEventListener("pointermove", onMove);
    const end = ({ type }) => { frame.removeEventListener("pointermove", onMove); if (pointed && !isDragged && type === "pointerup") pointed.click(); else settle(); };
    frame.addEventListener("pointerup", end, { once: true });
    frame.addEventListener("pointercancel", end, { once: true });
  });
  marked.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move && box) {
      event.preventDefault();
      const [dx, dy] = move.map((one) => one * 0.02);
      if (event.shiftKey) box = [box[0], box[1], clamp(box[2] + dx, LEAST, 1 - box[0]), clamp(box[3] + dy, LEAST, 1 - box[1])];
      else box = [clamp(box[0] + dx, 0, 1 - box[2]), clamp(box[1] + dy, 0, 1 - box[3]), box[2], box[3]];
      draw();
    } else if (event.key === "Enter") settle();
    else if (event.key === "Delete" || event.key === "Backspace") change(null);
  });
}

const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

/** Return how a drag that begins on a target changes the box. */
function dragOf(target, box, [startX, startY]) {
  const corner = target.dataset?.handle;
  if (corner && box) {
    const fixedX = corner.endsWith("w") ? box[0] + box[2] : box[0];
    const fixedY = corner.startsWith("n") ? box[1] + box[3] : box[1];
    return (to) => spanned([fixedX, fixedY], to);
  }
  if (target.classList.contains("crop-box") && box) {
    const [x, y, w, tall] = box;
    return ([toX, toY]) => [clamp(x + toX - startX, 0, 1 - w), clamp(y + toY - startY, 0, 1 - tall), w, tall];
  }
  return (to) => spanned([startX, startY], to);
}

const spanned = ([ax, ay], [bx, by]) => [Math.min(ax, bx), Math.min(ay, by), Math.abs(ax - bx), Math.abs(ay - by)];

/** Watch for pictures and addresses that are dropped, pasted or chosen. */
export function startIntake(onFile, onAddress) {
  const file = byId("file");
  byId("choose").addEventListener("click", () => file.click());
  file.addEventListener("change", () => { if (file.files[0]) onFile(file.files[0]); file.value = ""; });
  document.addEventListener("paste", (event) => {
    const picture = [...(event.clipboardData?.files || [])].find(isPicture);
    const text = event.clipboardData?.getData("text/plain").trim() || "";
    if (picture) { event.preventDefault(); onFile(picture); }
    else if (isPictureAddress(text)) { event.preventDefault(); onAddress(text); }
  });
  let depth = 0;
  const veil = byId("drop");
  const isOurs = (event) => [...(event.dataTransfer?.types || [])].some((type) => type === "Files" || type === "text/uri-list");
  document.addEventListener("dragenter", (event) => { if (isOurs(event)) { event.preventDefault(); depth += 1; veil.hidden = false; } });
  document.addEventListener("dragover", (event) => { if (isOurs(event)) event.preventDefault(); });
  document.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) veil.hidden = true; });
  document.addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    if (!isOurs(event)) return;
    event.preventDefault();
    const picture = [...event.dataTransfer.files].find(isPicture) || event.dataTransfer.files[0];
    const text = event.dataTransfer.getData("text/uri-list").split("\n").find((line) => line && !line.startsWith("#")) || "";
    if (picture) onFile(picture);
    else if (/^https?:/.test(text)) onAddress(text.trim());
  });
}

const isPicture = (file) => file.type.startsWith("image/") || /\.(avif|heic|heif|webp|tiff?|bmp)$/i.test(file.name);

/** Tell whether a text is nothing but the address of a picture, or of anything on the web. */
export const isPictureAddress = (text) => /^https?:\/\/[^\s]+$/i.test(text) && text.length < 4096;
