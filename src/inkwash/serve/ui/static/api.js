// What the page asks of the server: the routes that every other client uses, and those of the page's own.

import { events } from "./events.js";
import { language, read, write, t } from "./words.js";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const KNOWN = new Set(["queue_full", "rate_limit_exceeded", "concurrency_limit_exceeded", "deadline_exceeded", "invalid_image", "image_too_large", "request_too_large", "size", "draining"]);
let askForKey = null;

/** `ask` shows a dialog and promises that a key was given. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

const headers = () => {
  const key = read("inkwash-key");
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("lost"), 0);
  }
  if (answer.status === 401 && askForKey) {
    await askForKey();
    return request(path, options);
  }
  if (!answer.ok) throw new ApiError(await sentence(answer), answer.status);
  return answer;
}

/** The server's own sentence; where the page speaks another language, that of its code. */
function worded({ message, code, param }) {
  const named = code === "invalid_value" && param === "size" ? "size" : code;
  return language() === "en" ? message : t(KNOWN.has(named) ? `error_${named}` : "failed", { message });
}

async function sentence(answer) {
  try {
    return worded((await answer.json()).error);
  } catch {
    return t("failed", { message: answer.status });
  }
}

const post = (path, body, signal) =>
  request(path, { method: "POST", body: JSON.stringify(body), signal, headers: { "Content-Type": "application/json" } });

/** About the server and the model of a name, or its first. */
export const about = async (model = "") => (await request(`ui/about${model && `?model=${encodeURIComponent(model)}`}`)).json();

/** Whether a key is good, which is then kept. */
export async function tryKey(key) {
  const answer = await fetch("v1/models", { headers: { Authorization: `Bearer ${key}` } });
  if (answer.ok) write("inkwash-key", key);
  return answer.ok;
}

/** {notes, words} of a prompt as it stands. */
export const notes = async (body, signal) => (await post("ui/notes", body, signal)).json();

/** {read, wanted, right} of a picture. */
export const readWords = async (body) => (await post("ui/words", body)).json();

/** The events of a drawing or an edit, as objects. */
export async function* draw(kind, body, signal) {
  const answer = await post(`v1/images/${kind}`, { ...body, stream: true, progress: true, partial_images: 2 }, signal);
  for await (const event of events(answer)) {
    if (event.type === "error" || event.error) throw new ApiError(worded(event.error ?? event), 500);
    yield event;
  }
}

/** The chunks of an answer. */
export async function* chat(body, signal) {
  const answer = await post("v1/chat/completions", { ...body, stream: true, stream_options: { include_usage: true } }, signal);
  for await (const event of events(answer)) {
    if (event.error) throw new ApiError(worded(event.error), 500);
    yield event;
  }
}

// -- agents in a browser of the server --------------------------------------------------------------------------------

export const beginRun = async (body) => (await post("v1/agent/runs", body)).json();
export const findRun = async (id) => (await request(`v1/agent/runs/${id}`)).json();
export const answerRun = (id, question, allow) => post(`v1/agent/runs/${id}/confirm`, { question, allow });
export const stopRun = (id) => post(`v1/agent/runs/${id}/stop`, {});

/** The events of a run from number `first` on. */
export async function* watchRun(id, first, signal) {
  yield* events(await request(`v1/agent/runs/${id}/events?first=${first}`, { signal }));
}

/** The picture of a step, with its act drawn where there is one; a picture needs the key, too. */
export const pictureOfRun = async (id, step) => (await request(`v1/agent/runs/${id}/steps/${step}.png`)).blob();
