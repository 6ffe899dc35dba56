// Works without a network: sw.js stores the page; this says how far that has come.

/** Resolves when the service worker answers this page's requests, or there can't be one; true or false. */
export async function stored() {
  if (!navigator.serviceWorker) return false;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
  } catch {
    return false; // a private window, or no space left
  }
  if (navigator.serviceWorker.controller) return true;
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true });
  });
}

export const SAID = {
  waiting: "Storing the page on this device ...",
  true: "The page is stored on this device and works offline.",
  false: "This browser doesn't store the page (a private window, or not https): it needs the network each time.",
};
