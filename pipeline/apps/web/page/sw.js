// The service worker: it stores the page, the runtime and the first model when the page is opened first, other models and
// examples when they are first used, and answers from its store ever after. A page that was built anew has another version, which
// replaces the store when the page is next loaded.

importScripts("files.js"); // VERSION and FILES, written by the build

const STORE = `bigfoot ${registration.scope}`;
const NAME = `${STORE} ${VERSION}`;

addEventListener("install", (event) => {
  skipWaiting();
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(NAME).then((store) => store.addAll(requests)));
});

addEventListener("activate", (event) => {
  event.waitUntil(cleared().then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(registration.scope)) event.respondWith(answer(request));
});

async function cleared() {
  const old = (await caches.keys()).filter((name) => name.startsWith(`${STORE} `) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(request) {
  const store = await caches.open(NAME);
  const stored = await store.match(request, { ignoreSearch: true });
  if (stored) return stored;
  const response = await fetch(request);
  if (response.ok) {
    try {
      await store.put(request, response.clone());
    } catch {
      // The browser's space is used up: what was fetched is used all the same.
    }
  }
  return response;
}
