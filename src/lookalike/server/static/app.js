// The page: one state in the address bar, one search at a time, everything drawn from both.

import { newest, search, status } from "./api.js";
import { noteAnswer } from "./clicks.js";
import { byId, h, plural } from "./elements.js";
import { offerLabels, showFilters, withoutFilters } from "./filters.js";
import { focusHit, hitOf, markOpen, showHits, shownHits, startGrid } from "./grid.js";
import { showJudged, startJudging } from "./judging.js";
import { closePanel, isPanelOpen, openPanel, startPanel } from "./panel.js";
import { hidePicture, isPictureAddress, loadPicture, showAsked, showPicture, startIntake } from "./picture.js";
import { keepPicture, readState, searchKey, TABS, writeState } from "./state.js";
import { notePast } from "./past.js";
import { closeSuggestions, startSuggestions } from "./suggest.js";
import { showWording } from "./wording.js";

const PAGE = 40;
const words = byId("words");
let state = readState();
let loadedKey = null;
let controller = null;
let following = null;
let total = 0;
let met = 0;
let showing = Promise.resolve();
let isLoading = false;

const isAsking = () => Boolean(state.words || state.picture);

/** Take over a changed state: into the address, then onto the page. */
function go(change, { isReplacing = false } = {}) {
  state = { ...state, ...change };
  const address = writeState(state);
  if (address !== location.pathname + location.search) history[isReplacing ? "replaceState" : "pushState"](null, "", address);
  render();
}

async function render() {
  words.value = state.words;
  byId("clear").hidden = !isAsking();
  document.body.dataset.mode = isAsking() ? "results" : "home";
  document.title = state.words ? `${state.words} – Lookalike` : state.picture ? "Picture search – Lookalike" : "Lookalike";
  showFilters(state.words, changeWords);
  showTabs();
  showJudged(isAsking() ? state : { more: [], less: [] });
  if (loadedKey !== searchKey(state)) await load();
  if (state.open) { openPanel(state.open, hitOf(state.open), { asked: state.picture?.id || null }); markOpen(state.open); }
  else if (isPanelOpen()) { closePanel(); markOpen(""); }
}

const changeWords = (text) => go({ words: text, open: "", more: [], less: [], isAsTyped: false });

function showTabs() {
  const tabs = byId("tabs");
  tabs.hidden = !isAsking();
  if (!isAsking()) { tabs.replaceChildren(); return; }
  const hadFocus = tabs.contains(document.activeElement);
  tabs.replaceChildren(...TABS.map(([name, label]) => h("button", {
    class: "tab", type: "button", role: "tab", "data-tab": name, "aria-controls": "results",
    "aria-selected": state.tab === name ? "true" : "false", tabindex: state.tab === name ? "0" : "-1",
    onclick: () => chooseTab(name),
  }, label)));
  if (hadFocus) tabs.querySelector('[aria-selected="true"]').focus();
}

/** Show another tab; copies are found of whole pictures alone. */
const chooseTab = (tab) => go({ tab, open: "", region: tab === "copies" ? null : state.region });

/** Search for the state from its first page. */
async function load() {
  const key = searchKey(state);
  controller?.abort();
  controller = new AbortController();
  loadedKey = key;
  following = null;
  busy(true);
  byId("empty").hidden = true;
  byId("reading").hidden = byId("wording").hidden = true;
  byId("match").hidden = true;
  try {
    const picture = state.picture && await loadPicture(state.picture);
    if (loadedKey !== key) return;
    if (picture) {
      showing = showPicture(state.picture, picture, state.region, {
        change: changeRegion,
        remove: () => go({ picture: null, region: null, tab: "all", open: "" }),
      }).catch(() => hidePicture());
    } else hidePicture();
    const answer = await page(picture, null, controller.signal);
    if (loadedKey !== key) return;
    window.scrollTo({ top: 0 });
    showAnswer(answer, false);
    showing.then(() => { if (loadedKey === key) showAsked(answer.asked, state.tab, { region: changeRegion, words: searchWords }); });
    if (!answer.hits.length && !following) await showNothing(answer);
  } catch (error) {
    if (error.name === "AbortError" || loadedKey !== key) return;
    showHits([], false);
    if (!state.picture) hidePicture();
    showTitle("");
    showProblem(error);
  } finally {
    if (loadedKey === key) busy(false);
  }
}

const changeRegion = (region) => go({ region, open: "", tab: region && state.tab !== "objects" ? "all" : state.tab });

const searchWords = (words) => go({ words, picture: null, region: null, tab: "all", open: "" });

/** Ask for one page of what the state searches for. */
function page(picture, cursor, signal) {
  if (!isAsking()) return newest(PAGE, cursor, signal);
  return search({ words: state.words, picture, region: state.region, show: state.tab, k: PAGE, cursor, more: state.more, less: state.less, isAsTyped: state.isAsTyped }, signal);
}

