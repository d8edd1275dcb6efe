// Replaces the parts of the page that have changed by what the server sends. Without it, the page is as it was loaded.
"use strict";
(() => {
	const main = document.querySelector("main[data-events]");
	if (!main || !window.EventSource) {
		return;
	}
	const state = document.getElementById("live");
	const controls = "a[href], button, input, select, textarea, [tabindex]";
	// What is used at the moment is replaced later: a text that is being selected.
	const selecting = (part) => {
		const selection = document.getSelection();
		return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
	};
	// name says which control has the focus, so that its successor gets it.
	const name = (control) => control.id || control.getAttribute("href") || control.name;
	const replace = (part, html) => {
		const focused = part.contains(document.activeElement) ? document.activeElement : null;
		const before = focused && name(focused);
		const at = focused && [...part.querySelectorAll(controls)].indexOf(focused);
		part.innerHTML = html;
		if (focused) {
			const all = [...part.querySelectorAll(controls)];
			const next = all.find((control) => name(control) === before) || all[Math.min(at, all.length - 1)];
			if (next) {
				next.focus({ preventScroll: true });
			}
		}
	};
	const waiting = new Map();
	let source = null;
	const close = () => {
		if (source) {
			source.close();
			source = null;
		}
	};
	// Browsers have few connections to a server: a page that is not seen needs none.
	const open = () => {
		close();
		if (document.hidden) {
			return;
		}
		source = new EventSource(main.dataset.events);
		for (const part of document.querySelectorAll("[data-live]")) {
			source.addEventListener(part.dataset.live, (event) => {
				waiting.delete(part);
				if (selecting(part)) {
					waiting.set(part, event.data);
				} else {
					replace(part, event.data);
				}
			});
		}
		source.onopen = () => { state.textContent = "It is kept up to date."; };
		source.onerror = () => { state.textContent = "The connection is lost: it is out of date."; };
	};
	document.addEventListener("visibilitychange", open);
	document.addEventListener("selectionchange", () => {
		for (const [part, html] of waiting) {
			if (!selecting(part)) {
				waiting.delete(part);
				replace(part, html);
			}
		}
	});
	window.addEventListener("pagehide", close);
	window.addEventListener("pageshow", open); // also when the browser kept the page
})();
