package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// policy allows what the page has: its own style, script, images, forms and events.
	policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// cookieName is the name of the cookie of a user who entered the token.
	cookieName = "ndmon"
	loginPath  = "/login"
	// wrongEach is the time without a wrong token after which one is logged.
	wrongEach = 10 * time.Second
)

// guard answers what needs a login or must not be answered, and adds the headers of all answers.
func (s *server) guard(next http.Handler) http.Handler {
	forms := http.NewCrossOriginProtection()
	forms.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, httpError{http.StatusForbidden, "The form is not one of this page."})
	}))
	checked := forms.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		public := r.URL.Path == "/style.css" || r.URL.Path == "/live.js"
		switch _, ok := s.user(r); {
		case s.secret != "" && r.URL.Path == loginPath:
			s.login(w, r)
		case ok || public:
			next.ServeHTTP(w, r)
		case s.secret != "" && r.Method == http.MethodGet && r.URL.Path != "/live":
			http.Redirect(w, r, loginPath+"?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		default:
			s.fail(w, r, httpError{http.StatusUnauthorized, "The page needs a login."})
		}
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if s.secret == "" && s.cfg.UserHeader == "" && !local(r.Host) {
			s.fail(w, r, httpError{http.StatusMisdirectedRequest, "The page answers only to localhost and to the addresses of loopback."})
			return
		}
		checked.ServeHTTP(w, r)
	})
}

// local reports whether the host of a request is loopback. With another one, a foreign page may have made its own name
// lead here (DNS rebinding).
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// user returns the name of the user, empty if it is not known, and whether the user may use the page.
func (s *server) user(r *http.Request) (name string, ok bool) {
	switch {
	case s.cfg.UserHeader != "":
		values := r.Header.Values(s.cfg.UserHeader)
		if len(values) != 1 || strings.TrimSpace(values[0]) == "" || !utf8.ValidString(values[0]) {
			return "", false
		}
		return strings.TrimSpace(values[0]), true
	case s.secret != "":
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			return "", same(bearer, s.secret)
		}
		cookie, err := r.Cookie(cookieName)
		return "", err == nil && same(cookie.Value, s.session())
	}
	return "", true
}

// same compares two secrets in a time that depends on neither.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// session returns the value of the cookie, from which the token cannot be computed.
func (s *server) session() string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("session of the page of ndmon"))
	return hex.EncodeToString(mac.Sum(nil))
}

// login shows the form for the token, and sets the cookie.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	to := r.FormValue("to")
	// Only a path of this page: browsers take //host and /\host for other hosts.
	if u, err := url.Parse(to); err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		to = "/"
	}
	wrong := false
	if r.Method == http.MethodPost {
		if same(strings.TrimSpace(r.PostFormValue("token")), s.secret) {
			http.SetCookie(w, &http.Cookie{
				Name: cookieName, Value: s.session(), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
				Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
			})
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		wrong = true
		if now := s.now().UnixNano(); now-s.wrong.Swap(now) > int64(wrongEach) { // the metrics count them all
			s.Log.Warn("a wrong token was entered on the page", "from", r.RemoteAddr)
		}
	}
	status := http.StatusOK
	if wrong {
		status = http.StatusForbidden
	}
	s.render(w, r, s.pages[loginPath], status, struct {
		To    string
		Wrong bool
	}{to, wrong})
}

// httpError is an error with the status of its answer. The text is for the user.
type httpError struct {
	status int
	text   string
}

func (e httpError) Error() string { return e.text }

// badRequest returns an error about what the user entered.
func badRequest(format string, args ...any) error {
	return httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// count counts the requests by status.
func (s *server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		s.metrics.requests.WithLabelValues(strconv.Itoa(recorder.status)).Inc()
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader is http.ResponseWriter's.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