function showAnswer(answer, isMore) {
  following = answer.next;
  if (!isMore) noteAnswer(answer);
  met = (isMore ? met : 0) + (answer.reading_met || 0);
  const others = answer.reading ? { from: met, label: `Not known to hold ${answer.reading.join(", ")}` } : null;
  showHits(answer.hits, isMore, { others, tab: state.tab, isConditional: /(^|\s)has:/i.test(state.words) });
  offerLabels(shownHits(), state.words, changeWords);
  showReading(answer);
  showWording(answer, { words: changeWords, asTyped: () => go({ isAsTyped: true, open: "" }) });
  if (!isMore) showMatch(answer);
  total = answer.total ?? shownHits().length;
  const count = shownHits().length;
  const time = answer.timings_ms?.total;
  showTitle(isAsking() || !count ? "" : "Newest pictures");
  byId("count").textContent = !isAsking() ? (count ? plural(total, "picture", "pictures") : "")
    : following ? `${count} of ${plural(total, "picture", "pictures")}`
      : `${plural(count, "picture", "pictures")}${time && !isMore ? ` in ${Math.max(1, Math.round(time))} ms` : ""}`;
  showDegraded(answer.degraded || []);
  if (following) requestAnimationFrame(loadMoreIfNear);
}

/** Say how plain words were read, and offer to search for the words themselves. */
function showReading(answer) {
  const banner = byId("reading");
  banner.hidden = !answer.reading;
  if (!answer.reading) { banner.replaceChildren(); return; }
  const what = answer.reading.join(", ");
  banner.replaceChildren(
    h("p", {}, met ? "Showing pictures with " : "No picture is known to hold ", h("strong", {}, what), met ? " first." : ". These come nearest."),
    h("button", { class: "act small", type: "button", onclick: () => changeWords(answer.words_instead) }, "Search for the words instead"));
}

/** Say where nothing found is a good match; what comes nearest stands below. */
function showMatch(answer) {
  const banner = byId("match");
  banner.hidden = !answer.no_good_match || !answer.hits.length;
  banner.replaceChildren(banner.hidden ? "" : h("p", {}, h("strong", {}, "No good match. "), "What comes nearest:"));
}

function showTitle(text) {
  byId("grid-title").textContent = text;
  byId("grid-title").hidden = !text;
}

function showDegraded(paths) {
  const notice = byId("notice");
  notice.hidden = !paths.length;
  notice.replaceChildren(paths.length ? h("p", {}, h("strong", {}, "This answer is not complete. "), `Left out: ${paths.join("; ")}.`) : "");
}

async function loadMore() {
  if (isLoading || !following) return;
  const key = loadedKey;
  const cursor = following;
  isLoading = true;
  try {
    const picture = state.picture && await loadPicture(state.picture);
    const answer = await page(picture, cursor, controller.signal);
    if (loadedKey === key) showAnswer(answer, true);
  } catch (error) {
    if (error.name !== "AbortError" && loadedKey === key) {
      following = null;
      const notice = byId("notice");
      notice.hidden = false;
      notice.replaceChildren(h("p", {}, `More could not be loaded: ${error.message}`));
    }
  } finally {
    isLoading = false;
  }
  if (loadedKey === key) requestAnimationFrame(loadMoreIfNear);
}

function loadMoreIfNear() {
  if (following && byId("sentinel").getBoundingClientRect().top < window.innerHeight + 900) loadMore();
}

function busy(isBusy) {
  byId("progress").hidden = !isBusy;
  byId("results").setAttribute("aria-busy", String(isBusy));
}

/** Say why there is nothing, and what to do. */
async function showNothing(answer) {
  const holds = await status().then((one) => one.images, () => 1);
  const empty = byId("empty");
  if (!holds) {
    byId("count").textContent = "No pictures yet";
    empty.replaceChildren(h("h2", {}, "No pictures in this index yet"),
      h("p", {}, "Index a folder, and it can be searched at once:"), h("pre", {}, "lookalike index ~/Pictures"),
      h("p", {}, "Or send a picture to ", h("code", {}, "POST /v1/images"), "."));
  } else if (state.tab !== "all") {
    const [title, text, tab, label] = emptyTab(answer);
    empty.replaceChildren(h("h2", {}, title), h("p", {}, text),
      h("button", { class: "act main", type: "button", onclick: () => chooseTab(tab) }, label));
  } else {
    const bare = withoutFilters(state.words);
    const hasFilters = bare !== state.words.replace(/\s+/g, " ").trim();
    empty.replaceChildren(h("h2", {}, "No match"),
      h("p", {}, hasFilters ? "No picture meets all of these filters." : "No picture fits. Other words, or fewer of them, may find some."),
      hasFilters ? h("button", { class: "act main", type: "button", onclick: () => go({ words: bare, open: "" }) }, "Remove the filters") : "");
  }
  empty.hidden = false;
}

