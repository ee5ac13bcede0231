// Keeps the page up to date: the server sends the sections that have changed, and they take the place of the old ones node by
// node, so that focus, selection, places of scrolling and open details stay. Without it the page reloads itself.
'use strict';
(() => {
  const link = document.getElementById('link');
  const pause = document.getElementById('pause');
  // The server says something every second.
  const SILENCE_MAX = 4000;
  const AGAIN = 5000;
  let source;
  let heard = Date.now();

  const say = (state, text) => {
    if (link.textContent === text) return;
    link.className = state;
    link.textContent = text;
  };

  const become = (from, to) => {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && name !== 'open') from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    becomeInside(from, to);
  };
  // Elements of one kind are one and the same; those that are only in between come or go.
  const fits = (have, node) =>
    have.nodeName === node.nodeName && have.getAttribute?.('class') === node.getAttribute?.('class');
  const becomeInside = (from, to) => {
    let at = from.firstChild;
    const pass = (until) => {
      while (at !== until) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
    };
    for (const node of [...to.childNodes]) {
      const isElement = node.nodeType === Node.ELEMENT_NODE;
      let have = at;
      while (have && !fits(have, node)) have = isElement ? have.nextSibling : null;
      if (!have) {
        from.insertBefore(node, at);
        continue;
      }
      pass(have);
      at = have.nextSibling;
      if (isElement) become(have, node);
      else if (have.data !== node.data) have.data = node.data;
    }
    pass(null);
  };

  const show = ({ data }) => {
    heard = Date.now();
    say('good', 'live');
    for (const [id, html] of Object.entries(JSON.parse(data).sections)) {
      const section = document.getElementById(id);
      const fresh = new DOMParser().parseFromString(html, 'text/html').body;
      if (section) becomeInside(section, fresh);
    }
    const state = document.querySelector('#summary .state');
    if (state) document.title = `${document.querySelector('h1').textContent}: ${state.textContent}`;
  };

  const open = () => {
    source = new EventSource(`events${location.search}`);
    source.onmessage = show;
    source.onerror = () => {
      // A stream that ends is opened again by the browser; one that was refused is not.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => pause.ariaPressed !== 'true' && open(), AGAIN);
    };
  };

  pause.hidden = false;
  pause.ariaPressed = 'false';
  pause.addEventListener('click', () => {
    const paused = pause.ariaPressed !== 'true';
    pause.ariaPressed = String(paused);
    source.close();
    if (paused) {
      say('warning', 'paused');
    } else {
      heard = Date.now();
      open();
    }
  });
  setInterval(() => {
    if (pause.ariaPressed !== 'true' && Date.now() - heard > SILENCE_MAX) {
      const since = new Date(heard).toLocaleTimeString();
      say('bad', `no answer since ${since}; what you see may be old`);
    }
  }, 1000);
  open();
})();
