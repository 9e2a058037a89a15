// The history: pictures with their settings, kept by this browser (IndexedDB), the oldest dropped beyond a number.

const KEPT = 400;
let opened = null;
const memory = []; // where the browser keeps nothing

function database() {
  opened ??= new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open("inkwash", 1);
    } catch {
      resolve(null);
      return;
    }
    request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
  return opened;
}

function within(mode, act) {
  return database().then(
    (base) =>
      new Promise((resolve, reject) => {
        const transaction = base.transaction("pictures", mode);
        const request = act(transaction.objectStore("pictures"));
        transaction.oncomplete = () => resolve(request?.result);
        transaction.onerror = transaction.onabort = () => reject(transaction.error);
      }),
  );
}

/** Keep one picture: {blob, prompt, kind, settings, at}. */
export async function keep(entry) {
  if ((await database()) === null) {
    memory.push({ ...entry, id: memory.length + 1 });
    return;
  }
  await within("readwrite", (store) => store.add(entry));
  const keys = await within("readonly", (store) => store.getAllKeys());
  if (keys.length > KEPT) await within("readwrite", (store) => store.delete(IDBKeyRange.upperBound(keys[keys.length - KEPT - 1])));
}

/** All of them, the newest first. */
export async function all() {
  const found = (await database()) === null ? [...memory] : await within("readonly", (store) => store.getAll());
  return found.reverse();
}

export async function remove(id) {
  if ((await database()) === null) memory.splice(memory.findIndex((entry) => entry.id === id), 1);
  else await within("readwrite", (store) => store.delete(id));
}

export async function forget() {
  if ((await database()) === null) memory.length = 0;
  else await within("readwrite", (store) => store.clear());
}
