// What the page asks of the server: the routes that every other client uses, and two of the page's own.

import { events } from "./events.js";
import { read, write, t } from "./words.js";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

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

async function sentence(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return t("failed", { message: answer.status });
  }
}

const post = (path, body, signal) =>
  request(path, { method: "POST", body: JSON.stringify(body), signal, headers: { "Content-Type": "application/json" } });

export const about = async () => (await request("ui/about")).json();

/** Whether a key is good, which is then kept. */
export async function tryKey(key) {
  const answer = await fetch("v1/models", { headers: { Authorization: `Bearer ${key}` } });
  if (answer.ok) write("inkwash-key", key);
  return answer.ok;
}

/** {notes, words} of a prompt as it stands. */
export const notes = async (body, signal) => (await post("ui/notes", body, signal)).json();

/** The events of a drawing or an edit, as objects. */
export async function* draw(kind, body, signal) {
  const answer = await post(`v1/images/${kind}`, { ...body, stream: true, progress: true, partial_images: 2 }, signal);
  for await (const event of events(answer)) {
    if (event.type === "error" || event.error) throw new ApiError((event.error ?? event).message, 500);
    yield event;
  }
}

/** The chunks of an answer. */
export async function* chat(body, signal) {
  const answer = await post("v1/chat/completions", { ...body, stream: true, stream_options: { include_usage: true } }, signal);
  for await (const event of events(answer)) {
    if (event.error) throw new ApiError(event.error.message, 500);
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
