const margin = 8;
// Long enough to move the pointer from the term to its explanation.
const grace = 200;

/**
 * Gives each `.term` the explanation in its `data-tip`: while the pointer is over it, while it has the focus, and when it
 * is tapped. Escape closes it, and so does a tap elsewhere.
 *
 * @param {HTMLElement} root
 */
export function explainTerms(root) {
  const tips = document.createElement('div');
  root.append(tips);
  let closeOpen = () => {};
  let placeOpen = () => {};
  for (const [index, term] of Array.from(root.querySelectorAll('.term')).entries()) {
    const tip = document.createElement('div');
    Object.assign(tip, { id: `tip-${index}`, className: 'tip', hidden: true, textContent: term.dataset.tip });
    tip.setAttribute('role', 'tooltip');
    // Read as the description of the button, shown or not.
    term.setAttribute('aria-describedby', tip.id);
    tips.append(tip);
    let timer;

    const close = () => {
      clearTimeout(timer);
      tip.hidden = true;
    };
    const open = () => {
      closeOpen();
      closeOpen = close;
      clearTimeout(timer);
      tip.hidden = false;
      placeOpen = () => place(tip, term.getBoundingClientRect());
      placeOpen();
    };
    const closeSoon = () => {
      timer = setTimeout(() => {
        if (document.activeElement !== term) close();
      }, grace);
    };
    term.addEventListener('focus', open);
    term.addEventListener('blur', close);
    // Not every browser gives a button the focus when it is tapped.
    term.addEventListener('click', open);
    for (const part of [term, tip]) {
      part.addEventListener('pointerenter', ({ pointerType }) => {
        if (pointerType !== 'mouse') return;
        if (part === term) open();
        else clearTimeout(timer);
      });
      part.addEventListener('pointerleave', ({ pointerType }) => {
        if (pointerType === 'mouse') closeSoon();
      });
    }
  }
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') closeOpen();
  });
  document.addEventListener('pointerdown', ({ target }) => {
    if (!target.closest('.term, .tip')) closeOpen();
  });
  // The focus scrolls to a term, and is there before.
  document.addEventListener('scroll', () => placeOpen(), { capture: true, passive: true });
}

/** Below the term, or above it where there is no room, and never past an edge of the window. */
function place(tip, { left, top, bottom }) {
  const { clientWidth, clientHeight } = document.documentElement;
  const { width, height } = tip.getBoundingClientRect();
  const below = bottom + margin;
  tip.style.left = `${Math.max(margin, Math.min(left, clientWidth - width - margin))}px`;
  tip.style.top = `${below + height + margin <= clientHeight ? below : Math.max(margin, top - height - margin)}px`;
}
