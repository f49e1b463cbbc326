// Telling the server which hit was chosen, where it says that it keeps clicks.

import { tellClick } from "./api.js";

let answer = null;

/** Remember where hits stand in an answer; pages after the first are not kept. */
export function noteAnswer(found) {
  answer = found.is_logged
    ? { id: found.query_id, positions: new Map(found.hits.map((hit, at) => [hit.id, at + 1])) }
    : null;
}

/** Tell that a hit was chosen, once for each. */
export function noteChoice(image) {
  const position = answer?.positions.get(image);
  if (!position) return;
  answer.positions.delete(image);
  tellClick({ query_id: answer.id, image_id: image, position });
}
