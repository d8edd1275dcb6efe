package web

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const token = "0123456789abcdef"

// Who may use the page, by its configuration.
func TestGuard(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	open := startSite(t, url, js)
	withToken := startSite(t, url, js, func(_ *Config, secret *string) { *secret = token })
	withHeader := startSite(t, url, js, func(c *Config, _ *string) { c.UserHeader = "X-Remote-User" })
	cookie := func(value string) func(*http.Request) { return header("Cookie", cookieName+"="+value) }
	for _, tc := range []struct {
		site   *site
		path   string
		status int
		edit   []func(*http.Request)
	}{
		{open, "/", 200, nil},
		{open, "/", 200, []func(*http.Request){header("Host", "localhost:8080")}},
		{open, "/", 200, []func(*http.Request){header("Host", "[::1]:8080")}},
		{open, "/", 200, []func(*http.Request){header("Host", "127.1.2.3")}},
		{open, "/", 421, []func(*http.Request){header("Host", "attacker.example")}},
		{open, "/style.css", 421, []func(*http.Request){header("Host", "localhost.attacker.example")}},
		{open, "/live?page=/", 421, []func(*http.Request){header("Host", "attacker.example:8080")}},
		{open, "/nothing", 404, nil},
		{open, "/login", 404, nil},
		{open, "/alerts/0", 404, nil},
		{open, "/alerts/18446744073709551616", 404, nil},
		{open, "/addresses/192.0.2.1", 400, nil},
		{open, "/addresses/fe80::1%25eth0", 400, nil},
		{open, "/stations/x", 400, nil},
		{open, "/group", 400, nil},
		{open, "/group?rule=x&station=y", 400, nil},
		{open, "/neighbours?what=192.0.2.1", 400, nil},
		{open, "/neighbours?since=yesterday", 400, nil},
		{open, "/why?alert=x", 400, nil},
		{open, "/live?page=/why", 404, nil},
		{open, "/live?page=%00", 400, nil},
		{open, "/live?page=:", 400, nil},
		{open, "/charts/frames.svg?host=x", 404, nil},
		{open, "/?page=99999999999999999999", 200, nil},
		{open, "/?page=-1&severity=%ff", 200, nil},
		{withToken, "/", 303, nil},
		{withToken, "/live?page=/", 401, nil},
		{withToken, "/style.css", 200, nil},
		{withToken, "/login?to=/links", 200, nil},
		{withToken, "/", 200, []func(*http.Request){header("Host", "router.example"), header("Authorization", "Bearer "+token)}},
		{withToken, "/", 303, []func(*http.Request){header("Authorization", "Bearer "+token+"0")}},
		{withToken, "/", 303, []func(*http.Request){cookie(token)}},
		{withToken, "/", 200, []func(*http.Request){cookie(withToken.s.session())}},
		{withHeader, "/", 401, nil},
		{withHeader, "/", 401, []func(*http.Request){header("X-Remote-User", " ")}},
		{withHeader, "/", 401, []func(*http.Request){func(r *http.Request) { r.Header["X-Remote-User"] = []string{"a", "b"} }}},
		{withHeader, "/", 200, []func(*http.Request){header("X-Remote-User", "ann"), header("Host", "router.example")}},
	} {
		answer, body := tc.site.get(tc.path, tc.edit...)
		if answer.StatusCode != tc.status || answer.Header.Get("Content-Security-Policy") == "" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %v, want %d\n%s", tc.path, answer.Status, answer.Header, tc.status, body)
		}
	}
	if _, body := withHeader.get("/", header("X-Remote-User", "ann<img>")); !strings.Contains(body, "You are ann&lt;img") {
		t.Errorf("the user's name is shown as it is:\n%s", body)
	}
}

