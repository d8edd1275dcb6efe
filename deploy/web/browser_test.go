package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/ndmon/ndmon/deploy/lab"
	"github.com/ndmon/ndmon/schemas"
)

// browser is a tab of chromium, and what it complained about.
type browser struct {
	*testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// openBrowser starts chromium.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("chromium is left out by -short")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed: apt-get install -y chromium")
		}
		t.Skip("chromium is not installed: apt-get install -y chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{T: t, ctx: ctx}
	must(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *cdplog.EventEntryAdded:
			b.complain(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		case *runtime.EventExceptionThrown:
			b.complain("exception: " + e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			b.complain(fmt.Sprintf("console.%s", e.Type))
		}
	}))
	_, err = chromedp.Call(ctx, cdplog.Enable, cdp.Empty{})
	must(t, err)
	return b
}

func (b *browser) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// said returns the complaints since the last call: errors, and violations of the policy.
func (b *browser) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.complaints
	b.complaints = nil
	return said
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	must(b, chromedp.Do(ctx, actions...))
}

// evaluate returns the value of an expression of JavaScript.
func evaluate[T any](b *browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	must(b, err)
	return value
}

// faults is a check of what can be seen in the document: headings in their order, landmarks, captions and scopes of tables, texts of
// images, labels, the contrast of texts (WCAG 2.1, 1.4.3), and that nothing is wider than the window.
const faults = `(() => {
	const found = [];
	const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible";
	let level = 0;
	for (const h of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
		const now = Number(h.tagName[1]);
		if (now > level + 1) found.push("heading " + h.textContent + " skips a level");
		level = now;
	}
	for (const [what, n] of [["h1", 1], ["main", 1], ["header", 1], ["footer", 1], ["html[lang]", 1], ["title", 1]])
		if (document.querySelectorAll(what).length !== n) found.push("not " + n + " " + what);
	if (document.querySelector(".skip").getAttribute("href") !== "#main") found.push("no skip link");
	for (const t of document.querySelectorAll("table")) {
		if (!t.caption) found.push("a table without a caption");
		for (const th of t.querySelectorAll("th")) if (!th.scope) found.push("th without scope: " + th.textContent);
	}
	for (const i of document.querySelectorAll("img")) if (!i.alt) found.push("img without alt");
	for (const i of document.querySelectorAll("svg[role=img]")) if (!i.getAttribute("aria-label")) found.push("svg without a name");
	for (const c of document.querySelectorAll("input:not([type=hidden],[hidden]),select,textarea")) if (c.labels.length === 0) found.push("no label: " + c.name);
	for (const e of document.querySelectorAll("[style],style,[onclick],script:not([src])")) found.push("inline: " + e.outerHTML);
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
	for (const id of ids) if (ids.filter((other) => other === id).length > 1) found.push("id twice: " + id);
	for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) found.push("no such id: " + e.outerHTML);
	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const back = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((x, y) => y - x); return (x + 0.05) / (y + 0.05); };
	for (const e of document.querySelectorAll("body *")) {
		if (!shown(e)) continue;
		const style = getComputedStyle(e);
		if ([...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) {
			const c = contrast(rgb(e.closest("svg") ? style.fill : style.color), back(e));
			if (c < 4.5) found.push("contrast " + c.toFixed(1) + ": " + e.textContent.trim().slice(0, 40));
		}
		if (e.matches("input:not([type=checkbox]),select,textarea,button") && contrast(rgb(style.borderTopColor), back(e.parentElement)) < 3) found.push("faint border: " + e.outerHTML);
		const box = e.getBoundingClientRect();
		if (box.right > document.documentElement.clientWidth + 1 && !e.closest("thead,svg,.skip")) found.push("too wide: " + e.tagName + " " + e.textContent.trim().slice(0, 40));
	}
	if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push("scrolls sideways: " + document.documentElement.scrollWidth);
	return [...new Set(found)];
})()`

// nameless returns the controls in the accessibility tree that have no name.
func (b *browser) nameless() (list []string) {
	b.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	must(b, err)
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role := strings.Trim(string(n.Role.Value), `"`)
		if slices.Contains([]string{"button", "link", "textbox", "combobox", "checkbox", "image", "img", "region", "navigation"}, role) &&
			(n.Name == nil || strings.Trim(string(n.Name.Value), `"`) == "") {
			list = append(list, "no name: "+role)
		}
	}
	return list
}

