package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

// The templates of chats. Both show text, no markup of an alert.
const (
	slackTemplate = `{"text":{{json (slack .)}}}`
	teamsTemplate = `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{` +
		`"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":"1.4","body":[` +
		`{{range $i, $alert := .}}{{if $i}},{{end}}{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":{{json (line $alert)}}}]}{{end}}]}}]}`
)

const (
	// chatBatch is how many alerts are in one message of a chat at most, because chats take about one message per second.
	chatBatch = 20
	maxBatch  = 256
	// maxLine bounds an alert in a chat, in bytes.
	maxLine = 1000
)

// newWebhook returns how to post alerts: as JSON, one per line, or as a template writes them.
func newWebhook(kind string, u *url.URL, secure *tls.Config, p *parameters) (send, error) {
	preset, text := 1, ""
	switch kind {
	case "slack":
		preset, text = chatBatch, slackTemplate
	case "teams":
		preset, text = chatBatch, teamsTemplate
	}
	batch, err := p.number("batch", preset, maxBatch)
	if err != nil {
		return nil, err
	}
	path := p.text("template")
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		text = string(data)
	}
	body := jsonLines
	if text != "" {
		if body, err = newTemplate(text); err != nil {
			return nil, fmt.Errorf("template: %s: %w", path, err)
		}
	}
	post, err := newPoster(u, secure, p)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, list []*alert) (taken int, err error) {
		for taken < len(list) {
			next := list[taken:min(taken+batch, len(list))]
			data, err := body(next)
			if err == nil {
				id := ""
				if batch == 1 {
					id = next[0].ID
				}
				err = post.post(ctx, data, id)
			}
			if err != nil {
				return taken, err
			}
			taken += len(next)
		}
		return taken, nil
	}, nil
}

// jsonLines returns alerts as they are stored, one per line.
func jsonLines(list []*alert) ([]byte, error) {
	var b bytes.Buffer
	for i, a := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.Write(a.data)
	}
	return b.Bytes(), nil
}

// newTemplate returns the function that writes alerts by a template (text/template). It is tried with an alert.
func newTemplate(text string) (func(list []*alert) ([]byte, error), error) {
	t, err := template.New("").Funcs(template.FuncMap{"json": marshal, "line": line, "slack": slack}).Parse(text)
	if err != nil {
		return nil, err
	}
	body := func(list []*alert) ([]byte, error) {
		alerts := make([]schemas.Alert, len(list))
		for i, a := range list {
			alerts[i] = a.Alert
		}
		var b bytes.Buffer
		if err := t.Execute(&b, alerts); err != nil {
			return nil, refusedError{err}
		}
		return b.Bytes(), nil
	}
	_, err = body([]*alert{{Alert: schemas.Alert{Event: json.RawMessage("{}")}}})
	return body, err
}

func marshal(value any) (string, error) {
	data, err := json.Marshal(value)
	return string(data), err
}

// line returns an alert in one line of text.
func line(a schemas.Alert) string {
	text := fmt.Sprintf("%s %s %s %s: %s", a.Time.UTC().Format(time.RFC3339), a.Severity, where(&a), a.Rule, what(&a))
	return limit(alerts.Printable(text), maxLine)
}

// where returns the host and the interface of an alert.
func where(a *schemas.Alert) string {
	if a.Interface == "" {
		return a.Host
	}
	return a.Host + "/" + a.Interface
}

// what returns what an alert reports.
func what(a *schemas.Alert) string {
	if a.Description == "" {
		return a.Summary
	}
	return a.Description + ": " + a.Summary
}

// limit cuts a text to a number of bytes.
func limit(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if most < len("…") {
		return ""
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// slack returns the text of alerts for Slack, where &, < and > have a meaning.
func slack(list []schemas.Alert) string {
	lines := make([]string, len(list))
	for i, a := range list {
		lines[i] = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(line(a))
	}
	return strings.Join(lines, "\n")
}
