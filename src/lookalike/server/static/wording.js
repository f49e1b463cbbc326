// What an answer says of the words of its query: corrected ones, and what people should know.

import { byId, h } from "./elements.js";

/** Say which words were searched for instead, with a way back; and show the answer's notices. */
export function showWording(answer, { words, asTyped }) {
  const banner = byId("wording");
  const parts = [];
  if (answer.corrected) {
    parts.push(h("p", {}, "Showing results for ", h("button", { class: "link strong", type: "button", onclick: () => words(answer.corrected) }, answer.corrected), ". ",
      "Search instead for ", h("button", { class: "link", type: "button", id: "as-typed", onclick: asTyped }, answer.query), "."));
  }
  for (const { message } of answer.notices || []) parts.push(h("p", {}, message));
  banner.hidden = !parts.length;
  banner.replaceChildren(...parts);
}