// Each page fits narrow and wide windows in both themes, and a check for accessibility finds nothing.
func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	site := full(t)
	list, _ := site.s.model.Alerts()
	g := group{Rule: list[0].Rule, Link: list[0].Link, Station: list[0].Station}
	b.said()
	for _, path := range append(paths(), g.URL()) {
		for _, width := range []int64{360, 1600} {
			for _, theme := range []string{"light", "dark"} {
				_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
				must(t, err)
				b.run(chromedp.EmulateViewport(width, 900), chromedp.Navigate(site.url+path), chromedp.WaitReady(chromedp.CSS("footer")))
				found := append(evaluate[[]string](b, faults), b.nameless()...)
				if found = append(found, b.said()...); len(found) > 0 {
					t.Errorf("%s, %d px, %s:\n%s", path, width, theme, strings.Join(found, "\n"))
				}
			}
		}
	}
}

// The check finds what it is for.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	url, js := startNATS(t)
	site := startSite(t, url, js)
	b.run(chromedp.EmulateViewport(360, 900), chromedp.Navigate(site.url+"/why"), chromedp.WaitReady(chromedp.CSS("footer")))
	evaluate[bool](b, `document.querySelector("main").innerHTML += "<h4>x</h4><button></button><input name=n><img src=none><table><tr><th>h</th></tr></table><p style='color:red'>s</p><p id=faint>faint</p>" +
		"<p id=wide>" + "wide&nbsp;".repeat(50) + "</p>"; faint.style.color = "#999"; wide.style.whiteSpace = "nowrap"; console.log("x"); true`)
	found := strings.Join(append(evaluate[[]string](b, faults), b.nameless()...), "\n")
	for _, want := range []string{"heading x skips", "no label: n", "img without alt", "table without a caption", "th without scope", "inline: <p style", "contrast", "scrolls sideways", "no name: button"} {
		if !strings.Contains(found, want) {
			t.Errorf("it does not find %q:\n%s", want, found)
		}
	}
	said := strings.Join(b.said(), "\n")
	for _, want := range []string{"Content Security Policy", "404", "console.log"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not hear %q:\n%s", want, said)
		}
	}
}

// The images of the charts are drawn.
func TestChartsInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	site := full(t)
	lab.Eventually(t, "a rate is known", func() bool { return len(site.s.model.Rate("r1"+hostile, "eth1")) > 0 })
	for _, path := range []string{"/", "/links"} {
		b.run(chromedp.Navigate(site.url+path), chromedp.WaitReady(chromedp.CSS("img")))
		lab.Eventually(t, path+": the image is drawn", func() bool {
			return evaluate[bool](b, `[...document.images].every((i) => i.complete && i.naturalWidth > 0)`)
		})
		if said := b.said(); len(said) > 0 {
			t.Errorf("%s: %v", path, said)
		}
	}
}

// What is new appears without a reload, and the focus stays.
func TestLiveInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	url, js := startNATS(t)
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("first", schemas.Warning, "r1", 1) })
	site := startSite(t, url, js)
	lab.Eventually(t, "the alert is read", func() bool { list, _ := site.s.model.Alerts(); return len(list) == 1 })
	b.run(chromedp.Navigate(site.url), chromedp.WaitReady(chromedp.CSS(`th a`)))
	lab.Eventually(t, "it is live", func() bool {
		return strings.Contains(evaluate[string](b, `document.getElementById("live").textContent`), "kept up to date")
	})
	evaluate[bool](b, `window.loaded = 1; document.querySelector("th a").focus(); true`)
	storeAlerts(t, js, 1, func(int) schemas.Alert {
		a := simple("second", schemas.Critical, "r1", 2)
		a.Summary = hostile
		return a
	})
	lab.Eventually(t, "the new alert is shown", func() bool {
		return strings.Contains(evaluate[string](b, `document.querySelector("[data-live=now]").textContent`), "second")
	})
	if got := evaluate[string](b, `[window.loaded, document.activeElement.textContent].join(" ")`); got != "1 first" {
		t.Errorf("the page was loaded again, or the focus moved: %s", got)
	}
	if said := b.said(); len(said) > 0 {
		t.Error(said)
	}
}

