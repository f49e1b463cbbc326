// More like these, less like those: what was judged of hits, on their tiles and above the grid.

import { showIn, thumbnailOf } from "./api.js";
import { byId, h, icon } from "./elements.js";

const MOST = 16;
let judged = { more: [], less: [] };
let change = () => {};

/** Say what takes over a changed judgement: `{more, less}`, both ids. */
export function startJudging(onChange) {
  change = onChange;
}

/** Judge an image as wanted ("more") or not ("less"), or take that back. */
function judge(id, kind) {
  const other = kind === "more" ? "less" : "more";
  const has = judged[kind].includes(id);
  change({
    [kind]: has ? judged[kind].filter((one) => one !== id) : [...judged[kind], id].slice(-MOST),
    [other]: judged[other].filter((one) => one !== id),
  });
}

/** The two buttons on a tile. */
export function judgeButtons(id, title) {
  const button = (kind, label) => h("button", {
    class: "judge", type: "button", "aria-label": `${label}: ${title}`, title: label,
    "aria-pressed": String(judged[kind].includes(id)), onclick: () => judge(id, kind),
  }, icon(kind));
  return h("div", { class: "judges" }, button("more", "More like this"), button("less", "Less like this"));
}

/** Show above the grid what was judged, with a way back. */
export function showJudged({ more, less }) {
  judged = { more, less };
  const strip = byId("judged");
  strip.hidden = !more.length && !less.length;
  const group = (kind, label) => judged[kind].length ? h("div", { class: "judged-group" }, h("span", {}, label),
    ...judged[kind].map((id) => {
      const image = h("img", { alt: "", width: "34", height: "34" });
      showIn(image, thumbnailOf(id));
      return h("button", { class: "judged-one", type: "button", title: "Take this back", "aria-label": `Take back: ${label.toLowerCase()} this picture`, onclick: () => judge(id, kind) }, image);
    })) : null;
  strip.replaceChildren(...strip.hidden ? [] : [group("more", "More like"), group("less", "Less like"),
    h("button", { class: "act small", type: "button", onclick: () => change({ more: [], less: [] }) }, "Clear")].filter(Boolean));
}
