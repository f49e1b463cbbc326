// Copies of a picture in the panel: its group, why each is in it, and what one may decide.

import { decide, groupOf, showIn, thumbnailOf, undoDecision } from "./api.js";
import { h, toast } from "./elements.js";

let decisions = 0;

const SAID = { merge: "Said to be one picture", split: "Said to be another picture", keep: "Kept as the best" };

const nameOf = (record) => {
  const source = record.sources[0] || {};
  const place = source.path || source.url || "";
  return place.startsWith("upload:") ? "Uploaded" : place.split("/").pop() || record.id;
};

const sizeOf = (record) => `${record.width} × ${record.height} ${String(record.format).toUpperCase()}`;

/** Return the section of an image's copies; `asked` is the image that one searches with, if it is another. */
export function copiesSection(found, { open, asked }, signal) {
  const section = h("section", { class: "panel-section copies", "aria-label": "Copies", tabindex: "-1", hidden: true });
  const context = { id: found.id, open, asked, signal, section };
  if (found.copy_group !== null || decisions || asked) refresh(context).catch(() => {});
  return section;
}

async function refresh(context) {
  const { groups } = await groupOf(context.id, context.signal);
  if (!context.signal.aborted) show(context, groups[0]);
}

function show(context, group) {
  const { id, asked, section } = context;
  const members = group?.members || [];
  const isWithAsked = members.some(({ record }) => record.id === asked);
  const acts = [];
  if (asked && !isWithAsked) acts.push(act("Same as the picture asked with", () => settle(context, "merge", [asked, id])));
  if (decisions) acts.push(act("Undo", () => takeBack(context)));
  section.hidden = !members.length && !acts.length;
  section.replaceChildren(
    h("h3", {}, "Copies"),
    members.length ? h("ul", { class: "copy-list" }, members.map((one) => item(context, group, one)))
      : h("p", { class: "place" }, "No other file is held for the same picture."),
    acts.length ? h("div", { class: "acts" }, acts) : "");
}

const act = (label, handler, about) => h("button", { class: "act small", type: "button", onclick: handler, "aria-label": about ? `${label}: ${about}` : null }, label);

function item(context, group, { record, reason }) {
  const isBest = record.id === group.canonical;
  const isThis = record.id === context.id;
  const name = nameOf(record);
  const image = h("img", { alt: "", width: "64", height: "64", loading: "lazy" });
  showIn(image, thumbnailOf(record.id));
  const thumb = h("button", {
    class: "copy-thumb", type: "button", "aria-label": isThis ? `${name}, this picture` : `Open ${name}`,
    "aria-current": isThis ? "true" : null, onclick: () => { if (!isThis) context.open(record.id); },
  }, image);
  const marks = [isBest && "best", isThis && "this one"].filter(Boolean).join(", ");
  return h("li", { class: "copy", "data-copy": record.id }, thumb, h("div", { class: "copy-text" },
    h("p", { class: "copy-name" }, name, marks ? h("span", { class: "copy-mark" }, marks) : null),
    h("p", { class: "place" }, [sizeOf(record), reason].filter(Boolean).join(" · ")),
    h("div", { class: "acts" },
      isBest ? null : act("Keep as best", () => settle(context, "keep", [record.id]), name),
      act("Not a copy", () => settle(context, "split", [record.id]), name))));
}

/** Write a decision, say so, and show the group as it is then. */
async function settle(context, kind, ids) {
  await attempt(context, async () => {
    await decide(kind, ids);
    decisions += 1;
    toast(SAID[kind]);
  });
}

async function takeBack(context) {
  await attempt(context, async () => {
    const { undone } = await undoDecision();
    decisions = undone ? Math.max(0, decisions - 1) : 0;
    toast(undone ? `Taken back: ${undone}` : "There is nothing to take back");
  });
}

async function attempt(context, decision) {
  try {
    await decision();
    await refresh(context);
    context.section.focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError") toast(error.hint ? `${error.message}: ${error.hint}` : error.message);
  }
}
