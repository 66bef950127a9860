// The server of the page: whether it answers, and what it is told of its answers.

// Asks every three seconds, as long as the element is on the page. `heard` is told that it answers, at first and after a
// time in which it did not, and while it does not. Another server than before takes what was kept: the page is loaded
// again.
export function meet(element, heard) {
  let [known, answered] = [null, false];
  async function ask() {
    if (!element.isConnected) return;
    try {
      const answer = await fetch(new URL('gradio_api/app_id', document.baseURI), { cache: 'no-store' });
      const { app_id: id } = await answer.json();
      if (known !== null && id !== known) location.reload();
      if (!answered) heard(true);
      [known, answered] = [id, true];
    } catch {
      answered = false;
      heard(false);
    }
    setTimeout(ask, 3000);
  }
  ask();
}

// Tells it that an answer is on the screen, so that it sends no more than can be shown. sent: [line, number].
export function tellShown(sent) {
  const url = new URL('gradio_api/seen', document.baseURI);
  url.search = new URLSearchParams({ line: sent[0], number: sent[1] });
  requestAnimationFrame(() => fetch(url, { method: 'POST' }).catch(() => {}));
}
