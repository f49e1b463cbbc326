// Building elements: text is always set as text, so hostile titles stay words.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  close: "m6.5 6.5 11 11m0-11-11 11",
  left: "m14.5 5.5-6.5 6.5 6.5 6.5",
  right: "m9.5 5.5 6.5 6.5-6.5 6.5",
  similar: "M4 8a4 4 0 0 1 4-4h4a4 4 0 0 1 4 4v4a4 4 0 0 1-4 4H8a4 4 0 0 1-4-4zM16 8a4 4 0 0 1 4 4v4a4 4 0 0 1-4 4h-4a4 4 0 0 1-4-4",
  copies: "M8.5 8.5V6A2.5 2.5 0 0 1 11 3.5h7A2.5 2.5 0 0 1 20.5 6v7a2.5 2.5 0 0 1-2.5 2.5h-2.5M6 8.5h7a2.5 2.5 0 0 1 2.5 2.5v7a2.5 2.5 0 0 1-2.5 2.5H6A2.5 2.5 0 0 1 3.5 18v-7A2.5 2.5 0 0 1 6 8.5z",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4.2 4.2 0 0 0-6-6l-1.3 1.3M14 10a4 4 0 0 0-6-.4l-3 3a4.2 4.2 0 0 0 6 6l1.3-1.3",
  download: "M12 4v11m0 0 4.5-4.5M12 15l-4.5-4.5M4.5 19.5h15",
  chevron: "m7 10 5 5 5-5",
  crop: "M7 3v14h14M3 7h14v14",
  whole: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  more: "M12 5.5v13M5.5 12h13",
  less: "M5.5 12h13",
  check: "m5 12.5 4.5 4.5L19 7.5",
  globe: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM3.5 12h17M12 3.5c5 5 5 12 0 17M12 3.5c-5 5-5 12 0 17",
};

/** Make an element; `on…` are listeners, `style` sets properties, children are nodes or text. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make an icon by its name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Return an address only if it leads to the web. */
export function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

let toastTimer = 0;

/** Say something short that goes away by itself. */
export function toast(text) {
  const element = byId("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { element.hidden = true; }, 3200);
}

export const plural = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
