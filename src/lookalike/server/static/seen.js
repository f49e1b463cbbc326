// Boxes over pictures: the objects found in them and the words read off them.

import { h } from "./elements.js";

const percent = (one) => `${(100 * one).toFixed(3)}%`;
const area = ({ box }) => box[2] * box[3];

/** Put an element where a box is: [x, y, width, height] as fractions of the picture. */
export function place(element, [x, y, width, height]) {
  const sides = { left: x, top: y, width, height };
  for (const [name, value] of Object.entries(sides)) element.style.setProperty(name, percent(value));
  return element;
}

/** Return an object as people say it: "dog, 91 %". */
export const sayObject = ({ label, score }) => `${label}, ${Math.round(score * 100)} %`;

const MOST_BOXES = 8;
const RELEVANT = 0.35;

/**
 * Return the objects to draw on a hit: all of them in the tab of objects; else those that conditions
 * ask for, where the hit meets any, and in a good match one that is nearer to the query than the whole.
 */
export function tellingObjects(hit, { isAll, isMeeting }) {
  const objects = hit.objects || [];
  const labels = objects.filter(({ cosine }) => cosine === undefined).map(({ label }) => label);
  const whole = hit.relevance >= RELEVANT ? hit.parts?.cosine ?? -1 : 2;
  const isTelling = ({ label, cosine }) => isAll || cosine === undefined || cosine >= whole
    || (isMeeting && (objects.length === 1 || labels.includes(label)));
  return objects.filter(isTelling).slice(0, MOST_BOXES);
}

/** Return a layer of plain boxes for a tile whose picture, of a ratio, is cut to another one. */
export function tileBoxes(objects, ratio, shownRatio) {
  const wider = Math.max(1, ratio / shownRatio);
  const taller = Math.max(1, shownRatio / ratio);
  const layer = h("span", { class: "boxes on-tile", "aria-hidden": "true" },
    objects.map((one) => place(h("span", { class: "seen-box" }, h("span", { class: "seen-name" }, one.label)), one.box)));
  return place(layer, [(1 - wider) / 2, (1 - taller) / 2, wider, taller]);
}

/**
 * Return the boxes of things seen in a picture, and the list that names them; what one points at in
 * either lights up in both. The list is what keys and screen readers reach, the boxes are for pointers.
 */
export function seen(things, { kind, name, say, choose }) {
  const buttons = things.map((thing) => h("button", {
    class: `seen-name ${kind}`, type: "button", "aria-label": say(thing), title: say(thing), onclick: () => choose(thing),
  }, name(thing)));
  const boxes = things.map((thing) => place(h("button", {
    class: "seen-box", type: "button", tabindex: "-1", title: say(thing), onclick: () => choose(thing),
  }, kind === "object" ? h("span", { class: "seen-name" }, name(thing)) : null), thing.box));
  things.forEach((_, at) => {
    const light = (isLit) => { for (const one of [buttons[at], boxes[at]]) one.classList.toggle("is-lit", isLit); };
    for (const one of [buttons[at], boxes[at]]) {
      one.addEventListener("pointerenter", () => light(true));
      one.addEventListener("pointerleave", () => light(false));
    }
    buttons[at].addEventListener("focus", () => light(true));
    buttons[at].addEventListener("blur", () => light(false));
  });
  const order = things.map((_, at) => at).sort((a, b) => area(things[b]) - area(things[a]));  // small ones on top
  const layer = h("div", { class: `boxes of-${kind}s`, "aria-hidden": "true" }, order.map((at) => boxes[at]));
  return { layer, buttons };
}

/** Return a switch that shows and hides a layer of boxes. */
export function layerSwitch(layer, isOn, changed) {
  const button = h("button", { class: "switch", type: "button" }, "Show on the picture");
  const set = (value) => {
    button.setAttribute("aria-pressed", String(value));
    layer.classList.toggle("is-off", !value);
  };
  button.addEventListener("click", () => {
    const value = button.getAttribute("aria-pressed") !== "true";
    set(value);
    changed(value);
  });
  set(isOn);
  return button;
}

/** Return the query that finds a word in other pictures, or an empty text where there is none in it. */
export const queryOfWord = (text) => (/[\p{L}\p{N}]/u.test(text) ? `text:"${text.replaceAll('"', "")}"` : "");
