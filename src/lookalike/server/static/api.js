// Calls of the HTTP API, with the key where one is asked for.

import { byId } from "./elements.js";

const KEY = "lookalike.key";

/** An error of the API with its code, message, hint and place in the query. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail.message || "the server did not answer");
    this.status = status;
    this.code = detail.code || "network";
    this.hint = detail.hint || "";
    this.place = detail.place || null;
  }
}

function storedKey() {
  try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; }
}

function keyHeaders() {
  const key = storedKey();
  return key ? { "x-api-key": key } : {};
}

let asking = null;

/** Ask for a key, once however many calls need it. */
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key");
    byId("key-value").value = "";
    dialog.addEventListener("close", () => {
      const value = dialog.returnValue === "ok" ? byId("key-value").value.trim() : "";
      if (value) sessionStorage.setItem(KEY, value);
      asking = null;
      resolve(Boolean(value));
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Fetch from the API; an error answer becomes an `ApiError`. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The server cannot be reached", hint: "Is it still running?" });
  }
  if (response.status === 401 && await askForKey()) return call(path, options);
  if (response.ok) return response;
  let detail = {};
  try { detail = (await response.json()).error || {}; } catch { detail = { message: response.statusText }; }
  throw new ApiError(response.status, detail);
}

const json = async (path, options) => (await call(path, options)).json();

const post = (path, body, signal) => json(path, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

export const status = () => json("/v1/status");
export const record = (id, signal) => json(`/v1/images/${encodeURIComponent(id)}`, { signal });
export const groupOf = (id, signal) => json(`/v1/images/${encodeURIComponent(id)}/group`, { signal });
export const decide = (kind, ids) => post(`/v1/copies/${kind}`, { ids });
export const undoDecision = () => json("/v1/copies/undo", { method: "POST" });

/** Tell which hit was chosen; it neither waits nor fails, and outlives the page. */
export function tellClick(body) {
  fetch("/v1/clicks", {
    method: "POST",
    headers: { "content-type": "application/json", ...keyHeaders() },
    body: JSON.stringify(body),
    keepalive: true,
  }).catch(() => {});
}

/** Complete a line; what it was typed as goes to this server alone. */
export async function complete(text, limit, signal) {
  const query = new URLSearchParams({ q: text, limit: String(limit) });
  return (await json(`/v1/complete?${query}`, { signal })).completions;
}

/** The newest pictures, for the start page. */
export const newest = (k, cursor, signal) => post("/v1/search", { filter: { min_width: 1 }, k, cursor }, signal);

/** Search by words and, if there is one, a picture: `{id}` of the index or `{blob}`; `show` is the tab's name. */
export function search({ words, picture, region, show, k, cursor, more = [], less = [], isAsTyped }, signal) {
  if (picture?.blob) {
    const query = new URLSearchParams({ k: String(k), show });
    if (words) query.set("text", words);
    if (region) query.set("region", region.join(","));
    if (cursor) query.set("cursor", cursor);
    if (isAsTyped) query.set("as_typed", "true");
    for (const id of more) query.append("more", id);
    for (const id of less) query.append("less", id);
    const form = new FormData();
    form.append("file", picture.blob, "query");
    return json(`/v1/search/image?${query}`, { method: "POST", body: form, signal });
  }
  const images = picture ? [{ id: picture.id, ...(region ? { region } : {}) }] : [];
  return post("/v1/search", { q: words, images, show, k, cursor, more, less, as_typed: isAsTyped }, signal);
}

/** Get a picture from the web through the server's guarded fetcher. */
export async function fetchPicture(url) {
  const response = await call("/v1/fetch", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url }),
  });
  return response.blob();
}

export const thumbnailOf = (id) => `/v1/images/${id}/thumbnail`;
export const originalOf = (id, isDownload = false) => `/v1/images/${id}/original${isDownload ? "?download=true" : ""}`;

/** Show a picture of the API in an <img>; with a key, headers are needed that <img> cannot send. */
export async function showIn(image, path) {
  if (!storedKey()) {
    image.src = path;
    return;
  }
  try {
    const blob = await (await call(path)).blob();
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
    image.src = URL.createObjectURL(blob);
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

/** Return a picture of the API as a blob. */
export const blobOf = async (path) => (await call(path)).blob();
