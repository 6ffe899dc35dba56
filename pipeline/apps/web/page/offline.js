// Works without a network: sw.js stores the page; this says whether it does.

/** Resolves when the service worker has stored the page, or it is known that it won't; true or false. */
export async function stored() {
  if (!navigator.serviceWorker) return false; // not https
  try {
    const { active, installing, waiting } = await navigator.serviceWorker.register("sw.js");
    await activated(active ?? waiting ?? installing);
    return true;
  } catch {
    return false; // a private window, no space left, a file that the server lacks
  }
}

function activated(worker) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("the service worker could not store the page"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

export const SAID = {
  waiting: "Storing the page on this device ...",
  true: "The page is stored on this device and works offline.",
  false: "The page is not stored on this device (a private window, no https, no space): it needs the network each time.",
};
