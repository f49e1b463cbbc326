// Searches made in this browser: kept here alone, never sent anywhere, and only while that is wanted.

const KEY = "lookalike.past";
const SWITCH = "lookalike.past.off";
const MOST_KEPT = 300;
const MOST_SHOWN = 3;

function read() {
  try { return JSON.parse(localStorage.getItem(KEY) || "{}"); } catch { return {}; }
}

export function isRemembering() {
  try { return !localStorage.getItem(SWITCH); } catch { return false; }
}

export function forgetPast() {
  try { localStorage.removeItem(KEY); } catch { /* there is nothing to forget then */ }
}

/** Switch remembering on or off; off forgets what there is. */
export function remember(isOn) {
  try {
    if (isOn) localStorage.removeItem(SWITCH);
    else { localStorage.setItem(SWITCH, "1"); forgetPast(); }
  } catch { /* a browser without storage remembers nothing */ }
}

/** Note a search that was asked for; the oldest give way. */
export function notePast(text) {
  const line = text.trim().replace(/\s+/g, " ");
  if (line.length < 2 || line.length > 200 || !isRemembering()) return;
  const past = read();
  past[line] = { count: (past[line]?.count || 0) + 1, at: Date.now() };
  const kept = Object.entries(past).sort(([, a], [, b]) => b.at - a.at).slice(0, MOST_KEPT);
  try { localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(kept))); } catch { /* storage is full or closed */ }
}

/** Return past searches that begin as a text does, the most frequent first. */
export function pastQueries(text) {
  const prefix = text.toLowerCase();
  return Object.entries(read())
    .filter(([line]) => line.toLowerCase().startsWith(prefix) && line !== text)
    .sort(([, a], [, b]) => b.count - a.count || b.at - a.at)
    .slice(0, MOST_SHOWN)
    .map(([line, { count }]) => ({ text: line, kind: "past", count }));
}
