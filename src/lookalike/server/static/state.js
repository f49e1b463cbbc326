// What is searched for, as the address bar has it; uploads are kept in this browser.

const DATABASE = "lookalike";
const STORE = "pictures";
const MOST_KEPT = 20;

/** What may be shown of an answer, as the API names it, and as people read it. */
export const TABS = [["all", "All"], ["copies", "Copies"], ["similar", "Similar"], ["objects", "Objects"], ["text", "Text"]];

/** Read the state from an address: {words, picture: {id|upload|url}, region, tab, open}. */
export function readState(search = location.search) {
  const query = new URLSearchParams(search);
  const image = query.get("img") || "";
  let picture = null;
  if (/^[0-9a-f]{4,32}$/.test(image)) picture = { id: image };
  else if (image.startsWith("upload-")) picture = { upload: image.slice(7) };
  else if (/^https?:\/\//.test(image)) picture = { url: image };
  const region = (query.get("region") || "").split(",").map(Number);
  const isRegion = region.length === 4 && region.every((one) => one >= 0 && one <= 1) && region[2] > 0;
  return {
    words: query.get("q") || "",
    picture,
    region: picture && isRegion ? region : null,
    tab: TABS.some(([name]) => name === query.get("tab")) && (picture || query.get("q")) ? query.get("tab") : "all",
    more: idsOf(query.get("more")),
    less: idsOf(query.get("less")),
    open: query.get("open") || "",
    isAsTyped: query.get("typed") === "1",
  };
}

const idsOf = (text) => (text || "").split(",").filter((one) => /^[0-9a-f]{4,32}$/.test(one));

/** Write a state as an address. */
export function writeState(state) {
  const query = new URLSearchParams();
  if (state.words) query.set("q", state.words);
  const { picture } = state;
  if (picture) query.set("img", picture.id || (picture.upload ? `upload-${picture.upload}` : picture.url));
  if (picture && state.region) query.set("region", state.region.map((one) => one.toFixed(4)).join(","));
  if (state.tab !== "all" && (picture || state.words)) query.set("tab", state.tab);
  if (state.words && state.isAsTyped) query.set("typed", "1");
  for (const name of ["more", "less"]) if (state[name]?.length) query.set(name, state[name].join(","));
  if (state.open) query.set("open", state.open);
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

/** What decides the answer: two states with the same one have the same hits. */
export const searchKey = (state) => writeState({ ...state, open: "" });

const memory = new Map();

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Keep a picture so that back, forward and reload find it; returns its key. */
export async function keepPicture(blob) {
  const key = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
  memory.set(key, blob);
  try {
    const store = (await database()).transaction(STORE, "readwrite").objectStore(STORE);
    await done(store.put(blob, key));
    const keys = await done(store.getAllKeys());
    for (const old of keys.slice(0, Math.max(0, keys.length - MOST_KEPT))) store.delete(old);
  } catch { /* private windows have no database: memory will do */ }
  return key;
}

/** Return a kept picture, or null when this browser no longer has it. */
export async function keptPicture(key) {
  if (memory.has(key)) return memory.get(key);
  try {
    const blob = await done((await database()).transaction(STORE).objectStore(STORE).get(key));
    if (blob) memory.set(key, blob);
    return blob || null;
  } catch {
    return null;
  }
}
