package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
)

const (
	// requestTimeout is the time for a request, with its answer.
	requestTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer, which an error shows.
	maxAnswer = 512
)

// poster posts requests to one URL.
type poster struct {
	client  http.Client
	url     string
	headers http.Header
}

func newPoster(u *url.URL, secure *tls.Config, p *parameters) (*poster, error) {
	headers := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"ndmon"}}
	for _, header := range p.all("header") {
		name, value, ok := strings.Cut(header, ":")
		if !ok {
			return nil, errors.New("header: is not NAME: VALUE")
		}
		headers.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return &poster{
		client: http.Client{
			Timeout:   requestTimeout,
			Transport: &http.Transport{TLSClientConfig: secure, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute},
			// With most redirects, the client would get the page without posting anything there.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url: u.String(), headers: headers,
	}, nil
}

// post posts a body, with an id by which the receiver may recognise it when it comes again. Without one it is empty.
func (p *poster) post(ctx context.Context, body []byte, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = p.headers.Clone()
	if id != "" {
		request.Header.Set("Idempotency-Key", id)
	}
	answer, err := p.client.Do(request)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // its URL may have a secret
		}
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return statusError(answer, alerts.Printable(strings.TrimSpace(string(text))))
}

// statusError returns the error that a status stands for. Only the statuses about the content of a request refuse an alert: others,
// such as those of a wrong token, are about all alerts, and waiting loses none.
func statusError(answer *http.Response, text string) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err := fmt.Errorf("status %s: %s", answer.Status, text)
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return refusedError{err}
	}
	later := laterError{error: err, busy: answer.StatusCode == http.StatusTooManyRequests}
	after := answer.Header.Get("Retry-After")
	if seconds, bad := strconv.Atoi(after); bad == nil {
		later.after = time.Duration(seconds) * time.Second
	} else if at, bad := http.ParseTime(after); bad == nil {
		later.after = time.Until(at)
	}
	return later
}