/** Return what to say of a tab without hits, and where to go on. */
function emptyTab(answer) {
  const all = ["all", "Show all that was found"];
  if (state.tab === "copies" && state.picture) return ["No copies found", "Nothing in this index is the same picture.", "similar", "Show similar pictures"];
  if (state.tab === "copies") return ["No copies among them", "None of the best matches is in this index more than once.", ...all];
  if (state.tab === "similar") return ["Nothing similar", "Nothing else in this index looks like it.", ...all];
  if (state.tab === "objects") return ["No such object", "Nothing like it was found among the objects in these pictures.", ...all];
  if (!state.picture || state.words) return ["Not written anywhere", "These words can be read in no picture.", ...all];
  return answer.asked?.words.length ? ["Written nowhere else", "No other picture shows the words of this one.", ...all]
    : ["No words in this picture", "Nothing can be read in it, so there is nothing to compare.", ...all];
}

/** Begin a message as a sentence does, unless it begins with a piece of the query. */
const sentence = (text) => (/^[a-z]+[\s,.]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text);

/** The query with what is wrong in it marked, where the answer says so; it counts characters. */
function pointedAt(error) {
  if (!error.place) return [];
  const letters = [...state.words], [begin, end] = error.place;
  const piece = (from, to) => letters.slice(from, to).join("");
  return [h("p", { class: "pointed" }, piece(Math.max(0, begin - 60), begin), h("mark", {}, piece(begin, end)), piece(end, end + 60))];
}

function showProblem(error) {
  byId("count").textContent = error.status === 400 ? "Nothing to show" : "The search failed";
  byId("notice").hidden = true;
  byId("empty").replaceChildren(h("h2", {}, sentence(error.message || "something went wrong")), ...pointedAt(error), error.hint ? h("p", {}, sentence(error.hint)) : "",
    state.tab === "all" ? "" : h("button", { class: "act main", type: "button", onclick: () => chooseTab("all") }, "Show all that was found"),
    state.picture ? h("button", { class: "act", type: "button", onclick: () => go({ picture: null, region: null, open: "" }) }, "Remove the picture") : "",
    error.status >= 400 && error.status < 500 && error.status !== 429 ? ""
      : h("button", { class: "act", type: "button", onclick: () => { loadedKey = null; render(); } }, "Try again"));
  byId("empty").hidden = false;
}

async function takeFile(file) {
  go({ picture: { upload: await keepPicture(file) }, more: [], less: [], region: null, tab: "all", open: "" });
}

const takeImage = (id, tab = "all", region = null) => go({ picture: { id }, region, words: "", tab, open: "", more: [], less: [] });

const takeAddress = (url) => go({ picture: { url }, more: [], less: [], region: null, tab: "all", open: "", words: "" });

function step(by) {
  const hits = shownHits();
  const next = hits[hits.findIndex((hit) => hit.id === state.open) + by];
  if (next) { go({ open: next.id }, { isReplacing: true }); document.querySelector(`[data-id="${next.id}"]`)?.scrollIntoView({ block: "nearest" }); }
}

function closeAndReturn() {
  const id = state.open;
  go({ open: "" });
  focusHit(id);
}

function onKey(event) {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) { event.preventDefault(); words.focus(); words.select(); }
  else if (event.key === "Escape" && isPanelOpen() && !document.querySelector("[popover]:popover-open")) { event.preventDefault(); closeAndReturn(); }
  else if (event.key === "Escape" && isTyping) event.target.blur();
  else if (/^Arrow(Left|Right)$/.test(event.key) && isPanelOpen() && byId("panel").contains(event.target)) { event.preventDefault(); step(event.key === "ArrowRight" ? 1 : -1); }
  else if (/^Arrow(Left|Right)$/.test(event.key) && event.target.classList?.contains("tab")) {
    const at = TABS.findIndex(([name]) => name === state.tab) + (event.key === "ArrowRight" ? 1 : -1);
    chooseTab(TABS[(at + TABS.length) % TABS.length][0]);
    document.querySelector('.tab[aria-selected="true"]')?.focus();
  }
}

function start() {
  startSuggestions();
  startJudging((judged) => go({ ...judged, open: "" }));
  startGrid((id) => go({ open: id }, { isReplacing: isPanelOpen() }), (id) => writeState({ ...state, open: id }));
  startPanel({
    step, close: closeAndReturn, words: searchWords,
    similar: (id) => takeImage(id), copies: (id) => takeImage(id, "copies"), region: (id, box) => takeImage(id, "all", box),
    open: (id) => go({ open: id }, { isReplacing: true }),
  });
  startIntake(takeFile, takeAddress);
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    closeSuggestions();
    const text = words.value.trim();
    if (isPictureAddress(text)) takeAddress(text);
    else { loadedKey = null; notePast(text); go({ words: text, open: "", ...(text === state.words ? {} : { more: [], less: [] }), isAsTyped: state.isAsTyped && text === state.words }); words.blur(); }
  });
  byId("clear").addEventListener("click", () => { go({ words: "", picture: null, region: null, tab: "all", open: "", more: [], less: [] }); words.focus(); });
  byId("brand").addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.button) return;
    event.preventDefault();
    go({ words: "", picture: null, region: null, tab: "all", open: "", more: [], less: [] });
  });
  document.addEventListener("keydown", onKey);
  window.addEventListener("popstate", () => { state = readState(); render(); });
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) loadMore(); }, { rootMargin: "900px 0px" }).observe(byId("sentinel"));
  render();
}

start();