// A form counts only if it is one of the page.
func TestForms(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	site := startSite(t, url, js)
	for _, path := range []string{"/silence", "/unsilence", "/find", "/why"} {
		for _, from := range []string{"cross-site", "same-site"} {
			if answer, _ := site.post(path, "", header("Sec-Fetch-Site", from)); answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s from %s: %s", path, from, answer.Status)
			}
		}
		if answer, _ := site.post(path, "", header("Sec-Fetch-Site", ""), header("Origin", "http://attacker.example")); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s of another origin: %s", path, answer.Status)
		}
		if answer, _ := site.post(path, "%zz"); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s with what is no form: %s", path, answer.Status)
		}
	}
	if answer, _ := site.post("/why", "frame="+strings.Repeat("00", maxBody)); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a form that is too large: %s", answer.Status)
	}
	for form, want := range map[string]string{
		"rule=r&host=h&interface=i&for=8h&kind=silenced":                                    "Enter a reason",
		"rule=r&host=h&interface=i&for=8h&kind=other&reason=x":                              "neither",
		"rule=r&host=h&interface=i&for=-8h&kind=silenced&reason=x":                          "no time",
		"rule=r&host=h&interface=i&for=9000h&kind=silenced&reason=x":                        "90 days",
		"rule=&host=h&interface=i&for=8h&kind=silenced&reason=x":                            "no rule",
		"rule=r&host=h&interface=i&for=8h&kind=silenced&reason=x&station=y":                 "no Ethernet address",
		"rule=r&host=h&interface=i&for=8h&kind=silenced&reason=%ff":                         "not UTF-8",
		"rule=r&host=h&interface=i&for=8h&kind=silenced&reason=" + strings.Repeat("x", 401): "400 bytes",
	} {
		if answer, body := site.post("/silence", form); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s\n%s", form, answer.Status, want, body)
		}
	}
	if answer, _ := site.post("/find", "address=fe80::1"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("find a link-local address: %s", answer.Status)
	}
}

// The token is entered once.
func TestLogin(t *testing.T) {
	t.Parallel()
	url, js := startNATS(t)
	site := startSite(t, url, js, func(_ *Config, secret *string) { *secret = token })
	answer, _ := site.get("/links?host=r1")
	if got := answer.Header.Get("Location"); got != "/login?to=%2Flinks%3Fhost%3Dr1" {
		t.Errorf("led to %q", got)
	}
	if answer, body := site.post("/login", "token=wrong"); answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 || !strings.Contains(body, "not the token") {
		t.Errorf("a wrong token: %s %v", answer.Status, answer.Cookies())
	}
	if answer, _ := site.post("/login", "token="+token, header("Sec-Fetch-Site", "cross-site")); answer.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %s", answer.Status)
	}
	for to, want := range map[string]string{
		"/links?host=r1": "/links?host=r1", "": "/", "https://attacker.example/": "/", "//attacker.example": "/", `/\attacker.example`: "/", "links": "/",
	} {
		answer, _ := site.post("/login", "token="+token+"&to="+to)
		if got := answer.Header.Get("Location"); got != want || answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%q: %s to %q", to, answer.Status, got)
		}
		cookies := answer.Cookies()
		if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Value == token {
			t.Errorf("the cookie: %v", cookies)
		}
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	good, short := filepath.Join(dir, "good"), filepath.Join(dir, "short")
	must(t, os.WriteFile(good, []byte(token+"\n"), 0o600))
	must(t, os.WriteFile(short, []byte("short\n"), 0o600))
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "127.0.0.1:8080"}, ""},
		{Config{Listen: "localhost:0"}, ""},
		{Config{Listen: "[::1]:1"}, ""},
		{Config{Listen: ":8080", TokenFile: good}, ""},
		{Config{Listen: "0.0.0.0:8080", UserHeader: "X-Remote-User"}, ""},
		{Config{Listen: "8080"}, "--listen: \"8080\" is not an address"},
		{Config{Listen: ":8080"}, "--listen: other hosts reach :8080: that needs TOKEN or HEADER"},
		{Config{Listen: "router.example:8080"}, "other hosts reach router.example:8080"},
		{Config{Listen: ":1", TokenFile: good, UserHeader: "X"}, "TOKEN, HEADER: only one of them"},
		{Config{Listen: ":1", TokenFile: short}, "has 5 characters, it needs 16"},
		{Config{Listen: ":1", TokenFile: dir + "/none"}, "TOKEN: open"},
		{Config{Listen: ":1", UserHeader: "a:b"}, `HEADER: "a:b" is not the name`},
	} {
		secret, err := tc.cfg.check("--listen", "TOKEN", "HEADER")
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) || (secret == token) != (err == nil && tc.cfg.TokenFile == good) {
			t.Errorf("%+v: %q, %v, want %q", tc.cfg, secret, err, tc.want)
		}
	}
}