// A group is silenced by keyboard alone.
func TestKeyboardInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	url, js := startNATS(t)
	storeAlerts(t, js, 1, func(int) schemas.Alert { return simple("a", schemas.Warning, "r1", 1) })
	site := startSite(t, url, js)
	lab.Eventually(t, "the alert is read", func() bool { list, _ := site.s.model.Alerts(); return len(list) == 1 })
	b.run(chromedp.Navigate(site.url), chromedp.WaitReady(chromedp.CSS(`th a`)))
	tab := func(to string) {
		t.Helper()
		lab.Eventually(t, "the page is loaded", func() bool { return evaluate[bool](b, `document.readyState === "complete"`) })
		for range 60 {
			b.run(chromedp.KeyEvent(kb.Tab))
			if evaluate[bool](b, fmt.Sprintf(`document.activeElement.matches(%q)`, to)) {
				if !evaluate[bool](b, `parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`) {
					t.Errorf("the focus on %s is not visible", to)
				}
				return
			}
		}
		t.Fatalf("%s is not reached by keyboard", to)
	}
	tab(".skip")
	b.run(chromedp.KeyEvent(kb.Enter))
	tab("th a")
	b.run(chromedp.KeyEvent(kb.Enter), chromedp.WaitReady(chromedp.CSS(`input[name=reason]`)))
	tab("input[name=reason]")
	b.run(chromedp.KeyEvent("it is mine"))
	tab("input[name=who]")
	b.run(chromedp.KeyEvent("ann"))
	tab("button[value=silenced]")
	b.run(chromedp.KeyEvent(kb.Enter), chromedp.WaitReady(chromedp.CSS(`form[action="/unsilence"]`)))
	if text := evaluate[string](b, `document.querySelector("main").textContent`); !strings.Contains(text, "Silenced by ann at") || !strings.Contains(text, "it is mine") {
		t.Errorf("the silence is not shown: %s", text)
	}
	if said := b.said(); len(said) > 0 {
		t.Error(said)
	}
}

// The token is entered once, by keyboard, and no script can read the cookie.
func TestLoginInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	url, js := startNATS(t)
	site := startSite(t, url, js, func(_ *Config, secret *string) { *secret = token })
	for _, width := range []int64{360, 1600} {
		b.run(chromedp.EmulateViewport(width, 900), chromedp.Navigate(site.url+"/rules"), chromedp.WaitReady(chromedp.CSS("input[name=token]")))
		if found := append(append(evaluate[[]string](b, faults), b.nameless()...), b.said()...); len(found) > 0 {
			t.Errorf("%d px:\n%s", width, strings.Join(found, "\n"))
		}
	}
	evaluate[bool](b, `document.querySelector("input[name=token]").focus(); true`)
	b.run(chromedp.KeyEvent(token+kb.Enter), chromedp.WaitReady(chromedp.CSS("[data-live=rules]")))
	if at := evaluate[string](b, `location.pathname + document.cookie`); at != "/rules" {
		t.Errorf("the login led to %s", at)
	}
	lab.Eventually(t, "it is live", func() bool {
		return strings.Contains(evaluate[string](b, `document.getElementById("live").textContent`), "kept up to date")
	})
	if said := b.said(); len(said) > 0 {
		t.Error(said)
	}
}

// All can be read without JavaScript.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	site := full(t)
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(t, err)
	b.run(chromedp.Navigate(site.url), chromedp.WaitReady(chromedp.CSS("footer")))
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("main")))
	must(t, err)
	if !strings.Contains(text, "rogue-router") || !strings.Contains(text, "3 warning") {
		t.Errorf("the page has no alerts: %s", text)
	}
	b.run(chromedp.Click(chromedp.CSS("nav li:nth-child(3) a")), chromedp.WaitReady(chromedp.CSS("caption")))
	if text, err = chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("main"))); err != nil || !strings.Contains(text, "2001:db8::2") {
		t.Errorf("the page has no neighbours: %s, %v", text, err)
	}
	if said := b.said(); len(said) > 0 {
		t.Error(said)
	}
}
